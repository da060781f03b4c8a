"""Tests of IAM with AWS's own clients: Terraform's calls for users, roles and keys, and the commands of docs/identities.md."""

import configparser
import json
import re
import subprocess

import boto3
import pytest
from botocore.exceptions import ClientError

from conftest import Shell
from ecru import Ecru, binary
from pages import Page

OWNER = "000000000000"
PAGE = Page("identities.md")


@pytest.fixture(scope="module")
def dev(tmp_path_factory, engine):
    """A server with the keys of every account."""
    server = Ecru(tmp_path_factory.mktemp("identities"), engine, "--dev").start()
    yield server
    server.stop()


def client(server, service, key="test", secret="test"):
    return boto3.client(
        service,
        region_name="us-east-1",
        endpoint_url=server.url,
        aws_access_key_id=key,
        aws_secret_access_key=secret,
    )


@pytest.fixture
def iam(dev):
    return client(dev, "iam")


def code(call, **arguments):
    """The code of the error that a call ends with."""
    with pytest.raises(ClientError) as error:
        call(**arguments)
    return error.value.response["Error"]["Code"]


def tags(**pairs):
    return [{"Key": key, "Value": value} for key, value in pairs.items()]


def trust(principal):
    statement = {"Effect": "Allow", "Principal": {"AWS": principal}, "Action": "sts:AssumeRole"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def test_terraforms_calls_for_a_user(iam):
    name = "tf-user"
    # Create, with tags in the call, and read.
    made = iam.create_user(UserName=name, Path="/", Tags=tags(team="a"))["User"]
    read = iam.get_user(UserName=name)["User"]
    assert (read["Arn"], read["UserId"], read["Path"], read["Tags"]) == (
        f"arn:aws:iam::{OWNER}:user/{name}",
        made["UserId"],
        "/",
        tags(team="a"),
    )
    assert "PermissionsBoundary" not in read
    # Update in place: name and path in one call, then the tags that went and those that came.
    iam.update_user(UserName=name, NewUserName="tf-user-2", NewPath="/team/")
    iam.untag_user(UserName="tf-user-2", TagKeys=["team"])
    iam.tag_user(UserName="tf-user-2", Tags=tags(owner="b"))
    read = iam.get_user(UserName="tf-user-2")["User"]
    assert (read["Arn"], read["UserId"], read["Tags"]) == (
        f"arn:aws:iam::{OWNER}:user/team/tf-user-2",
        made["UserId"],
        tags(owner="b"),
    )
    # Delete: the provider takes the user out of its groups. With force_destroy it removes everything else that a user may have.
    iam.create_group(GroupName="tf-group")
    iam.add_user_to_group(GroupName="tf-group", UserName="tf-user-2")
    iam.create_access_key(UserName="tf-user-2")
    assert code(iam.delete_user, UserName="tf-user-2") == "DeleteConflict"
    for group in iam.list_groups_for_user(UserName="tf-user-2")["Groups"]:
        iam.remove_user_from_group(GroupName=group["GroupName"], UserName="tf-user-2")
    for page in iam.get_paginator("list_access_keys").paginate(UserName="tf-user-2"):
        for key in page["AccessKeyMetadata"]:
            iam.delete_access_key(UserName="tf-user-2", AccessKeyId=key["AccessKeyId"])
    assert iam.list_ssh_public_keys(UserName="tf-user-2")["SSHPublicKeys"] == []
    assert iam.list_virtual_mfa_devices(AssignmentStatus="Assigned")["VirtualMFADevices"] == []
    assert iam.list_mfa_devices(UserName="tf-user-2")["MFADevices"] == []
    assert code(iam.delete_login_profile, UserName="tf-user-2") == "NoSuchEntity"
    assert iam.list_signing_certificates(UserName="tf-user-2")["Certificates"] == []
    assert iam.list_service_specific_credentials(UserName="tf-user-2")["ServiceSpecificCredentials"] == []
    iam.delete_user(UserName="tf-user-2")
    iam.delete_group(GroupName="tf-group")
    # Read what is gone.
    assert code(iam.get_user, UserName="tf-user-2") == "NoSuchEntity"
    assert code(iam.delete_user, UserName="tf-user-2") == "NoSuchEntity"


def test_terraforms_calls_for_an_access_key(dev, iam):
    iam.create_user(UserName="tf-keys")
    made = iam.create_access_key(UserName="tf-keys")["AccessKey"]
    assert made["Status"] == "Active" and made["CreateDate"] is not None

    def read():
        """The provider lists all keys and looks its own up."""
        pages = iam.get_paginator("list_access_keys").paginate(UserName="tf-keys")
        return [key for page in pages for key in page["AccessKeyMetadata"] if key["AccessKeyId"] == made["AccessKeyId"]]

    (key,) = read()
    assert (key["UserName"], key["Status"], key["CreateDate"]) == ("tf-keys", "Active", made["CreateDate"])
    caller = client(dev, "sts", made["AccessKeyId"], made["SecretAccessKey"])
    assert caller.get_caller_identity()["Arn"] == f"arn:aws:iam::{OWNER}:user/tf-keys"
    # Update in place: deactivated and activated.
    for status in ("Inactive", "Active"):
        iam.update_access_key(UserName="tf-keys", AccessKeyId=made["AccessKeyId"], Status=status)
        assert read()[0]["Status"] == status
    # Import looks the user up by the key.
    assert iam.get_access_key_last_used(AccessKeyId=made["AccessKeyId"])["UserName"] == "tf-keys"
    iam.delete_access_key(UserName="tf-keys", AccessKeyId=made["AccessKeyId"])
    assert read() == []
    assert code(caller.get_caller_identity) == "InvalidClientTokenId"
    iam.delete_user(UserName="tf-keys")
    assert code(iam.list_access_keys, UserName="tf-keys") == "NoSuchEntity"


def document(action):
    statement = {"Effect": "Allow", "Action": action, "Resource": "*"}
    return {"Version": "2012-10-17", "Statement": [statement]}


def test_terraforms_calls_for_a_policy_and_its_attachment(iam):
    # Create and read.
    made = iam.create_policy(PolicyName="tf-policy", PolicyDocument=json.dumps(document("ecr:PutImage")), Tags=tags(team="a"))
    arn = made["Policy"]["Arn"]
    read = iam.get_policy(PolicyArn=arn)["Policy"]
    assert (read["DefaultVersionId"], read["AttachmentCount"], read["Tags"]) == ("v1", 0, tags(team="a"))
    version = iam.get_policy_version(PolicyArn=arn, VersionId="v1")["PolicyVersion"]
    assert version["Document"] == document("ecr:PutImage")
    # Update in place: the oldest version makes room when there are five.
    for number in range(2, 8):
        versions = iam.list_policy_versions(PolicyArn=arn)["Versions"]
        if len(versions) == 5:
            iam.delete_policy_version(PolicyArn=arn, VersionId=versions[-1]["VersionId"])
        iam.create_policy_version(PolicyArn=arn, PolicyDocument=json.dumps(document("ecr:*")), SetAsDefault=True)
        assert iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"] == f"v{number}"
    # Attach to a role, read, detach, and read again.
    iam.create_role(RoleName="tf-attached", AssumeRolePolicyDocument=trust(OWNER))
    iam.attach_role_policy(RoleName="tf-attached", PolicyArn=arn)
    attached = iam.list_attached_role_policies(RoleName="tf-attached")["AttachedPolicies"]
    assert attached == [{"PolicyName": "tf-policy", "PolicyArn": arn}]
    assert code(iam.delete_policy, PolicyArn=arn) == "DeleteConflict"
    iam.detach_role_policy(RoleName="tf-attached", PolicyArn=arn)
    assert iam.list_attached_role_policies(RoleName="tf-attached")["AttachedPolicies"] == []
    assert code(iam.detach_role_policy, RoleName="tf-attached", PolicyArn=arn) == "NoSuchEntity"
    iam.delete_role(RoleName="tf-attached")
    # Delete: the versions that are not the default first.
    for version in iam.list_policy_versions(PolicyArn=arn)["Versions"]:
        if not version["IsDefaultVersion"]:
            iam.delete_policy_version(PolicyArn=arn, VersionId=version["VersionId"])
    iam.delete_policy(PolicyArn=arn)
    assert code(iam.get_policy, PolicyArn=arn) == "NoSuchEntity"


def test_terraforms_calls_for_a_role(iam):
    name = "tf-role"
    iam.create_user(UserName="tf-trusted")
    principal = f"arn:aws:iam::{OWNER}:user/tf-trusted"
    made = iam.create_role(
        RoleName=name,
        Path="/",
        AssumeRolePolicyDocument=trust(principal),
        Description="first",
        MaxSessionDuration=3600,
        Tags=tags(team="a"),
    )["Role"]

    def read():
        return iam.get_role(RoleName=name)["Role"]

    role = read()
    assert (role["RoleId"], role["Arn"]) == (made["RoleId"], f"arn:aws:iam::{OWNER}:role/{name}")
    # botocore decodes the document.
    assert role["AssumeRolePolicyDocument"] == json.loads(trust(principal))
    assert (role["Description"], role["MaxSessionDuration"], role["Tags"]) == ("first", 3600, tags(team="a"))
    # Update in place, an operation for each argument.
    iam.update_assume_role_policy(RoleName=name, PolicyDocument=trust(OWNER))
    iam.update_role_description(RoleName=name, Description="second")
    iam.update_role(RoleName=name, MaxSessionDuration=7200)
    iam.untag_role(RoleName=name, TagKeys=["team"])
    iam.tag_role(RoleName=name, Tags=tags(owner="b"))
    role = read()
    assert role["AssumeRolePolicyDocument"]["Statement"][0]["Principal"] == {"AWS": f"arn:aws:iam::{OWNER}:root"}
    assert (role["Description"], role["MaxSessionDuration"], role["Tags"]) == ("second", 7200, tags(owner="b"))
    # Delete: out of its instance profiles first.
    iam.create_instance_profile(InstanceProfileName=name)
    iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)
    assert code(iam.delete_role, RoleName=name) == "DeleteConflict"
    for profile in iam.list_instance_profiles_for_role(RoleName=name)["InstanceProfiles"]:
        profile_name = profile["InstanceProfileName"]
        iam.remove_role_from_instance_profile(InstanceProfileName=profile_name, RoleName=name)
        iam.delete_instance_profile(InstanceProfileName=profile_name)
    iam.delete_role(RoleName=name)
    assert code(iam.get_role, RoleName=name) == "NoSuchEntity"
    assert code(iam.delete_role, RoleName=name) == "NoSuchEntity"
    iam.delete_user(UserName="tf-trusted")


