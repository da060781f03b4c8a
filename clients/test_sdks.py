"""Tests of the AWS SDKs for Python, JavaScript and Rust, in addition to test_cases.py. boto3 also has test_boto3.py."""

import pytest

from drivers import AwsSdkJs, AwsSdkRust, Boto3
from images import Image

REFUSED = [
    ("CreateRepository", "RepositoryAlreadyExistsException"),
    ("CreateRepository", "InvalidParameterException"),
    ("DescribeRepositories", "RepositoryNotFoundException"),
    ("DescribeImages", "ImageNotFoundException"),
    ("GetDownloadUrlForLayer", "LayersNotFoundException"),
    ("CompleteLayerUpload", "UploadNotFoundException"),
    ("PutImage", "ImageAlreadyExistsException"),
    ("PutImage", "ImageTagAlreadyExistsException"),
    ("DeleteRepository", "RepositoryNotEmptyException"),
]


@pytest.fixture(params=[pytest.param(sdk, id=sdk.name, marks=pytest.mark.client.with_args(sdk)) for sdk in (Boto3, AwsSdkJs, AwsSdkRust)])
def sdk(request, client_of):
    return client_of(request.param)


@pytest.mark.basic
def test_a_refusal_has_its_own_class(sdk, new_repository):
    repository = new_repository("sdk/errors", imageTagMutability="IMMUTABLE")
    for tag in ("v1", "v2"):
        sdk.push(Image({"data": tag.encode()}), f"{repository}:{tag}")
    assert sdk.errors(repository) == REFUSED


def test_a_paginator_returns_all_pages(sdk, new_repository):
    repository = new_repository("sdk/pages")
    names = [f"v{n}" for n in range(5)]
    for name in names:
        sdk.push(Image({"data": b"pages"}), f"{repository}:{name}")
    listings = 'operation="ListImages"'
    before = sdk.server.logged(listings, 0)
    assert sorted(sdk.tags(repository, 2)) == names
    assert sdk.server.logged(listings, before + 3) == before + 3


def test_a_layer_of_two_parts_is_pushed_and_pulled(sdk, new_repository):
    reference = new_repository("sdk/large") + ":v1"
    image = Image.random("two parts", 21 * 1024 * 1024)
    sdk.push(image, reference)
    assert sdk.pull(reference) == image.files


def test_a_wrong_secret_is_refused_by_name(sdk):
    out = sdk.run(*sdk.program(), "login", check=False, AWS_SECRET_ACCESS_KEY="wrong")
    assert out.returncode != 0 and "InvalidSignatureException" in out.stderr, out.stderr
