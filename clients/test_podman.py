"""Tests of podman, in both versions."""

import json

import pytest

from conftest import case_of, held, shell_of, slug, versions
from drivers import Podman, PodmanForky
from drivers.client import files_of
from drivers.containers import files_in
from ecru import binary
from images import Image, Index

# The limits of a container must not exceed the machine's.
RUN = ("run", "--rm", "--network=none", "--ulimit=nofile=1024:1024", "--ulimit=nproc=4096:4096")


@pytest.fixture(params=versions(Podman, PodmanForky))
def podman(request, client_of):
    return client_of(request.param)


@pytest.fixture(params=versions(PodmanForky))
def forky(request, client_of):
    return client_of(request.param)


@pytest.fixture
def repository(podman, new_repository, request):
    """A repository for the running test, as `HOST/NAME`."""
    return new_repository(f"{slug(type(podman))}/{case_of(request.node)}")


def build(podman, reference, **files):
    """Builds an image of these files and returns its id."""
    context = podman.fresh("context")
    context.mkdir()
    for file, content in files.items():
        (context / file).write_bytes(content)
        (context / file).chmod(0o755)
    (context / "Containerfile").write_text("FROM scratch\n" + "".join(f"COPY {file} /{file}\n" for file in files))
    return podman.tool("build", "-q", "-t", reference, context).stdout.strip()


def manifest(aws, reference):
    name, _, tag = reference.partition("/")[2].partition(":")
    return json.loads(aws.batch_get_image(repositoryName=name, imageIds=[{"imageTag": tag}])["images"][0]["imageManifest"])


def test_the_users_script_runs_unchanged(podman, shared):
    shell = shell_of(podman)
    settings = {"STEPS": "create push cleanup", "TOOL": "podman", "REGISTRY": podman.server.host}
    out = shell.run("bash", shared / "scripts" / "course.sh", timeout=280, REPO_NAME=f"course/{slug(type(podman))}", **settings)
    assert "course: all steps done (create push cleanup)" in out.stdout


def test_an_immutable_tag_accepts_the_same_image_again_and_a_refusal_names_it(podman, new_repository, aws):
    repository = new_repository(f"{slug(type(podman))}/immutable", imageTagMutability="IMMUTABLE")
    reference = f"{repository}:v1"
    build(podman, reference, version=b"one")
    podman.tool("push", reference)
    podman.tool("push", reference)
    digests = held(aws, repository)
    assert set(digests) == {"v1"}
    build(podman, reference, version=b"two")
    out = podman.tool("push", reference, check=False)
    assert out.returncode != 0 and "cannot be overwritten because the tag is immutable" in out.stderr, out.stderr
    assert f"It holds {digests['v1']} since 20" in out.stderr, out.stderr
    # podman ends with Docker's schema 1, which is refused for the tag as well: its user and the push log see the true reason alone.
    assert "is not the media type of a manifest" not in out.stderr, out.stderr
    log = shell_of(podman).run(binary(), "push-log", repository.partition("/")[2], "--refused", "--json").stdout
    assert {line["refusal"]["errorCode"] for line in json.loads(log)["lines"]} == {"TAG_INVALID"}, log


def test_login_says_who_is_logged_in_and_logout_forgets(podman, repository, password):
    """Uses a separate file for the password, so that the session's client stays logged in."""
    host = podman.server.host
    own = {"REGISTRY_AUTH_FILE": str(podman.fresh("auth"))}
    podman.tool("login", "--username", "AWS", "--password-stdin", host, input=password, **own)
    assert podman.tool("login", "--get-login", host, **own).stdout == "AWS\n"
    podman.tool("search", "--list-tags", repository, **own)
    podman.tool("logout", host, **own)
    assert "not logged into" in podman.tool("login", "--get-login", host, check=False, **own).stderr
    out = podman.tool("pull", f"{repository}:v1", check=False, **own)
    assert out.returncode != 0 and "authentication required" in out.stderr, out.stderr


def test_a_container_runs_what_was_pulled(podman, repository):
    build(podman, f"{repository}:v1", hello=program(podman, "hello from the registry"))
    podman.tool("push", f"{repository}:v1")
    podman.forget()
    assert podman.tool(f"--runtime={podman.runtime}", *RUN, "--pull=always", f"{repository}:v1", "/hello").stdout == "hello from the registry\n"


def program(podman, says):
    """Builds a static program, because the test can't pull an image with a shell."""
    source, made = podman.fresh("hello.c"), podman.fresh("hello")
    source.write_text(f'#include <stdio.h>\nint main(void) {{ puts("{says}"); return 0; }}\n')
    podman.run("cc", "-static", "-Os", "-s", "-x", "c", source, "-o", made)
    return made.read_bytes()


