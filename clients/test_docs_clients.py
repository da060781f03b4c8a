"""Runs the lines of docs/clients.md and of each client's page, unchanged, with the real programs and over TLS."""

import re
import shutil
import sys
import time
from dataclasses import dataclass
from typing import Callable

import pytest
import requests

import drivers
from conftest import MATRIX, Shell, aws_client, slug
from drivers import (
    AwsCli1, AwsCli2, AwsSdkJs, AwsSdkRust, Boto3, Buildah, BuildahForky, CdkAssets, Cosign, Crane, Ctr16, Ctr21, Docker26, Docker28,
    Docker28Classic, DockerClassic, Helm, Notation, Oras, Podman, PodmanForky, Skopeo, SkopeoForky, Umoci, UmociForky,
)  # fmt: skip
from drivers.client import unpacked
from drivers.sdk import SOURCES
from ecru import LOG_SECONDS, ROOT, Ecru
from images import MANIFEST, Image, digest

DOCS = ROOT / "docs"
INDEX = (DOCS / "clients.md").read_text()
IMAGE = Image({"base": b"base" * 1000}, {"data": b"of a page" * 100})


class Secure(Ecru):
    """A server with TLS, named by its address, because some clients always speak plain HTTP to `localhost`."""

    def __init__(self, directory, engine):
        super().__init__(directory, engine, tls=True)
        self.flags += ("--url", self.url)

    @property
    def host(self):
        return f"127.0.0.1:{self.port}"

    @property
    def url(self):
        return f"https://{self.host}"


# The access lines of manifests, through both APIs. A client that has the image only checks whether the tag still names it.
WRITES = re.compile(r'http.method="PUT" url.path="/v2/[^"]*/manifests/|operation="PutImage"')
READS = re.compile(r'http.method="(GET|HEAD)" url.path="/v2/[^"]*/manifests/|operation="(BatchGetImage|DescribeImages)"')

# The preconditions of the pages. Each function gets the client, the page's directory, and the password.


def docker_archive(client, at, password):
    IMAGE.docker_archive(at / "app.tar", "app:latest")


def loaded(client, at, password):
    """Loads the image into the daemon under the name that the page pushes."""
    client.load(IMAGE, f"{client.server.host}/app:v1")


def containerfile(client, at, password):
    (at / "data").write_text("of a page")
    (at / "Dockerfile").write_text("FROM scratch\nCOPY data /data\n")


def layout(client, at, password):
    IMAGE.layout(at / "app")


def file(client, at, password):
    (at / "report.json").write_text('{"tests": "passed"}')


def pushed(client, at, password):
    """Pushes the image to the registry as app:v1."""
    put = lambda method, path, data, **more: requests.request(
        method, f"{client.server.url}/v2/app/{path}", data=data, auth=("AWS", password), verify=client.server.trusts, timeout=10, **more
    ).raise_for_status()
    for blob in IMAGE.blobs():
        put("POST", "blobs/uploads/", blob, params={"digest": digest(blob)})
    put("PUT", "manifests/v1", IMAGE.manifest, headers={"Content-Type": MANIFEST})


def signing_key(client, at, password):
    pushed(client, at, password)
    for key in (client.key, client.public_key):
        shutil.copy(key, at)


def chart(client, at, password):
    shutil.copy(client.package("page", "app", "0.1.0", {"templates/map.yaml": b"kind: ConfigMap\n"}), at)


def assets(client, at, password):
    client.asset(IMAGE, ("app", "v1")).rename(at / "cdk.out")


def python_program(client, at, password):
    layout(client, at, password)
    shutil.copy(SOURCES / "aws-sdk-python" / "ecr.py", at)


def javascript_program(client, at, password):
    layout(client, at, password)
    shutil.copytree(client.program()[1].parent, at, symlinks=True, dirs_exist_ok=True)


@dataclass
class Page:
    # The driver of the client that the lines use, with its settings and its daemon.
    driver: type
    prepare: Callable
    # A function that returns the programs that the lines call: {name: path}. It is a function because some are built on demand.
    programs: Callable = dict
    # Other drivers whose clients the page also covers.
    also: tuple = ()
    # The sources of the page's program. They contain every line that the page quotes.
    sources: tuple = ()


def of_forky(name):
    return lambda: {name: unpacked("forky", name)}


PAGES = {
    "aws-cli": Page(AwsCli1, pushed, also=(AwsCli2,)),
    "docker": Page(DockerClassic, loaded, also=(Docker26, Docker28, Docker28Classic)),
    "buildx": Page(Docker28, containerfile, also=(Docker26,)),
    "containerd": Page(Ctr21, loaded, of_forky("ctr"), also=(Ctr16,)),
    "podman": Page(Podman, containerfile, also=(PodmanForky,)),
    "buildah": Page(Buildah, containerfile, also=(BuildahForky,)),
    "skopeo": Page(Skopeo, docker_archive, also=(SkopeoForky,)),
    "umoci": Page(Umoci, docker_archive, also=(UmociForky,)),
    "crane": Page(Crane, docker_archive, of_forky("crane")),
    "oras": Page(Oras, file, of_forky("oras")),
    "cosign": Page(Cosign, signing_key, of_forky("cosign")),
    "notation": Page(Notation, pushed, of_forky("notation")),
    "helm": Page(Helm, chart, lambda: {"helm": Helm.program()}),
    "cdk-assets": Page(CdkAssets, assets, lambda: {"cdk-assets": CdkAssets.program()}),
    "boto3": Page(Boto3, python_program, lambda: {"python": sys.executable}, sources=("aws-sdk-python/ecr.py",)),
    "aws-sdk-js": Page(AwsSdkJs, javascript_program, sources=("aws-sdk-js/ecr.mjs",)),
    "aws-sdk-rust": Page(AwsSdkRust, layout, lambda: {"ecr": AwsSdkRust.program()[0]}, sources=("aws-sdk-rust/src/main.rs",)),
}


