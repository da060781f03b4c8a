"""Tests of docker: the commands and messages of its users, in each version and image store."""

import json
import time

import pytest

from conftest import case_of, of, slug
from drivers import Docker26, Docker28, Docker28Classic, DockerClassic
from drivers.client import of_python
from drivers.containerd import NEIGHBOUR
from images import Image, Index
from test_cases import held

ALL = (DockerClassic, Docker26, Docker28, Docker28Classic)


def image(seed, architecture="amd64"):
    return Image({"base": b"base" * 3000}, {"data": f"docker {seed}".encode() * 500}, architecture=architecture)


@pytest.fixture
def docker(client_of, driver):
    return client_of(driver)


@pytest.fixture
def name(driver, request):
    """A repository name for this test and client, short enough for a reason phrase."""
    return f"docker/{case_of(request.node)[:30].strip('_').replace('_', '-')}/{slug(driver)}"


@of(*ALL)
def test_a_login_is_kept_until_the_logout(docker, name, new_repository, password, tmp_path):
    repository = new_repository(name)
    docker.push(image("login"), f"{repository}:v1")
    other = {"DOCKER_CONFIG": str(tmp_path)}
    config = tmp_path / "config.json"
    pull = lambda: docker.docker("pull", f"{repository}:v1", check=False, **other)

    assert not_logged_in(docker, pull())
    docker.docker("login", "--username", "AWS", "--password-stdin", docker.server.host, input=password, **other)
    assert docker.server.host in json.loads(config.read_text())["auths"]
    assert pull().returncode == 0
    docker.docker("logout", docker.server.host, **other)
    assert docker.server.host not in json.loads(config.read_text()).get("auths", {})
    assert not_logged_in(docker, pull())
    assert not_logged_in(docker, docker.send(f"{repository}:v1", check=False, **other))


def not_logged_in(docker, out):
    assert out.returncode != 0
    said = ["no basic auth credentials"]
    if docker.server.ca is not None:
        # At localhost 20.10 then tries plain HTTP, and reports only that error.
        said.append("Client sent an HTTP request to an HTTPS server")
    return any(text in out.stdout + out.stderr for text in said)


@of(*ALL)
def test_a_push_to_a_missing_repository_says_how_to_create_it(docker, name):
    reference = f"{docker.server.host}/{name}:v1"
    docker.load(image("missing"), reference)
    out = docker.send(reference, check=False)
    assert out.returncode != 0
    assert f"reate it with: aws ecr create-repository --repository-name {name}" in out.stdout + out.stderr


@of(*ALL)
def test_a_push_to_a_name_that_is_too_short_fails_at_once(docker):
    """New users often type such a name first. The classic store retries some error codes, five times in 50 s."""
    reference = f"{docker.server.host}/a:v1"
    docker.load(image("short"), reference)
    began = time.monotonic()
    out = docker.send(reference, check=False)
    assert out.returncode != 0 and time.monotonic() - began < 20, out.stdout
    assert "repositoryName" in out.stdout + out.stderr, out


@of(*ALL)
def test_a_pull_of_a_missing_image_says_so(docker, name, new_repository):
    repository = new_repository(name)
    for reference in (f"{repository}:gone", f"{repository}-gone:v1"):
        out = docker.docker("pull", reference, check=False)
        assert out.returncode != 0
        assert "not found" in out.stderr or "does not exist" in out.stderr, out.stderr


@of(*ALL)
def test_a_push_to_another_accounts_registry_names_the_missing_right(docker, name, password):
    host = f"{NEIGHBOUR}:{docker.server.port}"
    docker.docker("login", "--username", "AWS", "--password-stdin", host, input=password)
    docker.load(image("neighbour"), f"{host}/{name}:v1")
    out = docker.send(f"{host}/{name}:v1", check=False)
    assert out.returncode != 0
    text = out.stdout + out.stderr
    # docker prints the body's sentence with the ARN, or the reason phrase with the name.
    assert "is not authorized to perform: ecr:" in text or "not authorized: ecr:" in text, text
    assert f"repository/{name}" in text or f"on repository {name}" in text, text


