"""Tests of helm's charts."""

import pytest

from drivers import Helm

pytestmark = pytest.mark.client.with_args(Helm)

TEMPLATE = b"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ .Release.Name }}\n"


@pytest.fixture
def helm(client_of):
    return client_of(Helm)


def chart(helm, version, note=b"a note"):
    return helm.package(note.hex(), "app", version, {"templates/map.yaml": TEMPLATE, "files/note": note})


def test_a_chart_is_shown_rendered_and_pulled_by_version(helm, new_repository, aws):
    repository = new_repository("helm/charts/app")
    parent = repository.removesuffix("/app")
    for version in ("0.1.0", "0.2.0", "1.0.0+build.5"):
        helm.push_chart(chart(helm, version), parent)
    of = lambda *command: helm.helm(*command, *helm.plain()).stdout
    assert "version: 0.1.0" in of("show", "chart", f"oci://{repository}", "--version", "0.1.0")
    assert "version: 0.2.0" in of("show", "chart", f"oci://{repository}", "--version", "^0.1.0 || ^0.2.0"), "a version range was not resolved from the tags"
    assert "version: 1.0.0+build.5" in of("show", "chart", f"oci://{repository}"), "no version did not mean the newest"
    assert "name: release" in of("template", "release", f"oci://{repository}", "--version", "0.2.0")
    of("pull", f"oci://{repository}", "--version", "0.1.0", "--untar", "--untardir", "untarred")
    assert (helm.directory / "untarred" / "app" / "files" / "note").read_bytes() == b"a note"
    details = aws.describe_images(repositoryName="helm/charts/app")["imageDetails"]
    assert sorted(detail["imageTags"][0] for detail in details) == ["0.1.0", "0.2.0", "1.0.0_build.5"], "the plus was not replaced in a tag"
    assert {detail["artifactMediaType"] for detail in details} == {"application/vnd.cncf.helm.config.v1+json"}


def test_one_chart_is_pushed_under_two_prefixes(helm, new_repository, aws):
    repositories = [new_repository(f"helm/{prefix}/app") for prefix in ("one", "two")]
    for repository in repositories:
        helm.push_chart(chart(helm, "0.1.0"), repository.removesuffix("/app"))
    digests = {aws.list_images(repositoryName=r.partition("/")[2])["imageIds"][0]["imageDigest"] for r in repositories}
    assert len(digests) == 1
    assert helm.pull(f"{repositories[1]}:0.1.0") == {"note": b"a note"}


def test_a_chart_depends_on_another_in_the_registry(helm, new_repository):
    library = new_repository("helm/depends/app")
    helm.push_chart(chart(helm, "0.1.0"), library.removesuffix("/app"))
    parent = helm.fresh("parent")
    (parent / "templates").mkdir(parents=True)
    depends = f"dependencies:\n- name: app\n  version: 0.1.0\n  repository: oci://{library.removesuffix('/app')}\n"
    (parent / "Chart.yaml").write_text(f"apiVersion: v2\nname: parent\nversion: 0.1.0\n{depends}")
    helm.helm("dependency", "update", *helm.plain(), parent)
    assert (parent / "charts" / "app-0.1.0.tgz").exists()


def test_a_refusal_names_the_image_of_an_immutable_version(helm, new_repository, aws):
    repository = new_repository("helm/immutable/app", imageTagMutability="IMMUTABLE")
    parent = repository.removesuffix("/app")
    for _ in range(2):
        helm.push_chart(chart(helm, "0.1.0"), parent)
    (held,) = aws.list_images(repositoryName="helm/immutable/app")["imageIds"]
    other = chart(helm, "0.1.0", b"another note")
    out = helm.helm("push", *helm.plain(), other, f"oci://{parent}", check=False)
    assert out.returncode != 0
    assert "cannot be overwritten because the tag is immutable" in out.stderr and held["imageDigest"] in out.stderr, out.stderr


def test_a_refusal_names_the_missing_repository(helm):
    out = helm.helm("push", *helm.plain(), chart(helm, "0.1.0"), f"oci://{helm.server.host}/helm/nowhere", check=False)
    assert out.returncode != 0 and "The repository with name 'helm/nowhere/app' does not exist" in out.stderr, out.stderr


def test_no_chart_can_be_pulled_after_the_logout(helm, new_repository, password):
    repository = new_repository("helm/logout/app")
    helm.push_chart(chart(helm, "0.1.0"), repository.removesuffix("/app"))
    helm.helm("registry", "logout", helm.server.host)
    out = helm.helm("show", "chart", *helm.plain(), f"oci://{repository}", "--version", "0.1.0", check=False)
    helm.login(password)
    assert out.returncode != 0
    assert "version: 0.1.0" in helm.helm("show", "chart", *helm.plain(), f"oci://{repository}", "--version", "0.1.0").stdout
