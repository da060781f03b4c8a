"""Runs the commands that `ecru tls init` prints, on a private machine."""

import json
import re

import pytest

from images import Image, tar
from machine import Machine

NAME = "registry.test"
REGISTRY = f"{NAME}:5050"


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    machine = Machine(tmp_path_factory.mktemp("machine"))
    # docker does not check certificates at loopback addresses, so use another address.
    machine.bash(f"echo {machine.ADDRESS} {NAME} >> /etc/hosts")
    yield machine
    machine.close()


def recipe(text, heading):
    """Returns the commands of `ecru tls init` under the heading that starts with `heading`."""
    found = re.search(rf"^{re.escape(heading)}[^\n]*:\n((?:  [^\n]*\n)+)", text, re.M)
    assert found, f"{heading!r} is not in:\n{text}"
    return "\n".join(line.strip() for line in found.group(1).splitlines() if not line.strip().startswith("("))


@pytest.fixture(scope="module")
def said(machine):
    """The output of `ecru tls init`. The server is started as the output says."""
    text = machine.bash(f"ecru tls init --name {NAME}").stdout
    serve = recipe(text, "Serve with it")
    machine.start("ecru", serve, f"curl -sfk https://{REGISTRY}/readyz")
    return text


@pytest.fixture(scope="module")
def shell(machine, said):
    """A function that runs a script in a shell with the variables for AWS, after creating a repository."""
    prologue = 'eval "$(ecru env)"\n' + recipe(said, "the AWS CLI and boto3") + "\n"
    machine.bash(prologue + "aws ecr create-repository --repository-name app")
    return lambda script, **more: machine.bash(prologue + script, **more)


def test_the_aws_cli_trusts_the_server_only_with_the_authority(machine, said, shell):
    # `ecru env` also sets the authority.
    machine.bash('eval "$(ecru env)"; aws sts get-caller-identity')
    without = machine.bash('eval "$(ecru env)"; unset AWS_CA_BUNDLE; aws sts get-caller-identity', check=False, AWS_MAX_ATTEMPTS="1")
    assert without.returncode != 0 and "certificate verify failed" in without.stderr
    assert json.loads(shell("aws ecr describe-repositories").stdout)["repositories"][0]["repositoryUri"] == f"{REGISTRY}/app"
    assert json.loads(shell("aws ecr get-authorization-token").stdout)["authorizationData"][0]["proxyEndpoint"] == f"https://{REGISTRY}"


def test_ecru_status_works_over_tls(machine, shell):
    assert "ready" in shell("ecru status").stdout
    machine.bash("ecru status")
    without = machine.bash('eval "$(ecru env)"; unset AWS_CA_BUNDLE; cd /; ecru status', check=False)
    assert without.returncode == 1 and "TLS handshake" in without.stderr and len(without.stderr.strip().splitlines()) == 1


def test_docker_trusts_the_server_only_with_the_authority(machine, said, shell):
    directory = machine.directory / "docker"
    command = f"dockerd --data-root {directory}/data --exec-root {directory}/exec -H unix://{directory}.sock -p {directory}.pid"
    docker = {"DOCKER_HOST": f"unix://{directory}.sock", "DOCKER_BUILDKIT": "0"}
    machine.start("dockerd", command + " --bridge=none --iptables=false --storage-driver=vfs", "docker version", **docker)
    (machine.directory / "base.tar").write_bytes(tar({"file": b"content\n" * 1000}))
    login = f"aws ecr get-login-password | docker login --username AWS --password-stdin {REGISTRY}"
    before = shell(login, check=False, **docker)
    assert before.returncode != 0 and "x509" in before.stderr
    machine.bash(recipe(said, "docker"))
    assert "Login Succeeded" in shell(login, **docker).stdout
    machine.bash(f"docker import base.tar {REGISTRY}/app:docker && docker push {REGISTRY}/app:docker", **docker)
    machine.bash(f"docker rmi {REGISTRY}/app:docker && docker pull {REGISTRY}/app:docker", **docker)


def test_skopeo_trusts_the_server_by_certs_d_and_by_ssl_cert_file(machine, said, shell):
    copy = f'skopeo copy --dest-creds "AWS:$(aws ecr get-login-password)" oci:image:latest docker://{REGISTRY}/app:skopeo'
    Image.random(1, 50_000).layout(machine.directory / "image")
    inspect = f'skopeo inspect --creds "AWS:$(aws ecr get-login-password)" docker://{REGISTRY}/app:skopeo'
    # skopeo also reads docker's certs.d.
    machine.bash("rm -rf /etc/docker/certs.d")
    before = shell(copy, check=False)
    assert before.returncode != 0 and "x509" in before.stderr
    # As a Go program, skopeo also reads SSL_CERT_FILE.
    shell(f'({recipe(said, "Go programs")} && {copy})')
    machine.bash(recipe(said, "podman, buildah and skopeo"))
    assert "Digest" in shell(inspect).stdout


