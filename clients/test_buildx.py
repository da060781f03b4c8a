"""Tests of buildx with docker's own builder: builds that push, caches in the registry, and copies within the registry."""

import json
import shutil

import pytest

from conftest import case_of, of, slug
from drivers import Docker26, Docker28, DockerClassic
from drivers.client import installed
from images import Image
from test_cases import held

# Each build makes a different file. So if a step comes from the cache, its file is the one of the build that filled the cache. The word
# CACHED in the output is no proof, because it is missing if BuildKit had to fetch the step's layer for the next step.
DOCKERFILE = """FROM {base}
RUN ["/bin/busybox", "sh", "-c", "cat /proc/sys/kernel/random/uuid > /step"]
COPY file /file
"""
CACHE_TAG_MOVES = {
    "imageTagMutability": "IMMUTABLE_WITH_EXCLUSION",
    "imageTagMutabilityExclusionFilters": [{"filterType": "WILDCARD", "filter": "cache*"}],
}


@pytest.fixture
def docker(client_of, driver):
    return client_of(driver)


@pytest.fixture
def name(driver, request):
    return f"buildx/{case_of(request.node)[:40].strip('_').replace('_', '-')}/{slug(driver)}"


@pytest.fixture
def context(docker, new_repository, name, tmp_path):
    """A directory to build. Its base image is in this registry, because the test can't pull from another one."""
    base = docker.asked_directly(f"{new_repository(f'{name}/base')}:v1")
    at = tmp_path / "base"
    at.mkdir()
    shutil.copy(installed("busybox"), at / "busybox")
    (at / "Dockerfile").write_text("FROM scratch\nCOPY busybox /bin/busybox\n")
    docker.docker("build", "--tag", base, at)
    docker.send(base)
    context = tmp_path / "context"
    context.mkdir()
    (context / "Dockerfile").write_text(DOCKERFILE.format(base=base))
    (context / "file").write_text("first\n")
    return context


def start_afresh(docker):
    """Empties the builder's cache and the image store, as on another machine."""
    docker.docker("builder", "prune", "--all", "--force")
    docker.forget()


def step(docker, reference):
    return docker.pull(reference)["step"]


# The two ways to request an inline cache, each with one version of docker.
INLINE = {Docker26: "--build-arg=BUILDKIT_INLINE_CACHE=1", Docker28: "--cache-to=type=inline"}


@of(*INLINE)
def test_a_build_takes_its_steps_from_an_image_with_an_inline_cache(docker, driver, name, new_repository, context):
    image = f"{new_repository(name, imageTagMutability='IMMUTABLE')}:v1"
    docker.build(context, INLINE[driver], "--push", "--tag", image)
    first = step(docker, image)
    start_afresh(docker)
    said = docker.build(context, f"--cache-from={image}", "--load", "--tag", "again:local")
    assert "importing cache manifest" in said and "ERROR" not in said, said
    assert docker.files("again:local")["step"] == first


# A cache is an image, or an index that lists layers in place of images. 26.1 writes the index, 28.5 the image.
OTHER_KIND = {Docker26: "true", Docker28: "false"}


@of(Docker26, Docker28)
@pytest.mark.parametrize("default", [True, False], ids=["default", "other"])
def test_a_build_takes_its_steps_from_a_cache_in_the_registry(docker, driver, name, new_repository, context, aws, default):
    options = "" if default else f",image-manifest={OTHER_KIND[driver]}"
    repository = new_repository(name, **CACHE_TAG_MOVES)
    cache = f"type=registry,ref={repository}:cache"
    docker.build(context, f"--cache-to={cache},mode=max{options}", "--push", "--tag", f"{repository}:v1")
    first, tags = step(docker, f"{repository}:v1"), held(aws, repository)
    start_afresh(docker)

    (context / "file").write_text("second\n")
    flags = [f"--cache-from={cache}", f"--cache-to={cache},mode=max{options}"]
    said = docker.build(context, *flags, "--push", "--tag", f"{repository}:v2")
    assert "importing cache manifest" in said and "ERROR" not in said, said
    files = docker.pull(f"{repository}:v2")
    assert (files["step"], files["file"]) == (first, b"second\n")
    now = held(aws, repository)
    assert now["cache"] != tags["cache"], "the tag of the cache did not move"
    assert now["v1"] == tags["v1"]


