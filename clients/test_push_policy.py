"""Tests of the documented push policy of a CI user: whole, and without each of its actions."""

import base64
import json
import re

import boto3
import pytest
import requests

from conftest import Shell, of, shell_of, slug
from drivers import DockerClassic, Podman, Skopeo
from drivers.client import of_python
from drivers.containerd import NEIGHBOUR, named
from drivers.containers import REGISTRIES
from images import Image, digest
from pages import Page

REPOSITORY, USER = "ci/app", "ci"
LOG_IN = "ecr:GetAuthorizationToken"
# What every push needs. Some clients look at the tag first, and need BatchGetImage too.
STEPS = [
    "ecr:BatchCheckLayerAvailability",
    "ecr:InitiateLayerUpload",
    "ecr:UploadLayerPart",
    "ecr:CompleteLayerUpload",
    "ecr:PutImage",
]
LOOK = "ecr:BatchGetImage"


def client_of(server, service, key):
    return boto3.client(
        service, region_name="us-east-1", endpoint_url=server.url, aws_access_key_id=key[0], aws_secret_access_key=key[1]
    )


@of(DockerClassic, Podman)
def test_the_users_script_for_a_push_policy_runs_unchanged(client_at_dev, dev, driver, shared):
    # The owner is the account whose host the clients know.
    client, registry = client_at_dev, f"{NEIGHBOUR}:{dev.port}"
    settings = client.home / ".config" / "containers" / "registries.conf"
    if settings.exists():
        settings.write_text(REGISTRIES.format(host=registry))
    shell = shell_of(client)
    out = shell.run(
        *named(client.directory),
        "bash",
        shared / "scripts" / "push-policy.sh",
        timeout=580,
        PATH=f"{of_python('aws').parent}:{shell.environment['PATH']}",
        AWS_ACCESS_KEY_ID=NEIGHBOUR.partition(".")[0],
        REGISTRY=registry,
        REPO_NAME=f"script/{slug(driver)}",
        TOOL=client.programs[0] if driver is Podman else "docker",
    )
    assert [line for line in out.stdout.splitlines() if line.startswith("refused")] == [f"refused without {step}" for step in STEPS]
    assert "push-policy: all steps done" in out.stdout


class Pusher:
    """The user of the recipe, whose policy loses actions."""

    def __init__(self, server, key, policy):
        self.server, self.key, self.policy = server, key, policy
        self.iam = client_of(server, "iam", ("test", "test"))

    def allow(self, without=None):
        """Puts the recipe's policy without one action."""
        policy = json.loads(json.dumps(self.policy))
        for statement in policy["Statement"]:
            actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
            statement["Action"] = [action for action in actions if action != without]
        policy["Statement"] = [statement for statement in policy["Statement"] if statement["Action"]]
        self.iam.put_user_policy(UserName=USER, PolicyName="push", PolicyDocument=json.dumps(policy))

    def password(self):
        ecr = client_of(self.server, "ecr", self.key)
        return base64.b64decode(ecr.get_authorization_token()["authorizationData"][0]["authorizationToken"]).decode().split(":")[1]


@pytest.fixture
def pusher(dev, tmp_path, monkeypatch):
    """The user that the recipe makes."""
    # A failure must show what the client printed, and not the server's log, which names the action as well.
    monkeypatch.setattr(dev, "log_text", lambda: "")
    page = Page("policies.md")
    (recipe, _) = page.blocks("Let CI push", "sh", "text")
    shell = Shell(dev, tmp_path)
    owner, iam = client_of(dev, "ecr", ("test", "test")), client_of(dev, "iam", ("test", "test"))
    owner.create_repository(repositoryName=REPOSITORY)
    out = shell.bash(recipe, AWS_ACCESS_KEY_ID="test", AWS_SECRET_ACCESS_KEY="test").stdout
    key = json.loads(out[out.index('{\n    "AccessKey"') :])["AccessKey"]
    policy = json.loads(re.search(r"<<'JSON'\n(.*?)^JSON$", recipe, re.M | re.S).group(1))
    assert sorted([LOG_IN, LOOK, *STEPS]) == sorted([policy["Statement"][0]["Action"], *policy["Statement"][1]["Action"]])
    yield Pusher(dev, (key["AccessKeyId"], key["SecretAccessKey"]), policy)
    iam.delete_access_key(UserName=USER, AccessKeyId=key["AccessKeyId"])
    iam.delete_user_policy(UserName=USER, PolicyName="push")
    iam.delete_user(UserName=USER)
    owner.delete_repository(repositoryName=REPOSITORY, force=True)