def test_containerd_trusts_the_server(machine, said, shell):
    directory = machine.directory / "containerd"
    config = machine.directory / "containerd.toml"
    config.write_text(
        f'version = 2\nroot = "{directory}/root"\nstate = "{directory}/state"\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n'
        f'[grpc]\naddress = "{directory}.sock"\n'
    )
    machine.start("containerd", f"containerd --config {config}", f"ctr -a {directory}.sock version")
    pull = f'ctr -a {directory}.sock images pull --hosts-dir /etc/containerd/certs.d --user "AWS:$(aws ecr get-login-password)" {REGISTRY}/app:ctr'
    Image.random(2, 50_000).layout(machine.directory / "other")
    credentials = '--dest-tls-verify=false --dest-creds "AWS:$(aws ecr get-login-password)"'
    shell(f"skopeo copy {credentials} oci:other:latest docker://{REGISTRY}/app:ctr")
    before = shell(pull, check=False)
    assert before.returncode != 0 and "x509" in before.stderr
    machine.bash(recipe(said, "containerd"))
    shell(pull)


def test_curl_trusts_the_server_by_its_file_and_by_the_system(machine, said):
    machine.bash(recipe(said, "curl"))
    assert machine.bash(f"curl -sf https://{REGISTRY}/livez", check=False).returncode == 60
    machine.bash(recipe(said, "everything on Debian or Ubuntu at once"))
    assert machine.bash(f"curl -sf https://{REGISTRY}/livez").stdout == "ok\n"
    for version in ("1.2", "1.3"):
        machine.bash(f"curl -sf --tlsv{version} --tls-max {version} https://{REGISTRY}/livez")
    old = machine.bash(f"curl -sf --tls-max 1.1 --ciphers DEFAULT@SECLEVEL=0 https://{REGISTRY}/livez", check=False)
    assert old.returncode == 35, "the server accepts TLS 1.1"


def test_a_renewed_certificate_is_served_without_a_restart(machine, said):
    shown = f"openssl s_client -connect {REGISTRY} -servername {NAME} </dev/null 2>/dev/null | openssl x509 -noout -serial"
    before = machine.bash(shown).stdout
    again = machine.bash(f"ecru tls init --name {NAME}").stdout
    assert "the authority (kept)" in again and "renewed" in again
    machine.wait_until(f'test "$({shown})" != "{before.strip()}"', timeout=30)
    machine.bash(f"curl -sf --cacert ecru-tls/ca.pem https://{REGISTRY}/livez")


def test_plain_http_to_a_tls_listener_gets_an_explanation(machine, said):
    assert machine.bash(f"curl -s http://{REGISTRY}/v2/").stdout == "Client sent an HTTP request to an HTTPS server\n"


def test_http_2_is_offered_only_with_its_flag(machine, said):
    version = "curl -sf --cacert ecru-tls/ca.pem -o /dev/null -w '%{http_version}' https://"
    assert machine.bash(f"{version}{REGISTRY}/livez").stdout == "1.1"
    serve = "ecru serve --dev --data http2 --http2 --listen https://127.0.0.1:5051 --tls-cert ecru-tls/server.pem --tls-key ecru-tls/server-key.pem"
    server = machine.start("http2", serve, "curl -sfk https://localhost:5051/readyz")
    assert machine.bash(f"{version}localhost:5051/livez").stdout == "2"
    assert machine.bash(f"{version}localhost:5051/livez --http1.1").stdout == "1.1"
    machine.end(server)


@pytest.mark.parametrize(
    "flags, words",
    [
        ("--listen https://127.0.0.1:5052", "https://127.0.0.1:5052 needs a certificate: set --tls-cert and --tls-key"),
        ("--tls-cert ecru-tls/server.pem --tls-key ecru-tls/server-key.pem", "no listener is https://"),
        ("--listen https://127.0.0.1:5052 --tls-cert ecru-tls/server.pem", "must be set together"),
        ("--listen https://127.0.0.1:5052 --tls-cert ecru-tls/server.pem --tls-key nowhere", "nowhere can't be read"),
        (
            "--listen https://127.0.0.1:5052 --tls-cert ecru-tls/server.pem --tls-key ecru-tls/ca-key.pem",
            "ecru-tls/ca-key.pem is not that of the certificate in ecru-tls/server.pem",
        ),
    ],
)
def test_an_invalid_certificate_is_refused_in_one_line(machine, said, flags, words):
    out = machine.bash(f"ecru serve --data wrong {flags}", check=False)
    assert out.returncode == 1 and len(out.stderr.strip().splitlines()) == 1 and words in out.stderr, out.stderr