def test_users_and_keys_are_managed_on_the_command_line(dev):
    environment = {**dev.environment, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}

    def ecru(*words, fails=False):
        command = [str(binary()), *words, "--endpoint-url", dev.url]
        out = subprocess.run(command, capture_output=True, text=True, env=environment, stdin=subprocess.DEVNULL)
        assert (out.returncode != 0) == fails, out.stderr
        return out.stderr if fails else out.stdout

    assert ecru("user", "create", "cli-ann") == f"arn:aws:iam::{OWNER}:user/cli-ann\n"
    assert "EntityAlreadyExists: User with name cli-ann already exists." in ecru("user", "create", "cli-ann", fails=True)
    assert f"cli-ann  arn:aws:iam::{OWNER}:user/cli-ann\n" in ecru("user", "list")
    # The profile is of the AWS credentials file, and its key calls as the user.
    profile = configparser.ConfigParser()
    profile.read_string(ecru("key", "create", "cli-ann"))
    key, secret = profile["cli-ann"]["aws_access_key_id"], profile["cli-ann"]["aws_secret_access_key"]
    caller = client(dev, "sts", key, secret)
    assert caller.get_caller_identity()["Arn"].endswith(":user/cli-ann")
    exports = ecru("key", "create", "cli-ann", "--export")
    script = exports + "printf %s $AWS_ACCESS_KEY_ID"
    shell = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL)
    assert shell.stdout.startswith("AKIA") and shell.stdout != key
    ecru("key", "deactivate", "cli-ann", key)
    assert f"{key}  Inactive\n" in ecru("key", "list", "cli-ann")
    assert code(caller.get_caller_identity) == "InvalidClientTokenId"
    ecru("key", "activate", "cli-ann", key)
    caller.get_caller_identity()
    assert "DeleteConflict" in ecru("user", "delete", "cli-ann", fails=True)
    ecru("key", "delete", "cli-ann", key)
    ecru("key", "delete", "cli-ann", shell.stdout)
    assert ecru("role", "create", "cli-ci", "--trust", OWNER) == f"arn:aws:iam::{OWNER}:role/cli-ci\n"
    assert "cli-ci" in ecru("role", "list")
    ecru("role", "delete", "cli-ci")
    ecru("user", "delete", "cli-ann")


