"""The interface of all drivers, and the code that they share.

A driver is a class for one client. It implements the client's login, push, pull and so on. `test_cases.py` runs the same cases for all
drivers. Features of one client have their own test files.
"""

import gzip
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

# The directory where scripts/clients unpacks the clients that the system lacks.
UNPACKED = Path(os.environ.get("ECRU_CLIENTS", Path(__file__).resolve().parent.parent.parent / "target" / "clients"))


class Client:
    """One client, with its own settings and its own local images, for one server."""

    # The name in the matrix. The version comes from the program itself.
    name = ""
    # The cases that this client does not support: {case: reason}.
    cannot = {}
    # Returns another client of the session, for a client that needs the other's daemon.
    client_of = None

    def __init__(self, server, directory):
        self.server = server
        self.directory = Path(directory)
        self.home = self.directory / "home"
        self.home.mkdir(parents=True)
        self.environment = {
            **server.environment,
            "HOME": str(self.home),
            "XDG_RUNTIME_DIR": str(self.home),
            "XDG_CONFIG_HOME": str(self.home / ".config"),
        }
        if server.ca is not None:
            # These replace the system's authorities. Clients in Go read the first variable, curl the second.
            self.environment |= {"SSL_CERT_FILE": str(server.ca), "CURL_CA_BUNDLE": str(server.ca)}
        self.counter = 0

    def version(self):
        """Returns the version that the program prints, for the matrix. Fails if the program does not start."""
        raise NotImplementedError

    def start(self):
        """Starts what the client needs, such as its daemon."""

    def stop(self):
        """Stops what `start` started."""

    def login(self, password):
        """Logs in to the server as the user AWS."""
        raise NotImplementedError

    def push(self, image, reference):
        """Pushes an image to a reference and returns the client's output."""
        raise NotImplementedError

    def push_index(self, index, reference):
        """Pushes all platforms of an index."""
        raise NotImplementedError

    def pull(self, reference, architecture=None):
        """Pulls without any local copy, and returns the files of the image: {path: bytes}."""
        raise NotImplementedError

    def tags(self, repository):
        """Returns the tags of `HOST/NAME` that the client lists."""
        raise NotImplementedError

    def delete(self, reference):
        """Deletes an image with the client's own command."""
        raise NotImplementedError

    def run(self, *command, check=True, input=None, timeout=180, **environment):
        return run(command, self.server, self.directory, {**self.environment, **environment}, check, input, timeout)

    def fresh(self, prefix):
        """Returns an unused path in the client's directory."""
        self.counter += 1
        return self.directory / f"{prefix}-{self.counter}"

    def layout(self, image):
        """Writes the image or index as an OCI layout with the tag `latest`, once, and returns its path."""
        at = self.directory / "layouts" / image.digest.removeprefix("sha256:")[:16]
        return at if at.exists() else image.layout(at)


def run(command, server, directory, environment, check, input, timeout):
    """Runs a command to its end. If it fails and `check` is set, the assertion shows its output and the server's log."""
    out = subprocess.run(
        [str(part) for part in command],
        env=environment,
        cwd=directory,
        input=input,
        stdin=subprocess.DEVNULL if input is None else None,
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    if check:
        assert out.returncode == 0, f"{' '.join(map(str, command))}\n{out.stdout}{out.stderr}\n{server.log_text()}"
    return out


def unpacked(suite, program):
    """Returns the path of a newer suite's program, unpacked by scripts/clients."""
    for folder in ("usr/bin", "usr/sbin"):
        path = UNPACKED / suite / "root" / folder / program
        if path.exists():
            return path
    raise AssertionError(f"{program} of {suite} is not in {UNPACKED}: `./test setup` installs it there")


def packaged(suite, package):
    """Returns the version of a newer suite's package, for a program that does not print its own."""
    folder = UNPACKED / suite / "root" / "usr" / "share" / "doc" / package
    changelog = sorted(folder.glob("changelog.Debian*"))
    assert changelog, f"{package} of {suite} is not in {UNPACKED}: `./test setup` installs it there"
    opened = gzip.open if changelog[0].suffix == ".gz" else open
    with opened(changelog[0], "rt") as text:
        return re.search(r"\((.+?)\)", text.readline()).group(1)


def installed(program):
    """Returns the path of a program from the system's packages, independent of PATH."""
    path = shutil.which(program, path="/usr/bin:/usr/sbin:/bin:/sbin")
    assert path, f"{program} is not installed: `./test setup` installs it"
    return Path(path)


def of_python(program):
    """Returns the path of a program in the tests' Python environment."""
    return Path(sys.executable).parent / program


def first_line(*command, environment=None):
    """Returns the first line of a program's output, for its version."""
    out = subprocess.run([str(part) for part in command], capture_output=True, text=True, stdin=subprocess.DEVNULL, env=environment)
    assert out.returncode == 0, f"{command} failed: {out.stderr}"
    return (out.stdout or out.stderr).strip().splitlines()[0]


def files_of(*layers):
    """Returns the files of layers in order, as {path: bytes}. The layers are tar archives, gzipped or not."""
    files = {}
    for layer in layers:
        with tarfile.open(fileobj=io.BytesIO(layer)) as archive:
            for member in archive.getmembers():
                if member.isfile():
                    files[member.name.removeprefix("./")] = archive.extractfile(member).read()
    return files
