"""Tests of cosign: signatures and attestations as referrers of an image."""

import base64
import json

import pytest

from drivers import Cosign, Oras
from drivers.cosign import SIGN_OFFLINE, VERIFY_OFFLINE
from images import Image, Index

pytestmark = pytest.mark.client.with_args(Cosign)

BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"


@pytest.fixture
def cosign(client_of):
    return client_of(Cosign)


def push(cosign, repository, image):
    """Pushes an image as `v1` and returns its reference by digest."""
    cosign.push(image, f"{repository}:v1")
    return f"{repository}@{image.digest}"


def attest(cosign, reference, predicate, *flags):
    path = cosign.fresh("predicate")
    path.write_text(json.dumps(predicate))
    cosign.cosign("attest", "--key", cosign.key, *SIGN_OFFLINE, "--type", "custom", "--predicate", path, *flags, reference)


def referrers(aws, repository, digest):
    name = repository.partition("/")[2]
    return aws.list_image_referrers(repositoryName=name, subjectId={"imageDigest": digest})["referrers"]


def test_an_image_is_signed_and_verified(cosign, new_repository, aws):
    repository = new_repository("cosign/sign")
    image = Image({"data": b"signed"})
    reference = push(cosign, repository, image)
    unsigned = cosign.verify(reference, check=False)
    assert unsigned.returncode != 0 and "no signatures found" in unsigned.stderr
    cosign.sign(reference, "-a", "team=a")
    (signature,) = json.loads(cosign.verify(f"{repository}:v1").stdout)
    assert signature["critical"]["image"]["docker-manifest-digest"] == image.digest
    assert [referrer["artifactType"] for referrer in referrers(aws, repository, image.digest)] == [BUNDLE]


def test_another_key_does_not_verify(cosign, new_repository):
    reference = push(cosign, new_repository("cosign/another-key"), Image({"data": b"another key"}))
    cosign.sign(reference)
    cosign.cosign("generate-key-pair", "--output-key-prefix", "another")
    out = cosign.verify(reference, key=cosign.directory / "another.pub", check=False)
    assert out.returncode != 0


def test_an_attestation_is_verified_and_shown_in_the_tree(cosign, new_repository):
    reference = push(cosign, new_repository("cosign/attest"), Image({"data": b"attested"}))
    cosign.sign(reference)
    attest(cosign, reference, {"tests": "passed"})
    out = cosign.cosign("verify-attestation", "--key", cosign.public_key, *VERIFY_OFFLINE, "--type", "custom", reference).stdout
    statement = json.loads(base64.b64decode(json.loads(out)["payload"]))
    assert "tests" in json.dumps(statement["predicate"])
    tree = cosign.cosign("tree", reference).stdout
    assert tree.count("via OCI referrer") == 2, tree
    assert "sign/v1" in tree and "attestation/v1" in tree


def test_an_existing_attestation_is_attached(cosign, new_repository):
    """Tests `cosign attach`, which stores attestations under tags. cosign's next version drops it in favour of oras."""
    image = Image({"data": b"attached"})
    elsewhere, here = (push(cosign, new_repository(f"cosign/{name}"), image) for name in ("attested", "attach"))
    envelope, sbom = cosign.fresh("envelope"), cosign.fresh("sbom")
    attest(cosign, elsewhere, {"tests": "passed"}, "--new-bundle-format=false")
    envelope.write_text(cosign.cosign("download", "attestation", elsewhere).stdout)
    sbom.write_text('{"spdxVersion": "SPDX-2.3"}')
    cosign.cosign("attach", "attestation", "--attestation", envelope, here)
    cosign.cosign("attach", "sbom", "--sbom", sbom, "--type", "spdx", here)
    assert cosign.cosign("download", "attestation", here).stdout == envelope.read_text()
    tree = cosign.cosign("tree", here).stdout
    assert "Attestations for an image tag" in tree and "SBOMs for an image tag" in tree, tree


def test_every_platform_of_an_index_is_signed(cosign, new_repository):
    repository = new_repository("cosign/index")
    index = Index(*(Image({"data": f"signed {name}".encode()}, architecture=name) for name in ("amd64", "arm64")))
    cosign.push_index(index, f"{repository}:v1")
    cosign.sign(f"{repository}@{index.digest}", "--recursive")
    for digest in (index.digest, *(image.digest for image in index.images)):
        cosign.verify(f"{repository}@{digest}")


def test_an_image_in_an_immutable_repository_can_be_signed_and_attested_repeatedly(cosign, new_repository, aws):
    repository = new_repository("cosign/immutable", imageTagMutability="IMMUTABLE")
    image = Image({"data": b"immutable"})
    reference = push(cosign, repository, image)
    for _ in range(2):
        cosign.sign(reference)
        attest(cosign, reference, {"tests": "passed"})
    cosign.verify(reference)
    assert len(referrers(aws, repository, image.digest)) == 4
    tags = [held.get("imageTag") for held in aws.list_images(repositoryName="cosign/immutable")["imageIds"]]
    assert [tag for tag in tags if tag] == ["v1"], "cosign used a tag"


def test_the_older_format_stores_signatures_under_a_tag_and_removes_them(cosign, new_repository, aws):
    """`--new-bundle-format=false` signs as cosign 2 did: an image with the tag sha256-HEX.sig."""
    repository = new_repository("cosign/tags")
    image = Image({"data": b"old format"})
    reference = push(cosign, repository, image)
    tags = lambda: sorted(held["imageTag"] for held in aws.list_images(repositoryName="cosign/tags")["imageIds"])
    cosign.sign(reference, "--new-bundle-format=false")
    cosign.verify(reference)
    assert tags() == [image.digest.replace(":", "-") + ".sig", "v1"]
    cosign.cosign("clean", "--force", reference)
    assert tags() == ["v1"]


def test_a_signature_is_copied_with_its_image(cosign, client_of, new_repository):
    """Uses `oras copy -r`, which cosign recommends. cosign's own `load` PUTs a bundle before its layers (sigstore/cosign#5030)."""
    oras = client_of(Oras)
    first, second = (new_repository(f"cosign/{name}") for name in ("copied-from", "copied-to"))
    cosign.sign(push(cosign, first, Image({"data": b"copied"})))
    oras.oras("copy", "-r", *oras.plain("from", "to"), f"{first}:v1", f"{second}:v1")
    cosign.verify(f"{second}:v1")
