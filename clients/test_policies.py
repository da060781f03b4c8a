"""Tests of repository and registry policies: the users' script, the recipes of docs/policies.md, and Terraform's calls."""

import base64
import json
import re

import boto3
import pytest
import requests
from botocore.exceptions import ClientError

from conftest import Shell, of, shell_of, slug
from drivers import DockerClassic, Podman, Skopeo
from drivers.client import of_python
from drivers.containerd import NEIGHBOUR, named
from drivers.containers import REGISTRIES
from ecru import binary
from images import Image, digest
from pages import Page

OWNER, OTHER = "000000000000", "111122223333"
PAGE = Page("policies.md")


@of(DockerClassic, Podman)
def test_the_users_script_for_a_pull_of_another_account_runs_unchanged(client_at_dev, dev, driver, shared):
    # The owner is the account whose host the clients know.
    client, registry = client_at_dev, f"{NEIGHBOUR}:{dev.port}"
    settings = client.home / ".config" / "containers" / "registries.conf"
    if settings.exists():
        settings.write_text(REGISTRIES.format(host=registry))
    shell = shell_of(client)
    out = shell.run(
        *named(client.directory),
        "bash",
        shared / "scripts" / "cross-account-pull.sh",
        timeout=280,
        PATH=f"{of_python('aws').parent}:{shell.environment['PATH']}",
        AWS_ACCESS_KEY_ID=NEIGHBOUR.partition(".")[0],
        OTHER_ACCESS_KEY_ID=OWNER,
        OTHER_SECRET_ACCESS_KEY="test",
        REGISTRY=registry,
        REPO_NAME=f"shared/{slug(driver)}",
        TOOL=client.programs[0] if driver is Podman else "docker",
    )
    assert "cross-account-pull: all steps done" in out.stdout


def ecr(server, key="test"):
    """Returns boto3's client of an account's administrator, whose secret is that of `--dev`."""
    return boto3.client(
        "ecr", region_name="us-east-1", endpoint_url=server.url, aws_access_key_id=key, aws_secret_access_key="test"
    )


def push(owner, name, image, tag):
    for blob in image.blobs():
        upload = owner.initiate_layer_upload(repositoryName=name)["uploadId"]
        to = {"repositoryName": name, "uploadId": upload}
        owner.upload_layer_part(**to, partFirstByte=0, partLastByte=len(blob) - 1, layerPartBlob=blob)
        owner.complete_layer_upload(**to, layerDigests=[digest(blob)])
    owner.put_image(repositoryName=name, imageManifest=image.manifest.decode(), imageTag=tag)


def code(call, **arguments):
    """Returns the error code of a call that must fail."""
    with pytest.raises(ClientError) as error:
        call(**arguments)
    return error.value.response["Error"]["Code"]


NAME = "shared/base"
BY_TAG = {"registryId": OWNER, "repositoryName": NAME, "imageIds": [{"imageTag": "v1"}]}


@pytest.fixture
def recipe(dev, tmp_path):
    """A function that runs a block of the page after the page's first block, which creates the repository. The repository has an image."""
    (begin,) = re.findall(r"^```sh\n(export.*?)^```$", PAGE.path.read_text(), re.M | re.S)
    create = f"aws ecr create-repository --repository-name {NAME}"
    begin, (_, port) = begin.replace(create, ""), dev.host.split(":")
    shell = Shell(dev, tmp_path)
    run = lambda text, check=True: shell.bash(f"{begin}\n{text}".replace("localhost:5050", f"localhost:{port}"), check=check)
    owner = ecr(dev)
    run(create)
    push(owner, NAME, Image({"base": b"base"}, {"data": b"of a policy"}), "v1")
    yield run
    owner.delete_repository(repositoryName=NAME, force=True)
    try:
        owner.delete_registry_policy()
    except owner.exceptions.RegistryPolicyNotFoundException:
        pass


