"""Runs the commands of docs/install.md and docs/ci.md: the image, a server for a team, and CI jobs."""

import re
import shutil

import pytest
import yaml

import ecru
from network import Machine, machine, pair  # two of them fixtures
from pages import Page, assert_printed

INSTALL = Page("install.md")
CI = Page("ci.md")
TAG = "ecru:0.1.0"


def with_sources(machine):
    """Puts the packaging files and the binary at the paths in the recipes."""
    shutil.copytree(ecru.ROOT / "packaging", machine.directory / "packaging")
    for built in ("target/release", "target/dist/shipped"):
        (machine.directory / built).mkdir(parents=True)
        (machine.directory / built / "ecru").symlink_to(ecru.binary().resolve())
    return machine


@pytest.fixture(scope="module")
def docker(tmp_path_factory):
    """A machine with docker and the image, built without a network."""
    with Machine(tmp_path_factory.mktemp("packaging") / "docker") as here:
        here.image()
        with_sources(here).dockerd(networks=True)
        build = INSTALL.blocks("As a container", "sh", "sh", "text")[0].splitlines()[0]
        assert here.bash(build) == f"built {TAG}\n"
        # A directory for the files that jobs build.
        here.bash("mkdir job; cp app.tar job/")
        here.configure("job/Dockerfile", "FROM scratch\nCOPY app.tar /\n")
        yield here


def test_a_container_from_the_image_serves_and_is_healthy(docker):
    build_and_run, use, shown = INSTALL.blocks("As a container", "sh", "sh", "text")
    run = build_and_run.split("\n", 1)[1]
    docker.bash(run)
    docker.bash("until [ $(docker inspect --format '{{.State.Health.Status}}' ecru) = healthy ]; do sleep 0.2; done")
    assert_printed(shown, docker.bash(use))
    docker.bash("docker load --input app.tar; docker tag app localhost:5050/app:v1; docker push localhost:5050/app:v1")
    # The data must be in the volume, and the program must not run as root.
    docker.bash(f"docker rm -f ecru\n{run}")
    docker.bash("until docker pull localhost:5050/app:v1; do sleep 0.2; done")
    assert docker.bash("docker exec ecru /usr/local/bin/ecru health") == "http://127.0.0.1:5050/ is ready\n"
    assert docker.bash("docker top ecru -o pid,uid").split()[-1] == "65532"
    docker.bash("docker stop ecru")
    assert docker.bash("docker inspect --format '{{.State.ExitCode}}' ecru; docker rm ecru") == "0\necru\n"


def test_the_compose_file_runs_with_docker_compose(docker):
    """As install.md has it: the keys in the environment, `up --wait` until the health check passes, the data in a volume."""
    (plugin,) = (ecru.ROOT / "target/clients/compose").rglob("cli-plugins/docker-compose")
    docker.bash(f"mkdir -p ~/.docker/cli-plugins; cp {plugin} ~/.docker/cli-plugins/")
    compose = "docker compose -f packaging/compose.yaml"
    refused = docker.run("bash", "-c", f"env -u ECRU_ADMIN_ACCESS_KEY_ID {compose} config", check=False)
    assert refused.returncode != 0 and "choose an access key id" in refused.stdout, refused.stdout
    docker.bash(f"export ECRU_ADMIN_ACCESS_KEY_ID=compose ECRU_ADMIN_SECRET_ACCESS_KEY=compose-secret\n{compose} up --detach --wait")
    keys = {"AWS_ACCESS_KEY_ID": "compose", "AWS_SECRET_ACCESS_KEY": "compose-secret", "AWS_DEFAULT_REGION": "us-east-1"}
    make = "aws ecr create-repository --repository-name composed --query repository.repositoryUri --output text"
    assert docker.bash(make, AWS_ENDPOINT_URL="http://localhost:5050", **keys) == "localhost:5050/composed\n"
    docker.bash(f"{compose} down && {compose} up --detach --wait")
    assert "composed" in docker.bash("aws ecr describe-repositories", AWS_ENDPOINT_URL="http://localhost:5050", **keys)
    docker.bash(f"{compose} down --volumes")


def test_a_python_class_for_testcontainers(docker):
    (code,) = CI.blocks("testcontainers for Python", "python")
    docker.configure("example.py", code)
    # testcontainers removes leftover containers with an image that is not available here.
    out = docker.bash("python example.py", TESTCONTAINERS_RYUK_DISABLED="true", DOCKER_HOST="unix:///var/run/docker.sock")
    assert re.fullmatch(r"localhost:\d+/app", out.splitlines()[-1]), out
    assert docker.bash("docker ps --quiet") == ""


