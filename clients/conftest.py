"""Black-box tests: real clients against the real binary. `./test clients` runs them; see ecru.py for the environment."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ecru import Ecru


def pytest_addoption(parser):
    parser.addoption("--engine", choices=["sqlite", "postgres"], default="sqlite", help="where the server keeps its records")


def version(*command):
    """The first line that a client says of its version; a client that can't be started fails the run."""
    out = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert out.returncode == 0, f"{command} failed: {out.stderr}"
    return (out.stdout or out.stderr).strip().splitlines()[0]


def pytest_report_header(config):
    import boto3
    import botocore

    clients = [version(str(tool("aws")), "--version"), f"boto3 {boto3.__version__}, botocore {botocore.__version__}"]
    clients += [version(*command) for command in (("docker", "--version"), ("dockerd", "--version"), ("skopeo", "--version"))]
    return ["engine: " + config.getoption("--engine"), *("client: " + client for client in clients)]


def tool(name):
    """A program of the test environment's venv."""
    return Path(sys.executable).parent / name


@pytest.fixture(scope="session")
def engine(request):
    return request.config.getoption("--engine")


@pytest.fixture(scope="session")
def installation(tmp_path_factory, engine):
    """A server with the keys of its first start, shared by all tests; each test makes repositories of its own."""
    server = Ecru(tmp_path_factory.mktemp("ecru"), engine).start()
    yield server
    server.stop()


class Shell:
    """Runs commands as a person's shell would, with this server's environment."""

    def __init__(self, server, directory, more=None):
        self.server = server
        self.directory = directory
        self.environment = {**server.aws_environment(), **(more or {})}
        self.environment["PATH"] = f"{Path(sys.executable).parent}:{self.environment['PATH']}"

    def run(self, *command, check=True, input=None, timeout=120, **environment):
        out = subprocess.run(
            [str(part) for part in command],
            env={**self.environment, **environment},
            cwd=self.directory,
            input=input,
            stdin=subprocess.DEVNULL if input is None else None,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        if check:
            assert out.returncode == 0, f"{' '.join(map(str, command))}\n{out.stdout}{out.stderr}\n{self.server.log_text()}"
        return out

    def bash(self, script, check=True, **environment):
        return self.run("bash", "-euo", "pipefail", "-c", script, check=check, **environment)

    def aws(self, *command):
        """An AWS CLI command's output as JSON."""
        out = self.run("aws", *command, "--output", "json").stdout
        return json.loads(out) if out.strip() else None

    def aws_fails(self, *command):
        """The error text of a command that must fail."""
        out = self.run("aws", *command, check=False)
        assert out.returncode != 0, f"{command} succeeded: {out.stdout}"
        return out.stderr


@pytest.fixture
def shell(installation, tmp_path):
    return Shell(installation, tmp_path)


@pytest.fixture(scope="session")
def dockerd(tmp_path_factory):
    """A docker daemon of our own with the classic store; its socket is what clients get as DOCKER_HOST."""
    directory = Path(tmp_path_factory.mktemp("dockerd"))
    for name in ("dockerd", "docker", "containerd"):
        assert shutil.which(name), f"{name} is not installed"
    socket = directory / "docker.sock"
    command = ["dockerd", "--data-root", directory / "data", "--exec-root", directory / "exec", "-H", f"unix://{socket}"]
    command += ["-p", directory / "pid", "--bridge=none", "--iptables=false", "--storage-driver=vfs"]
    with (directory / "log").open("wb") as log:
        daemon = subprocess.Popen([str(part) for part in command], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    text = lambda: (directory / "log").read_text(errors="replace")[-3000:]
    deadline = time.monotonic() + 60
    while subprocess.run(["docker", "-H", f"unix://{socket}", "version"], capture_output=True).returncode != 0:
        assert daemon.poll() is None, f"dockerd ended:\n{text()}"
        assert time.monotonic() < deadline, f"dockerd does not answer:\n{text()}"
        time.sleep(0.2)
    yield f"unix://{socket}"
    daemon.terminate()
    try:
        daemon.wait(timeout=30)
    except subprocess.TimeoutExpired:
        daemon.kill()
        daemon.wait()


@pytest.fixture
def docker_shell(installation, dockerd, tmp_path):
    """A shell with a docker client of its own, not logged in."""
    config = tmp_path / "docker-config"
    config.mkdir()
    return Shell(installation, tmp_path, {"DOCKER_HOST": dockerd, "DOCKER_CONFIG": str(config), "DOCKER_BUILDKIT": "0"})


@pytest.fixture(autouse=True)
def server_is_well(request):
    """The server must be ready after each test, whatever the test did to it."""
    yield
    if "installation" in request.fixturenames:
        import requests

        server = request.getfixturevalue("installation")
        assert requests.get(f"{server.url}/readyz", timeout=5).status_code == 200, server.log_text()


@pytest.fixture(scope="session")
def shared():
    """The users' scripts beside the clone."""
    directory = Path(os.environ.get("ECRU_SHARED", Path(__file__).resolve().parent.parent.parent / "shared"))
    assert directory.is_dir(), f"{directory} is not there: the users' scripts lie beside the clone (ECRU_SHARED names another place)"
    return directory
