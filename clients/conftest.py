"""Black-box tests: real clients against the real binary. `./test clients` runs them; see ecru.py for the environment."""

import json
import os
import re
import sys
from pathlib import Path

import boto3
import pytest

import drivers
from drivers.client import first_line, of_python, run
from ecru import Ecru
from matrix import Matrix


def pytest_addoption(parser):
    parser.addoption("--engine", choices=["sqlite", "postgres"], default="sqlite", help="where the server keeps its records")
    parser.addoption("--tls", action="store_true", help="the shared server speaks TLS, with a certificate from `ecru tls init`")


def pytest_configure(config):
    config.addinivalue_line("markers", "basic: the tests that also run on every engine and over TLS: log in, push, pull")
    config.addinivalue_line("markers", "client(driver): the client that a test is about, for the matrix")
    config.stash[MATRIX] = Matrix()


MATRIX = pytest.StashKey()
CASE = re.compile(r"test_(\w+)")


def case_of(item):
    return CASE.match(item.originalname).group(1)


def pytest_generate_tests(metafunc):
    """Runs a test with the fixture `client` for every driver whose client supports the case."""
    if "client" in metafunc.fixturenames:
        case = CASE.match(metafunc.function.__name__).group(1)
        able = [driver for driver in drivers.CLIENTS if case not in driver.cannot]
        metafunc.parametrize("client", able, indirect=True, scope="session", ids=slug)


def pytest_report_header(config):
    transport = "TLS" if config.getoption("--tls") else "plain HTTP"
    return [f"engine: {config.getoption('--engine')}, {transport}", f"client: {first_line(of_python('aws'), '--version')}"]


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if report.when != "call" and not report.failed:
        return
    params = item.callspec.params if hasattr(item, "callspec") else {}
    marker = item.get_closest_marker("client")
    driver = params.get("client") or (marker.args[0] if marker else None)
    if driver is not None:
        item.config.stash[MATRIX].record(driver.name, case_of(item), "failed" if report.failed else "passed")


def pytest_terminal_summary(terminalreporter, config):
    lines = config.stash[MATRIX].lines()
    if lines:
        terminalreporter.section("clients")
        terminalreporter.write_line("\n".join(lines))


@pytest.fixture(scope="session")
def engine(request):
    return request.config.getoption("--engine")


@pytest.fixture(scope="session")
def installation(tmp_path_factory, engine, request):
    """A server with the keys of its first start, shared by all tests. Each test creates its own repositories."""
    server = Ecru(tmp_path_factory.mktemp("ecru"), engine, tls=request.config.getoption("--tls")).start()
    yield server
    server.stop()


class Shell:
    """Runs commands as a user's shell does, with this server's environment."""

    def __init__(self, server, directory, more=None):
        self.server = server
        self.directory = directory
        self.environment = {**server.aws_environment(), **(more or {})}
        self.environment["PATH"] = f"{Path(sys.executable).parent}:{self.environment['PATH']}"

    def run(self, *command, check=True, input=None, timeout=120, **environment):
        return run(command, self.server, self.directory, {**self.environment, **environment}, check, input, timeout)

    def bash(self, script, check=True, **environment):
        return self.run("bash", "-euo", "pipefail", "-c", script, check=check, **environment)

    def aws(self, *command):
        """Runs an AWS CLI command and returns its output, parsed from JSON."""
        out = self.run("aws", *command, "--output", "json").stdout
        return json.loads(out) if out.strip() else None

    def aws_fails(self, *command):
        """Runs an AWS CLI command that must fail, and returns its error text."""
        out = self.run("aws", *command, check=False)
        assert out.returncode != 0, f"{command} succeeded: {out.stdout}"
        return out.stderr


@pytest.fixture
def shell(installation, tmp_path):
    return Shell(installation, tmp_path)


@pytest.fixture(scope="session")
def aws(installation):
    """boto3's ECR client, with the keys of the server's administrator."""
    return aws_client(installation, "ecr")


