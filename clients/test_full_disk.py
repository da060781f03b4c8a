"""A disk that is really full: nothing is acknowledged that is not kept, and all is well once there is space again."""

import base64
import os
import random
import subprocess
from pathlib import Path

import pytest

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
    """Pushes an image as far as the server takes it; returns the status that ended it."""
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
    # The log is on the small disk too: what can't be logged must not stop what can be served.
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
            assert status == 503, f"a full disk is answered with {status}"
            refused.append(number)
            if len(refused) == 30:
                break
        assert len(refused) == 30 and len(kept) >= 5, f"{len(kept)} kept, {len(refused)} refused"
        check_all(registry, kept)
        ballast.unlink()
        for number in refused:
            image = Image({"data": random.Random(number).randbytes(size)})
            assert push(registry, f"t{number}", image) == 201, "there is space again"
            kept[f"t{number}"] = image
        check_all(registry, kept)
        server.kill()
        server.start()
        check_all(Registry(server.port, password), kept)
    finally:
        if server.process is not None:
            server.stop()


def test_a_read_only_disk_refuses_serves_what_it_has_and_recovers(small_disk):
    server = Ecru(small_disk / "ecru", "sqlite")
    server.log = Path(str(small_disk) + ".log")
    server.start()
    ecr = client(server)
    ecr.create_repository(repositoryName="full")
    token = ecr.get_authorization_token()["authorizationData"][0]["authorizationToken"]
    registry = Registry(server.port, base64.b64decode(token).decode().removeprefix("AWS:"))
    kept = {"t1": Image.random(1, 300_000)}
    assert push(registry, "t1", kept["t1"]) == 201
    # A database that is open for writing keeps a plain remount from happening, so new files are what is refused.
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
