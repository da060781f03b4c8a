"""Tests of skopeo, in both versions."""

import json
import re
import time

import pytest

from conftest import case_of, held, slug, versions
from drivers import Skopeo, SkopeoForky
from ecru import LOG_SECONDS
from images import INDEX, Image, Index, digest


@pytest.fixture(params=versions(Skopeo, SkopeoForky))
def skopeo(request, client_of):
    return client_of(request.param)


@pytest.fixture
def own(skopeo, new_repository, request):
    """A function that creates repositories with a prefix for the running test."""
    return lambda suffix="": new_repository(f"{slug(type(skopeo))}/{case_of(request.node)}{suffix}")


@pytest.fixture
def repository(own):
    return own()


@pytest.fixture
def second(own):
    return own("/second")


def two_platforms(seed):
    return Index(*(Image({"data": f"{seed} for {name}".encode() * 500}, architecture=name) for name in ("amd64", "arm64")))


def raw(skopeo, reference):
    return json.loads(skopeo.tool("inspect", "--raw", f"docker://{reference}").stdout)


def test_docker_types_and_converted_images_are_accepted(skopeo, repository, aws):
    skopeo.copy(f"oci:{skopeo.layout(Image.random(5, 50_000))}:latest", f"docker://{repository}:v2s2", "--format", "v2s2")
    media_type = raw(skopeo, f"{repository}:v2s2")["mediaType"]
    assert media_type == "application/vnd.docker.distribution.manifest.v2+json"
    detail = aws.describe_images(repositoryName=repository.partition("/")[2])["imageDetails"][0]
    assert detail["imageManifestMediaType"] == media_type
    skopeo.copy(f"docker://{repository}:v2s2", f"docker://{repository}:back", "--format", "oci")
    assert skopeo.pull(f"{repository}:back") == Image.random(5, 50_000).files


def test_layers_of_another_repository_are_mounted_not_sent(skopeo, repository, second):
    image = Image({"a": b"mounted a" * 500}, {"b": b"mounted b" * 900})
    skopeo.push(image, f"{repository}:v1")
    skopeo.push(image, f"{second}:v1")
    for place, mounted in ((repository, 0), (second, len(image.layers))):
        said = requests_until_manifest(skopeo.server, place.partition("/")[2])
        # skopeo always sends the configuration, because it is small.
        assert [status for method, status in said if method == "PATCH"] == ["202"] * (len(image.blobs()) - mounted), said
        assert [status for method, status in said if method == "POST"].count("201") == mounted, said


def requests_until_manifest(server, name):
    """Returns (method, status) of each logged request for a repository, up to the request that put the manifest."""
    line = re.compile(rf'http\.method="(\w+)" url\.path="/v2/{re.escape(name)}/(blobs|manifests)/[^"]*" http\.status=(\d+)')
    deadline = time.monotonic() + LOG_SECONDS
    while time.monotonic() < deadline:
        found = line.findall(server.log.read_text(errors="replace"))
        if ("PUT", "manifests", "201") in found:
            return [(method, status) for method, _, status in found]
        time.sleep(0.02)
    raise AssertionError(f"no manifest was put to {name}:\n{server.log_text()}")


def test_an_image_copied_between_repositories_keeps_its_digest(skopeo, repository, second):
    index = two_platforms("kept")
    skopeo.push_index(index, f"{repository}:v1")
    skopeo.copy(f"docker://{repository}:v1", f"docker://{second}:v1", "--all", "--preserve-digests")
    for tag in (f"{repository}:v1", f"{second}:v1"):
        assert skopeo.tool("inspect", "--raw", f"docker://{tag}").stdout.encode() == index.manifest
    to = skopeo.fresh("by-digest")
    skopeo.copy(f"docker://{second}@{index.images[1].digest}", f"dir:{to}", "--preserve-digests")
    assert (to / "manifest.json").read_bytes() == index.images[1].manifest


def test_one_platform_or_the_index_alone_are_copied(skopeo, repository):
    """Copies an index without its images, which exist already. `system` copies the image of one platform."""
    index = two_platforms("parts")
    skopeo.push_index(index, f"{repository}:all")
    source = f"docker://{repository}:all"
    skopeo.copy(source, f"docker://{repository}:index", "--multi-arch=index-only")
    assert raw(skopeo, f"{repository}:index")["mediaType"] == INDEX
    skopeo.tool("--override-arch=arm64", "copy", "--multi-arch=system", source, f"docker://{repository}:arm64")
    assert json.loads(skopeo.tool("inspect", "--config", f"docker://{repository}:arm64").stdout)["architecture"] == "arm64"
    assert sorted(skopeo.tags(repository)) == ["all", "arm64", "index"]


