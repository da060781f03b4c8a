"""Tests of `ecru import` and `ecru export`: the commands of docs/moving.md, with real registries and files of real clients."""

import base64
import hashlib
import http.server
import io
import json
import os
import signal
import subprocess
import tarfile
import threading
import time
from pathlib import Path

import pytest
import requests

import ecru
from conftest import aws_client, held, versions
from drivers import Docker28, Docker28Classic, DockerClassic, Podman, PodmanForky, Skopeo
from drivers.client import files_of, installed
from ecru import binary, free_port
from images import MANIFEST, Image, Index, digest, layout
from network import machine  # a fixture
from pages import Page, assert_printed

PAGE = Page("moving.md")
HTTPS = "https://127.0.0.1"
SIGNATURE = "application/vnd.example.signature"


def registry_config(directory, address):
    return f"version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {directory}}}, delete: {{enabled: true}}}}\nhttp: {{addr: '{address}'}}\n"


class Repository:
    """A repository of any registry, which a test fills over HTTP."""

    def __init__(self, base, name):
        self.url = f"{base}/v2/{name}"

    def blob(self, data):
        at = requests.post(f"{self.url}/blobs/uploads/", timeout=20).headers["Location"]
        answer = requests.put(f"{at}{'&' if '?' in at else '?'}digest={digest(data)}", data=data, timeout=60)
        assert answer.status_code == 201, answer.text

    def manifest(self, reference, data, media_type=MANIFEST):
        answer = requests.put(f"{self.url}/manifests/{reference}", data=data, headers={"Content-Type": media_type}, timeout=20)
        assert answer.status_code == 201, answer.text

    def image(self, tag, image):
        for data in image.blobs():
            self.blob(data)
        self.manifest(tag, image.manifest)

    def index(self, tag, index):
        for image in index.images:
            self.image(image.digest, image)
        self.manifest(tag, index.manifest, "application/vnd.oci.image.index.v1+json")


def dated(image, created):
    """Returns the image with a creation time in its configuration."""
    config = {**json.loads(image.config), "created": created}
    image.config = json.dumps(config).encode()
    manifest = json.loads(image.manifest)
    manifest["config"] = {**manifest["config"], "digest": digest(image.config), "size": len(image.config)}
    image.manifest = json.dumps(manifest).encode()
    image.digest = digest(image.manifest)
    return image


def referrer_of(subject, content):
    """Returns a manifest that refers to another one, and its blobs."""
    config = b"{}"
    described = lambda media_type, data: {"mediaType": media_type, "digest": digest(data), "size": len(data)}
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": SIGNATURE,
        "config": described("application/vnd.oci.empty.v1+json", config),
        "layers": [described("application/octet-stream", content)],
        "subject": described(MANIFEST, subject),
    }
    return json.dumps(manifest).encode(), [config, content]


def imports(shell, *arguments, check=True, **options):
    return shell.run(binary(), "import", *arguments, check=check, **options)


def exports(shell, *arguments, check=True, **options):
    return shell.run(binary(), "export", *arguments, check=check, **options)