def test_the_recipe_for_a_pull_of_another_account(dev, recipe):
    pull, client, registry = PAGE.blocks("Let another account pull", "sh", "sh", "sh")
    other = ecr(dev, OTHER)
    assert code(other.batch_get_image, **BY_TAG) == "AccessDeniedException"
    recipe(pull)
    by_cli, log_in, docker_pull = client.strip().splitlines()
    assert json.loads(recipe(by_cli).stdout)["images"][0]["registryId"] == OWNER
    # The script of the users' runs docker's lines.
    assert "docker login" in log_in and docker_pull.startswith("docker pull")
    assert code(other.list_images, registryId=OWNER, repositoryName=NAME) == "AccessDeniedException"

    ecr(dev).delete_repository_policy(repositoryName=NAME)
    assert code(other.batch_get_image, **BY_TAG) == "AccessDeniedException"
    recipe(registry)
    assert other.batch_get_image(**BY_TAG)["images"]
    elsewhere = {**BY_TAG, "repositoryName": "private/base"}
    assert code(other.batch_get_image, **elsewhere) == "AccessDeniedException"


def test_the_recipe_for_a_deny_by_source_address(dev, recipe):
    inside, shown = PAGE.blocks("Deny by source address", "sh", "text")
    owner = ecr(dev)
    recipe(inside)
    assert code(owner.batch_get_image, **BY_TAG) == "AccessDeniedException"
    password = base64.b64decode(owner.get_authorization_token()["authorizationData"][0]["authorizationToken"]).decode()
    answer = requests.get(f"{dev.url}/v2/{NAME}/manifests/v1", auth=tuple(password.split(":", 1)), timeout=10)
    assert (answer.status_code, answer.json()["errors"][0]["message"]) == (403, shown.strip())
    # Everything else goes on.
    assert owner.list_images(repositoryName=NAME)["imageIds"]


def test_the_recipe_for_repositories_with_a_tag(dev, recipe):
    (tagged,) = PAGE.blocks("Share what has a tag", "sh")
    other = ecr(dev, OTHER)
    before, tag = tagged.split("aws ecr tag-resource")
    recipe(before)
    assert code(other.batch_get_image, **BY_TAG) == "AccessDeniedException"
    recipe(f"aws ecr tag-resource{tag}")
    assert other.batch_get_image(**BY_TAG)["images"]


def test_the_recipe_for_a_frozen_repository(dev, recipe):
    freeze, thaw = PAGE.blocks("Freeze a repository", "sh", "sh")
    owner = ecr(dev)
    recipe(freeze)
    new = {"repositoryName": NAME, "imageManifest": owner.batch_get_image(**BY_TAG)["images"][0]["imageManifest"], "imageTag": "v2"}
    assert code(owner.put_image, **new) == "AccessDeniedException"
    assert code(owner.delete_repository, repositoryName=NAME, force=True) == "AccessDeniedException"
    recipe(thaw)
    owner.put_image(**new)


@pytest.fixture
def at_recipe(client_at_dev, dev):
    """The client, logged in as the owner, and a function that returns the repository's reference with a suffix."""
    token = ecr(dev).get_authorization_token()["authorizationData"][0]["authorizationToken"]
    client_at_dev.login(base64.b64decode(token).decode().removeprefix("AWS:"))
    return client_at_dev, lambda suffix: f"{dev.host}/{NAME}{suffix}"


def refused(call, *arguments):
    """Runs a client's command, which must fail for a lack of permission."""
    with pytest.raises(AssertionError, match="(?i)denied|forbidden|not authorized"):
        call(*arguments)


def image_ids(owner):
    return {(i.get("imageTag"), i["imageDigest"]) for i in owner.list_images(repositoryName=NAME)["imageIds"]}


NEW = Image({"new": b"new"}, {"data": b"pushed under a policy"})


@of(DockerClassic, Skopeo)
def test_the_recipe_for_pushes_of_certain_tags(at_recipe, dev, recipe):
    (restrict,) = PAGE.blocks("Restrict who pushes which tag", "sh")
    (client, to), owner = at_recipe, ecr(dev)
    recipe(restrict)
    for tag in ("pr-1", "v1"):
        client.push(NEW, to(f":{tag}"))
    refused(client.push, NEW, to(":main"))
    manifest = owner.batch_get_image(**BY_TAG)["images"][0]["imageManifest"]
    put = {"repositoryName": NAME, "imageManifest": manifest}
    assert code(owner.put_image, **put, imageTag="latest") == "AccessDeniedException"
    owner.put_image(**put, imageTag="pr-2")
    assert {tag for tag, _ in image_ids(owner)} >= {"v1", "pr-1", "pr-2"}
    assert not {tag for tag, _ in image_ids(owner)} & {"main", "latest"}


