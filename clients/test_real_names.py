"""Runs the commands of docs/real-names.md on private machines, where ECR's real names resolve to Ecru."""

import json
import subprocess

import pytest

from conftest import MATRIX
from drivers.client import UNPACKED, first_line, unpacked
from network import machine, pair  # fixtures
from pages import Page, assert_printed

PAGE = Page("real-names.md")
# The newest docker, containerd and credential helper.
PROGRAMS = ":".join(str(UNPACKED / "forky" / "root" / folder) for folder in ("usr/sbin", "usr/bin")) + ":/usr/sbin:/usr/bin"
HTTPS = "https://127.0.0.1"


class CredentialHelper:
    """The logins of docker and skopeo with docker-credential-ecr-login, which accepts only AWS's names."""

    name = "docker-credential-ecr-login 0.12"


@pytest.fixture
def versions(pytestconfig):
    """Adds the versions to the matrix."""
    helper = subprocess.run([unpacked("forky", "docker-credential-ecr-login"), "-v"], capture_output=True, text=True, check=True)
    said = [" ".join(helper.stdout.split()[:3])]
    said += [first_line(unpacked("forky", program), "--version") for program in ("dockerd", "ctr")]
    pytestconfig.stash[MATRIX].versions[CredentialHelper.name] = "; ".join(said)


def start_docker(machine):
    """Starts the newest containerd, and docker with the containerd image store."""
    machine.environment["PATH"] = f"{machine.environment['PATH'].split(':/usr', 1)[0]}:{PROGRAMS}:/sbin:/bin"
    machine.containerd(PROGRAMS)
    machine.configure("/etc/docker/daemon.json", '{"features": {"containerd-snapshotter": true}, "ip6tables": false}')
    machine.dockerd(PROGRAMS, storage="native")


def one_machine(machine):
    """Returns a machine that trusts Ecru and resolves its names, and the remaining blocks of the section."""
    certificates, names, trust, serve, *rest = PAGE.blocks(
        "On one machine", "sh", "sh", "sh", "sh", "sh", "text", "json", "sh", "text", "sh", "text"
    )
    here = machine("here")
    for script in (certificates, names, trust):
        here.bash(script)
    return here, serve, rest


def with_the_aws_cli_v2(here):
    """Runs version 2 of the AWS CLI, which has its own root directory, with the machine's names and authorities."""
    root = UNPACKED / "chroot"
    here.bash(f"mount --bind /etc {root}/etc\nmount --bind . {root}/mnt")
    aws = lambda *command: here.run("chroot", root, "aws", *command, AWS_SHARED_CREDENTIALS_FILE="/mnt/ecru-data/credentials").stdout
    assert aws("--version").startswith("aws-cli/2.")
    assert json.loads(aws("sts", "get-caller-identity", "--output", "json"))["Account"] == "000000000000"
    assert json.loads(aws("ecr", "describe-repositories", "--output", "json"))["repositories"][0]["repositoryName"] == "app"


@pytest.mark.client.with_args(CredentialHelper)
def test_every_client_works_by_the_real_names_without_an_endpoint_setting(machine, versions):
    here, serve, (api, api_shown, helper, push, push_shown, rest, rest_shown) = one_machine(machine)
    here.ecru(serve, HTTPS)
    assert_printed(api_shown, here.bash(api))
    assert "AWS_ENDPOINT_URL" not in here.environment
    with_the_aws_cli_v2(here)
    here.run("bash", "-c", "mkdir -p ~/.docker && cat > ~/.docker/config.json", input=helper)
    start_docker(here)
    assert_printed(push_shown, here.bash(push))
    assert_printed(rest_shown, here.bash(rest))
    # The helper requested docker's token, because nobody logged in.
    asked = here.access_lines('operation="GetAuthorizationToken"')
    assert any("aws-sdk-go" in line for line in asked), asked