def test_boto3_works_with_a_session(dev, iam):
    iam.create_role(RoleName="sdk", AssumeRolePolicyDocument=trust(OWNER))
    sts = client(dev, "sts")
    role = f"arn:aws:iam::{OWNER}:role/sdk"
    credentials = sts.assume_role(RoleArn=role, RoleSessionName="boto3")["Credentials"]
    session = boto3.Session(
        aws_access_key_id=credentials["AccessKeyId"],
        aws_secret_access_key=credentials["SecretAccessKey"],
        aws_session_token=credentials["SessionToken"],
        region_name="us-east-1",
    )
    identity = session.client("sts", endpoint_url=dev.url).get_caller_identity()
    assert identity["Arn"] == f"arn:aws:sts::{OWNER}:assumed-role/sdk/boto3"
    # The role has no policy.
    assert code(session.client("ecr", endpoint_url=dev.url).describe_repositories) == "AccessDeniedException"
    token = client(dev, "sts").get_session_token()["Credentials"]
    own = boto3.Session(token["AccessKeyId"], token["SecretAccessKey"], token["SessionToken"], region_name="us-east-1")
    assert own.client("ecr", endpoint_url=dev.url).get_authorization_token()["authorizationData"]
    assert code(own.client("iam", endpoint_url=dev.url).list_users) == "InvalidClientTokenId"
    iam.delete_role(RoleName="sdk")
    assert code(session.client("sts", endpoint_url=dev.url).get_caller_identity) == "InvalidClientTokenId"