@of(Skopeo)
def test_the_recipe_for_protected_releases(at_recipe, dev, recipe):
    (protect,) = PAGE.blocks("Protect releases", "sh")
    (client, to), owner = at_recipe, ecr(dev)
    for tag in ("pr-1", "release-1"):
        client.push(NEW, to(f":{tag}"))
    released = next(digest for tag, digest in image_ids(owner) if tag == "release-1")
    recipe(protect)
    before = image_ids(owner)
    # skopeo deletes by digest, whichever tag it is given.
    for suffix in (":release-1", ":pr-1", f"@{released}"):
        refused(client.delete, to(suffix))
    for which in ("imageTag=release-1", f"imageDigest={released}", f"imageTag=v1 imageDigest={released}"):
        out = recipe(f"aws ecr batch-delete-image --repository-name {NAME} --image-ids {which}", check=False)
        assert "(AccessDeniedException)" in out.stderr, out
    out = recipe(f"aws ecr delete-repository --force --repository-name {NAME}", check=False)
    assert "(AccessDeniedException)" in out.stderr, out
    assert image_ids(owner) == before
    # Its other tag, and another image.
    recipe(f"aws ecr batch-delete-image --repository-name {NAME} --image-ids imageTag=pr-1")
    client.delete(to(":v1"))
    assert image_ids(owner) == {("release-1", released)}
    owner.delete_repository_policy(repositoryName=NAME)


@of(DockerClassic, Skopeo)
def test_the_recipe_for_pulls_by_digest(at_recipe, dev, recipe):
    (restrict,) = PAGE.blocks("Pull by digest only", "sh")
    (client, to), owner = at_recipe, ecr(dev)
    recipe(restrict)
    client.push(NEW, to(":v2"))
    pushed = next(digest for tag, digest in image_ids(owner) if tag == "v2")
    refused(client.pull, to(":v2"))
    assert client.pull(to(f"@{pushed}"))
    assert code(owner.batch_get_image, **BY_TAG) == "AccessDeniedException"
    out = recipe(f"aws ecr batch-get-image --repository-name {NAME} --image-ids imageDigest={pushed}")
    assert json.loads(out.stdout)["images"][0]["imageId"]["imageDigest"] == pushed


def key_of(out):
    """Returns boto3's arguments with the key that `aws iam create-access-key` printed."""
    key = json.loads(out[out.index('{\n    "AccessKey"') :])["AccessKey"]
    return {"aws_access_key_id": key["AccessKeyId"], "aws_secret_access_key": key["SecretAccessKey"]}


def test_the_recipe_for_a_user_that_only_reads(dev, recipe):
    (read_only,) = PAGE.blocks("Read only", "sh")
    key = key_of(recipe(read_only).stdout)
    reader = boto3.client("ecr", region_name="us-east-1", endpoint_url=dev.url, **key)
    manifest = reader.batch_get_image(**BY_TAG)["images"][0]["imageManifest"]
    assert reader.describe_images(repositoryName=NAME)["imageDetails"] and reader.describe_repositories()["repositories"]
    token = base64.b64decode(reader.get_authorization_token()["authorizationData"][0]["authorizationToken"]).decode()
    pull = requests.get(f"{dev.url}/v2/{NAME}/manifests/v1", auth=tuple(token.split(":", 1)), timeout=10)
    assert pull.text == manifest
    assert code(reader.put_image, repositoryName=NAME, imageManifest=manifest, imageTag="v2") == "AccessDeniedException"
    assert code(reader.batch_delete_image, **BY_TAG) == "AccessDeniedException"
    recipe(
        f"aws iam delete-access-key --user-name reader --access-key-id {key['aws_access_key_id']}\n"
        "aws iam detach-user-policy --user-name reader"
        " --policy-arn arn:aws:iam::aws:policy/AmazonEC2ContainerRegistryReadOnly\n"
        "aws iam delete-user --user-name reader"
    )