@pytest.fixture(scope="module")
def docker_registry(tmp_path_factory):
    """The base URL of Debian's docker-registry, without a login."""
    directory, port = tmp_path_factory.mktemp("registry"), free_port()
    config = directory / "config.yml"
    config.write_text(registry_config(directory / "data", f"localhost:{port}"))
    process = subprocess.Popen([installed("docker-registry"), "serve", config], stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    base = f"http://localhost:{port}"
    deadline = time.monotonic() + ecru.STARTUP_SECONDS
    while True:
        try:
            assert requests.get(f"{base}/v2/", timeout=5).status_code == 200
            break
        except requests.ConnectionError:
            assert process.poll() is None and time.monotonic() < deadline, "docker-registry does not start"
            time.sleep(0.05)
    yield base
    process.terminate()
    process.wait(timeout=20)


# The page.


def test_the_page_runs_word_by_word(machine):
    here = machine("here")
    (from_file, shown, more), (from_registry,), (from_ecr,), (out, load, loaded, again) = (
        PAGE.blocks("From a file", "sh", "text", "sh"),
        PAGE.blocks("From a registry", "sh"),
        PAGE.blocks("From Amazon ECR", "sh"),
        PAGE.blocks("Out", "sh", "sh", "text", "sh"),
    )
    # Push the image of the page.
    image = Image({"a": b"1" * 1000}, {"b": b"2" * 9000})
    image.docker_archive(here.directory / "app.tar", "app:latest")
    here.ecru("exec ecru serve", "http://127.0.0.1:5050")
    # Fill a registry on this machine with three tags.
    (here.directory / "registry.yml").write_text(registry_config(here.directory / "registry", "localhost:5000"))
    here.serve("registry", "exec docker-registry serve registry.yml", "curl -fs http://localhost:5000/v2/")
    for tag, content in (("v1", b"1"), ("v2", b"2"), ("latest", b"2")):
        Image({"hello": content}).layout(here.directory / f"image-{tag}")
        here.run("skopeo", "copy", "--quiet", "--dest-tls-verify=false", f"oci:image-{tag}:latest", f"docker://localhost:5000/app:{tag}")
    assert_printed(shown, here.bash(from_file))
    here.bash(more)
    here.bash(from_registry)
    amazon(here)
    # The variables for Ecru must not affect the source.
    here.bash('eval "$(ecru env)"')
    ordered = [line.split()[1] for line in here.bash(from_ecr).splitlines()[:-1]]
    assert ordered == ["second:", "first:"], "the order is not the order of the pushes"
    tags = lambda name: set(
        here.bash(f"aws ecr list-images --repository-name {name} --query 'imageIds[].imageTag' --output text").split()
    )
    assert tags("team/app") == {"latest", "v1", "v2"}
    assert tags("app") == {"v1", "v2", "latest", "stable", "first", "second"}
    here.bash(out)
    here.dockerd()
    assert_printed(loaded, here.bash(load))
    here.bash(again)
    assert tags("copy/app") == tags("app")


def amazon(here):
    """Starts a second Ecru under ECR's real names in place of Amazon's, with two images, and writes a profile with its keys."""
    here.bash(
        """
        ecru tls init --dir tls --domain amazonaws.com --region us-east-1
        echo "127.0.0.1 api.ecr.us-east-1.amazonaws.com 111122223333.dkr.ecr.us-east-1.amazonaws.com" >> /etc/hosts
        cp tls/ca.pem /usr/local/share/ca-certificates/amazon.crt
        update-ca-certificates
        mkdir -p ~/.aws
        printf '[production]\naws_access_key_id = 111122223333\naws_secret_access_key = test\n' > ~/.aws/credentials
        """
    )
    listen = "--listen https://127.0.0.1:443 --domain amazonaws.com --tls-cert tls/server.pem --tls-key tls/server-key.pem"
    here.serve("amazon", f"exec ecru serve --dev --data amazon {listen}", f"curl -fsk {HTTPS}/readyz")
    for name, year in (("first", 2001), ("second", 2002)):
        dated(Image({"hello": f"{name} of amazon".encode()}), f"{year}-01-01T00:00:00Z").layout(here.directory / f"image-{name}")
    here.bash(
        """
        export AWS_ACCESS_KEY_ID=111122223333 AWS_SECRET_ACCESS_KEY=test AWS_DEFAULT_REGION=us-east-1
        export AWS_CA_BUNDLE=/etc/ssl/certs/ca-certificates.crt
        aws ecr create-repository --repository-name app
        host=111122223333.dkr.ecr.us-east-1.amazonaws.com
        password=$(aws ecr get-login-password)
        for name in second first; do
            skopeo copy --quiet --dest-creds "AWS:$password" oci:image-$name:latest docker://$host/app:$name
        done
        unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_DEFAULT_REGION AWS_CA_BUNDLE
        """
    )


# From files.


@pytest.fixture(params=versions(DockerClassic, Docker28, Docker28Classic, Podman, PodmanForky, Skopeo))
def saver(request, client_of):
    return client_of(request.param)


def save(client, image, to):
    """Loads an image as app:v1 and saves it with the client. Returns the archive."""
    if isinstance(client, Skopeo):
        client.tool("copy", f"oci:{client.layout(image)}:latest", f"docker-archive:{to}:app:v1")
    elif isinstance(client, Podman):
        client.tool("tag", client.load(image), "localhost/app:v1")
        client.tool("save", "--quiet", "--output", to, "localhost/app:v1")
    else:
        client.load(image, "docker.io/library/app:v1")
        client.docker("save", "--output", to, "app:v1")
    return to


def test_saved_images_are_imported_with_the_same_digest_each_time(saver, shell, aws, new_repository):
    image = Image({"a": b"first" * 3000}, {"b": b"second" * 500})
    archive = save(saver, image, saver.fresh("saved"))
    first, second = (f"import/saved-{saver.fresh('name').name}-{n}" for n in "ab")
    for name in (first, second):
        new_repository(name)
        out = imports(shell, f"docker-archive:{archive}", "--to", name)
        assert "v1: " in out.stdout, out.stdout
    assert held(aws, f"x/{first}") == held(aws, f"x/{second}")
    if isinstance(saver, Docker28):
        # This client's archive contains the loaded manifest.
        assert held(aws, f"x/{first}") == {"v1": image.digest}
    if isinstance(saver, Docker28Classic):
        with tarfile.open(archive) as saved:
            (written,) = json.load(saved.extractfile("index.json"))["manifests"]
        assert held(aws, f"x/{first}") == {"v1": written["digest"]}
    assert pulled_files(shell.server, aws, first, "v1") == image.files


def test_an_archive_of_an_oci_layout_is_read_as_a_layout(shell, aws, new_repository, client_of):
    podman, image = client_of(PodmanForky), Image({"in": b"an oci archive"})
    new_repository("import/oci-archive")
    to = podman.fresh("oci-archive")
    podman.tool("tag", podman.load(image), "localhost/app:v1")
    podman.tool("save", "--quiet", "--format", "oci-archive", "--output", to, "localhost/app:v1")
    with tarfile.open(to) as saved:
        (written,) = json.load(saved.extractfile("index.json"))["manifests"]
    imports(shell, f"oci:{to}", "--to", "import/oci-archive:v1")
    assert held(aws, "x/import/oci-archive") == {"v1": written["digest"]}


def test_the_names_of_a_file_are_found_however_they_are_spelled_and_listed(shell, aws, new_repository, tmp_path):
    archive = Image({"a": b"data"}).docker_archive(tmp_path / "app.tar", "app:v1")
    new_repository("import/spelled")
    for name in ("app:v1", "docker.io/library/app:v1", "localhost/app:v1", "v1"):
        imports(shell, f"docker-archive:{archive}:{name}", "--to", "import/spelled")
    out = imports(shell, f"docker-archive:{archive}:app", "--to", "import/spelled", check=False)
    assert out.stderr.strip() == f"ecru: {archive} has no image 'app'; it has app:v1", out.stderr
    refusals = {
        str(archive): f"write docker-archive:{archive}.",
        "./layout": "write oci:./layout.",
    }
    for text, said in refusals.items():
        out = imports(shell, text, "--to", "import/spelled", check=False)
        assert out.returncode == 1 and said in out.stderr, out.stderr
    out = imports(shell, f"docker-archive:{archive}", "--to", f"localhost:{shell.server.port}/app", check=False)
    assert out.returncode == 2 and "it names the repository without a host: write app;" in out.stderr, out.stderr
    out = exports(shell, "import/spelled", "out.tar", check=False)
    assert "'out.tar' is not a target: write docker-archive:out.tar (" in out.stderr, out.stderr


def test_two_names_of_one_image_are_one_image(shell, aws, new_repository, tmp_path):
    image = Image({"a": b"twice"})
    layout = image.layout(tmp_path / "layout")
    index = json.loads((layout / "index.json").read_text())
    (entry,) = index["manifests"]
    index["manifests"] = [{**entry, "annotations": {"org.opencontainers.image.ref.name": tag}} for tag in ("v1", "v2")]
    (layout / "index.json").write_text(json.dumps(index))
    new_repository("import/names")
    out = imports(shell, f"oci:{layout}", "--to", "import/names")
    assert "2 tags of 1 image in import/names: 2 new or moved, 0 there before" in out.stdout, out.stdout
    imports(shell, f"oci:{layout}", "--to", "import/names:v3")
    assert held(aws, "x/import/names") == dict.fromkeys(("v1", "v2", "v3"), image.digest)


def test_a_source_that_lacks_what_is_asked_for_says_what_it_has(docker_registry, shell, aws, new_repository):
    theirs = Repository(docker_registry, "there")
    for tag in ("v1", "v2"):
        theirs.image(tag, Image({"tag": tag.encode()}))
    host = docker_registry.removeprefix("http://")
    for source, arguments, said in (
        ("nowhere", (), f"the repository {host}/nowhere does not exist"),
        ("nowhere:v1", (), f"the repository {host}/nowhere does not exist"),
        ("there:v9", (), f"{host}/there has no tag v9; it has v1, v2"),
        ("there", ("--tags", "w*"), f"{host}/there has no tag like w*; it has v1, v2"),
    ):
        out = imports(shell, f"{host}/{source}", *arguments, "--to", "import/never-made", "--create", check=False)
        assert out.returncode == 1 and out.stderr.strip() == f"ecru: {said}", out.stderr
    # Nothing was made for it.
    assert not [r for r in aws.describe_repositories()["repositories"] if r["repositoryName"] == "import/never-made"]
    out = exports(shell, "import/never-made", "oci:out", check=False)
    assert "does not exist" in out.stderr, out.stderr


def test_a_gzipped_archive_gives_the_digest_of_the_plain_one(shell, aws, new_repository, tmp_path):
    archive = Image({"a": b"data" * 3000}).docker_archive(tmp_path / "app.tar", "app:v1")
    subprocess.run(["gzip", "--keep", archive], check=True)
    for name, file in (("import/plain", archive), ("import/gzipped", f"{archive}.gz")):
        new_repository(name)
        imports(shell, f"docker-archive:{file}", "--to", name)
    assert held(aws, "x/import/plain") == held(aws, "x/import/gzipped")
    # Uncompressed layers: their digests are the configuration's.
    manifest = json.loads(manifest_of(aws, "import/plain", "v1"))
    config = json.loads(blob(shell.server, aws, "import/plain", manifest["config"]["digest"]))
    assert [layer["digest"] for layer in manifest["layers"]] == config["rootfs"]["diff_ids"]


def test_archives_that_lie_are_refused(shell, aws, new_repository, tmp_path):
    new_repository("import/lies")
    image = Image({"a": b"data"})
    good = image.docker_archive(tmp_path / "good.tar", "app:v1")
    # A layer that is not the configuration's; the end is cut off; a name leads outside.
    members = {member.name: data for member, data in entries(good)}
    layer = next(name for name in members if name.endswith(".tar"))
    cases = {
        "changed": ({**members, layer: bytes(reversed(members[layer]))}, "has the digest"),
        "outside": ({**members, "../../etc/cron.d/evil": b"x"}, "leads out of it"),
        "missing": ({name: data for name, data in members.items() if name != layer}, "which its manifest.json names"),
    }
    for name, (files, said) in cases.items():
        path = tmp_path / f"{name}.tar"
        with tarfile.open(path, "w") as archive:
            for member, data in files.items():
                info = tarfile.TarInfo(member)
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
        out = imports(shell, f"docker-archive:{path}", "--to", "import/lies", check=False)
        assert out.returncode == 1 and said in out.stderr, out.stderr
    (tmp_path / "cut.tar").write_bytes(good.read_bytes()[:3000])
    out = imports(shell, f"docker-archive:{tmp_path / 'cut.tar'}", "--to", "import/lies", check=False)
    assert out.returncode == 1 and "not a whole tar archive" in out.stderr, out.stderr
    assert held(aws, "x/import/lies") == {}


def entries(path):
    with tarfile.open(path) as archive:
        for member in archive.getmembers():
            yield member, archive.extractfile(member).read()


def pulled_files(server, aws, name, tag):
    manifest = json.loads(manifest_of(aws, name, tag))
    return files_of(*(blob(server, aws, name, layer["digest"]) for layer in manifest["layers"]))


def manifest_of(aws, name, tag):
    return aws.batch_get_image(repositoryName=name, imageIds=[{"imageTag": tag}])["images"][0]["imageManifest"]


def blob(server, aws, name, wanted):
    token = aws.get_authorization_token()["authorizationData"][0]["authorizationToken"]
    answer = requests.get(
        f"{server.url}/v2/{name}/blobs/{wanted}", headers={"Authorization": f"Basic {token}"}, verify=server.trusts, timeout=20
    )
    assert answer.status_code == 200 and digest(answer.content) == wanted
    return answer.content


# From registries.


def test_all_of_a_repository_comes_oldest_first_and_only_once(docker_registry, shell, aws, new_repository):
    theirs = Repository(docker_registry, "app")
    images = {
        "v1": dated(Image.random(1, 40_000), "2026-03-01T00:00:00Z"),
        "v2": dated(Image.random(2, 40_000), "2026-01-01T00:00:00Z"),
        "a-new": dated(Image.random(3, 40_000), "2026-05-01T00:00:00.5+02:00"),
    }
    for tag, image in images.items():
        theirs.image(tag, image)
    index = Index(*(dated(Image({"data": name.encode()}, architecture=name), "2026-04-01T00:00:00Z") for name in ("amd64", "arm64")))
    theirs.index("multi", index)
    source = f"{docker_registry.removeprefix('http://')}/app"
    missing = imports(shell, source, "--to", "import/app", check=False)
    assert missing.returncode == 1
    assert "aws ecr create-repository --repository-name import/app" in missing.stderr and "--create" in missing.stderr
    new_repository("import/app")
    out = imports(shell, source, "--to", "import/app").stdout
    order = [line.split(" ")[1].rstrip(":") for line in out.splitlines()[:-1]]
    assert order == ["v2", "v1", "multi", "a-new"], out
    expected = {**{tag: image.digest for tag, image in images.items()}, "multi": index.digest}
    assert {tag: value for tag, value in held(aws, "x/import/app").items() if tag} == expected
    # Import again: only new images are sent.
    again = imports(shell, source, "--to", "import/app").stdout
    assert "4 there before; 0 blobs copied (0 bytes sent)" in again, again
    theirs.image("v3", Image.random(4, 1000))
    assert "1 new or moved, 4 there before" in imports(shell, source, "--to", "import/app").stdout
    # Import tags by a pattern, and a single image.
    new_repository("import/some")
    imports(shell, source, "--tags", "v*", "--to", "import/some")
    imports(shell, f"{source}@{index.digest}", "--to", "import/some:platforms")
    tags = {tag: value for tag, value in held(aws, "x/import/some").items() if tag}
    assert set(tags) == {"v1", "v2", "v3", "platforms"} and tags["platforms"] == index.digest
    # Layers of another repository are mounted.
    out = imports(shell, f"{source}:v1", "--to", "import/some:again").stdout
    assert "0 blobs copied" in out
    new_repository("import/third")
    assert "2 mounted" in imports(shell, f"{source}:v1", "--to", "import/third").stdout


def test_referrers_are_imported_with_their_image(docker_registry, shell, aws, new_repository):
    """docker-registry has no referrers API and uses tags instead. Ecru has the API."""
    theirs, image = Repository(docker_registry, "signed"), Image({"signed": b"yes"})
    theirs.image("v1", image)
    manifest, blobs = referrer_of(image.manifest, b"signature")
    second, second_blobs = referrer_of(manifest, b"signature of the signature")
    for data, parts, subject in ((manifest, blobs, image.manifest), (second, second_blobs, manifest)):
        for part in parts:
            theirs.blob(part)
        theirs.manifest(digest(data), data)
        entry = {"mediaType": MANIFEST, "digest": digest(data), "size": len(data), "artifactType": SIGNATURE}
        index = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [entry]}
        theirs.manifest(digest(subject).replace(":", "-"), json.dumps(index).encode(), index["mediaType"])
    # cosign's older format: a tag that contains the digest.
    attached = Image({"attached": b"by cosign"})
    cosign_tag = f"{image.digest.replace(':', '-')}.sig"
    theirs.image(cosign_tag, attached)
    new_repository("import/signed")
    out = imports(shell, f"{docker_registry.removeprefix('http://')}/signed:v1", "--to", "import/signed").stdout
    assert "3 referrers" in out, out
    expected = {"v1": image.digest, cosign_tag: attached.digest}
    assert {tag: value for tag, value in held(aws, "x/import/signed").items() if tag} == expected
    referrers = lambda name, subject: [r["digest"] for r in aws.list_image_referrers(repositoryName=name, subjectId={"imageDigest": subject})["referrers"]]
    # Then with the referrers API, from Ecru to a layout and back.
    exports(shell, "import/signed:v1", "oci:signed")
    new_repository("import/signed-again")
    imports(shell, "oci:signed", "--to", "import/signed-again")
    for name in ("import/signed", "import/signed-again"):
        assert referrers(name, image.digest) == [digest(manifest)]
        assert referrers(name, digest(manifest)) == [digest(second)]
    assert cosign_tag in held(aws, "x/import/signed-again")


