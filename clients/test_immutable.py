"""Tests of immutable tags (ECR.md R). Pushing the same image again succeeds, even if a client PUTs other manifests to the tag first.
Another image is refused at once, and the message names the image of the tag.
"""

import json
import re

import pytest

from conftest import case_of, of, slug
from drivers import Ctr16, Ctr21, Docker26, Docker28, Docker28Classic, DockerClassic
from images import Image, Index
from test_cases import held


@pytest.fixture
def repository(new_repository, driver, request):
    """An empty immutable repository, as `HOST/NAME`."""
    return new_repository(f"immutable/{case_of(request.node).replace('_', '-')}/{slug(driver)}", imageTagMutability="IMMUTABLE")


def manifest(aws, repository, tag):
    image = aws.batch_get_image(repositoryName=repository.partition("/")[2], imageIds=[{"imageTag": tag}])["images"][0]
    return json.loads(image["imageManifest"])


def push_twice_and_another(client, aws, repository, make):
    """Pushes an image twice, and then another one, which must be refused. `make(seed, name)` makes a local image. Returns the state
    after the first push, {tag: digest}."""
    reference = f"{repository}:v1"
    # Make both images before the first push, so that the pushes follow as fast as the client can.
    for seed, name in ((1, "localhost/first:local"), (2, "localhost/second:local")):
        make(seed, name)
    client.tag("localhost/first:local", reference)
    client.send(reference)
    first = held(aws, repository)
    client.send(reference)
    assert held(aws, repository) == first

    client.tag("localhost/second:local", reference)
    refused = client.send(reference, check=False)
    assert refused.returncode != 0
    says_what_it_holds(refused, first)
    assert held(aws, repository)["v1"] == first["v1"]
    # The parts of the refused image are refused too.
    refused = client.send(reference, check=False)
    assert refused.returncode != 0
    assert held(aws, repository)["v1"] == first["v1"]

    client.tag("localhost/first:local", reference)
    client.send(reference)
    assert held(aws, repository)["v1"] == first["v1"]
    return first


def says_what_it_holds(refused, tags):
    text = refused.stdout + refused.stderr
    assert "immutable" in text, text
    named = re.search(r"holds (sha256:[0-9a-f]{12,64})", text)
    assert named and tags["v1"].startswith(named.group(1)), text


@of(DockerClassic, Docker26, Docker28, Docker28Classic, Ctr16, Ctr21)
def test_an_image_is_pushed_again_and_another_refused(client_of, driver, aws, repository):
    client = client_of(driver)
    tags = push_twice_and_another(client, aws, repository, lambda seed, name: client.load(image(seed), name))
    assert set(tags) == {"v1"}
    assert client.pull(f"{repository}:v1") == image(1).files


def image(seed, architecture="amd64"):
    return Image({"base": b"base" * 3000}, {"data": f"content {seed} for {architecture}".encode() * 500}, architecture=architecture)


@of(Docker26, Docker28, Ctr16, Ctr21)
def test_two_platforms_are_pushed_again_and_others_refused(client_of, driver, aws, repository):
    client = client_of(driver)
    index = lambda seed: Index(image(seed), image(seed, "arm64"))
    tags = push_twice_and_another(client, aws, repository, lambda seed, name: client.load(index(seed), name))
    assert tags["v1"] == index(1).digest
    for child in index(1).images:
        assert client.pull(f"{repository}:v1", child.architecture) == child.files


@of(Docker26, Docker28, Ctr16, Ctr21)
def test_an_index_that_shares_one_platform_is_another_image(client_of, driver, aws, repository):
    """A build that changed only for one platform makes such an index."""
    client = client_of(driver)
    index = lambda seed: Index(image(1), image(seed, "arm64"))
    tags = push_twice_and_another(client, aws, repository, lambda seed, name: client.load(index(seed), name))
    assert tags["v1"] == index(1).digest


@of(Docker26, Docker28)
def test_an_image_with_attestation_is_pushed_again_and_another_refused(client_of, driver, aws, repository, tmp_path):
    client = client_of(driver)
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY file /file\n")

    def build(seed, name):
        (tmp_path / "file").write_text(f"content {seed}\n" * 500)
        client.build(tmp_path, "--provenance=true", "--load", "--tag", name)

    tags = push_twice_and_another(client, aws, repository, build)
    listed = manifest(aws, repository, "v1")["manifests"]
    kinds = [entry.get("annotations", {}).get("vnd.docker.reference.type", "image") for entry in listed]
    assert kinds == ["image", "attestation-manifest"]
    assert client.pull(f"{repository}:v1") == {"file": b"content 1\n" * 500}


@of(Docker26, Docker28)
def test_an_image_that_buildx_pushed_itself_can_not_be_replaced(client_of, driver, aws, repository, tmp_path):
    client = client_of(driver)
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY file /file\n")
    (tmp_path / "file").write_text("one\n")
    client.build(tmp_path, "--push", "--tag", f"{repository}:v1")
    first = held(aws, repository)
    (tmp_path / "file").write_text("two\n")
    refused = client.docker("buildx", "build", "--push", "--tag", f"{repository}:v1", tmp_path, check=False)
    assert refused.returncode != 0
    says_what_it_holds(refused, first)
    assert held(aws, repository)["v1"] == first["v1"]