def blocks(page, *kinds):
    """Returns the blocks of a page with these languages."""
    return re.findall(rf"^```(?:{'|'.join(kinds)})\n(.*?)^```$", (DOCS / "clients" / f"{page}.md").read_text(), re.M | re.S)


def lines(block):
    """Returns the commands of a block. A command may continue after a backslash."""
    return block.strip().replace("\\\n", " ").split("\n")


@pytest.fixture(scope="module")
def server(tmp_path_factory, engine):
    server = Secure(tmp_path_factory.mktemp("secure"), engine).start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def page_password(server, tmp_path_factory):
    return Shell(server, tmp_path_factory.mktemp("password")).run("aws", "ecr", "get-login-password").stdout.strip()


@pytest.fixture(scope="module")
def page_client_of(server, tmp_path_factory, request):
    """A function that returns a driver's client, started but not logged in, because the page's first line logs in."""
    started = {}

    def get(driver):
        if driver not in started:
            client = started[driver] = driver(server, tmp_path_factory.mktemp(f"page-{slug(driver)}"))
            client.client_of = get
            request.config.stash[MATRIX].versions[driver.name] = client.version()
            client.start()
        return started[driver]

    yield get
    for client in started.values():
        client.stop()


@pytest.fixture
def repositories(server):
    """Creates the repositories of docs/clients.md, and returns a function that lists their images."""
    ecr = aws_client(server, "ecr")
    names = re.findall(r"create-repository --repository-name (\S+)", INDEX)
    for name in names:
        ecr.create_repository(repositoryName=name)
    yield lambda: [image for name in names for image in ecr.describe_images(repositoryName=name)["imageDetails"]]
    for name in names:
        ecr.delete_repository(repositoryName=name, force=True)


@pytest.mark.parametrize("page", [pytest.param(name, marks=pytest.mark.client.with_args(PAGES[name].driver)) for name in PAGES])
def test_its_page(page, server, page_client_of, page_password, repositories):
    script = blocks(page, "sh")[0]
    assert len(lines(script)) == 3, "a page is three lines: log in, push, pull"
    entry = PAGES[page]
    run_page(script, entry, page_client_of(entry.driver), server, page_password)
    assert repositories(), "nothing was pushed"
    text = "\n".join((SOURCES / source).read_text() for source in entry.sources)
    for line in (line.strip() for block in blocks(page, "python", "js", "rust") for line in block.splitlines()):
        assert line in text, f"the program does not contain {line!r}"


def run_page(script, entry, client, server, password):
    """Runs a page's lines in its client's directory, and waits until the log has a push and a pull."""
    at = client.fresh("page")
    at.mkdir()
    entry.prepare(client, at, password)
    programs = client.fresh("programs")
    programs.mkdir()
    for name, path in entry.programs().items():
        (programs / name).symlink_to(path)
    shell = Shell(server, at, {**client.environment, "REGISTRY": server.host})
    shell.environment["PATH"] = f"{programs}:{shell.environment['PATH']}"
    before = len(server.log.read_bytes())
    shell.bash(script)
    # A line of the log may be written after its answer.
    deadline = time.monotonic() + LOG_SECONDS
    while not pushed_and_pulled(calls := server.log.read_bytes()[before:].decode()):
        assert time.monotonic() < deadline, f"nothing was pushed, or nothing was pulled after it:\n{calls}"
        time.sleep(0.02)


# The clients that need a flag for plain HTTP, even at `localhost`.
PLAIN = ("skopeo", "helm", "podman", "buildah", "containerd")


@pytest.mark.parametrize("page", PLAIN)
def test_its_page_over_plain_http(page, tmp_path, engine):
    _, script = blocks(page, "sh")
    assert len(lines(script)) == 3, "a page is three lines: log in, push, pull"
    entry = PAGES[page]
    server = Ecru(tmp_path / "plain", engine).start()
    client = entry.driver(server, tmp_path / "client")
    try:
        client.start()
        shell = Shell(server, tmp_path)
        for name in ("app", "charts/app"):
            shell.aws("ecr", "create-repository", "--repository-name", name)
        password = shell.run("aws", "ecr", "get-login-password").stdout.strip()
        run_page(script, entry, client, server, password)
    finally:
        client.stop()
        server.stop()


def test_the_other_pages_need_no_lines_for_plain_http():
    assert [page for page in PAGES if len(blocks(page, "sh")) != 1] == [page for page in PAGES if page in PLAIN]


def pushed_and_pulled(log):
    """Returns true if the log has a written manifest, and a manifest that was read after it."""
    calls = log.splitlines()
    writes = [number for number, call in enumerate(calls) if WRITES.search(call)]
    return bool(writes) and any(READS.search(call) for call in calls[writes[-1] :])


def test_every_client_has_a_page_and_every_page_a_client():
    assert {path.stem for path in (DOCS / "clients").glob("*.md")} == set(PAGES)
    paged = {driver for page in PAGES.values() for driver in (page.driver, *page.also)}
    assert [driver.name for driver in drivers.CLIENTS if driver not in paged] == []


def test_the_index_names_every_page_and_the_tested_versions():
    rows = dict(re.findall(r"^\| \[[^]]+\]\(clients/([\w-]+)\.md\) \| (.+?) \|", INDEX, re.M))
    assert set(rows) == set(PAGES)
    for page, entry in PAGES.items():
        for driver in (entry.driver, *entry.also):
            version = re.search(r"\d+\.\d+", driver.name)
            assert version is None or version.group() in rows[page], f"docs/clients.md does not name {driver.name}"
