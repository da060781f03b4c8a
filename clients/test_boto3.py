"""Tests of boto3, with every answer checked against botocore's model."""

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.validate import ParamValidator

from drivers import Boto3
from images import Image, digest

pytestmark = [pytest.mark.basic, pytest.mark.client.with_args(Boto3)]

# The errors that every operation may return (ECR.md 0).
COMMON = {
    "AccessDeniedException", "ExpiredTokenException", "IncompleteSignatureException", "InvalidSignatureException",
    "MissingAuthenticationTokenException", "SerializationException", "ThrottlingException", "UnknownOperationException",
    "UnrecognizedClientException",
}  # fmt: skip


def hold_to_model(client):
    """Fails the test if an error is not declared for its operation, or if an output does not match its shape."""

    def check(http_response, parsed, model, **_):
        if http_response.status_code != 200:
            code = parsed["Error"]["Code"]
            declared = {shape.name for shape in model.error_shapes}
            assert code in declared | COMMON, f"{model.name} must not return {code}: {parsed}"
            return
        output = {name: value for name, value in parsed.items() if name != "ResponseMetadata"}
        report = ParamValidator().validate(output, model.output_shape)
        assert not report.has_errors(), f"{model.name}: {report.generate_report()}"

    client.meta.events.register("after-call.ecr", check)
    return client


@pytest.fixture
def ecr(installation):
    environment = installation.aws_environment()
    return hold_to_model(
        boto3.client(
            "ecr",
            endpoint_url=installation.url,
            region_name="us-east-1",
            aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
            verify=installation.trusts,
            config=Config(parameter_validation=False, retries={"max_attempts": 1}),
        )
    )


def put_layer(ecr, name, data):
    upload = ecr.initiate_layer_upload(repositoryName=name)
    size = upload["partSize"]
    for first in range(0, len(data), size):
        part = data[first : first + size]
        ecr.upload_layer_part(
            repositoryName=name, uploadId=upload["uploadId"], partFirstByte=first, partLastByte=first + len(part) - 1, layerPartBlob=part
        )
    return ecr.complete_layer_upload(repositoryName=name, uploadId=upload["uploadId"], layerDigests=[digest(data)])["layerDigest"]


def test_an_image_is_pushed_described_and_deleted(ecr):
    repository = ecr.create_repository(repositoryName="boto/app")["repository"]
    assert ecr.describe_repositories(repositoryNames=["boto/app"])["repositories"] == [repository]
    image = Image.random(2, 21 * 1024 * 1024)
    for blob in image.blobs():
        assert put_layer(ecr, "boto/app", blob) == digest(blob)
    put = dict(repositoryName="boto/app", imageManifest=image.manifest.decode())
    assert ecr.put_image(**put, imageTag="v1")["image"]["imageId"]["imageDigest"] == image.digest
    with pytest.raises(ecr.exceptions.ImageAlreadyExistsException):
        ecr.put_image(**put, imageTag="v1")
    ecr.put_image(**put, imageTag="v2")
    detail = ecr.describe_images(repositoryName="boto/app")["imageDetails"][0]
    assert detail["imageTags"] == ["v1", "v2"]
    assert detail["imageSizeInBytes"] == sum(map(len, image.blobs()))
    assert ecr.batch_get_image(repositoryName="boto/app", imageIds=[{"imageTag": "v1"}])["images"][0]["imageManifest"].encode() == image.manifest
    with pytest.raises(ecr.exceptions.RepositoryNotEmptyException):
        ecr.delete_repository(repositoryName="boto/app")
    ecr.delete_repository(repositoryName="boto/app", force=True)


def test_paginators_return_every_item_once(ecr):
    names = [f"boto/page-{n}" for n in range(7)]
    for name in names:
        ecr.create_repository(repositoryName=name)
    pages = ecr.get_paginator("describe_repositories").paginate(PaginationConfig={"PageSize": 3})
    found = [r["repositoryName"] for page in pages for r in page["repositories"]]
    assert [name for name in found if name.startswith("boto/page-")] == names
    assert len(set(found)) == len(found)


CASES = [
    ("create_repository", {}, "InvalidParameterException"),
    ("create_repository", {"repositoryName": "UPPER"}, "InvalidParameterException"),
    ("create_repository", {"repositoryName": "a"}, "InvalidParameterException"),
    ("create_repository", {"repositoryName": 5}, "SerializationException"),
    ("create_repository", {"repositoryName": "boto/x", "imageTagMutability": "SOMETIMES"}, "InvalidParameterException"),
    ("create_repository", {"repositoryName": "boto/x", "tags": [{"Key": "k" * 129, "Value": "v"}]}, "InvalidTagParameterException"),
    ("describe_repositories", {"repositoryNames": []}, "InvalidParameterException"),
    ("describe_repositories", {"maxResults": 0}, "InvalidParameterException"),
    ("describe_repositories", {"maxResults": 1001}, "InvalidParameterException"),
    ("describe_repositories", {"nextToken": "nonsense"}, "InvalidParameterException"),
    ("describe_repositories", {"repositoryNames": ["boto/gone"]}, "RepositoryNotFoundException"),
    ("describe_repositories", {"registryId": "12"}, "InvalidParameterException"),
    ("describe_repositories", {"registryId": "111122223333"}, "AccessDeniedException"),
    ("list_images", {"repositoryName": "boto/gone"}, "RepositoryNotFoundException"),
    ("batch_get_image", {"repositoryName": "boto/gone", "imageIds": []}, "InvalidParameterException"),
    ("put_account_setting", {"name": "BLOB_MOUNTING", "value": "PERHAPS"}, "InvalidParameterException"),
    ("list_tags_for_resource", {"resourceArn": "nonsense"}, "InvalidParameterException"),
    ("upload_layer_part", {"repositoryName": "boto/gone"}, "InvalidParameterException"),
]


@pytest.mark.parametrize("operation,parameters,error", CASES, ids=[f"{c[0]}-{n}" for n, c in enumerate(CASES)])
def test_the_server_refuses_invalid_input_that_the_client_accepts(ecr, operation, parameters, error):
    with pytest.raises(ClientError) as refused:
        getattr(ecr, operation)(**parameters)
    assert refused.value.response["Error"]["Code"] == error
    assert refused.value.response["Error"]["Message"]


def test_the_client_raises_its_own_exception_classes(ecr):
    with pytest.raises(ecr.exceptions.RepositoryNotFoundException) as refused:
        ecr.describe_images(repositoryName="boto/gone")
    message = refused.value.response["Error"]["Message"]
    assert message == "The repository with name 'boto/gone' does not exist in the registry with id '000000000000'"


def test_presigned_calls_are_accepted_until_they_expire(installation):
    import requests
    from botocore.auth import SigV4QueryAuth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    environment = installation.aws_environment()
    credentials = Credentials(environment["AWS_ACCESS_KEY_ID"], environment["AWS_SECRET_ACCESS_KEY"])
    url = f"{installation.url}/?Action=GetCallerIdentity&Version=2011-06-15"
    request = AWSRequest(method="GET", url=url)
    SigV4QueryAuth(credentials, "sts", "us-east-1", expires=60).add_auth(request)
    answer = requests.get(request.url, timeout=10, verify=installation.trusts)
    assert answer.status_code == 200 and "<Account>000000000000</Account>" in answer.text
    tampered = request.url.replace("X-Amz-Expires=60", "X-Amz-Expires=61")
    assert requests.get(tampered, timeout=10, verify=installation.trusts).status_code == 403