def image(number):
    """A new image, so that every step of its push is needed."""
    return Image({f"layer-{number}": str(number).encode()})


def push_with_aws(shell, tmp_path, image, tag):
    """Pushes with the AWS CLI. Fails with the first command that is refused."""
    repository = ["--repository-name", REPOSITORY]
    shell.aws("ecr", "get-authorization-token")
    shell.aws("ecr", "batch-get-image", *repository, "--image-ids", f"imageTag={tag}")
    digests = [digest(blob) for blob in image.blobs()]
    shell.aws("ecr", "batch-check-layer-availability", *repository, "--layer-digests", *digests)
    for number, blob in enumerate(image.blobs()):
        part = tmp_path / f"{tag}-{number}"
        part.write_bytes(blob)
        upload = shell.aws("ecr", "initiate-layer-upload", *repository)["uploadId"]
        to = [*repository, "--upload-id", upload]
        last = str(len(blob) - 1)
        shell.aws("ecr", "upload-layer-part", *to, "--part-first-byte", "0", "--part-last-byte", last, "--layer-part-blob", f"fileb://{part}")
        shell.aws("ecr", "complete-layer-upload", *to, "--layer-digests", digest(blob))
    manifest = tmp_path / f"{tag}.json"
    manifest.write_bytes(image.manifest)
    shell.aws("ecr", "put-image", *repository, "--image-manifest", f"file://{manifest}", "--image-tag", tag)


def test_the_aws_cli_pushes_with_the_documented_policy_and_not_without_any_of_its_actions(dev, pusher, tmp_path):
    shell = Shell(dev, tmp_path, {"AWS_ACCESS_KEY_ID": pusher.key[0], "AWS_SECRET_ACCESS_KEY": pusher.key[1]})
    push_with_aws(shell, tmp_path, image(0), "all")
    for number, action in enumerate([LOG_IN, LOOK, *STEPS], 1):
        pusher.allow(without=action)
        with pytest.raises(AssertionError) as refused:
            push_with_aws(shell, tmp_path, image(number), f"without-{number}")
        reason = f"is not authorized to perform: {action} on resource"
        assert "AccessDeniedException" in str(refused.value) and reason in str(refused.value)
        # AWS's text alone.
        assert "can allow it" not in str(refused.value)


@of(DockerClassic, Skopeo)
def test_a_client_pushes_with_the_documented_policy_and_not_without_any_of_its_steps(client_at_dev, dev, driver, pusher):
    reference = f"{dev.host}/{REPOSITORY}"
    client_at_dev.login(pusher.password())
    client_at_dev.push(image(100), f"{reference}:all")
    for number, action in enumerate(STEPS, 101):
        pusher.allow(without=action)
        with pytest.raises(AssertionError) as refused:
            client_at_dev.push(image(number), f"{reference}:without-{number}")
        # The answer to the HEAD request for a layer has no body.
        assert ("403" if action == STEPS[0] else action) in str(refused.value)
    pusher.allow(without=LOG_IN)
    # The login was before. A token is good until it expires.
    client_at_dev.push(image(110), f"{reference}:later")


def test_the_refusal_of_a_push_is_the_one_on_the_page(dev, pusher):
    (_, shown) = Page("policies.md").blocks("Let CI push", "sh", "text")
    password = pusher.password()
    pusher.allow(without="ecr:PutImage")
    new = image(200)
    answer = requests.put(f"{dev.url}/v2/{REPOSITORY}/manifests/v1", data=new.manifest, auth=("AWS", password), timeout=10)
    assert (answer.status_code, answer.json()["errors"][0]["message"]) == (403, shown.strip())
