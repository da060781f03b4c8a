"""Tests of umoci, in both versions: it unpacks an image from the registry, changes it, and packs it again."""

import json

import pytest

from conftest import case_of, held, slug, versions
from drivers import Umoci, UmociForky
from images import Image


@pytest.fixture(params=versions(Umoci, UmociForky))
def umoci(request, client_of):
    return client_of(request.param)


@pytest.fixture
def repository(umoci, new_repository, request):
    return new_repository(f"{slug(type(umoci))}/{case_of(request.node)}")


def test_a_changed_file_adds_a_layer_and_the_other_layers_are_not_sent_again(umoci, repository, aws):
    image = Image({"kept": b"kept" * 20_000, "changed": b"before"})
    umoci.push(image, f"{repository}:v1")
    layout, bundle = umoci.fresh("layout"), umoci.fresh("bundle")
    umoci.copy(f"docker://{repository}:v1", f"oci:{layout}:latest")
    umoci.umoci("unpack", "--image", f"{layout}:latest", bundle)
    (bundle / "rootfs" / "changed").write_bytes(b"after")
    umoci.umoci("repack", "--image", f"{layout}:latest", bundle)
    umoci.umoci("config", "--image", f"{layout}:latest", "--config.label", "made=again")
    umoci.copy(f"oci:{layout}:latest", f"docker://{repository}:v2")
    assert umoci.pull(f"{repository}:v2") == {**image.files, "changed": b"after"}
    assert umoci.pull(f"{repository}:v1") == image.files
    before, after = (layers(aws, repository, tag) for tag in ("v1", "v2"))
    assert after[: len(before)] == before and len(after) == len(before) + 1


def layers(aws, repository, tag):
    manifest = aws.batch_get_image(repositoryName=repository.partition("/")[2], imageIds=[{"imageTag": tag}])
    return [layer["digest"] for layer in json.loads(manifest["images"][0]["imageManifest"])["layers"]]


def test_a_layer_is_added_verbatim(umoci, repository, aws):
    image, more = Image.random(70, 3000), Image({"more": b"more"})
    layout = umoci.fresh("layout")
    umoci.push(image, f"{repository}:v1")
    umoci.copy(f"docker://{repository}@{held(aws, repository)['v1']}", f"oci:{layout}:latest")
    archive = umoci.fresh("layer.tar")
    archive.write_bytes(more.plain[0])
    umoci.umoci("raw", "add-layer", "--image", f"{layout}:latest", archive)
    umoci.copy(f"oci:{layout}:latest", f"docker://{repository}:v2")
    assert umoci.pull(f"{repository}:v2") == {**image.files, **more.files}
