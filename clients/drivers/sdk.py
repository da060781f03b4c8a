"""The AWS SDKs. For each there is a small program that pushes, pulls and so on. The sources are next to this directory.

The programs use only ECR's API: layers in parts and through download URLs, manifests with PutImage and BatchGetImage.
"""

import contextlib
import functools
import importlib.util
import io
import shutil
import subprocess
import sys
from importlib.metadata import version

import boto3
import requests

from drivers.client import UNPACKED, Client, first_line
from drivers.layout import image_files
from ecru import ROOT

SOURCES = ROOT / "clients"


class Sdk(Client):
    def __init__(self, server, directory):
        super().__init__(server, directory)
        self.environment = {**server.aws_environment(), **self.environment}

    def program(self):
        """Returns the command line before the subcommand."""
        raise NotImplementedError

    def ecr(self, *arguments, **options):
        return self.run(*self.program(), *arguments, **options).stdout

    def login(self, password):
        """Gets the password for `/v2/`, as the AWS CLI does. The SDK itself signs each call."""
        for token in (password, self.ecr("login").strip()):
            answer = requests.get(f"{self.server.url}/v2/", auth=("AWS", token), verify=self.server.trusts, timeout=5)
            assert answer.status_code == 200, answer.text

    def named(self, reference):
        """Removes the registry's host, which the SDKs do not use."""
        return reference.removeprefix(f"{self.server.host}/")

    def push(self, image, reference):
        return self.ecr("push", self.layout(image), self.named(reference))

    push_index = push

    def pull(self, reference, architecture=None):
        to = self.fresh("pulled")
        self.ecr("pull", self.named(reference), to, *([architecture] if architecture else []))
        return image_files(to)

    def tags(self, repository, *page):
        return self.ecr("tags", self.named(repository), *page).split()

    def delete(self, reference):
        self.ecr("delete", self.named(reference))

    def errors(self, repository):
        """Makes calls that are refused, and returns the SDK's class for each error: [(operation, class)]."""
        return [tuple(line.split(" ", 1)) for line in self.ecr("errors", self.named(repository)).splitlines()]


class Boto3(Sdk):
    """Runs in the tests' process, because it takes a second to load. The page in docs/clients runs it as a program."""

    name = "boto3"

    def start(self):
        path = SOURCES / "aws-sdk-python" / "ecr.py"
        spec = importlib.util.spec_from_file_location("ecr", path)
        self.module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self.module)
        self.module.TRUSTED = self.server.trusts
        environment = self.server.aws_environment()
        self.module.ecr = boto3.client(
            "ecr",
            endpoint_url=self.server.url,
            region_name=environment["AWS_REGION"],
            aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
            verify=self.server.trusts,
        )

    def ecr(self, *arguments):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            self.module.main(arguments)
        return printed.getvalue()

    def program(self):
        return [sys.executable, SOURCES / "aws-sdk-python" / "ecr.py"]

    def version(self):
        return f"boto3 {version('boto3')}, botocore {version('botocore')}"


class AwsSdkJs(Sdk):
    name = "aws-sdk-js v3"

    def start(self):
        """Copies the program next to the modules, where node looks for them."""
        shutil.copytree(SOURCES / "aws-sdk-js", self.directory / "aws-sdk-js")
        (self.directory / "aws-sdk-js" / "node_modules").symlink_to(UNPACKED / "npm" / "node_modules")
        if self.server.ca is not None:
            self.environment["NODE_EXTRA_CA_CERTS"] = str(self.server.ca)

    def program(self):
        return ["node", self.directory / "aws-sdk-js" / "ecr.mjs"]

    def version(self):
        module = UNPACKED / "npm" / "node_modules" / "@aws-sdk" / "client-ecr" / "package.json"
        found = first_line("node", "-p", f"require({str(module)!r}).version")
        return f"@aws-sdk/client-ecr {found}, node {first_line('node', '--version')}"


class AwsSdkRust(Sdk):
    name = "aws-sdk-rust"

    @staticmethod
    def program():
        return [built()]

    def version(self):
        return self.ecr("version").strip()


@functools.cache
def built():
    """Builds the program in Rust. The first build takes some minutes."""
    source, target = SOURCES / "aws-sdk-rust", ROOT / "target" / "aws-sdk-rust"
    command = ["cargo", "build", "--quiet", "--locked", "--manifest-path", source / "Cargo.toml", "--target-dir", target]
    out = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert out.returncode == 0, out.stderr
    return target / "debug" / "aws-sdk-rust"
