"""Machines for tests: namespaces of network, mounts and processes, in which a test can use any names, ports and files.

The first process of a machine ends with the test process, and the kernel then ends all other processes of the machine. So nothing is
left behind, even after a failure.
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

# The directories that programs write to. Each machine has its own, copied or empty.
COPIED = ("/etc", "/usr/local/share/ca-certificates")
EMPTY = ("/run", "/var/log", "/var/lib/docker", "/var/lib/containerd", "/var/lib/ecru", "/var/lib/nginx", "/usr/local/bin", "/usr/local/share/man")

# The first process: sets up the machine, prints its process id outside the namespace, and lives until its input is closed.
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
    """One machine, with a working directory that also gets Ecru's data."""

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
            raise AssertionError(f"the machine could not be set up (root is needed): {self.init.stderr.read()}")
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
        """Connects this machine to another one, with an address and prefix at each end."""
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
        """Runs a script as if pasted into a shell. As in that shell, later scripts see its exported variables."""
        after = self.directory / "environment"
        script = f"{script}\nenv -0 > {shlex.quote(str(after))}\n"
        out = self.run("bash", "-euo", "pipefail", "-c", script, check=check, **environment)
        if out.returncode == 0:
            entries = after.read_text().split("\0")
            self.environment = dict(entry.split("=", 1) for entry in entries if "=" in entry)
        return out.stdout

    def serve(self, name, script, ready, **environment):
        """Starts a process that runs until the machine ends, and waits until the command `ready` succeeds."""
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
            # A daemon that forks into the background exits with code 0.
            assert process.poll() in (None, 0), f"{name} ended with {process.returncode}:\n{self.log_text()}"
            assert time.monotonic() < deadline, f"{name} is not ready:\n{self.log_text()}"
            time.sleep(0.1)
        return process

    def ecru(self, script, base="http://127.0.0.1:5050", **environment):
        return self.serve("ecru", script, f"curl -fsk {base}/readyz", **environment)

    def dockerd(self, programs="/usr/sbin:/usr/bin", storage="vfs", networks=False, **environment):
        """Starts docker's daemon at its usual paths, with a storage driver that works on every file system. With `networks` containers
        get a network and can publish their ports."""
        bridge = "--ip-masq=false" if networks else "--bridge=none"
        script = f"export PATH={programs}:$PATH\ndockerd {bridge} --iptables=false --storage-driver={storage}"
        return self.serve("dockerd", script, "docker version", **environment)

    def containerd(self, programs="/usr/sbin:/usr/bin", **environment):
        """Starts containerd at its usual paths. A docker daemon that starts later uses it."""
        self.serve("containerd", f"export PATH={programs}:$PATH\ncontainerd", "ctr version", **environment)

    def configure(self, path, text):
        """Writes a file as the machine's root."""
        self.run("bash", "-c", f"mkdir -p $(dirname {path}) && cat > {path}", input=text)

    def access_lines(self, text):
        """Returns the server's access lines that contain a text. Waits for the first, because a line may follow its answer."""
        deadline = time.monotonic() + ecru.LOG_SECONDS
        while True:
            lines = [line for line in self.logs["ecru"].read_text().splitlines() if " request door=" in line and text in line]
            if lines:
                return lines
            assert time.monotonic() < deadline, f"no access line contains {text}:\n{self.log_text()}"
            time.sleep(0.02)

    def log_text(self):
        return "\n".join(f"== {name}\n{log.read_text(errors='replace')[-3000:]}" for name, log in self.logs.items())

    def image(self, name="app", content=b"hello\n"):
        """Writes an image as docker's archive NAME.tar in the working directory. Its digest depends on its content."""
        Image({"hello": content}).docker_archive(self.directory / f"{name}.tar", f"{name}:latest")


@pytest.fixture
def machine(tmp_path):
    """A function that makes machines for the test. Each machine has an image `app` in app.tar."""
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
    """A server and a client, 172.17.0.1 and 172.17.0.2, which are connected only to each other."""
    server, client = machine("server"), machine("client")
    server.connect("172.17.0.1/16", client, "172.17.0.2/16")
    return server, client
