"""Tests that podman, buildah and skopeo share: how they reach a registry, and the layer cache of their builds."""

import shutil

import pytest

from conftest import held, slug, versions
from drivers import Buildah, BuildahForky, Podman, PodmanForky, Skopeo, SkopeoForky
from images import Image


@pytest.fixture(params=versions(Podman, PodmanForky, Buildah, BuildahForky, Skopeo, SkopeoForky))
def any_of_them(request, client_of):
    return client_of(request.param)


@pytest.fixture(params=versions(Podman, PodmanForky, Buildah, BuildahForky))
def builder(request, client_of):
    return client_of(request.param)


@pytest.fixture(params=versions(Podman, PodmanForky, Skopeo, SkopeoForky))
def lister(request, client_of):
    return client_of(request.param)


@pytest.mark.basic
def test_a_flag_suffices_to_trust_a_registry(any_of_them, password):
    """`--tls-verify=false` allows plain HTTP, `--cert-dir` sets a private authority. Without them the login fails."""
    client = any_of_them
    home = client.fresh("bare-home")
    home.mkdir()
    # Without registries.conf and without an authority, and with a separate file for passwords.
    bare = {"HOME": str(home), "XDG_CONFIG_HOME": str(home), "SSL_CERT_FILE": "", "REGISTRY_AUTH_FILE": str(home / "auth.json")}
    flag = "--tls-verify=false"
    if client.server.ca is not None:
        shutil.copy(client.server.ca, home / "ca.crt")
        flag = f"--cert-dir={home}"
    login = ("--username", "AWS", "--password-stdin", client.server.host)
    out = client.tool("login", *login, input=password, check=False, **bare)
    said = "certificate signed by unknown authority" if client.server.ca else "server gave HTTP response to HTTPS client"
    assert out.returncode != 0 and said in out.stderr, out.stderr
    client.tool("login", flag, *login, input=password, **bare)


def test_tags_of_several_pages_are_all_listed(lister, new_repository, aws):
    """A page has 100 tags, and neither client requests more at once."""
    name = f"{slug(type(lister))}/pages"
    repository = new_repository(name)
    image = Image.random(90, 500)
    lister.push(image, f"{repository}:t000")
    manifest = aws.batch_get_image(repositoryName=name, imageIds=[{"imageTag": "t000"}])["images"][0]["imageManifest"]
    tags = [f"t{number:03}" for number in range(120)]
    for tag in tags[1:]:
        aws.put_image(repositoryName=name, imageManifest=manifest, imageTag=tag)
    assert lister.tags(repository) == tags


CACHE = "Using cache "


def test_a_repository_stores_images_and_the_layer_cache_of_their_builds(builder, new_repository, aws):
    """The tags of the cache are the keys of build steps, and move to other layers. So they must be mutable, unlike releases."""
    repository = new_repository(
        f"{slug(type(builder))}/cache",
        imageTagMutability="MUTABLE_WITH_EXCLUSION",
        imageTagMutabilityExclusionFilters=[{"filterType": "WILDCARD", "filter": "v*"}],
    )
    context = builder.fresh("context")
    context.mkdir()
    for step in ("one", "two"):
        (context / step).write_bytes(f"{step} of {repository}".encode() * 300)
    (context / "Containerfile").write_text("FROM scratch\nCOPY one /one\nCOPY two /two\n")

    def build(*flags):
        out = builder.tool("build", "--layers", "--cache-to", repository, *flags, "-t", f"{repository}:v1", context)
        return out.stdout + out.stderr

    assert CACHE not in build("--cache-from", repository)
    builder.tool("push", f"{repository}:v1", f"docker://{repository}:v1")
    builder.tool("rmi", "--all", "--force")
    # Empty the store, as on another machine with the files but without the layers.
    assert build("--cache-from", repository).count(CACHE) == 2
    builder.tool("push", f"{repository}:v1", f"docker://{repository}:v1")
    before = held(aws, repository)
    build("--no-cache")
    refused = builder.tool("push", f"{repository}:v1", f"docker://{repository}:v1", check=False)
    assert refused.returncode != 0 and "cannot be overwritten because the tag is immutable" in refused.stderr, refused.stderr
    after = held(aws, repository)
    assert [tag for tag in before if after[tag] != before[tag] and tag != "v1"], "no tag of the cache moved"