def test_an_index_without_its_images_is_refused(skopeo, repository, aws):
    index = two_platforms("sparse")
    source = f"oci:{skopeo.layout(index)}:latest"
    out = skopeo.tool("copy", "--multi-arch=index-only", source, f"docker://{repository}:v1", check=False)
    assert out.returncode != 0 and "manifest blob unknown" in out.stderr, out.stderr
    assert held(aws, repository) == {}


@pytest.mark.parametrize("compression", ["zstd", "zstd:chunked"])
def test_layers_are_compressed_anew_with_zstd(skopeo, repository, compression):
    """Uses new bytes, because skopeo reuses a layer that it knows in any compression."""
    image = Image({"data": f"{compression} {skopeo.name}".encode() * 900})
    skopeo.copy(f"oci:{skopeo.layout(image)}:latest", f"docker://{repository}:v1", "--dest-compress-format", compression)
    layer = raw(skopeo, f"{repository}:v1")["layers"][0]
    assert layer["mediaType"] == "application/vnd.oci.image.layer.v1.tar+zstd"
    chunked = any("zstd-chunked.manifest-position" in key for key in layer.get("annotations", {}))
    assert chunked == (compression == "zstd:chunked")
    # 1.9 writes the archive of a chunked layer again, so the files are the same but not the bytes.
    to = skopeo.fresh("decompressed")
    skopeo.copy(f"docker://{repository}:v1", f"dir:{to}", "--dest-decompress")
    assert skopeo.files(to) == image.files


def test_inspect_shows_tags_layers_and_configuration(skopeo, repository):
    image = Image.random(50, 4000)
    for tag in ("v1", "v2"):
        skopeo.push(image, f"{repository}:{tag}")
    shown = json.loads(skopeo.tool("inspect", f"docker://{repository}:v1").stdout)
    assert shown["Digest"] == image.digest and shown["RepoTags"] == ["v1", "v2"]
    assert shown["Layers"] == [digest(layer) for layer in image.layers]
    config = skopeo.tool("inspect", "--config", "--raw", f"docker://{repository}:v1").stdout
    assert config.strip().encode() == image.config


def test_a_delete_by_digest_removes_the_image_with_all_its_tags(skopeo, repository, aws):
    image = Image.random(51, 4000)
    for tag in ("v1", "v2"):
        skopeo.push(image, f"{repository}:{tag}")
    skopeo.delete(f"{repository}@{image.digest}")
    assert held(aws, repository) == {}
    out = skopeo.tool("inspect", f"docker://{repository}:v1", check=False)
    assert out.returncode != 0 and "manifest unknown" in out.stderr, out.stderr


def test_a_repository_is_synced_to_a_directory_and_back(skopeo, own):
    """skopeo appends the last part of the source's name to the destination, and that repository must exist."""
    source = own("/app")
    images = {tag: Image.random(seed, 4000) for seed, tag in ((52, "v1"), (53, "v2"))}
    for tag, image in images.items():
        skopeo.push(image, f"{source}:{tag}")
    directory = skopeo.fresh("synced")
    skopeo.tool("sync", "--src", "docker", "--dest", "dir", source, directory)
    assert sorted(path.name for path in directory.iterdir()) == ["app:v1", "app:v2"]
    back = own("/back/app")
    skopeo.tool("sync", "--src", "dir", "--dest", "docker", directory, back.removesuffix("/app"))
    for tag, image in images.items():
        assert skopeo.tool("inspect", "--raw", f"docker://{back}:{tag}").stdout.encode() == image.manifest


def test_the_repositories_of_a_file_are_synced(skopeo, own):
    """Syncs all tags of one repository, and the tags of another that match an expression, with all platforms."""
    host = skopeo.server.host
    app, tools = own("/app"), own("/tools")
    mirror = own("/mirror/app").removesuffix("/app")
    own("/mirror/tools")
    skopeo.push_index(two_platforms("synced"), f"{app}:v1")
    for tag in ("1.0", "1.1", "edge"):
        skopeo.push(Image.random(54, 3000), f"{tools}:{tag}")
    wanted = skopeo.fresh("sync.yaml")
    names = [place.partition("/")[2] for place in (app, tools)]
    wanted.write_text(f'{host}:\n  images:\n    {names[0]}: []\n  images-by-tag-regex:\n    {names[1]}: ^1\\.\n')
    skopeo.tool("sync", "--all", "--src", "yaml", "--dest", "docker", wanted, mirror)
    assert raw(skopeo, f"{mirror}/app:v1")["mediaType"] == INDEX
    assert skopeo.tags(f"{mirror}/app") == ["v1"]
    assert sorted(skopeo.tags(f"{mirror}/tools")) == ["1.0", "1.1"]
