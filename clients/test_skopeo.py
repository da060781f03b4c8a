"""skopeo."""

import json

import pytest

from images import Image, digest


@pytest.fixture
def skopeo(shell):
    shell.environment["REGISTRY"] = shell.server.host
    shell.environment["REGISTRY_AUTH_FILE"] = str(shell.directory / "auth.json")
    shell.environment["XDG_RUNTIME_DIR"] = str(shell.directory)
    shell.environment["HOME"] = str(shell.directory)
    shell.bash('aws ecr get-login-password | skopeo login --tls-verify=false --username AWS --password-stdin "$REGISTRY"')
    return shell


def copy(shell, source, destination, *flags):
    return shell.run("skopeo", "copy", "--src-tls-verify=false", "--dest-tls-verify=false", *flags, source, destination)


def test_push_push_again_second_repository_pull_list_inspect_delete(skopeo):
    registry = skopeo.server.host
    for name in ("skopeo/app", "skopeo/copy"):
        skopeo.aws("ecr", "create-repository", "--repository-name", name)
    image = Image({"a": b"a" * 5000}, {"b": b"b" * 200_000})
    layout = image.layout(skopeo.directory / "layout")
    app, second = f"docker://{registry}/skopeo/app", f"docker://{registry}/skopeo/copy"
    copy(skopeo, f"oci:{layout}:latest", f"{app}:v1")
    copy(skopeo, f"oci:{layout}:latest", f"{app}:v1")
    copy(skopeo, f"{app}:v1", f"{second}:v1", "--preserve-digests")

    for number, reference in enumerate((f"{app}:v1", f"{app}@{image.digest}", f"{second}:v1")):
        pulled = skopeo.directory / f"pulled-{number}"
        copy(skopeo, reference, f"dir:{pulled}")
        assert (pulled / "manifest.json").read_bytes() == image.manifest
        for blob in image.blobs():
            assert (pulled / digest(blob).removeprefix("sha256:")).read_bytes() == blob

    tags = json.loads(skopeo.run("skopeo", "list-tags", "--tls-verify=false", app).stdout)
    assert tags["Tags"] == ["v1"]
    inspected = json.loads(skopeo.run("skopeo", "inspect", "--tls-verify=false", f"{app}:v1").stdout)
    assert inspected["Digest"] == image.digest
    skopeo.run("skopeo", "delete", "--tls-verify=false", f"{app}:v1")
    assert skopeo.aws("ecr", "list-images", "--repository-name", "skopeo/app")["imageIds"] == []
    copy(skopeo, f"{second}:v1", f"{app}:again", "--preserve-digests")


def test_docker_types_and_converted_images_are_taken(skopeo):
    registry = skopeo.server.host
    skopeo.aws("ecr", "create-repository", "--repository-name", "skopeo/docker")
    layout = Image.random(5, 50_000).layout(skopeo.directory / "layout")
    reference = f"docker://{registry}/skopeo/docker:v2s2"
    copy(skopeo, f"oci:{layout}:latest", reference, "--format", "v2s2")
    raw = json.loads(skopeo.run("skopeo", "inspect", "--raw", "--tls-verify=false", reference).stdout)
    assert raw["mediaType"] == "application/vnd.docker.distribution.manifest.v2+json"
    detail = skopeo.aws("ecr", "describe-images", "--repository-name", "skopeo/docker")["imageDetails"][0]
    assert detail["imageManifestMediaType"] == raw["mediaType"]
