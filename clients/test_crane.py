"""Tests of crane's own features."""

import json

import pytest

from drivers import Crane
from images import Image, Index, digest, tar

pytestmark = pytest.mark.client.with_args(Crane)


@pytest.fixture
def crane(client_of):
    return client_of(Crane)


def manifest(crane, reference):
    return crane.crane("manifest", reference).stdout


def test_a_docker_archive_is_pushed(crane, new_repository):
    reference = new_repository("crane/archive") + ":v1"
    archive = Image({"file": b"data" * 100}).docker_archive(crane.fresh("archive"), reference)
    crane.crane("push", archive, reference)
    assert json.loads(manifest(crane, reference))["mediaType"] == "application/vnd.docker.distribution.manifest.v2+json"
    assert crane.pull(reference) == {"file": b"data" * 100}
    crane.crane("validate", "--remote", reference)


def test_copy_mounts_the_layers_and_keeps_the_digests(crane, new_repository):
    index = Index(*(Image({"data": f"{name} copied".encode() * 500}, architecture=name) for name in ("amd64", "arm64")))
    first, second = (new_repository(f"crane/{name}") for name in ("copied-from", "copied-to"))
    crane.push_index(index, f"{first}:v1")
    crane.crane("tag", f"{first}:v1", "v2")
    out = crane.crane("copy", "--all-tags", first, second).stderr
    assert "mounted blob" in out and "pushed blob" not in out, out
    assert sorted(crane.tags(second)) == ["v1", "v2"]
    assert crane.crane("digest", f"{second}:v2").stdout.strip() == index.digest
    again = crane.crane("copy", f"{first}:v1", f"{second}:v1").stderr
    assert "existing manifest" in again, again


def test_an_index_is_made_of_existing_images(crane, new_repository):
    repository = new_repository("crane/index")
    images = [Image({"data": f"appended {name}".encode()}, architecture=name) for name in ("amd64", "arm64")]
    for image in images:
        crane.push(image, f"{repository}:{image.architecture}")
    members = [flag for image in images for flag in ("-m", f"{repository}:{image.architecture}")]
    crane.crane("index", "append", *members, "-t", f"{repository}:all")
    for image in images:
        assert crane.pull(f"{repository}:all", image.architecture) == image.files
    crane.crane("index", "filter", f"{repository}:all", "--platform=linux/arm64", "-t", f"{repository}:one")
    assert [child["digest"] for child in json.loads(manifest(crane, f"{repository}:one"))["manifests"]] == [images[1].digest]


def test_a_layer_is_appended_and_a_label_set_in_the_registry(crane, new_repository):
    repository = new_repository("crane/append")
    crane.push(Image({"base": b"base"}), f"{repository}:base")
    layer = crane.fresh("layer")
    layer.write_bytes(tar({"added": b"added"}))
    crane.crane("append", "--base", f"{repository}:base", "--new_layer", layer, "--new_tag", f"{repository}:more")
    assert crane.pull(f"{repository}:more") == {"base": b"base", "added": b"added"}
    crane.crane("mutate", f"{repository}:more", "--label", "team=a", "--tag", f"{repository}:labelled")
    assert json.loads(crane.crane("config", f"{repository}:labelled").stdout)["config"]["Labels"] == {"team": "a"}


def test_a_layer_and_the_catalog_are_read(crane, new_repository):
    repository = new_repository("crane/read")
    image = Image({"data": b"read"})
    crane.push(image, f"{repository}:v1")
    to = crane.fresh("layer")
    command = f"'{crane.program()}' blob '{repository}@{digest(image.layers[0])}' > '{to}'"
    crane.run("sh", "-c", command)
    assert to.read_bytes() == image.layers[0]
    assert "crane/read" in crane.crane("catalog", crane.server.host).stdout.split()


def test_a_refusal_names_the_image_of_an_immutable_tag(crane, new_repository):
    reference = new_repository("crane/immutable", imageTagMutability="IMMUTABLE") + ":v1"
    first = Image({"data": b"first"})
    crane.push(first, reference)
    crane.push(first, reference)
    out = crane.crane("push", crane.layout(Image({"data": b"other"})), reference, check=False)
    assert out.returncode != 0
    assert "cannot be overwritten because the tag is immutable" in out.stderr and first.digest in out.stderr


def test_an_image_is_deleted_by_digest_with_all_its_tags(crane, new_repository):
    repository = new_repository("crane/delete")
    image = Image({"data": b"deleted"})
    crane.push(image, f"{repository}:v1")
    crane.crane("tag", f"{repository}:v1", "v2")
    crane.delete(f"{repository}@{image.digest}")
    assert crane.tags(repository) == []
