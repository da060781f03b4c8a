"""Tests of cdk-assets: it publishes only assets that do not exist yet."""

import pytest

from drivers import CdkAssets, Crane
from images import Image

pytestmark = pytest.mark.client.with_args(CdkAssets)


@pytest.fixture
def cdk(client_of):
    return client_of(CdkAssets)


def test_an_asset_goes_to_two_repositories_and_is_pulled(cdk, client_of, new_repository):
    repositories = [new_repository(f"cdk/{name}") for name in ("one", "two")]
    image = Image({"base": b"base" * 1000}, {"data": b"published" * 100})
    out = cdk.publish(cdk.asset(image, ("cdk/one", "hash"), ("cdk/two", "hash")))
    assert out.count("Mounted from cdk/one") == 2, "the second repository did not get the layers of the first"
    for repository in repositories:
        assert client_of(Crane).pull(f"{repository}:hash") == image.files


def test_an_existing_asset_is_not_built_or_pushed_again(cdk, new_repository, aws):
    new_repository("cdk/again", imageTagMutability="IMMUTABLE")
    directory = cdk.asset(Image({"data": b"published once"}), ("cdk/again", "hash"))
    cdk.publish(directory)
    (before,) = aws.describe_images(repositoryName="cdk/again")["imageDetails"]
    # A second build would fail.
    (directory / "asset.app" / "Dockerfile").unlink()
    out = cdk.publish(directory)
    assert "Found" in out and "docker push" not in out, out
    assert aws.describe_images(repositoryName="cdk/again")["imageDetails"] == [before]


def test_a_missing_repository_is_named(cdk):
    directory = cdk.asset(Image({"data": b"nowhere"}), ("cdk/nowhere", "hash"))
    out = cdk.run(cdk.program(), "publish", "--path", directory, check=False)
    assert out.returncode != 0 and "cdk/nowhere" in out.stderr, out.stderr
