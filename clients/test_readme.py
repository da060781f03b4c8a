"""README's five-minute tour, word by word."""

import os
import re
import subprocess
import time
from pathlib import Path

import requests

import ecru
from drivers import DockerClassic
from pages import assert_printed

README = Path(__file__).resolve().parent.parent / "README.md"
SERVE = "cargo run --release -- "


def blocks(kind):
    """The blocks of one kind (`sh`, or `text` for what is printed) under the heading "A five-minute tour", in order."""
    text = README.read_text()
    section = re.search(r"^## A five-minute tour$(.*?)(?=^## |\Z)", text, re.M | re.S)
    assert section, "README.md has no section `## A five-minute tour`"
    found = re.findall(rf"^```{kind}\n(.*?)^```$", section.group(1), re.M | re.S)
    assert len(found) >= 2, f"the tour has no {kind} blocks"
    return found


def test_the_five_minute_tour_works_pasted_word_by_word(tmp_path, client_of):
    """The first block that starts the server runs in a terminal of its own, the others in one shell; the debug binary
    stands for `cargo run --release --`, which is the same program."""
    serving = [block for block in blocks("sh") if SERVE in block]
    assert len(serving) == 1, "one block of the tour starts the server"
    others = [block for block in blocks("sh") if SERVE not in block]
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "cargo").write_text(f'#!/bin/sh\n[ "$1 $2 $3" = "run --release --" ] || exit 2\nshift 3\nexec {ecru.binary()} "$@"\n')
    (programs / "ecru").write_text(f'#!/bin/sh\nexec {ecru.binary()} "$@"\n')
    for program in programs.iterdir():
        program.chmod(0o755)
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "ECRU_", "DOCKER_"))}
    environment["PATH"] = f"{programs}:{Path(os.environ.get('VIRTUAL_ENV', ecru.ROOT / 'target/venv'))}/bin:{environment['PATH']}"
    environment["HOME"] = str(tmp_path)
    environment["DOCKER_HOST"] = client_of(DockerClassic).environment["DOCKER_HOST"]
    directory = tmp_path / "empty"
    directory.mkdir()
    log = tmp_path / "server.log"
    command = ["bash", "-euo", "pipefail", "-c", serving[0].replace("git clone", ": git clone")]
    with log.open("wb") as file:
        server = subprocess.Popen(
            command, cwd=directory, env=environment, stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True
        )
    try:
        wait(server, log)
        script = "\n".join(others)
        out = subprocess.run(
            ["bash", "-euxo", "pipefail", "-c", script],
            cwd=directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=240,
        )
        assert out.returncode == 0, out.stdout + log.read_text(errors="replace")[-3000:]
        assert_printed("".join(blocks("text")), out.stdout)
    finally:
        os.killpg(server.pid, 15)
        server.wait(timeout=30)


def wait(server, log):
    deadline = time.monotonic() + ecru.STARTUP_SECONDS
    while time.monotonic() < deadline:
        assert server.poll() is None, log.read_text(errors="replace")
        try:
            if requests.get("http://localhost:5050/readyz", timeout=2).status_code == 200:
                return
        except requests.RequestException:
            time.sleep(0.05)
    raise AssertionError(log.read_text(errors="replace"))