def test_an_image_that_fails_does_not_stop_the_others(docker_registry, shell, aws, new_repository):
    theirs = Repository(docker_registry, "broken")
    good, bad = Image.random(21, 5000), Image.random(22, 5000)
    theirs.image("a-bad", bad)
    theirs.image("b-good", good)
    assert requests.delete(f"{theirs.url}/blobs/{digest(bad.layers[0])}", timeout=20).status_code == 202
    new_repository("import/broken")
    source = f"{docker_registry.removeprefix('http://')}/broken"
    out = imports(shell, source, "--to", "import/broken", check=False)
    assert out.returncode == 1
    assert "a-bad: " in out.stderr and "1 of 2 images failed" in out.stderr, out.stderr
    assert held(aws, "x/import/broken") == {"b-good": good.digest}
    # An immutable tag of another image also fails by itself.
    aws.put_image_tag_mutability(repositoryName="import/broken", imageTagMutability="IMMUTABLE")
    theirs.image("b-good", Image.random(23, 5000))
    theirs.image("c-new", good)
    out = imports(shell, source, "--tags", "?-*", "--to", "import/broken", check=False)
    assert out.returncode == 1 and "2 of 3 images failed" in out.stderr and "immutable" in out.stderr, out.stderr
    assert held(aws, "x/import/broken") == {"b-good": good.digest, "c-new": good.digest}