@of(DockerClassic)
def test_a_build_without_buildx_takes_its_steps_from_an_image(docker, name, new_repository, context):
    """Tests the builders of 20.10: BuildKit with an inline cache, and the legacy builder with any pulled image as its cache."""
    images = docker.asked_directly(new_repository(name))
    for tag, flags, buildkit in (("old", [], "0"), ("buildkit", ["--build-arg=BUILDKIT_INLINE_CACHE=1"], "1")):
        image = f"{images}:{tag}"
        build = lambda *flags: docker.docker("build", "--network=none", *flags, context, DOCKER_BUILDKIT=buildkit)
        build("--tag", image, *flags)
        docker.send(image)
        first = step(docker, image)
        start_afresh(docker)
        docker.docker("pull", image)
        build("--tag", "again:local", f"--cache-from={image}")
        assert docker.files("again:local")["step"] == first


@of(Docker26, Docker28)
def test_an_image_of_several_platforms_is_built_and_pushed(docker, name, new_repository, tmp_path):
    repository = new_repository(name, imageTagMutability="IMMUTABLE")
    (tmp_path / "Dockerfile").write_text("FROM scratch\nARG TARGETARCH\nCOPY $TARGETARCH /data\n")
    for architecture in ("amd64", "arm64"):
        (tmp_path / architecture).write_text(f"for {architecture}\n")
    docker.build(tmp_path, "--platform=linux/amd64,linux/arm64", "--push", "--tag", f"{repository}:v1")
    for architecture in ("amd64", "arm64"):
        assert docker.pull(f"{repository}:v1", architecture) == {"data": f"for {architecture}\n".encode()}


@of(Docker26, Docker28)
def test_images_are_inspected_copied_and_joined_within_the_registry(docker, name, new_repository, aws):
    repository = new_repository(name, imageTagMutability="IMMUTABLE")
    second = new_repository(f"{name}/second")
    tools = lambda *arguments, **options: docker.docker("buildx", "imagetools", *arguments, **options)
    images = [Image({"data": f"for {name}".encode() * 300}, architecture=name) for name in ("amd64", "arm64")]
    for image in images:
        docker.push(image, f"{repository}:{image.architecture}")
    docker.forget()

    first, other = docker.asked_directly(repository), docker.asked_directly(second)
    tools("create", "--tag", f"{first}:v1", *(f"{first}:{image.architecture}" for image in images))
    shown = json.loads(tools("inspect", "--raw", f"{first}:v1").stdout)
    assert [child["digest"] for child in shown["manifests"]] == [image.digest for image in images]
    for target in (f"{first}:copy", f"{other}:copy"):
        tools("create", "--tag", target, f"{first}:v1")
    for target in (f"{repository}:copy", f"{second}:copy"):
        assert docker.pull(target, "arm64") == images[1].files
    assert held(aws, repository)["copy"] == held(aws, repository)["v1"] == held(aws, second)["copy"]

    refused = tools("create", "--tag", f"{first}:v1", f"{first}:amd64", check=False)
    assert refused.returncode != 0 and "immutable" in refused.stderr, refused.stderr
    missing = tools("create", "--tag", f"{first}-missing:v1", f"{first}:amd64", check=False)
    assert missing.returncode != 0 and f"aws ecr create-repository --repository-name {name}-missing" in missing.stderr


@of(Docker26, Docker28)
def test_a_build_that_may_not_push_says_why(docker, name, new_repository, tmp_path):
    repository = new_repository(name)
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /file\n")
    push = lambda to, **options: docker.docker("buildx", "build", "--push", "--tag", to, tmp_path, check=False, **options)
    missing = push(f"{repository}-missing:v1")
    assert missing.returncode != 0
    assert f"reate it with: aws ecr create-repository --repository-name {name}-missing" in missing.stderr
    # The plugins are in the same directory as the credentials.
    config = tmp_path / "config"
    shutil.copytree(docker.home / ".docker" / "cli-plugins", config / "cli-plugins", symlinks=True)
    stranger = push(f"{repository}:v1", DOCKER_CONFIG=str(config))
    assert stranger.returncode != 0 and "401 Unauthorized: no credentials; log in with: aws ecr" in stranger.stderr, stranger.stderr
