"""Tests with a disk that is really full: acknowledged data is kept, and the server recovers when there is space again."""

import base64
import os
import random
import subprocess
import time
from pathlib import Path

import pytest
import requests

from ecru import Ecru
from images import MANIFEST, Image, digest
from test_kill import Registry, check_image, client

MIB = 1024 * 1024


def as_root(*command):
    prefix = [] if os.geteuid() == 0 else ["sudo", "-n"]
    subprocess.run([*prefix, *map(str, command)], check=True, stdin=subprocess.DEVNULL)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 48 MiB in memory."""
    directory = tmp_path / "disk"
    directory.mkdir()
    as_root("mount", "-t", "tmpfs", "-o", f"size=48m,mode=0700,uid={os.geteuid()}", "tmpfs", directory)
    yield directory
    as_root("umount", directory)


def push(registry, tag, image):
    """Pushes an image until the server refuses a request or the push is complete. Returns the last status."""
    for blob in image.blobs():
        status, _, _ = registry.call("POST", f"/v2/full/blobs/uploads/?digest={digest(blob)}", blob)
        if status != 201:
            return status
    status, _, _ = registry.call("PUT", f"/v2/full/manifests/{tag}", image.manifest, Content_Type=MANIFEST)
    return status


def check_all(registry, kept):
    for tag, image in kept.items():
        assert check_image(registry, "full", tag) == image.manifest


@pytest.mark.parametrize("size", [400_000, 2_000], ids=["layers fill it", "records fill it"])
def test_a_full_disk_refuses_and_recovers(small_disk, size):
    ballast = small_disk / "ballast"
    with ballast.open("wb") as file:
        file.write(bytes(16 * MIB if size > 100_000 else 42 * MIB))
    # The log is on the small disk too. A failure to log must not fail a request.
    server = Ecru(small_disk / "ecru", "sqlite").start()
    try:
        ecr = client(server)
        ecr.create_repository(repositoryName="full")
        token = ecr.get_authorization_token()["authorizationData"][0]["authorizationToken"]
        password = base64.b64decode(token).decode().removeprefix("AWS:")
        registry = Registry(server.port, password)
        kept, refused = {}, []
        for number in range(20_000):
            image = Image({"data": random.Random(number).randbytes(size)})
            status = push(registry, f"t{number}", image)
            if status == 201:
                kept[f"t{number}"] = image
                continue
            assert status == 503, f"a full disk returned {status}"
            refused.append(number)
            if len(refused) == 30:
                break
        assert len(refused) == 30 and len(kept) >= 5, f"{len(kept)} kept, {len(refused)} refused"
        check_all(registry, kept)
        ballast.unlink()
        for number in refused:
            image = Image({"data": random.Random(number).randbytes(size)})
            assert push(registry, f"t{number}", image) == 201, "a push failed though there is space again"
            kept[f"t{number}"] = image
        check_all(registry, kept)
        server.kill()
        server.start()
        check_all(Registry(server.port, password), kept)
    finally:
        if server.process is not None:
            server.stop()


def test_a_read_only_disk_refuses_pushes_serves_pulls_and_recovers(small_disk):
    server = Ecru(small_disk / "ecru", "sqlite")
    server.log = Path(str(small_disk) + ".log")
    server.start()
    ecr = client(server)
    ecr.create_repository(repositoryName="full")
    token = ecr.get_authorization_token()["authorizationData"][0]["authorizationToken"]
    registry = Registry(server.port, base64.b64decode(token).decode().removeprefix("AWS:"))
    kept = {"t1": Image.random(1, 300_000)}
    assert push(registry, "t1", kept["t1"]) == 201
    # An open database prevents a plain remount as read-only, so refuse new files only.
    layers = server.data / "layers"
    as_root("mount", "--bind", layers, layers)
    as_root("mount", "-o", "remount,ro,bind", layers)
    try:
        assert push(registry, "t2", Image.random(2, 300_000)) == 503
        check_all(registry, kept)
        assert server.process.poll() is None
    finally:
        as_root("umount", layers)
    kept["t2"] = Image.random(2, 300_000)
    assert push(registry, "t2", kept["t2"]) == 201
    check_all(registry, kept)
    server.stop()


@pytest.fixture
def disk(tmp_path):
    """A file system of 96 MiB in memory, large enough that the server reserves space."""
    directory = tmp_path / "disk"
    directory.mkdir()
    as_root("mount", "-t", "tmpfs", "-o", f"size=96m,mode=0700,uid={os.geteuid()}", "tmpfs", directory)
    yield directory
    as_root("umount", directory)


def fill(disk):
    """Fills the disk completely."""
    with (disk / "ballast").open("wb", buffering=0) as file:
        for size in (MIB, 4096, 1):
            try:
                while file.write(bytes(size)):
                    pass
            except OSError:
                continue


def start_unready(server):
    """Starts a server that can't write to its stores."""
    server.launch()
    wait_until(lambda: answers(server, "/livez") == 200, server)


