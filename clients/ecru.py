"""Runs the real binary for a test: start, wait until ready, stop, kill."""

import configparser
import os
import re
import shutil
import signal
import socket
import subprocess
import time
import uuid
from pathlib import Path

import requests

ROOT = Path(__file__).resolve().parent.parent
STARTUP_SECONDS = 30
LOG_SECONDS = 10


def binary():
    """Returns the path of the `ecru` binary: ECRU_BINARY, else cargo's debug build."""
    path = os.environ.get("ECRU_BINARY")
    if path is None:
        target = os.environ.get("CARGO_TARGET_DIR", ROOT / "target")
        path = Path(target) / "debug" / "ecru"
    path = Path(path)
    assert path.is_file(), f"{path} does not exist: build it with `./test build`, or set ECRU_BINARY"
    return path


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def new_database():
    """Creates a database on the PostgreSQL server in ECRU_TEST_POSTGRES, which scripts/with-postgres sets. Returns its URL."""
    server = os.environ.get("ECRU_TEST_POSTGRES")
    assert server, "--engine postgres needs ECRU_TEST_POSTGRES: run under scripts/with-postgres"
    name = "ecru_clients_" + uuid.uuid4().hex[:12]
    psql = shutil.which("psql") or sorted(Path("/usr/lib/postgresql").glob("*/bin/psql"))[-1]
    subprocess.run([psql, server, "-q", "-c", f"CREATE DATABASE {name}"], check=True, stdin=subprocess.DEVNULL)
    base, separator, query = server.partition("?")
    return re.sub(r"(://[^/]*)(/.*)?$", rf"\1/{name}", base) + separator + query


class Ecru:
    """One installation: its data directory, its port, and its process while it runs."""

    def __init__(self, directory, engine, *flags, port=None, tls=False):
        self.directory = Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.data = self.directory / "data"
        self.port = port or free_port()
        self.flags = flags
        self.log = self.directory / "ecru.log"
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "ECRU_", "DOCKER_"))}
        if engine == "postgres":
            self.environment["ECRU_POSTGRES"] = new_database()
            self.environment["ECRU_ROOT_KEY"] = os.urandom(32).hex()
        self.process = None
        # The certificate of the private CA, which clients must trust. None without TLS.
        self.ca = self.make_certificates() if tls else None

    def make_certificates(self):
        """Makes a private CA and a certificate with `ecru tls init`, as a user does. Returns the CA's file."""
        at = self.directory / "tls"
        subprocess.run([binary(), "tls", "init", "--dir", at], check=True, stdin=subprocess.DEVNULL, capture_output=True)
        self.flags += ("--tls-cert", str(at / "server.pem"), "--tls-key", str(at / "server-key.pem"))
        return at / "ca.pem"

    @property
    def scheme(self):
        return "http" if self.ca is None else "https"

    @property
    def url(self):
        return f"{self.scheme}://localhost:{self.port}"

    @property
    def trusts(self):
        """The value of `verify` for the library requests."""
        return True if self.ca is None else str(self.ca)

    @property
    def host(self):
        return f"localhost:{self.port}"

    def launch(self):
        """Starts the process without waiting for it."""
        command = [str(binary()), "serve", "--data", str(self.data)]
        for address in ("127.0.0.1", "[::1]"):
            command += ["--listen", f"{self.scheme}://{address}:{self.port}"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command + list(self.flags),
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.directory,
                start_new_session=True,
            )

    def start(self, timeout=STARTUP_SECONDS):
        self.launch()
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            assert self.process.poll() is None, f"ecru ended with {self.process.returncode}:\n{self.log_text()}"
            try:
                if requests.get(f"{self.scheme}://127.0.0.1:{self.port}/readyz", timeout=2, verify=self.trusts).status_code == 200:
                    return self
            except requests.RequestException:
                pass
            time.sleep(0.02)
        raise AssertionError(f"ecru was not ready in {timeout} s:\n{self.log_text()}")

    def log_text(self):
        """Returns the end of the log, for messages."""
        return self.log.read_text(errors="replace")[-4000:]

    def logged(self, text, times):
        """Waits until the log contains a text `times` times, because a line may be written after its answer."""
        deadline = time.monotonic() + LOG_SECONDS
        while (found := self.log.read_text(errors="replace").count(text)) < times:
            assert time.monotonic() < deadline, f"{text} is logged {found} times, not {times}:\n{self.log_text()}"
            time.sleep(0.02)
        return found

    def kill(self):
        """Kills the process with SIGKILL, which to the process is like a power loss."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.process = None

    def stop(self):
        """Sends SIGTERM. The server must drain and exit with code 0."""
        if self.process is None:
            return
        self.process.terminate()
        self.wait()

    def wait(self):
        """Waits for the end of a process that was told to stop."""
        code = self.process.wait(timeout=30)
        self.process = None
        assert code == 0, f"ecru ended with {code} after SIGTERM:\n{self.log_text()}"

    def keys(self):
        """Returns the administrator's keys from the credentials file of the first start."""
        path = self.data / "credentials"
        assert path.is_file(), f"no {path}: {self.log_text()}"
        assert path.stat().st_mode & 0o777 == 0o600, "the credentials file is open to others"
        parser = configparser.ConfigParser()
        parser.read(path)
        section = parser["default"] if parser.has_section("default") else parser[parser.sections()[0]]
        return section["aws_access_key_id"], section["aws_secret_access_key"]

    def aws_environment(self, region="us-east-1"):
        """Returns the environment in which the AWS CLI calls this server."""
        key, secret = self.keys() if "--dev" not in self.flags else ("test", "test")
        return {
            **self.environment,
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": key,
            "AWS_SECRET_ACCESS_KEY": secret,
            "AWS_DEFAULT_REGION": region,
            # The SDK for JavaScript reads only this variable.
            "AWS_REGION": region,
            "AWS_PAGER": "",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": str(self.directory / "no-config"),
            "AWS_SHARED_CREDENTIALS_FILE": str(self.directory / "no-credentials"),
            "AWS_MAX_ATTEMPTS": "1",
            **({} if self.ca is None else {"AWS_CA_BUNDLE": str(self.ca)}),
        }
