"""Runs the commands of the README's five-minute tour."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import requests

import ecru
from drivers import Docker28, DockerClassic
from pages import assert_printed

README = Path(__file__).resolve().parent.parent / "README.md"
SERVE = "cargo run --release -- "


def blocks(kind):
    """Returns the blocks of one kind (`sh`, or `text` for output) under the heading "A five-minute tour", in order."""
    text = README.read_text()
    section = re.search(r"^## A five-minute tour$(.*?)(?=^## |\Z)", text, re.M | re.S)
    assert section, "README.md has no section `## A five-minute tour`"
    found = re.findall(rf"^```{kind}\n(.*?)^```$", section.group(1), re.M | re.S)
    assert len(found) >= 2, f"the tour has no {kind} blocks"
    return found


# Variables that a shell may have from an earlier session or from a profile.
LEFTOVERS = {"AWS_REGION": "eu-central-1", "AWS_SESSION_TOKEN": "old", "AWS_PROFILE": "old", "AWS_ENDPOINT_URL_ECR": "http://127.0.0.1:9"}
# Debian's AWS CLI. In Debian 12 it is older than AWS_ENDPOINT_URL.
DEBIANS_CLI = Path("/usr/bin/aws")


def tour(tmp_path, docker, first="", **environment):
    """Runs the tour and returns its output. The block that starts the server runs in its own terminal, the others in one shell. The debug
    binary replaces `cargo run --release --`, which runs the same program."""
    serving = [block for block in blocks("sh") if SERVE in block]
    assert len(serving) == 1, "not exactly one block of the tour starts the server"
    others = [block for block in blocks("sh") if SERVE not in block]
    programs = tmp_path / "bin"
    programs.mkdir()
    cargo = '#!/bin/sh\nshift\n[ "$1" != -q ] || shift\n[ "$1 $2" = "--release --" ] || exit 2\nshift 2\nexec ' + f'{ecru.binary()} "$@"\n'
    (programs / "cargo").write_text(cargo)
    (programs / "cargo").chmod(0o755)
    base = {k: v for k, v in docker.environment.items() if not k.startswith(("AWS_", "ECRU_"))}
    base["PATH"] = f"{programs}:{Path(sys.executable).parent}:{base['PATH']}"
    base["HOME"] = str(tmp_path)
    directory = tmp_path / "empty"
    directory.mkdir()
    log = tmp_path / "server.log"
    with log.open("wb") as file:
        server = subprocess.Popen(
            ["bash", "-euo", "pipefail", "-c", serving[0]],
            cwd=directory, env=base, stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True,
        )  # fmt: skip
    try:
        wait(server, log)
        out = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", "\n".join([first, *others])],
            cwd=directory, env={**base, **environment}, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=240,
        )  # fmt: skip
        assert out.returncode == 0, out.stdout + log.read_text(errors="replace")[-3000:]
        return out.stdout
    finally:
        os.killpg(server.pid, 15)
        server.wait(timeout=30)


def test_the_five_minute_tour_works_pasted_word_by_word(tmp_path, client_of):
    assert_printed("".join(blocks("text")), tour(tmp_path, client_of(DockerClassic), **LEFTOVERS))


def test_the_tour_works_with_dockers_containerd_store(tmp_path, client_of):
    printed = tour(tmp_path, client_of(Docker28))
    assert "refused, as it should be" in printed and "cannot be overwritten because the tag is immutable" in printed
    assert "Status: Downloaded newer image for localhost:5050/app:v1" in printed


def test_the_tour_works_with_debians_aws_cli_and_the_flag_that_readme_names(tmp_path, client_of):
    text = README.read_text()
    assert "2.13 or 1.29 or newer" in text and "give it `--endpoint-url http://localhost:5050` with each command" in text
    flag = f'aws() {{ {DEBIANS_CLI} --endpoint-url http://localhost:5050 "$@"; }}'
    assert DEBIANS_CLI.exists(), "Debian's package awscli is missing: `./test setup` installs it"
    assert_printed("".join(blocks("text")), tour(tmp_path, client_of(DockerClassic), first=flag))


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