def answers(server, path):
    try:
        return requests.get(f"{server.url}{path}", timeout=5).status_code
    except requests.RequestException:
        return None


def wait_until(holds, server):
    deadline = time.monotonic() + 30
    while not holds():
        assert server.process.poll() is None, f"ecru ended:\n{server.log_text()}"
        assert time.monotonic() < deadline, f"the condition did not become true:\n{server.log_text()}"
        time.sleep(0.05)


@pytest.mark.parametrize("end", ["kill", "stop"])
def test_ecru_starts_and_deletes_on_a_full_disk(disk, tmp_path, end):
    server = Ecru(disk / "ecru", "sqlite")
    server.log = tmp_path / "ecru.log"
    server.start()
    try:
        ecr = client(server)
        ecr.create_repository(repositoryName="full")
        token = ecr.get_authorization_token()["authorizationData"][0]["authorizationToken"]
        password = base64.b64decode(token).decode().removeprefix("AWS:")
        registry = Registry(server.port, password)
        kept = {f"t{number}": Image.random(number, 200_000) for number in range(60)}
        for tag, image in kept.items():
            assert push(registry, tag, image) == 201
        # Start an upload before the disk fills.
        headers, _ = registry.expect(202, "POST", "/v2/full/blobs/uploads/")
        under_way = headers["Location"].split(f":{server.port}")[-1]
        registry.expect(202, "PATCH", under_way, bytes(100_000))
        fill(disk)
        assert push(registry, "more", Image.random(1_000, 200_000)) == 503

        for _ in range(2):
            getattr(server, end)()
            # Also fill the space that the end of the server released.
            fill(disk)
            start_unready(server)
            registry = Registry(server.port, password)
            check_all(registry, kept)
            assert push(registry, "more", Image.random(1_000, 200_000)) == 503
            ready = requests.get(f"{server.url}/readyz", timeout=5)
            assert ready.status_code == 503 and "free space on the server and try again" in ready.text, ready.text

        # Deletions work through both APIs until everything is deleted, and nothing else uses the reserved space.
        registry.expect(204, "DELETE", under_way)
        for tag in [tag for tag in kept if tag != "t0"]:
            image = kept.pop(tag)
            registry.expect(202, "DELETE", f"/v2/full/manifests/{image.digest}")
            registry.expect(202, "DELETE", f"/v2/full/blobs/{digest(image.layers[0])}")
            assert push(registry, "more", Image.random(1_000, 200_000)) == 503
        tagged = {"repositoryName": "full", "imageIds": [{"imageTag": "t0"}]}
        assert client(server).batch_delete_image(**tagged)["failures"] == []
        client(server).delete_repository(repositoryName="full")

        # When there is space again, the server recovers without a restart.
        (disk / "ballast").unlink()
        wait_until(lambda: answers(server, "/readyz") == 200, server)
        client(server).create_repository(repositoryName="full")
        again = Image.random(2_000, 200_000)
        assert push(registry, "again", again) == 201
        check_all(registry, {"again": again})
        # What stays wrong is logged once for each of the three starts, though the stores are asked each second.
        log = server.log_text()
        assert log.count("The metadata log can't be") <= 6 and log.count("A store fails, and calls") <= 6, log
        assert (server.data / "ecru.db-reserve").stat().st_size == 12 * MIB
    finally:
        server.stop()


def test_layers_leave_the_space_that_deletions_and_records_need(disk, tmp_path):
    server = Ecru(disk / "ecru", "sqlite")
    server.log = tmp_path / "ecru.log"
    server.start()
    try:
        ecr = client(server)
        ecr.create_repository(repositoryName="full")
        token = ecr.get_authorization_token()["authorizationData"][0]["authorizationToken"]
        registry = Registry(server.port, base64.b64decode(token).decode().removeprefix("AWS:"))
        statuses = [push(registry, f"t{number}", Image.random(number, 3 * MIB)) for number in range(40)]
        assert set(statuses) == {201, 503} and statuses[-1] == 503, statuses
        left = os.statvfs(disk)
        assert left.f_bavail * left.f_frsize > 20 * MIB
        assert (server.data / "ecru.db-reserve").stat().st_size == 12 * MIB
        ecr.create_repository(repositoryName="records-go-on")
    finally:
        server.stop()


def test_a_read_only_file_system_is_refused_with_a_remedy(disk, tmp_path):
    server = Ecru(disk / "ecru", "sqlite")
    server.log = tmp_path / "ecru.log"
    server.start()
    server.stop()
    as_root("mount", "-o", "remount,ro", disk)
    try:
        server.launch()
        assert server.process.wait(timeout=30) == 1
        last = server.log_text().strip().splitlines()[-1]
        assert last.startswith("ecru: ") and "read-only file system" in last and "mount it writable" in last, last
        server.process = None
    finally:
        as_root("mount", "-o", "remount,rw", disk)
    server.start()
    server.stop()