def test_a_password_opens_a_registry_that_asks_for_one(shell, aws, new_repository, tmp_path):
    """Tests the scheme Basic, with docker-registry and htpasswd."""
    port = free_port()
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import crypt
    crypted = crypt.crypt("secret", crypt.mksalt(crypt.METHOD_BLOWFISH, rounds=1 << 5))
    (tmp_path / "htpasswd").write_text(f"robot:{crypted}\n")
    config = tmp_path / "config.yml"
    config.write_text(
        registry_config(tmp_path / "data", f"localhost:{port}") + f"auth: {{htpasswd: {{realm: here, path: {tmp_path / 'htpasswd'}}}}}\n"
    )
    process = subprocess.Popen([installed("docker-registry"), "serve", config], stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    try:
        wait_for(lambda: answers(f"http://localhost:{port}/v2/"))
        image = Image({"behind": b"a password"})
        subprocess.run(
            ["skopeo", "copy", "--quiet", "--dest-tls-verify=false", "--dest-creds=robot:secret", f"oci:{image.layout(tmp_path / 'layout')}:latest", f"docker://localhost:{port}/app:v1"],
            check=True,
        )
        new_repository("import/password")
        run = lambda *arguments, **options: imports(shell, f"localhost:{port}/app", "--to", "import/password", *arguments, **options)
        out = run(check=False, HOME=str(tmp_path))
        assert out.returncode == 1 and "wants a login" in out.stderr and "docker login" in out.stderr, out.stderr
        out = run("--from-username", "robot", "--from-password-stdin", input="wrong", check=False)
        assert out.returncode == 1 and f"localhost:{port} refuses the password of robot; log in again" in out.stderr, out.stderr
        run("--from-username", "robot", "--from-password-stdin", input="secret\n")
        # Take the password from docker's configuration.
        login = {"auths": {f"localhost:{port}": {"auth": base64.b64encode(b"robot:secret").decode()}}}
        (tmp_path / ".docker").mkdir()
        (tmp_path / ".docker" / "config.json").write_text(json.dumps(login))
        assert "1 there before" in run(HOME=str(tmp_path)).stdout
        assert held(aws, "x/import/password") == {"v1": image.digest}
    finally:
        process.terminate()
        process.wait(timeout=20)


def answers(url):
    try:
        return requests.get(url, timeout=5).status_code
    except requests.ConnectionError:
        return None


def test_a_source_over_tls_is_trusted_by_its_authority_alone(engine, shell, aws, new_repository, tmp_path):
    other = ecru.Ecru(tmp_path / "other", engine, tls=True).start()
    try:
        theirs = aws_client(other, "ecr")
        theirs.create_repository(repositoryName="app")
        token = theirs.get_authorization_token()["authorizationData"][0]["authorizationToken"]
        user, password = base64.b64decode(token).decode().split(":", 1)
        image = Image({"over": b"tls"})
        from_layout = shell.run(
            binary(), "import", f"oci:{image.layout(tmp_path / 'layout')}", "--to", "app:v1",
            **{name: value for name, value in other.aws_environment().items() if name.startswith("AWS_")},
        )  # fmt: skip
        assert "v1: 2 blobs copied" in from_layout.stdout
        new_repository("import/tls")
        run = lambda *arguments, **options: imports(
            shell, f"{other.host}/app:v1", "--from-username", user, "--from-password-stdin", "--to", "import/tls", *arguments, input=password, **options
        )
        out = run(check=False)
        assert out.returncode == 1 and "TLS handshake" in out.stderr, out.stderr
        # The authority for Ecru must not be used for the source.
        out = run(check=False, **({} if shell.server.ca else {"AWS_CA_BUNDLE": str(other.ca)}))
        assert out.returncode == 1 and "TLS handshake" in out.stderr, out.stderr
        run("--from-ca", other.ca)
        assert held(aws, "x/import/tls") == {"v1": image.digest}
    finally:
        other.stop()


# A registry whose answers the test controls: logins, redirects, interrupted bodies.


class Source:
    """A read-only registry of one image, with answers from the test. It records its requests."""

    def __init__(self, image, challenge=None, blob=None):
        self.image, self.challenge, self.blob_handler, self.asked = image, challenge, blob, []
        source = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                source.asked.append((self.command, self.path, {name.lower(): value for name, value in self.headers.items()}))
                source.answer(self)

            do_HEAD = do_GET

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, request):
        if self.challenge is not None and not self.challenge(request):
            return
        data = {digest(part): part for part in self.image.blobs()}
        path = request.path.partition("?")[0]
        if path.startswith("/v2/app/blobs/"):
            wanted = path.rpartition("/")[2]
            if self.blob_handler is None or not self.blob_handler(request, wanted, data[wanted]):
                send(request, 200, data[wanted])
        elif path == "/v2/app/tags/list":
            send(request, 200, json.dumps({"tags": ["v1"]}).encode())
        elif path in ("/v2/app/manifests/v1", f"/v2/app/manifests/{self.image.digest}"):
            send(request, 200, self.image.manifest, **{"Content-Type": MANIFEST, "Docker-Content-Digest": self.image.digest})
        else:
            send(request, 404, b"{}")

    def paths(self, part):
        return [(path, headers) for _, path, headers in self.asked if part in path]

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def send(request, status, body, **headers):
    request.send_response(status)
    for name, value in headers.items():
        request.send_header(name, value)
    request.send_header("Content-Length", str(len(body)))
    request.end_headers()
    if request.command != "HEAD":
        request.wfile.write(body)