def test_the_binary_in_a_job(machine):
    first, shown, beside, name = CI.blocks("The binary, in any job", "sh", "text", "sh", "text")
    reset, accounts = CI.blocks("Reset between tests", "sh", "text")
    here = machine("job")
    assert_printed(shown, here.bash(f"{first}\n{reset}\nkill %1; wait"))
    out = here.bash(f"{first}\n{reset}\nkill %1; wait")
    assert_printed(accounts, out)
    assert_printed(name, here.bash(f"{beside}\nkill %1; wait"))


def test_the_steps_of_a_job_on_github(docker):
    (text,) = CI.blocks("GitHub Actions", "yaml")
    job = yaml.safe_load(text)["jobs"]["push"]
    service = job["services"]["ecru"]
    env = " ".join(f"--env {name}={value}" for name, value in service["env"].items())
    publish = " ".join(f"--publish {ports}" for ports in service["ports"])
    docker.bash(f"docker run --detach --name service {env} {publish} {TAG}")
    docker.bash("until [ $(docker inspect --format '{{.State.Health.Status}}' service) = healthy ]; do sleep 0.2; done")
    for step in job["steps"]:
        docker.bash(f"cd job; {step.get('run', ':')}", DOCKER_BUILDKIT="0", **job["env"])
    docker.bash("docker rm -f service")


def test_the_script_of_a_job_on_gitlab(pair):
    (text,) = CI.blocks("GitLab CI", "yaml")
    job = yaml.safe_load(text)["push"]
    services = {service["alias"]: service for service in job["services"]}
    server, client = pair
    # On GitLab, the job and its services run on separate machines. The image sets the listening address.
    client.bash("echo 172.17.0.1 ecru >> /etc/hosts")
    variables = job["variables"]
    server.ecru("ecru serve", ECRU_LISTEN="http://0.0.0.0:5050", **variables)
    assert services["docker"]["command"] == ["--insecure-registry=ecru:5050"]
    client.configure("/etc/docker/daemon.json", '{"insecure-registries": ["ecru:5050"]}')
    client.dockerd()
    client.configure("job/Dockerfile", "FROM scratch\nCOPY Dockerfile /\n")
    installs, *before = job["before_script"]
    assert installs.startswith("apk add")
    for line in [*before, *job["script"]]:
        client.bash(f"cd job; {line.replace('wget -q -O -', 'curl -fs')}", DOCKER_BUILDKIT="0", **variables)


def test_a_server_for_a_team_from_nothing(machine):
    blocks = INSTALL.blocks("A server for a team", "sh", "sh", "toml", "sh", "sh", "sh", "text")
    program, certificate, settings, unit, start, use, shown = blocks
    here = with_sources(machine("team"))
    here.environment["PATH"] = f"/usr/local/bin:{here.environment['PATH']}"
    here.bash("echo 127.0.0.1 registry.example.com >> /etc/hosts")
    here.bash(program)
    here.bash(certificate)
    here.configure("/etc/ecru/ecru.toml", settings)
    assert here.bash(unit) == ""
    # systemd does not run here, so start the unit's command by hand, with its user and its capabilities.
    text = (ecru.ROOT / "packaging/ecru.service").read_text()
    command, capability = re.search(r"^ExecStart=(.*)$", text, re.M)[1], re.search(r"^AmbientCapabilities=CAP_(.*)$", text, re.M)[1]
    here.bash("install -d -m 0700 -o ecru -g ecru /var/lib/ecru")
    drop = f"--inh-caps=-all,+{capability.lower()} --ambient-caps=-all,+{capability.lower()} --no-new-privs"
    here.serve("ecru", f"exec setpriv --reuid=ecru --regid=ecru --clear-groups {drop} {command}", start.splitlines()[-1])
    assert_printed(shown, here.bash(use))
    # The same line renews the certificate, and the server loads it.
    here.bash(certificate.splitlines()[0])
    here.bash("runuser -u ecru -- test -r /etc/ecru/tls/server-key.pem")


def test_from_source(machine):
    build, more = INSTALL.blocks("From source", "sh", "sh")
    here = with_sources(machine("source"))
    here.bash("mkdir -p /usr/share/bash-completion/completions /usr/local/bin")
    (here.directory / "bin/sudo").write_text('#!/bin/sh\nexec "$@"\n')
    (here.directory / "bin/sudo").chmod(0o755)
    here.bash(build.splitlines()[1])
    here.bash(more.replace("/usr/share/bash-completion/completions", "/run"))
    assert "complete -F _ecru" in here.bash("cat /run/ecru")
    assert "ecru-serve.1" in here.bash("ls /usr/local/share/man/man1")