@pytest.mark.client.with_args(CredentialHelper)
def test_another_accounts_registry_has_a_name_of_its_own(machine, versions):
    here, _, (_, _, helper, *_) = one_machine(machine)
    serve, push, shown = PAGE.blocks("Several accounts", "sh", "sh", "text")
    here.ecru(serve, HTTPS)
    here.run("bash", "-c", "mkdir -p ~/.docker && cat > ~/.docker/config.json", input=helper)
    start_docker(here)
    assert_printed(shown, here.bash(push))
    # The same credentials have no rights under the other account's name.
    refused = here.run("docker", "pull", "000000000000.dkr.ecr.us-east-1.amazonaws.com/app:v1", check=False)
    assert refused.returncode != 0 and "403" in refused.stdout, refused.stdout


@pytest.mark.client.with_args(CredentialHelper)
def test_the_helper_logs_docker_in_with_the_credentials_of_an_assumed_role(machine, versions):
    here, serve, (api, _, helper, push, *_) = one_machine(machine)
    here.ecru(serve, HTTPS)
    here.bash(api)
    here.run("bash", "-c", "mkdir -p ~/.docker && cat > ~/.docker/config.json", input=helper)
    start_docker(here)
    here.bash(push)
    # Only ECR's and STS's names lead here, so IAM is called by ECR's.
    endpoint = ("--endpoint-url", "https://api.ecr.us-east-1.amazonaws.com")
    aws = lambda *command: here.run("aws", *command, *endpoint, "--output", "json").stdout
    trust = {"Effect": "Allow", "Principal": {"AWS": "000000000000"}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": trust})
    role = json.loads(aws("iam", "create-role", "--role-name", "ci", "--assume-role-policy-document", document))["Role"]
    read_only = "arn:aws:iam::aws:policy/AmazonEC2ContainerRegistryReadOnly"
    aws("iam", "attach-role-policy", "--role-name", "ci", "--policy-arn", read_only)
    session = json.loads(aws("sts", "assume-role", "--role-arn", role["Arn"], "--role-session-name", "job"))["Credentials"]
    here.environment |= {
        "AWS_ACCESS_KEY_ID": session["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": session["SecretAccessKey"],
        "AWS_SESSION_TOKEN": session["SessionToken"],
    }
    # The helper keeps the token of the administrator, who has pushed.
    image = "000000000000.dkr.ecr.us-east-1.amazonaws.com/app:v1"
    here.bash(f"rm -rf ~/.ecr\ndocker image rm {image}\ndocker pull {image}\ndocker tag {image} {image}-again")
    refused = here.run("docker", "push", f"{image}-again", check=False)
    assert refused.returncode != 0
    assert "assumed-role/ci/job is not authorized to perform: ecr:PutImage" in refused.stdout, refused.stdout
    asked = here.access_lines('operation="GetAuthorizationToken"')
    assert "arn:aws:sts::000000000000:assumed-role/ci/job" in asked[-1], asked


def test_a_team_uses_its_own_domain_with_dns(pair):
    serve, dns, trust, use, shown = PAGE.blocks("A team, with DNS", "sh", "text", "sh", "sh", "text")
    server, client = pair
    server.ecru(serve, HTTPS)
    server.configure("/etc/dnsmasq.conf", f"{dns}no-resolv\nno-hosts\nbind-interfaces\nlisten-address=172.17.0.1\nuser=root\n")
    server.serve("dnsmasq", "dnsmasq --keep-in-foreground", "ls /run/dnsmasq.pid /run/dnsmasq/dnsmasq.pid 2>/dev/null | grep -q .")
    client.run("bash", "-c", "rm -f /etc/resolv.conf; echo nameserver 172.17.0.1 > /etc/resolv.conf")
    (client.directory / "ca.pem").write_bytes((server.directory / "tls" / "ca.pem").read_bytes())
    client.bash(trust)
    client.dockerd()
    assert_printed(shown, client.bash(use))
