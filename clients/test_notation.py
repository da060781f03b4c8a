"""Tests of notation: signatures with certificates, as referrers of an image."""

import json

import pytest

from drivers import Crane, Notation
from images import Image

pytestmark = pytest.mark.client.with_args(Notation)

SIGNATURE = "application/vnd.cncf.notary.signature"
# Without this flag, notation 1.3 also stores an index of the signatures under a tag, for registries without a referrers API.
BY_REFERRERS = "--force-referrers-tag=false"


@pytest.fixture
def notation(client_of):
    return client_of(Notation)


@pytest.fixture
def push(client_of):
    """A function that pushes an image with crane and returns its reference by digest."""

    def push(repository, seed):
        image = Image({"data": seed.encode()})
        client_of(Crane).push(image, f"{repository}:v1")
        return f"{repository}@{image.digest}"

    return push


def signatures(notation, reference):
    return json.loads(notation.on("inspect", reference, "--output", "json").stdout)["Signatures"]


def tags(aws, repository):
    images = aws.list_images(repositoryName=repository.partition("/")[2])["imageIds"]
    return sorted(image["imageTag"] for image in images if "imageTag" in image)


def test_an_image_is_signed_listed_inspected_and_verified(notation, push, new_repository, aws):
    repository = new_repository("notation/sign")
    reference = push(repository, "signed")
    unsigned = notation.on("verify", reference, check=False)
    assert unsigned.returncode != 0 and "no signature is associated" in unsigned.stderr
    notation.on("sign", reference, BY_REFERRERS, "--user-metadata", "team=a")
    assert "Successfully verified" in notation.on("verify", reference, "--user-metadata", "team=a").stdout
    assert SIGNATURE in notation.on("list", reference).stdout
    (signature,) = signatures(notation, reference)
    assert signature["userDefinedAttributes"] == {"team": "a"}
    digest = reference.partition("@")[2]
    (referrer,) = aws.list_image_referrers(repositoryName="notation/sign", subjectId={"imageDigest": digest})["referrers"]
    assert referrer["artifactType"] == SIGNATURE
    assert tags(aws, repository) == ["v1"]


def test_a_signature_with_an_untrusted_certificate_is_not_verified(notation, push, new_repository):
    reference = push(new_repository("notation/stranger"), "stranger")
    notation.notation("cert", "generate-test", "stranger.test")
    notation.on("sign", reference, BY_REFERRERS, "--key", "stranger.test")
    notation.notation("cert", "delete", "--type", "ca", "--store", "stranger.test", "--all", "--yes")
    out = notation.on("verify", reference, check=False)
    assert out.returncode != 0 and "signature verification failed" in out.stderr


def test_an_image_in_an_immutable_repository_can_be_signed_repeatedly(notation, push, new_repository, aws):
    repository = new_repository("notation/immutable", imageTagMutability="IMMUTABLE")
    reference = push(repository, "immutable")
    for form in ("jws", "cose"):
        notation.on("sign", reference, BY_REFERRERS, "--signature-format", form)
    assert len(signatures(notation, reference)) == 2
    assert "Successfully verified" in notation.on("verify", reference).stdout
    assert tags(aws, repository) == ["v1"]


def test_the_tag_for_signatures_moves_in_a_mutable_repository(notation, push, new_repository, aws):
    """By default notation 1.3 also stores the list of signatures under the tag sha256-HEX, for registries without a referrers API."""
    repository = new_repository("notation/tag")
    reference = push(repository, "tagged")
    for _ in range(2):
        notation.on("sign", reference)
    assert tags(aws, repository) == [reference.partition("@")[2].replace(":", "-"), "v1"]
    assert len(signatures(notation, reference)) == 2


def test_the_tag_for_signatures_is_refused_a_second_time_in_an_immutable_repository(notation, push, new_repository, aws):
    repository = new_repository("notation/tag-stays", imageTagMutability="IMMUTABLE")
    reference = push(repository, "tag stays")
    notation.on("sign", reference)
    out = notation.on("sign", reference, check=False)
    assert out.returncode != 0 and "cannot be overwritten because the tag is immutable" in out.stderr, out.stderr
    assert "Successfully verified" in notation.on("verify", reference).stdout