@pytest.fixture
def source():
    made = []

    def make(*arguments, **options):
        made.append(Source(*arguments, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


def basic(user, password):
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def test_credentials_are_sent_only_to_their_registry(source, shell, aws, new_repository, tmp_path):
    image = Image({"private": b"data" * 100})
    elsewhere = source(image)

    def challenge(request):
        if request.path.startswith("/token"):
            right = request.headers["Authorization"] == basic("robot", "s3cret")
            send(request, 200 if right else 401, json.dumps({"token": "the-token"} if right else {}).encode())
            return False
        if request.headers["Authorization"] != "Bearer the-token":
            wanted = f'Bearer realm="http://{request.headers["Host"]}/token",service="registry",scope="repository:app:pull"'
            send(request, 401, b"{}", **{"WWW-Authenticate": wanted})
            return False
        return True

    def to_another_host(request, wanted, data):
        send(request, 307, b"", Location=f"http://{elsewhere.host.replace('127.0.0.1', 'localhost')}/v2/app/blobs/{wanted}?signed=yes")
        return True

    private = source(image, challenge=challenge, blob=to_another_host)
    new_repository("import/private")
    reference = f"{private.host}/app:v1"
    config = tmp_path / "docker-config"
    config.mkdir()
    run = lambda *arguments, **options: imports(shell, reference, "--to", "import/private", *arguments, DOCKER_CONFIG=str(config), **options)
    # Without a login, with a wrong one, and with one for another registry.
    auth = lambda pair: {"auth": base64.b64encode(pair).decode()}
    for auths, said in (
        ({}, "wants a login: its token server answers 401"),
        ({private.host: auth(b"robot:wrong")}, "refuses the password of robot; log in again"),
        ({"ghcr.io": auth(b"robot:s3cret")}, "wants a login: its token server answers 401"),
    ):
        (config / "config.json").write_text(json.dumps({"auths": auths}))
        out = run(check=False)
        assert out.returncode == 1 and said in out.stderr, out.stderr
    # By stdin.
    run("--from-username", "robot", "--from-password-stdin", input="s3cret\n")
    assert held(aws, "x/import/private") == {"v1": image.digest}
    # Accepted: a credential helper, which does not see Ecru's variables.
    helper = tmp_path / "bin" / "docker-credential-mine"
    helper.parent.mkdir()
    helper.write_text(f'#!/bin/sh\ncat > {tmp_path}/asked\nenv > {tmp_path}/env\necho \'{{"Username": "robot", "Secret": "s3cret"}}\'\n')
    helper.chmod(0o755)
    (config / "config.json").write_text(json.dumps({"credHelpers": {private.host: "mine"}}))
    new_repository("import/private2")
    imports(shell, reference, "--to", "import/private2", DOCKER_CONFIG=str(config), PATH=f"{helper.parent}:{shell.environment['PATH']}")
    assert (tmp_path / "asked").read_text() == private.host
    assert "AWS_" not in (tmp_path / "env").read_text()
    # The other host never got credentials, and neither host got Ecru's keys or token.
    assert elsewhere.paths("/blobs/")
    assert all("authorization" not in headers for _, headers in elsewhere.paths("/"))
    key, secret = shell.environment["AWS_ACCESS_KEY_ID"], shell.environment["AWS_SECRET_ACCESS_KEY"]
    for one in (private, elsewhere):
        assert all(key not in str(headers) and secret not in str(headers) and "QVdT" not in str(headers) for _, _, headers in one.asked)


def test_a_busy_registry_is_retried_and_a_public_one_needs_no_login(source, shell, aws, new_repository):
    """Docker Hub gives anonymous tokens, and sometimes answers 429."""
    image, refused = Image({"public": b"data"}), []

    def challenge(request):
        if request.path.startswith("/token"):
            send(request, 200, json.dumps({"access_token": "for-all"}).encode())
            return False
        if request.headers["Authorization"] != "Bearer for-all":
            send(request, 401, b"{}", **{"WWW-Authenticate": f'Bearer realm="http://{request.headers["Host"]}/token?for=all"'})
            return False
        if request.path not in refused:
            refused.append(request.path)
            send(request, 429, b"toomanyrequests", **{"Retry-After": "0"})
            return False
        return True

    public = source(image, challenge=challenge)
    new_repository("import/public")
    imports(shell, f"{public.host}/app:v1", "--to", "import/public", HOME="/nowhere")
    assert held(aws, "x/import/public") == {"v1": image.digest}
    assert public.paths("/token")[0] == (f"/token?for=all&scope=repository%3Aapp%3Apull", public.paths("/token")[0][1])
    assert "authorization" not in public.paths("/token")[0][1]


def test_a_profile_with_ecrus_own_keys_is_refused(shell, new_repository, tmp_path):
    new_repository("import/profile")
    credentials = tmp_path / "credentials"
    credentials.write_text(
        f"[mine]\naws_access_key_id = {shell.environment['AWS_ACCESS_KEY_ID']}\naws_secret_access_key = {shell.environment['AWS_SECRET_ACCESS_KEY']}\n"
    )
    run = lambda source, profile: imports(
        shell, source, "--from-profile", profile, "--to", "import/profile", check=False, AWS_SHARED_CREDENTIALS_FILE=str(credentials)
    )
    amazon = "111122223333.dkr.ecr.us-east-1.amazonaws.com/app"
    for out, said in (
        (run(amazon, "mine"), "keys of our own side"),
        (run(amazon, "none"), "the profile 'none' is not in"),
        (run("ghcr.io/app", "mine"), "is none: they are named"),
    ):
        assert out.returncode == 1 and said in out.stderr, out.stderr


def test_content_that_does_not_match_its_digest_is_never_stored(source, shell, aws, new_repository):
    image = Image({"data": b"true" * 5000})

    def changed(request, wanted, data):
        send(request, 200, data[:-1] + b"!")
        return True

    new_repository("import/changed")
    out = imports(shell, f"{source(image, blob=changed).host}/app", "--to", "import/changed", check=False)
    assert out.returncode == 1 and "it was changed or cut on its way" in out.stderr, out.stderr
    assert held(aws, "x/import/changed") == {}


LARGE = 40 * 1024 * 1024


def ranged(request, data):
    """Answers a request from its requested offset, as registries do. Returns the offset."""
    start = int((request.headers["Range"] or "bytes=0-").removeprefix("bytes=").rstrip("-"))
    request.send_response(206 if start else 200)
    if start:
        request.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
    request.send_header("Content-Length", str(len(data) - start))
    request.end_headers()
    return start


def test_an_interrupted_download_is_resumed(source, shell, aws, new_repository):
    image, offsets = Image.random(11, LARGE), []

    def cut_once(request, wanted, data):
        if len(data) < LARGE:
            return False
        start = ranged(request, data)
        offsets.append(start)
        end = len(data) if len(offsets) > 1 else LARGE // 2
        request.wfile.write(data[start:end])
        if end < len(data):
            request.close_connection = True
        return True

    new_repository("import/cut")
    imports(shell, f"{source(image, blob=cut_once).host}/app", "--to", "import/cut")
    assert held(aws, "x/import/cut") == {"v1": image.digest}
    assert offsets[0] == 0 and offsets[1] > 0, offsets


def test_a_killed_import_resumes_where_it_stopped(source, shell, aws, new_repository, tmp_path):
    image, offsets, half, go_on = Image.random(12, LARGE), [], threading.Event(), threading.Event()

    def slow_once(request, wanted, data):
        if len(data) < LARGE:
            return False
        start = ranged(request, data)
        offsets.append(start)
        if len(offsets) == 1:
            request.wfile.write(data[: LARGE // 2])
            half.set()
            go_on.wait(60)
            request.close_connection = True
        else:
            request.wfile.write(data[start:])
        return True

    new_repository("import/killed")
    theirs = source(image, blob=slow_once)
    command = [str(binary()), "import", f"{theirs.host}/app", "--to", "import/killed"]
    environment = {**shell.environment, "HOME": str(tmp_path)}
    before = received_bytes(shell.server)
    process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    # The import reads the bytes from the source and uploads them. Kill it once the server has them.
    assert half.wait(60)
    wait_for(lambda: received_bytes(shell.server) >= before + LARGE // 3)
    (note,) = wait_for(lambda: list((tmp_path / ".local/state/ecru/uploads").glob("*")))
    upload = shell.server.url + note.read_text().split()[1]
    process.send_signal(signal.SIGKILL)
    process.wait()
    go_on.set()
    # The server keeps the bytes of the interrupted request.
    received(upload, aws, shell.server, at_least=LARGE // 4)
    subprocess.run(command, env=environment, check=True, stdin=subprocess.DEVNULL)
    assert held(aws, "x/import/killed") == {"v1": image.digest}
    assert offsets[-1] > 0, offsets
    assert not note.exists()


def wait_for(found, seconds=60):
    deadline = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return value


def received_bytes(server):
    """How many bytes the server has received from all clients."""
    metrics = requests.get(server.url + "/metrics", verify=server.trusts, timeout=20).text
    (line,) = [line for line in metrics.splitlines() if line.startswith("ecru_received_bytes_total ")]
    return float(line.split()[1])


def received(upload, aws, server, at_least):
    """Waits until an upload has that many bytes."""
    token = aws.get_authorization_token()["authorizationData"][0]["authorizationToken"]

    def enough():
        answer = requests.get(upload, headers={"Authorization": f"Basic {token}"}, verify=server.trusts, timeout=20)
        return answer.status_code == 204 and int(answer.headers["Range"].partition("-")[2]) >= at_least

    return wait_for(enough)


def test_a_terminal_shows_a_bar_and_a_pipe_plain_lines(source, shell, aws, new_repository):
    image = Image.random(31, 3_000_000)
    theirs = source(image)
    for name in ("import/terminal", "import/pipe"):
        new_repository(name)
    command = f"{binary()} import {theirs.host}/app --to import/terminal"
    shown = shell.run("script", "--quiet", "--return", "--command", command, "/dev/null", TERM="xterm").stdout
    assert "\x1b[K1/1 v1 [" in shown and "%  0 bytes of 3.0 MB" in shown, shown
    out = imports(shell, f"{theirs.host}/app", "--to", "import/pipe")
    assert out.stderr == "" and "\x1b" not in out.stdout and "\r" not in out.stdout
    assert len(out.stdout.splitlines()) == 2, out.stdout


# Exports.


@pytest.fixture(params=versions(DockerClassic, Docker28, Podman, PodmanForky, Skopeo))
def loader(request, client_of):
    return client_of(request.param)


def test_every_client_loads_an_exported_archive(loader, shell, aws, new_repository, docker_registry):
    index = Index(*(Image({"data": f"for {name}".encode() * 200}, {"more": b"x" * 99}, architecture=name) for name in ("amd64", "arm64")))
    name = f"import/out-{loader.fresh('name').name}-{type(loader).__name__.lower()}"
    new_repository(name)
    imports(shell, f"oci:{loader.layout(index)}", "--to", f"{name}:v1")
    archive = loader.fresh("exported")
    exports(shell, f"{name}:v1", f"docker-archive:{archive}", "--architecture", "amd64")
    files = loaded(loader, archive, f"{name}:v1")
    assert files == index.images[0].files
    # An import of the archive has the same digests.
    back = f"{name}-back"
    new_repository(back)
    imports(shell, f"docker-archive:{archive}", "--to", back)
    assert held(aws, f"x/{back}")["v1"] == index.digest


def loaded(client, archive, name):
    if isinstance(client, Skopeo):
        to = client.fresh("copied")
        client.tool("copy", f"docker-archive:{archive}", f"dir:{to}")
        return client.files(to)
    if isinstance(client, Podman):
        client.forget()
        said = client.tool("load", "--quiet", "--input", archive).stdout
        reference = said.split()[-1]
        from drivers.containers import files_in

        return files_in(client.outside(client.tool("image", "mount", reference).stdout.strip()))
    client.forget()
    said = client.docker("load", "--input", archive).stdout
    assert name in said, said
    return client.files(name)


def test_an_exported_layout_is_added_to_and_read_by_skopeo(shell, aws, new_repository, client_of):
    skopeo, name = client_of(Skopeo), "import/layout"
    new_repository(name)
    images = {tag: Image({"tag": tag.encode()}) for tag in ("v1", "v2")}
    for tag, image in images.items():
        imports(shell, f"oci:{skopeo.layout(image)}", "--to", f"{name}:{tag}")
    to = skopeo.fresh("layout")
    exports(shell, f"{name}:v1", f"oci:{to}")
    out = exports(shell, name, f"oci:{to}").stdout
    assert "v1: 2 here, unchanged" in out, out
    for tag, image in images.items():
        assert json.loads(skopeo.tool("inspect", "--raw", f"oci:{to}:{tag}").stdout) == json.loads(image.manifest)
    # A directory with other files is refused.
    taken = skopeo.fresh("taken")
    taken.mkdir()
    (taken / "letter.txt").write_text("mine")
    out = exports(shell, name, f"oci:{taken}", check=False)
    assert out.returncode == 1 and "it holds other files" in out.stderr
    assert [path.name for path in taken.iterdir()] == ["letter.txt"]
