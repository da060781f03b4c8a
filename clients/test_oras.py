"""Tests of oras: files as artifacts, and their referrers."""

import json

import pytest

from drivers import Oras
from images import Image, Index, digest

pytestmark = pytest.mark.client.with_args(Oras)

SBOM, NOTE = "application/vnd.example.sbom", "application/vnd.example.note"


@pytest.fixture
def oras(client_of):
    return client_of(Oras)


def file(oras, name, data):
    (oras.directory / name).write_bytes(data)
    return name


def pulled(oras, reference):
    to = oras.fresh("files")
    oras.oras("pull", *oras.plain(), reference, "--output", to)
    return {path.name: path.read_bytes() for path in to.iterdir()}


def resolve(oras, reference):
    return oras.oras("resolve", *oras.plain(), reference).stdout.strip()


def attach(oras, reference, kind, name):
    """Attaches a file and returns the digest of the referrer."""
    out = oras.oras("attach", *oras.plain(), "--artifact-type", kind, "--format", "json", reference, name).stdout
    return json.loads(out)["digest"]


def discover(oras, reference, *flags):
    """Returns the tree of referrers as {digest: (artifact type, tree of its own referrers)}."""
    tree = lambda node: {child["digest"]: (child["artifactType"], tree(child)) for child in node.get("referrers") or []}
    return tree(json.loads(oras.oras("discover", *oras.plain(), "--format", "json", *flags, reference).stdout))


def test_files_are_pushed_as_an_artifact_and_pulled(oras, new_repository, aws):
    repository = new_repository("oras/files")
    files = [file(oras, "a.txt", b"a" * 100), file(oras, "b.json", b"{}")]
    config = file(oras, "config.json", b'{"made": "by oras"}')
    oras.oras(
        "push", *oras.plain(), "--config", f"{config}:application/vnd.example.config+json", f"{repository}:v1,latest",
        files[0], f"{files[1]}:application/json",
    )  # fmt: skip
    assert pulled(oras, f"{repository}:latest") == {"a.txt": b"a" * 100, "b.json": b"{}"}
    assert json.loads(oras.oras("manifest", "fetch-config", *oras.plain(), f"{repository}:v1").stdout) == {"made": "by oras"}
    (detail,) = aws.describe_images(repositoryName="oras/files")["imageDetails"]
    assert sorted(detail["imageTags"]) == ["latest", "v1"]
    assert detail["artifactMediaType"] == "application/vnd.example.config+json"


def test_attached_files_are_found_as_a_tree_and_by_type(oras, new_repository):
    reference = new_repository("oras/attach") + ":v1"
    oras.push(Image({"data": b"subject"}), reference)
    sbom = attach(oras, reference, SBOM, file(oras, "sbom.json", b'{"packages": []}'))
    note = attach(oras, reference, NOTE, file(oras, "note.txt", b"a note"))
    on_note = attach(oras, f"{reference.removesuffix(':v1')}@{note}", NOTE, file(oras, "more.txt", b"on a note"))
    assert discover(oras, reference) == {sbom: (SBOM, {}), note: (NOTE, {on_note: (NOTE, {})})}
    assert set(discover(oras, reference, "--artifact-type", SBOM)) == {sbom}
    assert set(discover(oras, reference, "--distribution-spec", "v1.1-referrers-api")) == {sbom, note}
    assert oras.tags(reference.removesuffix(":v1")) == ["v1"], "oras used a fallback tag"
    tree = oras.oras("discover", *oras.plain(), reference).stdout
    assert tree.count(NOTE) == 2 and on_note in tree
    assert pulled(oras, f"{reference.removesuffix(':v1')}@{sbom}") == {"sbom.json": b'{"packages": []}'}


def test_a_deleted_referrer_is_not_found_any_more(oras, new_repository):
    repository = new_repository("oras/detach")
    oras.push(Image({"data": b"detached"}), f"{repository}:v1")
    note = attach(oras, f"{repository}:v1", NOTE, file(oras, "note.txt", b"a note"))
    oras.delete(f"{repository}@{note}")
    assert discover(oras, f"{repository}:v1") == {}


def test_a_file_is_attached_to_one_platform(oras, new_repository):
    repository = new_repository("oras/platform")
    index = Index(*(Image({"data": name.encode()}, architecture=name) for name in ("amd64", "arm64")))
    oras.push_index(index, f"{repository}:v1")
    name = file(oras, "note.txt", b"for arm64")
    oras.oras("attach", *oras.plain(), "--artifact-type", NOTE, "--platform", "linux/arm64", f"{repository}:v1", name)
    assert discover(oras, f"{repository}:v1") == {}
    assert len(discover(oras, f"{repository}@{index.images[1].digest}")) == 1


