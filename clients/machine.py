"""A private machine for a test, with its own network and /etc, so that recipes with fixed ports run unchanged."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from ecru import binary

# The directories that a recipe may write to. The machine gets a copy of each.
WRITTEN = ("/etc", "/usr/local/share/ca-certificates")


class Machine:
    """Network and mount namespaces with an address that is not loopback, and a shell in them."""

    ADDRESS = "192.0.2.10"

    def __init__(self, directory):
        self.directory = Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        programs = self.directory / "bin"
        programs.mkdir()
        (programs / "ecru").write_text(f'#!/bin/sh\nexec {binary()} "$@"\n')
        # Tests run as root, and sudo may not be installed.
        (programs / "sudo").write_text('#!/bin/sh\nexec "$@"\n')
        for program in programs.iterdir():
            program.chmod(0o755)
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "ECRU_", "DOCKER_", "SSL_"))}
        self.environment = {**environment, "PATH": f"{programs}:{Path(sys.executable).parent}:{environment['PATH']}"}
        self.environment["HOME"] = str(self.directory)
        self.running = []
        setup = ["set -e", "mount --make-rprivate /", "ip link set lo up", f"ip address add {self.ADDRESS}/32 dev lo"]
        for path in WRITTEN:
            copy = self.directory / "copies" / path.strip("/").replace("/", "-")
            copy.parent.mkdir(exist_ok=True)
            shutil.copytree(path, copy, symlinks=True)
            setup.append(f"mount --bind {copy} {path}")
        setup += ["echo ready", "exec sleep infinity"]
        self.holder = subprocess.Popen(
            ["unshare", "--mount", "--net", "bash", "-c", "\n".join(setup)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
        )
        assert self.holder.stdout.readline() == "ready\n", "the namespaces can't be created"

    def inside(self, command):
        return ["nsenter", f"--target={self.holder.pid}", "--mount", "--net", f"--wd={self.directory}", *map(str, command)]

    def bash(self, script, check=True, timeout=120, **environment):
        """Runs a script as a user's shell does."""
        out = subprocess.run(
            self.inside(["bash", "-euo", "pipefail", "-c", script]),
            env={**self.environment, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        if check:
            assert out.returncode == 0, f"{script}\n{out.stdout}{out.stderr}\n{self.logs()}"
        return out

    def start(self, name, script, ready, timeout=60, **environment):
        """Runs a script in the background, and returns its process once the script `ready` succeeds."""
        with (self.directory / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                self.inside(["bash", "-euo", "pipefail", "-c", f"exec {script}"]),
                env={**self.environment, **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.running.append(process)
        self.wait_until(ready, timeout, process, **environment)
        return process

    def wait_until(self, script, timeout=60, process=None, **environment):
        deadline = time.monotonic() + timeout
        while True:
            out = self.bash(script, check=False, **environment)
            if out.returncode == 0:
                return out.stdout
            assert process is None or process.poll() is None, self.logs()
            assert time.monotonic() < deadline, f"{script}\n{out.stdout}{out.stderr}\n{self.logs()}"
            time.sleep(0.1)

    def end(self, process):
        """Sends SIGTERM to a started process and waits for its end."""
        process.terminate()
        process.wait(timeout=40)
        self.running.remove(process)

    def logs(self):
        return "\n".join(f"== {path.name}\n{path.read_text(errors='replace')[-3000:]}" for path in self.directory.glob("*.log"))

    def close(self):
        for process in reversed(self.running):
            process.terminate()
            try:
                process.wait(timeout=40)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.holder.kill()
        self.holder.wait()
