"""docker with its classic image store."""

import json

import pytest

from images import tar

LOGIN = 'aws ecr get-login-password | docker login --username AWS --password-stdin "$REGISTRY"'


@pytest.fixture
def docker(docker_shell):
    docker_shell.environment["REGISTRY"] = docker_shell.server.host
    out = docker_shell.bash(LOGIN)
    assert "Login Succeeded" in out.stdout
    return docker_shell


def make(docker, reference, seed):
    """Makes a local image of two layers, another for each seed."""
    (docker.directory / "base.tar").write_bytes(tar({"base": b"base\n" * 1000}))
    (docker.directory / "file").write_bytes(f"content {seed}\n".encode() * 500)
    docker.run("docker", "import", "base.tar", "base:local")
    (docker.directory / "Dockerfile").write_text("FROM base:local\nCOPY file /file\n")
    docker.run("docker", "build", "-q", "-t", reference, ".")


def local_id(docker, reference):
    return docker.run("docker", "image", "inspect", "--format", "{{.Id}}", reference).stdout.strip()


def test_login_push_push_again_second_repository_pull_describe_list_delete(docker):
    registry = docker.server.host
    for name in ("docker/app", "docker/copy"):
        docker.aws("ecr", "create-repository", "--repository-name", name)
    app, copy = f"{registry}/docker/app:v1", f"{registry}/docker/copy:v1"
    make(docker, app, 1)
    identity = local_id(docker, app)

    first = docker.run("docker", "push", app).stdout
    assert "Pushed" in first
    again = docker.run("docker", "push", app).stdout
    assert "Layer already exists" in again and "Pushed" not in again
    docker.run("docker", "tag", app, copy)
    second = docker.run("docker", "push", copy).stdout
    assert "Mounted from" in second, second

    details = docker.aws("ecr", "describe-images", "--repository-name", "docker/app")["imageDetails"]
    assert len(details) == 1 and details[0]["imageTags"] == ["v1"]
    by_digest = f"{registry}/docker/app@{details[0]['imageDigest']}"
    for reference in (app, by_digest, copy):
        docker.run("docker", "rmi", "-f", identity)
        docker.run("docker", "pull", reference)
        assert local_id(docker, reference) == identity, "the config that came back is the one that was pushed"

    docker.bash(f"docker save {copy} -o saved.tar && tar xf saved.tar")
    manifest = json.loads((docker.directory / "manifest.json").read_text())[0]
    layer = (docker.directory / manifest["Layers"][-1]).read_bytes()
    assert b"content 1\n" * 500 in layer

    listed = docker.aws("ecr", "list-images", "--repository-name", "docker/app")["imageIds"]
    assert listed == [{"imageDigest": details[0]["imageDigest"], "imageTag": "v1"}]
    docker.aws("ecr", "batch-delete-image", "--repository-name", "docker/app", "--image-ids", "imageTag=v1")
    docker.run("docker", "rmi", "-f", identity)
    gone = docker.run("docker", "pull", app, check=False)
    assert gone.returncode != 0 and "not found" in gone.stderr
    docker.run("docker", "pull", copy)
    for name in ("docker/app", "docker/copy"):
        docker.aws("ecr", "delete-repository", "--repository-name", name, "--force")


def test_without_login_nothing_is_had_and_the_reason_is_read(docker_shell):
    docker_shell.aws("ecr", "create-repository", "--repository-name", "docker/closed")
    out = docker_shell.run("docker", "pull", f"{docker_shell.server.host}/docker/closed:v1", check=False)
    assert out.returncode != 0 and "no basic auth credentials" in out.stderr
    wrong = docker_shell.run(
        "docker", "login", "--username", "AWS", "--password-stdin", docker_shell.server.host, input="nonsense", check=False
    )
    assert wrong.returncode != 0


def test_a_push_to_a_repository_that_is_not_there_says_so(docker):
    reference = f"{docker.server.host}/docker/gone:v1"
    make(docker, reference, 2)
    out = docker.run("docker", "push", reference, check=False)
    assert out.returncode != 0
    assert "The repository with name 'docker/gone' does not exist in the registry with id '000000000000'" in out.stderr


def test_an_immutable_tag_refuses_another_image_and_takes_the_same_again(docker):
    reference = f"{docker.server.host}/docker/immutable:v1"
    docker.aws("ecr", "create-repository", "--repository-name", "docker/immutable", "--image-tag-mutability", "IMMUTABLE")
    make(docker, reference, 3)
    docker.run("docker", "push", reference)
    docker.run("docker", "push", reference)
    make(docker, reference, 4)
    out = docker.run("docker", "push", reference, check=False)
    assert out.returncode != 0 and "cannot be overwritten because the tag is immutable" in out.stderr


def test_the_course_of_a_repository_runs_byte_for_byte(docker, shared):
    script = shared / "scripts" / "course.sh"
    out = docker.run("bash", script, timeout=280, STEPS="create push cleanup", REGISTRY=docker.server.host)
    assert "course: all steps done (create push cleanup)" in out.stdout