def test_a_reference_with_tag_and_digest_and_all_tags_at_once_are_pulled(podman, repository, aws):
    image = Image.random(40, 3000)
    for tag in ("v1", "v2"):
        podman.push(image, f"{repository}:{tag}")
    assert podman.pull(f"{repository}:v1@{held(aws, repository)['v1']}") == image.files
    podman.forget()
    podman.tool("pull", "--all-tags", repository)
    local = podman.tool("images", "--format={{.Repository}}:{{.Tag}}", repository).stdout.split()
    assert sorted(local) == [f"{repository}:v1", f"{repository}:v2"]


def test_a_moved_tag_is_pulled_when_newer_images_are_requested(podman, repository):
    podman.push(Image.random(41, 3000), f"{repository}:base")
    podman.pull(f"{repository}:base")
    moved = Image.random(42, 3000)
    podman.push(moved, f"{repository}:base")
    podman.tool("create", "--pull=newer", f"{repository}:base", "none")
    assert files_in(podman.outside(podman.tool("image", "mount", f"{repository}:base").stdout.strip())) == moved.files


@pytest.mark.parametrize("compression", ["zstd", "zstd:chunked"])
def test_layers_compressed_with_zstd(podman, repository, aws, compression):
    reference = f"{repository}:v1"
    # Use new bytes, because podman reuses a layer that it knows in another compression.
    content = f"{compression} of {podman.name} ".encode() * 5000
    build(podman, reference, data=content)
    podman.tool("push", "--compression-format", compression, reference)
    layer = manifest(aws, reference)["layers"][0]
    assert layer["mediaType"] == "application/vnd.oci.image.layer.v1.tar+zstd"
    chunked = any("zstd-chunked.manifest-position" in key for key in layer.get("annotations", {}))
    assert chunked == (compression == "zstd:chunked")
    assert podman.pull(reference) == {"data": content}


# The settings of distributions: podman pulls only the parts of a layer that no other image has. Plain directories can't do that.
PARTS = """\
[storage]
driver = "overlay"
graphroot = "/var/lib/containers/overlay"
runroot = "/run/containers/overlay"
[storage.options]
pull_options = {enable_partial_images = "true"}
"""


def test_podman_pulls_a_whole_layer_after_a_refused_request_for_parts(forky, new_repository):
    """podman requests two ranges at once, which the server refuses. Then podman must pull the whole layer."""
    reference = new_repository("podman-5-8/parts") + ":v1"
    content = b"parts" * 100_000
    build(forky, reference, data=content)
    forky.tool("push", "--compression-format=zstd:chunked", reference)
    storage = forky.fresh("storage.conf")
    storage.write_text(PARTS)
    apart = {"CONTAINERS_STORAGE_CONF": str(storage)}
    forky.tool("pull", reference, **apart)
    container = forky.tool("create", reference, "none", **apart).stdout.strip()
    exported = forky.fresh("exported")
    forky.tool("export", "-o", exported, container, **apart)
    assert files_of(exported.read_bytes())["data"] == content


def test_search_lists_the_requested_number_of_tags(podman, repository):
    image = podman.load(Image.random(43, 2000))
    for tag in ("a", "b", "c"):
        podman.tool("push", image, f"{repository}:{tag}")
    listed = podman.tool("search", "--list-tags", "--limit=2", repository).stdout.splitlines()[1:]
    assert [line.split() for line in listed] == [[repository, "a"], [repository, "b"]]


def test_an_artifact_is_pushed_and_pulled(forky, new_repository, aws):
    reference = new_repository("podman-5-8/artifact") + ":v1"
    model = forky.fresh("model")
    model.write_bytes(b"weights" * 1000)
    forky.tool("artifact", "add", "--type", "application/vnd.example.model", "--annotation", "layers=12", reference, model)
    forky.tool("artifact", "push", reference)
    forky.tool("artifact", "push", reference)
    detail = aws.describe_images(repositoryName=reference.partition("/")[2].removesuffix(":v1"))["imageDetails"][0]
    assert detail["artifactMediaType"] == "application/vnd.example.model"
    forky.tool("artifact", "rm", reference)
    forky.tool("artifact", "pull", reference)
    extracted = forky.fresh("extracted")
    forky.tool("artifact", "extract", reference, extracted)
    assert extracted.read_bytes() == b"weights" * 1000


def test_an_index_lists_each_platform_in_two_compressions(forky, new_repository, aws):
    reference = new_repository("podman-5-8/two-compressions") + ":v1"
    index = Index(*(Image({"data": f"twice {name}".encode() * 500}, architecture=name) for name in ("amd64", "arm64")))
    forky.tool("manifest", "create", "twice")
    forky.tool("manifest", "add", "--all", "twice", f"oci:{forky.layout(index)}:latest")
    forky.tool("manifest", "push", "--all", "--add-compression=zstd", "twice", f"docker://{reference}")
    zstd = "io.github.containers.compression.zstd"
    held = [(m["platform"]["architecture"], zstd in m.get("annotations", {})) for m in manifest(aws, reference)["manifests"]]
    assert sorted(held) == [("amd64", False), ("amd64", True), ("arm64", False), ("arm64", True)]
    assert forky.pull(reference, "arm64") == index.images[1].files