def test_the_recipe_for_a_limited_account(dev, recipe):
    (limit,) = PAGE.blocks("Limit an account", "sh")
    program = f"ecru() {{ '{binary()}' \"$@\"; }}\n"
    out = recipe(program + limit).stdout
    key = dict(re.findall(r"^export (AWS_\w+)=(\S+)$", out, re.M))
    assert "KeepRepositories" in out and "FullAWSAccess:" in out
    keys = {name.lower(): value for name, value in key.items()}
    member = boto3.client("ecr", region_name="us-east-1", endpoint_url=dev.url, **keys)
    member.create_repository(repositoryName="kept")
    assert code(member.delete_repository, repositoryName="kept") == "AccessDeniedException"
    account = "222233334444"
    assert "must delete its repositories first" in recipe(f"{program}ecru account delete {account}", check=False).stderr
    recipe(f"{program}ecru account control-policy delete {account} keep")
    member.delete_repository(repositoryName="kept")
    assert account in recipe(f"{program}ecru account list").stdout
    recipe(f"{program}ecru account delete {account}")
    assert account not in recipe(f"{program}ecru account list --json").stdout


def test_the_refusal_of_a_policy_is_the_one_on_the_page(dev, recipe):
    (shown,) = PAGE.blocks("What is refused", "text")
    statement = {"Effect": "Allow", "Principal": "*", "Action": "ecr:PutImge"}
    with pytest.raises(ClientError) as error:
        ecr(dev).set_repository_policy(repositoryName=NAME, policyText=json.dumps({"Statement": [statement]}))
    assert error.value.response["Error"]["Message"] == shown.strip()


def policy(*actions, **more):
    """A policy document as Terraform's data source writes it."""
    statement = {"Sid": "terraform", "Effect": "Allow", "Principal": {"AWS": OTHER}, "Action": list(actions), **more}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def equivalent(stored, wanted):
    """Compares policies as Terraform does: as JSON, an account's id and the ARN of its root alike."""
    text = stored.replace(f"arn:aws:iam::{OTHER}:root", OTHER)
    return json.loads(text) == json.loads(wanted)


def test_terraforms_calls_for_a_repository_policy(dev):
    owner, name = ecr(dev), "terraform/policy"
    owner.create_repository(repositoryName=name)
    first, second = policy("ecr:BatchGetImage"), policy("ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer")
    # Create, read, update in place.
    for text in (first, second):
        owner.set_repository_policy(repositoryName=name, policyText=text)
        read = owner.get_repository_policy(repositoryName=name)
        assert (read["registryId"], read["repositoryName"]) == (OWNER, name)
        assert equivalent(read["policyText"], text)
    # Import reads by the repository's name. A plan that puts what was read changes nothing.
    owner.set_repository_policy(repositoryName=name, policyText=read["policyText"])
    assert owner.get_repository_policy(repositoryName=name)["policyText"] == read["policyText"]
    # Delete, and read what is gone.
    owner.delete_repository_policy(registryId=OWNER, repositoryName=name)
    assert code(owner.get_repository_policy, repositoryName=name) == "RepositoryPolicyNotFoundException"
    assert code(owner.delete_repository_policy, repositoryName=name) == "RepositoryPolicyNotFoundException"
    owner.delete_repository(repositoryName=name)
    assert code(owner.get_repository_policy, repositoryName=name) == "RepositoryNotFoundException"


def test_terraforms_calls_for_a_registry_policy(dev):
    owner = ecr(dev)
    resource = f"arn:aws:ecr:us-east-1:{OWNER}:repository/*"
    first, second = policy("ecr:ReplicateImage", Resource=resource), policy("ecr:CreateRepository", Resource=[resource])
    for text in (first, second):
        owner.put_registry_policy(policyText=text)
        read = owner.get_registry_policy()
        assert read["registryId"] == OWNER and equivalent(read["policyText"], text)
    owner.put_registry_policy(policyText=read["policyText"])
    assert owner.get_registry_policy()["policyText"] == read["policyText"]
    owner.delete_registry_policy()
    assert code(owner.get_registry_policy) == "RegistryPolicyNotFoundException"
    assert code(owner.delete_registry_policy) == "RegistryPolicyNotFoundException"
