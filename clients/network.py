"""Machines for tests: namespaces of network, mounts and processes, in which names, ports and files are free to choose.

What runs in a machine is ended by the kernel when its first process ends, and that one ends with the test process, however it
ends: nothing is left behind, on a failure neither.
"""

import os
import select
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest

import ecru
from images import Image

STARTUP_SECONDS = 60

# Directories that programs write to, each a copy or an empty one of the machine's own.
COPIED = ("/etc", "/usr/local/share/ca-certificates")
EMPTY = ("/run", "/var/log", "/var/lib/docker", "/var/lib/containerd", "/var/lib/ecru", "/var/lib/nginx", "/usr/local/bin", "/usr/local/share/man")

# The first process: says its id as this side of the namespace knows it, makes the machine, and lives as long as it is read from.
INIT = """
read -r pid rest < /proc/self/stat
mount -t proc proc /proc
ip link set lo up
for path in {copied}; do mkdir -p "$PWD$path" "$path"; cp -a "$path/." "$PWD$path"; mount --bind "$PWD$path" "$path"; done
for path in {empty}; do mkdir -p "$PWD$path" "$path"; mount --bind "$PWD$path" "$path"; done
mkdir -p /run/lock /var/log/nginx
echo "$pid"
exec cat
"""


class Machine:
    """One machine, with a working directory in which Ecru's data comes to lie too."""

    def __init__(self, directory):
        self.directory = Path(directory)
        self.home = self.directory / "home"
        self.home.mkdir(parents=True)
        programs = self.directory / "bin"
        programs.mkdir()
        (programs / "ecru").symlink_to(ecru.binary().resolve())
        self.environment = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("AWS_", "ECRU_", "DOCKER_")) and not key.upper().endswith("_PROXY")
        }
        self.environment["PATH"] = f"{programs}:{Path(sys.executable).parent}:/usr/sbin:/usr/bin:/sbin:/bin"
        self.environment |= {"HOME": str(self.home), "AWS_PAGER": "", "AWS_EC2_METADATA_DISABLED": "true", "AWS_MAX_ATTEMPTS": "1"}
        self.logs = {}
        self.cables = 0
        root = self.directory / "root"
        root.mkdir()
        script = INIT.format(copied=" ".join(COPIED), empty=" ".join(EMPTY))
        command = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--propagation", "private"]
        pipes = {name: subprocess.PIPE for name in ("stdin", "stdout", "stderr")}
        self.init = subprocess.Popen([*command, "bash", "-euc", script], cwd=root, text=True, **pipes)
        readable, _, _ = select.select([self.init.stdout], [], [], STARTUP_SECONDS)
        said = self.init.stdout.readline().strip() if readable else ""
        if not said:
            self.init.kill()
            raise AssertionError(f"no machine could be made (root?): {self.init.stderr.read()}")
        self.pid = int(said)

    def close(self):
        self.init.stdin.close()
        try:
            self.init.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.init.kill()
            self.init.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def connect(self, address, other, other_address):
        """A cable to another machine, with an address (and prefix) at either end."""
        ours, theirs = f"eth{self.cables}", f"eth{other.cables}"
        self.cables += 1
        other.cables += 1
        net = lambda machine: ["nsenter", "-t", str(machine.pid), "--net"]
        peer = ["peer", "name", theirs, "netns", str(other.pid)]
        subprocess.run([*net(self), "ip", "link", "add", "name", ours, "type", "veth", *peer], check=True)
        for machine, link, at in ((self, ours, address), (other, theirs, other_address)):
            subprocess.run([*net(machine), "ip", "address", "add", at, "dev", link], check=True)
            subprocess.run([*net(machine), "ip", "link", "set", link, "up"], check=True)

    def inside(self, *command):
        enter = ["nsenter", "-t", str(self.pid), "--net", "--mount", "--pid", f"--wdns={self.directory}"]
        return [*enter, *(str(part) for part in command)]

    def run(self, *command, check=True, input=None, timeout=120, **environment):
        out = subprocess.run(
            self.inside(*command),
            env={**self.environment, **environment},
            input=input,
            stdin=subprocess.DEVNULL if input is None else None,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
        )
        if check:
            assert out.returncode == 0, f"{shlex.join(map(str, command))}\n{out.stdout}\n{self.log_text()}"
        return out

    def bash(self, script, check=True, **environment):
        """Runs a script as pasted into a shell; what it exports holds for the scripts after it, as in that shell."""
        after = self.directory / "environment"
        script = f"{script}\nenv -0 > {shlex.quote(str(after))}\n"
        out = self.run("bash", "-euo", "pipefail", "-c", script, check=check, **environment)
        if out.returncode == 0:
            entries = after.read_text().split("\0")
            self.environment = dict(entry.split("=", 1) for entry in entries if "=" in entry)
        return out.stdout

    def serve(self, name, script, ready, **environment):
        """Starts what runs until the machine ends, and waits until the command `ready` succeeds."""
        log = self.logs[name] = self.directory / f"{name}.log"
        with log.open("ab") as file:
            process = subprocess.Popen(
                self.inside("bash", "-euc", script),
                env={**self.environment, **environment},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
            )
        deadline = time.monotonic() + STARTUP_SECONDS
        while self.run("bash", "-c", ready, check=False).returncode != 0:
            # A daemon that puts itself into the background ends well.
            assert process.poll() in (None, 0), f"{name} ended with {process.returncode}:\n{self.log_text()}"
            assert time.monotonic() < deadline, f"{name} is not ready:\n{self.log_text()}"
            time.sleep(0.1)
        return process

    def ecru(self, script, base="http://127.0.0.1:5050", **environment):
        return self.serve("ecru", script, f"curl -fsk {base}/readyz", **environment)

    def dockerd(self, programs="/usr/sbin:/usr/bin", storage="vfs", networks=False, **environment):
        """docker's daemon, at its usual paths; its storage is one that works on every file system. With `networks` containers have one,
        and publish their ports."""
        bridge = "--ip-masq=false" if networks else "--bridge=none"
        script = f"export PATH={programs}:$PATH\ndockerd {bridge} --iptables=false --storage-driver={storage}"
        return self.serve("dockerd", script, "docker version", **environment)

    def containerd(self, programs="/usr/sbin:/usr/bin", **environment):
        """containerd at its usual paths; a docker daemon that is started after it uses it too."""
        self.serve("containerd", f"export PATH={programs}:$PATH\ncontainerd", "ctr version", **environment)

    def configure(self, path, text):
        """Writes a file as root of the machine would."""
        self.run("bash", "-c", f"mkdir -p $(dirname {path}) && cat > {path}", input=text)

    def access_lines(self, text):
        """The access lines of its server that have a text. It waits for the first: a line may come after its answer."""
        deadline = time.monotonic() + ecru.LOG_SECONDS
        while True:
            lines = [line for line in self.logs["ecru"].read_text().splitlines() if " request door=" in line and text in line]
            if lines:
                return lines
            assert time.monotonic() < deadline, f"no line of {text} in:\n{self.log_text()}"
            time.sleep(0.02)

    def log_text(self):
        return "\n".join(f"== {name}\n{log.read_text(errors='replace')[-3000:]}" for name, log in self.logs.items())

    def image(self, name="app", content=b"hello\n"):
        """An image as docker's archive NAME.tar in the working directory; its digest differs with its content."""
        Image({"hello": content}).docker_archive(self.directory / f"{name}.tar", f"{name}:latest")


@pytest.fixture
def machine(tmp_path):
    """Makes machines that end with the test; each has an image `app` in app.tar."""
    made = []

    def make(name):
        made.append(Machine(tmp_path / name))
        made[-1].image()
        return made[-1]

    yield make
    for one in reversed(made):
        one.close()


@pytest.fixture
def pair(machine):
    """A server and a client, 172.17.0.1 and 172.17.0.2, with nothing but a cable between them."""
    server, client = machine("server"), machine("client")
    server.connect("172.17.0.1/16", client, "172.17.0.2/16")
    return server, client