def test_a_copy_includes_the_referrers_and_mounts_layers(oras, new_repository):
    first, second = (new_repository(f"oras/{name}") for name in ("copied-from", "copied-to"))
    oras.push(Image({"data": b"copied" * 500}), f"{first}:v1")
    attach(oras, f"{first}:v1", SBOM, file(oras, "sbom.json", b'{"copied": true}'))
    out = oras.oras("copy", "-r", "--no-tty", *oras.plain("from", "to"), f"{first}:v1", f"{second}:v1,v2").stdout
    assert out.count("Mounted") >= 3, out
    assert resolve(oras, f"{second}:v2") == resolve(oras, f"{first}:v1")
    assert discover(oras, f"{second}:v1") == discover(oras, f"{first}:v1") != {}


def test_a_repository_is_backed_up_with_its_referrers_and_restored(oras, new_repository):
    first, second = (new_repository(f"oras/{name}") for name in ("backed-up", "restored"))
    for tag in ("v1", "v2"):
        oras.push(Image({"data": f"backup {tag}".encode()}), f"{first}:{tag}")
        attach(oras, f"{first}:{tag}", NOTE, file(oras, "note.txt", f"note of {tag}".encode()))
    backup = oras.fresh("backup").with_suffix(".tar")
    oras.oras("backup", *oras.plain(), "--include-referrers", "--output", backup, first)
    oras.oras("restore", *oras.plain(), "--input", backup, second)
    assert oras.tags(second) == ["v1", "v2"]
    for tag in ("v1", "v2"):
        assert discover(oras, f"{second}:{tag}") == discover(oras, f"{first}:{tag}") != {}


def test_manifests_and_blobs_are_pushed_fetched_and_deleted(oras, new_repository):
    repository = new_repository("oras/parts")
    image = Image({"data": b"by hand"})
    for data in image.blobs():
        out = oras.oras("blob", "push", *oras.plain(), repository, file(oras, "blob", data)).stdout
        assert digest(data) in out
        oras.oras("blob", "fetch", *oras.plain(), "--output", "fetched", f"{repository}@{digest(data)}")
        assert (oras.directory / "fetched").read_bytes() == data
    name = file(oras, "manifest.json", image.manifest)
    oras.oras("manifest", "push", *oras.plain(), f"{repository}:v1,v2", name)
    assert oras.oras("manifest", "fetch", *oras.plain(), f"{repository}:v2").stdout.encode() == image.manifest
    assert resolve(oras, f"{repository}:v1") == image.digest
    oras.oras("tag", *oras.plain(), f"{repository}:v1", "v3")
    assert oras.tags(repository) == ["v1", "v2", "v3"]
    layer = f"{repository}@{digest(image.layers[0])}"
    refused = oras.oras("blob", "delete", "--force", *oras.plain(), layer, check=False)
    assert refused.returncode != 0 and "is in use by an image" in refused.stderr, refused.stderr
    oras.oras("manifest", "delete", "--force", *oras.plain(), f"{repository}@{image.digest}")
    assert oras.tags(repository) == []
    oras.oras("blob", "delete", "--force", *oras.plain(), layer)
    gone = oras.oras("blob", "fetch", *oras.plain(), "--output", "fetched", layer, check=False)
    assert gone.returncode != 0 and "not found" in gone.stderr


def test_an_index_is_made_and_updated_in_the_registry(oras, new_repository):
    repository = new_repository("oras/index")
    images = [Image({"data": f"index {name}".encode()}, architecture=name) for name in ("amd64", "arm64")]
    for image in images:
        oras.push(image, f"{repository}:{image.architecture}")
    oras.oras("manifest", "index", "create", *oras.plain(), f"{repository}:all", "amd64")
    oras.oras("manifest", "index", "update", *oras.plain(), f"{repository}:all", "--add", "arm64")
    for image in images:
        assert oras.pull(f"{repository}:all", image.architecture) == image.files


def test_the_repositories_are_listed_and_the_login_ended(oras, new_repository, password):
    new_repository("oras/listed")
    assert "oras/listed" in oras.oras("repo", "ls", *oras.plain(), oras.server.host).stdout.split()
    oras.oras("logout", oras.server.host)
    out = oras.oras("repo", "ls", *oras.plain(), oras.server.host, check=False)
    oras.login(password)
    assert out.returncode != 0 and "basic credential not found" in out.stderr


def test_files_can_be_attached_in_an_immutable_repository_without_moving_a_tag(oras, new_repository):
    reference = new_repository("oras/immutable", imageTagMutability="IMMUTABLE") + ":v1"
    first = Image({"data": b"first"})
    oras.push(first, reference)
    oras.push(first, reference)
    for text in (b"one", b"another"):
        attach(oras, reference, NOTE, file(oras, "note.txt", text))
    assert len(discover(oras, reference)) == 2
    layout = oras.layout(Image({"data": b"other"}))
    out = oras.oras("cp", "--from-oci-layout", f"{layout}:latest", *oras.plain("to"), reference, check=False)
    assert out.returncode != 0
    assert "cannot be overwritten because the tag is immutable" in out.stderr and first.digest in out.stderr
