"""Tests of the AWS CLI, in both versions."""

import base64
import json

import pytest

from conftest import shell_of, slug, versions
from drivers import AwsCli1, AwsCli2
from images import Image, digest

basic = pytest.mark.basic


@pytest.fixture(params=versions(AwsCli1, AwsCli2))
def cli(request, client_of):
    return client_of(request.param)


@pytest.fixture
def shell(cli):
    """A shell where `aws` is the version under test."""
    shell = shell_of(cli)
    shell.environment["PATH"] = cli.environment["PATH"]
    return shell


@pytest.fixture
def base(cli):
    """The prefix of this version's repository names."""
    return slug(type(cli))


@basic
def test_a_repository_is_created_described_listed_and_deleted(shell, base):
    created = shell.aws("ecr", "create-repository", "--repository-name", f"{base}/one", "--tags", "Key=team,Value=a")["repository"]
    assert created["repositoryUri"] == f"{shell.server.host}/{base}/one"
    described = shell.aws("ecr", "describe-repositories", "--repository-names", f"{base}/one")["repositories"]
    assert described == [created]
    names = shell.aws("ecr", "describe-repositories", "--query", "repositories[].repositoryName", "--page-size", "1")
    assert f"{base}/one" in names
    tags = shell.aws("ecr", "list-tags-for-resource", "--resource-arn", created["repositoryArn"])["tags"]
    assert tags == [{"Key": "team", "Value": "a"}]
    shell.aws("ecr", "delete-repository", "--repository-name", f"{base}/one")
    assert "RepositoryNotFoundException" in shell.aws_fails("ecr", "describe-repositories", "--repository-names", f"{base}/one")


def test_the_caller_is_the_administrator(shell):
    identity = shell.aws("sts", "get-caller-identity")
    assert identity == {"UserId": "000000000000", "Account": "000000000000", "Arn": "arn:aws:iam::000000000000:root"}


@basic
def test_the_login_password_is_one_line_that_opens_the_docker_door(shell):
    password = shell.run("aws", "ecr", "get-login-password").stdout
    assert password.endswith("\n") and len(password.split()) == 1
    out = shell.bash('curl -sf -u "AWS:$(aws ecr get-login-password)" "$AWS_ENDPOINT_URL/v2/"; echo " $?"')
    assert out.stdout.strip().endswith("0")


@basic
def test_an_image_is_put_layer_by_layer_through_the_api(shell, base):
    image = Image.random(1, 3000)
    shell.aws("ecr", "create-repository", "--repository-name", f"{base}/api")
    on = ("--repository-name", f"{base}/api")
    for blob in image.blobs():
        (shell.directory / "part").write_bytes(blob)
        upload = shell.aws("ecr", "initiate-layer-upload", *on)["uploadId"]
        part = ("--part-first-byte", "0", "--part-last-byte", str(len(blob) - 1), "--layer-part-blob", "fileb://part")
        received = shell.aws("ecr", "upload-layer-part", *on, "--upload-id", upload, *part)
        assert received["lastByteReceived"] == len(blob) - 1
        shell.aws("ecr", "complete-layer-upload", *on, "--upload-id", upload, "--layer-digests", digest(blob))
    (shell.directory / "manifest").write_bytes(image.manifest)
    shell.aws("ecr", "put-image", *on, "--image-tag", "v1", "--image-manifest", "file://manifest")
    got = shell.aws("ecr", "batch-get-image", *on, "--image-ids", "imageTag=v1")["images"][0]
    assert got["imageManifest"].encode() == image.manifest
    assert got["imageId"] == {"imageDigest": image.digest, "imageTag": "v1"}
    url = shell.aws("ecr", "get-download-url-for-layer", *on, "--layer-digest", digest(image.layers[0]))["downloadUrl"]
    out = shell.bash(f"curl -sf '{url}' | sha256sum")
    assert out.stdout.split()[0] == digest(image.layers[0]).removeprefix("sha256:")
    deleted = shell.aws("ecr", "batch-delete-image", *on, "--image-ids", "imageTag=v1")
    assert deleted == {"imageIds": [{"imageDigest": image.digest, "imageTag": "v1"}], "failures": []}
    assert shell.aws("ecr", "list-images", *on)["imageIds"] == []


def test_settings_of_account_and_repository(shell, base):
    shell.aws("ecr", "create-repository", "--repository-name", f"{base}/settings")
    on = ("--repository-name", f"{base}/settings")
    filters = "filterType=WILDCARD,filter=dev-*"
    put = ("--image-tag-mutability", "IMMUTABLE_WITH_EXCLUSION", "--image-tag-mutability-exclusion-filters", filters)
    assert shell.aws("ecr", "put-image-tag-mutability", *on, *put)["imageTagMutability"] == "IMMUTABLE_WITH_EXCLUSION"
    scanning = shell.aws("ecr", "put-image-scanning-configuration", *on, "--image-scanning-configuration", "scanOnPush=true")
    assert scanning["imageScanningConfiguration"] == {"scanOnPush": True}
    assert shell.aws("ecr", "get-account-setting", "--name", "BLOB_MOUNTING")["value"] == "ENABLED"
    registry = shell.aws("ecr", "describe-registry")
    assert registry == {"registryId": "000000000000", "replicationConfiguration": {"rules": []}}


