"""What every client is asked to do, and what all drivers share.

A driver is a class for each client: it says how that client logs in, pushes and pulls. `test_cases.py` asks all of them the same;
what only one client does has a test file of its own.
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

# Where scripts/clients unpacks what the system has not.
UNPACKED = Path(os.environ.get("ECRU_CLIENTS", Path(__file__).resolve().parent.parent.parent / "target" / "clients"))


class Client:
    """One client, with its own settings and its own local images, for one server."""

    # As the matrix prints it; the version that really runs is asked of the program.
    name = ""
    # Cases that this client has no command for: {case: why}.
    cannot = {}
    # Gives another client of the same session, for one that needs a daemon.
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
            # In place of the system's: every client written in Go reads the first, curl the second.
            self.environment |= {"SSL_CERT_FILE": str(server.ca), "CURL_CA_BUNDLE": str(server.ca)}
        self.counter = 0

    def version(self):
        """What the program says of itself: the line of the matrix. One that can't be started fails."""
        raise NotImplementedError

    def start(self):
        """Starts what the client needs to run, such as its daemon."""

    def stop(self):
        """Ends what `start` began."""

    def login(self, password):
        """Logs in at the server's host as AWS."""
        raise NotImplementedError

    def push(self, image, reference):
        """Pushes an image under a reference and returns what the client printed."""
        raise NotImplementedError

    def push_index(self, index, reference):
        """Pushes all platforms of an index."""
        raise NotImplementedError

    def pull(self, reference, architecture=None):
        """Pulls afresh, as though nothing were local, and returns the files of the image: {path: bytes}."""
        raise NotImplementedError

    def tags(self, repository):
        """The tags that the client lists of `HOST/NAME`."""
        raise NotImplementedError

    def delete(self, reference):
        """Deletes an image by the client's own command."""
        raise NotImplementedError

    def run(self, *command, check=True, input=None, timeout=180, **environment):
        return run(command, self.server, self.directory, {**self.environment, **environment}, check, input, timeout)

    def fresh(self, prefix):
        """A path of the client's directory that was never used."""
        self.counter += 1
        return self.directory / f"{prefix}-{self.counter}"

    def layout(self, image):
        """The image or index as an OCI layout with the tag `latest`."""
        at = self.directory / "layouts" / image.digest.removeprefix("sha256:")[:16]
        return at if at.exists() else image.layout(at)


def run(command, server, directory, environment, check, input, timeout):
    """Runs a command to its end; one that fails and must not shows what it and the server said."""
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
    """A program of a newer suite, where scripts/clients put it."""
    for folder in ("usr/bin", "usr/sbin"):
        path = UNPACKED / suite / "root" / folder / program
        if path.exists():
            return path
    raise AssertionError(f"{program} of {suite} is not in {UNPACKED}: `./test setup` puts it there")


def packaged(suite, package):
    """The version of a newer suite's package, for a program that does not know its own."""
    folder = UNPACKED / suite / "root" / "usr" / "share" / "doc" / package
    changelog = sorted(folder.glob("changelog.Debian*"))
    assert changelog, f"{package} of {suite} is not in {UNPACKED}: `./test setup` puts it there"
    opened = gzip.open if changelog[0].suffix == ".gz" else open
    with opened(changelog[0], "rt") as text:
        return re.search(r"\((.+?)\)", text.readline()).group(1)


def installed(program):
    """A program of the system's packages, whatever else PATH has before it."""
    path = shutil.which(program, path="/usr/bin:/usr/sbin:/bin:/sbin")
    assert path, f"{program} is not installed: `./test setup` installs it"
    return Path(path)


def of_python(program):
    """A program of the tests' Python environment."""
    return Path(sys.executable).parent / program


def first_line(*command, environment=None):
    """The first line that a program prints of its version."""
    out = subprocess.run([str(part) for part in command], capture_output=True, text=True, stdin=subprocess.DEVNULL, env=environment)
    assert out.returncode == 0, f"{command} failed: {out.stderr}"
    return (out.stdout or out.stderr).strip().splitlines()[0]


def files_of(*layers):
    """The files of layers in their order, as {path: bytes}; the layers are tar archives, gzipped or not."""
    files = {}
    for layer in layers:
        with tarfile.open(fileobj=io.BytesIO(layer)) as archive:
            for member in archive.getmembers():
                if member.isfile():
                    files[member.name.removeprefix("./")] = archive.extractfile(member).read()
    return files
