"""Tests of ctr: the commands and messages of its users. Of a refusal ctr shows only the status line."""

import pytest

from conftest import case_of, of, slug
from drivers import Ctr16, Ctr21
from drivers.containerd import NEIGHBOUR
from images import Image, Index

BOTH = (Ctr16, Ctr21)


def image(seed, architecture="amd64"):
    return Image({"data": f"ctr {seed}".encode() * 500}, architecture=architecture)


@pytest.fixture
def ctr(client_of, driver):
    return client_of(driver)


@pytest.fixture
def name(driver, request):
    return f"ctr/{case_of(request.node)[:30].strip('_').replace('_', '-')}/{slug(driver)}"


def refused(out):
    assert out.returncode != 0
    return out.stdout + out.stderr


@of(*BOTH)
def test_without_the_right_credential_nothing_is_pushed_or_pulled(ctr, name, new_repository):
    repository = new_repository(name)
    ctr.push(image("closed"), f"{repository}:v1")
    for user in ("", "AWS:nonsense", "somebody:nonsense"):
        for command in ("push", "pull"):
            text = refused(ctr.remote(command, f"{repository}:v1", user=user, check=False))
            assert "401 Unauthorized" in text or "authorization failed" in text or "no basic auth" in text, text


@of(*BOTH)
def test_a_push_to_a_missing_repository_says_how_to_create_it(ctr, name):
    reference = f"{ctr.server.host}/{name}:v1"
    ctr.load(image("missing"), reference)
    text = refused(ctr.send(reference, check=False))
    assert f"reate it with: aws ecr create-repository --repository-name {name}" in text, text


@of(*BOTH)
def test_a_push_to_another_accounts_registry_names_the_missing_right(ctr, name):
    reference = f"{NEIGHBOUR}:{ctr.server.port}/{name}:v1"
    ctr.load(image("neighbour"), reference)
    text = refused(ctr.send(reference, check=False))
    assert f"not authorized: ecr:BatchCheckLayerAvailability on repository {name}" in text, text


@of(*BOTH)
def test_all_platforms_are_pulled_at_once_and_pushed_elsewhere(ctr, name, new_repository):
    first, second = new_repository(name), new_repository(f"{name}/second")
    index = Index(image("all"), image("all", "arm64"))
    ctr.push_index(index, f"{first}:v1")
    ctr.forget()
    ctr.remote("pull", "--all-platforms", f"{first}:v1")
    ctr.tag(f"{first}:v1", f"{second}:v1")
    ctr.send(f"{second}:v1")
    for child in index.images:
        assert ctr.pull(f"{second}:v1", child.architecture) == child.files
