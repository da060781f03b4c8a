"""Runs the commands for backups in docs/operations.md: during pushes, restored, moved to PostgreSQL, and killed half-way."""

import os
import signal
import stat
import subprocess
import time

import pytest

from conftest import Shell
from drivers import Skopeo
from ecru import Ecru, binary, new_database
from images import Image
from pages import Page

OPERATIONS = Page("operations.md")


class Place:
    """The directories and the program of the page, replaced by those of the test."""

    def __init__(self, server, directory):
        self.server, self.directory = server, directory
        programs = directory / "bin"
        programs.mkdir()
        (programs / "ecru").symlink_to(binary())
        self.shell = Shell(server, directory)
        self.shell.environment["PATH"] = f"{programs}:{self.shell.environment['PATH']}"
        self.copy = directory / "copy"

    def own(self, text):
        for name, path in (("/mnt/backup/ecru", self.copy), ("/var/lib/ecru-new", self.directory / "new"), ("/var/lib/ecru", self.server.data)):
            text = text.replace(name, str(path))
        return text

    def restored(self):
        """Starts a server on the restored directory, at the address of the previous server, which must be stopped."""
        server = Ecru(self.directory / "restored", "sqlite", port=self.server.port)
        server.data = self.directory / "new"
        return server


@pytest.fixture
def server(tmp_path, engine):
    server = Ecru(tmp_path / "own", engine).start()
    yield server
    server.stop()


@pytest.fixture
def place(server, tmp_path):
    return Place(server, tmp_path)


@pytest.fixture
def skopeo(server, tmp_path):
    client = Skopeo(server, tmp_path / "skopeo")
    shell = Shell(server, tmp_path)
    shell.aws("ecr", "create-repository", "--repository-name", "app")
    client.login(shell.run("aws", "ecr", "get-login-password").stdout.strip())
    return client


def push(skopeo, *seeds):
    images = {f"v{seed}": Image.random(seed, 200_000) for seed in seeds}
    for tag, image in images.items():
        skopeo.push(image, f"{skopeo.server.host}/app:{tag}")
    return images


def assert_pulls(skopeo, images):
    """Checks that images can be pulled, with the previous password and without a new login."""
    for tag, image in images.items():
        assert skopeo.pull(f"{skopeo.server.host}/app:{tag}") == image.files


def test_a_backup_of_a_running_server_is_restored_as_the_page_says(server, place, skopeo, engine):
    back_up, restore = OPERATIONS.blocks("Backup", "sh", "sh")
    images = push(skopeo, 1, 2)
    assert "Backed up into" in place.shell.bash(place.own(back_up)).stdout
    images |= push(skopeo, 3)
    assert " there before, 0 removed" in place.shell.bash(place.own(back_up)).stdout
    for path in place.copy.rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, f"{path} is accessible to others"

    server.stop()
    place.shell.environment.pop("ECRU_POSTGRES", None)
    line, serve = place.own(restore).strip().splitlines()
    assert f"ecru serve --data {place.directory / 'new'}" in place.shell.bash(line).stdout
    assert serve == f"ecru serve --data {place.directory / 'new'}"
    restored = place.restored()
    restored.start()
    try:
        assert_pulls(skopeo, images)
        assert restored.keys() == Shell(restored, place.directory).server.keys()
        push(skopeo, 4)
    finally:
        restored.stop()


def test_a_data_directory_is_told_from_a_backup(server, place, engine):
    """And a command on a pipe writes what it did, with no line for each tenth."""
    run = lambda *command: subprocess.run([binary(), *map(str, command)], env=place.shell.environment, capture_output=True, text=True, timeout=60)
    if engine == "postgres":
        pytest.skip("the directory is the same")
    new = place.directory / "new"
    for command in (["restore", server.data, "--data", new], ["backup", server.data, "--data", server.data]):
        out = run(*command)
        assert out.returncode == 1 and f"{server.data} is a data directory, not a backup: " in out.stderr, out
    out = run("backup", place.copy, "--data", server.data)
    assert out.returncode == 0 and out.stdout.startswith("Backed up into") and out.stderr == "", out


def test_records_move_to_postgresql_as_the_page_says(server, place, skopeo, engine):
    if engine == "sqlite" and "ECRU_TEST_POSTGRES" not in os.environ:
        pytest.skip("no PostgreSQL: run under scripts/with-postgres")
    if engine == "postgres":
        pytest.skip("the page moves from SQLite")
    images = push(skopeo, 1, 2)
    server.stop()
    (text,) = OPERATIONS.blocks("Moving to PostgreSQL, and back", "sh")
    url = new_database()
    *lines, serve = place.own(text).replace("postgres://ecru@db/ecru", url).strip().splitlines()
    assert "Restored into" in place.shell.bash("\n".join(lines)).stdout
    restored = place.restored()
    restored.environment["ECRU_POSTGRES"] = url
    restored.flags = tuple(serve.partition(f"--data {place.directory / 'new'} ")[2].split())
    restored.start()
    try:
        assert_pulls(skopeo, images)
        assert not (restored.data / "ecru.db").exists()
    finally:
        restored.stop()


def test_a_killed_backup_leaves_the_previous_one_intact(server, place, skopeo):
    images = push(skopeo, 1)
    command = [binary(), "backup", place.copy, "--data", server.data]
    place.shell.run(*command)
    skopeo.push(Image.random(9, 60_000_000), f"{server.host}/app:large")
    running = subprocess.Popen([str(part) for part in command], env=server.environment, stdin=subprocess.DEVNULL)
    # The large layer is under way: its file is there, and not whole.
    layers = lambda: sum(path.stat().st_size for path in (place.copy / "layers").rglob("*") if path.is_file())
    before = layers()
    while layers() < before + 1_000_000:
        assert running.poll() is None, "the backup ended before it was killed"
        time.sleep(0.001)
    running.send_signal(signal.SIGKILL)
    running.communicate()
    place.shell.environment.pop("ECRU_POSTGRES", None)
    place.shell.run(binary(), "restore", place.copy, "--data", place.directory / "new")
    assert "Backed up into" in Shell(server, place.directory).run(*command).stdout
    server.stop()
    restored = place.restored().start()
    try:
        assert_pulls(skopeo, images)
    finally:
        restored.stop()