def test_the_commands_of_the_page_run_word_by_word(dev, tmp_path):
    (begin,) = re.findall(r"^```sh\n(export.*?)^```$", PAGE.path.read_text(), re.M | re.S)
    shell = Shell(dev, tmp_path)
    path = f"{binary().parent}:{shell.environment['PATH']}"
    address = dev.url.removeprefix("http://")

    def run(heading, blocks):
        scripts = PAGE.blocks(heading, *["sh"] * blocks)
        text = "\n".join([begin, *scripts]).replace("localhost:5050", address)
        # The AWS CLI keeps the sessions of profiles in the home directory.
        return shell.bash(text, PATH=path, HOME=tmp_path).stdout

    printed = run("A user with a key", 2)
    assert f'"Arn": "arn:aws:iam::{OWNER}:user/ann"' in printed and '"ServiceName": "sts"' in printed
    # The old key is gone, and the second one is left.
    assert printed.rsplit("STATUS", 1)[1].count("Active") == 1
    assert '"UserName": "ann"' in run("A group", 1)
    printed = run("A role", 1)
    assert f"arn:aws:iam::{OWNER}:role/ci" in printed and f"arn:aws:iam::{OWNER}:user/ann" in printed
    printed = run("Policies", 3)
    assert '"GroupName": "developers"' in printed and '"VersionId": "v2"' in printed
    assert '"PermissionsBoundaryArn": "arn:aws:iam::aws:policy/AmazonEC2ContainerRegistryPowerUser"' in printed
    printed = run("Roles and sessions", 2)
    assert f'"Arn": "arn:aws:sts::{OWNER}:assumed-role/builder/ci"' in printed and f'"Account": "{OWNER}"' in printed
    assert re.search(rf'"arn:aws:sts::{OWNER}:assumed-role/builder/botocore-session-\d+"', printed)
    run("Delete", 1)
    assert client(dev, "iam").list_users()["Users"] == []
