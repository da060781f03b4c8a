"""The cases that every client must pass. conftest.py runs them for each of `drivers.CLIENTS`, except the cases in a driver's `cannot`.
The cases are the columns of the matrix that is printed at the end.
"""

import pytest

from conftest import case_of, held, slug
from images import Image, Index

basic = pytest.mark.basic


@pytest.fixture
def repository(client, aws, request):
    """Two empty repositories, as `HOST/NAME`."""
    base = f"cases/{case_of(request.node).replace('_', '-')}/{slug(type(client))}"
    names = [base, f"{base}-second"]
    for name in names:
        aws.create_repository(repositoryName=name)
    yield [f"{client.server.host}/{name}" for name in names]
    for name in names:
        aws.delete_repository(repositoryName=name, force=True)


def image(seed):
    return Image({"base": b"base" * 5000}, {"data": f"content {seed}".encode() * 1000})


@basic
def test_login(client, password):
    with pytest.raises(AssertionError):
        client.login("nonsense")
    client.login(password)


@basic
def test_push(client, repository, aws):
    client.push(image("push"), f"{repository[0]}:v1")
    assert set(held(aws, repository[0])) == {"v1"}


def test_push_again(client, repository, aws):
    client.push(image("again"), f"{repository[0]}:v1")
    before = held(aws, repository[0])
    client.push(image("again"), f"{repository[0]}:v1")
    assert held(aws, repository[0]) == before


def test_second_repository(client, repository, aws):
    first, second = repository
    client.push(image("second"), f"{first}:v1")
    client.push(image("second"), f"{second}:v1")
    assert held(aws, first) == held(aws, second)
    assert client.pull(f"{second}:v1") == image("second").files


@basic
def test_pull_by_tag(client, repository):
    client.push(image("tag"), f"{repository[0]}:v1")
    assert client.pull(f"{repository[0]}:v1") == image("tag").files


@basic
def test_pull_by_digest(client, repository, aws):
    client.push(image("digest"), f"{repository[0]}:v1")
    assert client.pull(f"{repository[0]}@{held(aws, repository[0])['v1']}") == image("digest").files


def test_multi_arch(client, repository, aws):
    index = Index(*(Image({"data": f"for {name}".encode() * 500}, architecture=name) for name in ("amd64", "arm64")))
    client.push_index(index, f"{repository[0]}:v1")
    assert len(set(held(aws, repository[0]).values())) >= 2, "the index or its children are missing"
    for child in index.images:
        assert client.pull(f"{repository[0]}:v1", child.architecture) == child.files


def test_list(client, repository):
    for tag in ("v1", "v2", "latest"):
        client.push(image("list"), f"{repository[0]}:{tag}")
    assert sorted(client.tags(repository[0])) == ["latest", "v1", "v2"]


def test_delete(client, repository, aws):
    client.push(image("delete"), f"{repository[0]}:v1")
    client.delete(f"{repository[0]}:v1")
    assert held(aws, repository[0]) == {}