def test_an_unfinished_operation_says_so(shell, base):
    for arguments, error, operation in [
        (("ecr", "describe-pull-through-cache-rules"), "UnknownOperationException", "DescribePullThroughCacheRules"),
        (
            ("ecr", "wait", "image-scan-complete", "--repository-name", "app", "--image-id", "imageTag=v1"),
            "UnknownOperationException",
            "DescribeImageScanFindings",
        ),
        (("ecr-public", "describe-repositories"), "UnknownOperationException", "DescribeRepositories of ECR Public"),
        (("sts", "decode-authorization-message", "--encoded-message", "x"), "InvalidAction", "DecodeAuthorizationMessage"),
    ]:
        said = shell.aws_fails(*arguments)
        # A waiter prints only the name of the exception.
        assert error in said or "wait" in arguments, said
        assert f"does not have {operation} yet: docs/compatibility.md" in said, said
    kms = ("--encryption-configuration", "encryptionType=KMS")
    assert "KmsException" in shell.aws_fails("ecr", "create-repository", "--repository-name", f"{base}/kms", *kms)


def test_a_call_of_another_service_names_the_variable_for_ecr_only(shell):
    """Runs one command for each protocol of AWS: REST with XML, query, EC2's, REST with JSON, JSON 1.0 and 1.1, and CBOR if the CLI
    supports it."""
    for arguments, service in [
        (("s3", "ls"), "s3"),
        (("s3", "ls", "s3://bucket/prefix/"), "s3"),
        (("s3api", "get-object", "--bucket", "bucket", "--key", "v2/key", "out"), "s3"),
        (("autoscaling", "describe-auto-scaling-groups"), "autoscaling"),
        (("ec2", "describe-vpcs"), "ec2"),
        (("route53", "list-hosted-zones"), "route53"),
        (("lambda", "list-functions"), "lambda"),
        (("apigatewayv2", "get-apis"), "apigateway"),
        (("dynamodb", "list-tables"), "dynamodb"),
        (("ssm", "list-commands"), "ssm"),
        (("cloudwatch", "list-metrics"), "monitoring"),
    ]:
        said = shell.aws_fails(*arguments)
        assert f"it has ECR, STS and IAM, and not {service}. AWS_ENDPOINT_URL sends every service here" in said, (arguments, said)
        assert "set AWS_ENDPOINT_URL_ECR instead" in said, (arguments, said)
    out = shell.bash('AWS_ENDPOINT_URL_ECR=$AWS_ENDPOINT_URL; export AWS_ENDPOINT_URL_ECR; unset AWS_ENDPOINT_URL; aws ecr describe-repositories')
    assert out.returncode == 0


def test_a_wrong_secret_is_refused_with_its_name(shell):
    out = shell.run("aws", "ecr", "describe-repositories", check=False, AWS_SECRET_ACCESS_KEY="wrong")
    assert out.returncode != 0 and "InvalidSignatureException" in out.stderr
    out = shell.run("aws", "sts", "get-caller-identity", check=False, AWS_SECRET_ACCESS_KEY="wrong")
    assert out.returncode != 0 and "SignatureDoesNotMatch" in out.stderr


def test_the_authorization_token_is_the_user_and_the_password(shell):
    data = shell.aws("ecr", "get-authorization-token")["authorizationData"][0]
    assert base64.b64decode(data["authorizationToken"]).startswith(b"AWS:")
    assert data["proxyEndpoint"] == shell.server.url
    assert json.dumps(data["expiresAt"])


def test_an_image_is_given_another_tag_and_each_is_deleted(shell, cli, base, new_repository):
    """Puts the manifest from batch-get-image again, as ECR's guide describes."""
    name = f"{base}/retag"
    image = Image.random(80, 3000)
    cli.push(image, f"{new_repository(name)}:v1")
    script = f"""
        on="--repository-name {name} --output text"
        MANIFEST=$(aws ecr batch-get-image $on --image-ids imageTag=v1 --query 'images[].imageManifest')
        aws ecr put-image $on --image-tag latest --image-manifest "$MANIFEST" --query image.imageId
    """
    printed = shell.bash(script).stdout.split()
    assert printed == [image.digest, "latest"]
    on = ("--repository-name", name)
    detail, = shell.aws("ecr", "describe-images", *on)["imageDetails"]
    assert (detail["imageDigest"], sorted(detail["imageTags"])) == (image.digest, ["latest", "v1"])
    shell.aws("ecr", "batch-delete-image", *on, "--image-ids", "imageTag=v1")
    assert shell.aws("ecr", "list-images", *on)["imageIds"] == [{"imageDigest": image.digest, "imageTag": "latest"}]
    failed = shell.aws("ecr", "batch-delete-image", *on, "--image-ids", "imageTag=v1", f"imageDigest={image.digest}")
    assert [failure["failureCode"] for failure in failed["failures"]] == ["ImageNotFound"]


def test_pages_are_followed_and_queried(shell, cli, base, new_repository, aws):
    """The CLI requests page after page, and continues with its own token where `--max-items` stopped."""
    name = f"{base}/pages"
    cli.push(Image.random(81, 500), f"{new_repository(name)}:a")
    for tag in ("b", "c"):
        aws.put_image(repositoryName=name, imageManifest=Image.random(81, 500).manifest.decode(), imageTag=tag)
    on = ("--repository-name", name, "--page-size", "1")
    assert shell.aws("ecr", "list-images", *on, "--query", "imageIds[].imageTag") == ["a", "b", "c"]
    first = shell.aws("ecr", "list-images", *on, "--max-items", "2")
    rest = shell.aws("ecr", "list-images", *on, "--starting-token", first["NextToken"])
    assert [image["imageTag"] for image in first["imageIds"] + rest["imageIds"]] == ["a", "b", "c"]