@of(*ALL)
def test_all_tags_of_a_repository_are_pulled_at_once(docker, name, new_repository):
    repository = new_repository(name)
    for tag in ("v1", "v2", "latest"):
        docker.push(image(tag), f"{repository}:{tag}")
    docker.forget()
    docker.docker("pull", "--all-tags", repository)
    local = docker.docker("images", "--format", "{{.Tag}}", repository).stdout.split()
    assert sorted(local) == ["latest", "v1", "v2"]
    assert docker.files(f"{repository}:v2") == image("v2").files


@of(*ALL)
def test_the_manifest_is_shown_without_a_pull(docker, name, new_repository):
    repository = new_repository(name)
    index = Index(image("shown"), image("shown", "arm64"))
    docker.push_index(index, f"{repository}:v1")
    insecure = [] if docker.server.ca is not None else ["--insecure"]
    shown = json.loads(docker.docker("manifest", "inspect", *insecure, f"{repository}:v1").stdout)
    assert [child["platform"]["architecture"] for child in shown["manifests"]] == ["amd64", "arm64"]


@of(DockerClassic, Docker28Classic)
def test_the_classic_store_reports_layers_that_it_did_not_send(docker, name, new_repository):
    first, second = new_repository(name), new_repository(f"{name}-second")
    assert "Pushed" in docker.push(image("said"), f"{first}:v1")
    again = docker.send(f"{first}:v1").stdout
    assert "Layer already exists" in again and "Pushed" not in again
    docker.tag(f"{first}:v1", f"{second}:v1")
    assert "Mounted from" in docker.send(f"{second}:v1").stdout


@of(Docker26, Docker28)
def test_the_containerd_store_reports_layers_that_it_did_not_send(docker, name, new_repository):
    first, second = new_repository(name), new_repository(f"{name}-second")
    docker.push(image("said"), f"{first}:v1")
    again = docker.send(f"{first}:v1").stdout
    assert "lready exists" in again and "Pushed" not in again
    docker.tag(f"{first}:v1", f"{second}:v1")
    assert "Mounted from" in docker.send(f"{second}:v1").stdout


@of(DockerClassic, Docker28Classic)
def test_an_immutable_tag_accepts_the_same_list_of_docker_manifest_again_and_refuses_another(docker, name, new_repository, aws):
    repository = new_repository(name, imageTagMutability="IMMUTABLE")
    index = lambda seed: Index(image(seed), image(seed, "arm64"))
    docker.push_index(index(1), f"{repository}:v1")
    first = held(aws, repository)
    assert set(first) == {"v1", "v1-amd64", "v1-arm64"}
    docker.push_index(index(1), f"{repository}:v1")
    assert held(aws, repository) == first

    docker.push_index(index(2), f"{repository}:v2")
    out = docker.join(f"{repository}:v1", [f"{repository}:v2-amd64", f"{repository}:v2-arm64"], check=False)
    assert out.returncode != 0 and f"It holds {first['v1']}" in out.stderr
    assert held(aws, repository)["v1"] == first["v1"]


@of(DockerClassic, Docker26, Docker28)
def test_the_users_script_runs_unchanged(docker, driver, shared):
    keys = {name: value for name, value in docker.server.aws_environment().items() if name.startswith("AWS_")}
    out = docker.run(
        "bash",
        shared / "scripts" / "course.sh",
        timeout=280,
        **keys,
        # The script finds programs by name. This version's `docker` is first in the client's PATH.
        PATH=f"{of_python('aws').parent}:{docker.environment['PATH']}",
        STEPS="create push cleanup",
        TOOL="docker",
        REGISTRY=docker.server.host,
        REPO_NAME=f"course/{slug(driver)}",
    )
    assert "course: all steps done (create push cleanup)" in out.stdout
