"""Tests of buildah, in both versions."""

import json

import pytest

from conftest import case_of, held, slug, versions
from drivers import Buildah, BuildahForky
from images import Image


@pytest.fixture(params=versions(Buildah, BuildahForky))
def buildah(request, client_of):
    return client_of(request.param)


@pytest.fixture
def repository(buildah, new_repository, request):
    return new_repository(f"{slug(type(buildah))}/{case_of(request.node)}")


def working_container(buildah, content, base="scratch"):
    """Makes a container from a base, adds a file, and returns the container's name."""
    container = buildah.tool("from", base).stdout.strip()
    file = buildah.fresh("file")
    file.write_bytes(content)
    buildah.tool("copy", "-q", container, file, f"/{content.decode()}")
    return container


def inspected(aws, repository, tag):
    name = repository.partition("/")[2]
    return aws.batch_get_image(repositoryName=name, imageIds=[{"imageTag": tag}])["images"][0]


def test_a_container_from_scratch_is_committed_and_pushed(buildah, repository):
    container = working_container(buildah, b"one")
    buildah.tool("config", "--label", "made=by-hand", container)
    buildah.tool("commit", "-q", container, "local-image")
    buildah.tool("push", "local-image", f"docker://{repository}:v1")
    assert buildah.pull(f"{repository}:v1") == {"one": b"one"}
    shown = json.loads(buildah.tool("inspect", "--type=image", f"{repository}:v1").stdout)
    assert shown["OCIv1"]["config"]["Labels"]["made"] == "by-hand"


def test_a_commit_is_pushed_directly_and_is_the_base_of_the_next(buildah, repository):
    buildah.tool("commit", "-q", working_container(buildah, b"below"), f"docker://{repository}:base")
    container = working_container(buildah, b"above", base=f"{repository}:base")
    buildah.tool("commit", "-q", container, f"docker://{repository}:v1")
    assert buildah.pull(f"{repository}:v1") == {"below": b"below", "above": b"above"}


@pytest.mark.parametrize("kind, media_type", [("oci", "oci.image.manifest.v1"), ("v2s2", "docker.distribution.manifest.v2")])
def test_an_image_is_pushed_in_the_requested_format(buildah, repository, aws, kind, media_type):
    buildah.tool("push", "--format", kind, buildah.load(Image.random(60, 4000)), f"docker://{repository}:v1")
    assert media_type in inspected(aws, repository, "v1")["imageManifestMediaType"]
    assert buildah.pull(f"{repository}:v1") == Image.random(60, 4000).files


def test_an_index_of_images_in_the_registry_is_pushed(buildah, repository, aws):
    """Each machine pushes the image for its platform. The last machine makes an index of the images in the registry."""
    images = {name: Image({"data": f"built on {name}".encode() * 300}, architecture=name) for name in ("amd64", "arm64")}
    for name, image in images.items():
        buildah.push(image, f"{repository}:{name}")
    buildah.tool("manifest", "create", "together")
    for name in images:
        buildah.tool("manifest", "add", "together", f"docker://{repository}:{name}")
    buildah.tool("manifest", "push", "--all", "together", f"docker://{repository}:v1")
    buildah.tool("manifest", "rm", "together")
    children = json.loads(inspected(aws, repository, "v1")["imageManifest"])["manifests"]
    tags = held(aws, repository)
    assert {child["digest"] for child in children} == {tags["amd64"], tags["arm64"]}
    for name, image in images.items():
        assert buildah.pull(f"{repository}:v1", name) == image.files


def test_an_immutable_tag_accepts_the_same_image_again_and_refuses_another(buildah, new_repository, aws):
    repository = new_repository(f"{slug(type(buildah))}/immutable", imageTagMutability="IMMUTABLE")
    buildah.push(Image.random(61, 3000), f"{repository}:v1")
    buildah.push(Image.random(61, 3000), f"{repository}:v1")
    before = held(aws, repository)
    other = buildah.load(Image.random(62, 3000))
    out = buildah.tool("push", other, f"docker://{repository}:v1", check=False)
    assert out.returncode != 0 and f"It holds {before['v1']} since 20" in out.stderr, out.stderr
    assert held(aws, repository) == before