def aws_client(server, service):
    environment = server.aws_environment()
    return boto3.client(
        service,
        region_name=environment["AWS_DEFAULT_REGION"],
        endpoint_url=server.url,
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        verify=server.trusts,
    )


@pytest.fixture(scope="session")
def password(installation, tmp_path_factory):
    """The password that `aws ecr get-login-password` prints."""
    return Shell(installation, tmp_path_factory.mktemp("password")).run("aws", "ecr", "get-login-password").stdout.strip()


def slug(driver):
    """Returns a driver's name in the form of a test id and of a part of a repository name."""
    return re.sub(r"[^a-z0-9]+", "-", driver.name.lower()).strip("-")


def versions(*drivers):
    """Returns a fixture's parameters for several drivers. Marks let the matrix show which client each test was for."""
    # `with_args`, because a mark that is called with a class decorates the class.
    return [pytest.param(driver, marks=pytest.mark.client.with_args(driver), id=slug(driver)) for driver in drivers]


def of(*drivers):
    """Runs a test for each of these clients. The test has a parameter `driver`."""
    return pytest.mark.parametrize("driver", versions(*drivers))


def shell_of(client):
    """Returns a shell that finds the client's programs, in a new directory that they can see."""
    directory = client.fresh("shell")
    directory.mkdir()
    return Shell(client.server, directory, client.environment)


def held(aws, repository):
    """Returns {tag: digest} of a repository from ECR's API. An image without a tag has the tag None."""
    name = repository.partition("/")[2]
    images = aws.get_paginator("list_images").paginate(repositoryName=name).build_full_result()["imageIds"]
    return {image.get("imageTag"): image["imageDigest"] for image in images}


@pytest.fixture(scope="session")
def client_of(installation, password, tmp_path_factory, request):
    """A function that returns a driver's client, which is started and logged in once for all tests."""
    started = {}

    def get(driver):
        if driver not in started:
            client = started[driver] = driver(installation, tmp_path_factory.mktemp(slug(driver)))
            client.client_of = get
            request.config.stash[MATRIX].versions[driver.name] = client.version()
            client.start()
            client.login(password)
        return started[driver]

    yield get
    for client in started.values():
        client.stop()


@pytest.fixture(scope="session")
def client(request, client_of):
    return client_of(request.param)


@pytest.fixture
def new_repository(installation, aws):
    """A function that creates a repository for the test and returns it as `HOST/NAME`."""
    names = []

    def make(name, **settings):
        aws.create_repository(repositoryName=name, **settings)
        names.append(name)
        return f"{installation.host}/{name}"

    yield make
    for name in names:
        aws.delete_repository(repositoryName=name, force=True)


@pytest.fixture(scope="module")
def dev(tmp_path_factory, engine):
    """A server with the keys of every account."""
    server = Ecru(tmp_path_factory.mktemp("policies"), engine, "--dev").start()
    yield server
    server.stop()


@pytest.fixture
def client_at_dev(dev, tmp_path_factory, driver):
    """The client at this server."""
    # Not below the test's own directory, because the path of a socket has at most 108 characters.
    client = driver(dev, tmp_path_factory.mktemp(slug(driver)))
    client.start()
    yield client
    client.stop()


@pytest.fixture(autouse=True)
def server_is_ready(request):
    """Checks that the shared server is ready after each test."""
    yield
    if "installation" in request.fixturenames:
        import requests

        server = request.getfixturevalue("installation")
        answer = requests.get(f"{server.url}/readyz", timeout=5, verify=server.trusts)
        assert answer.status_code == 200, server.log_text()


@pytest.fixture(scope="session")
def shared():
    """The directory with the users' scripts, next to the clone."""
    directory = Path(os.environ.get("ECRU_SHARED", Path(__file__).resolve().parent.parent.parent / "shared"))
    assert directory.is_dir(), f"{directory} does not exist: the users' scripts are next to the clone, or in ECRU_SHARED"
    return directory
