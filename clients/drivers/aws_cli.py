"""The AWS CLI. Manifests are put and read with the API's commands.

Each layer is transferred with one request to `/v2/`, because a process for each of the API's three calls would take most of the time
of all cases. test_aws_cli.py also transfers layers with the CLI.
"""

import json

import requests

from drivers.chroot import FORKY, Isolated
from drivers.client import Client, files_of, of_python
from images import INDEX, MANIFEST, digest


class AwsCli1(Client):
    """Version 1, installed by pip."""

    name = "AWS CLI 1.46"
    cannot = {"login": "the AWS CLI signs every call; what its get-login-password prints is what all other clients log in with"}

    def __init__(self, server, directory):
        super().__init__(server, directory)
        self.environment = {**server.aws_environment(), **self.environment}
        self.environment["PATH"] = f"{self.program().parent}:{self.environment['PATH']}"

    def program(self):
        return of_python("aws")

    def version(self):
        return self.run(self.program(), "--version").stdout.strip()

    def login(self, password):
        self.password = password

    def ecr(self, command, name, *arguments, **options):
        """Runs a command of `aws ecr` on a repository and returns its output."""
        on = ("--repository-name", name, "--output", "json")
        return json.loads(self.run(self.program(), "ecr", command, *on, *arguments, **options).stdout)

    def push(self, image, reference):
        name, tag = self.parts(reference)
        self.put(image, name, "--image-tag", tag)
        return ""

    def put(self, image, name, *arguments):
        for blob in image.blobs():
            answer = self.request("POST", f"{name}/blobs/uploads/", params={"digest": digest(blob)}, data=blob)
            assert answer.status_code == 201, answer.text
        self.put_image(image.manifest, MANIFEST, name, *arguments)

    def put_image(self, manifest, media_type, name, *arguments):
        """Puts an image. As on AWS, it is an error if the tag already names this image, which is fine here."""
        path = self.fresh("manifest")
        path.write_bytes(manifest)
        command = ["put-image", "--repository-name", name, "--image-manifest", f"file://{path}"]
        out = self.run(self.program(), "ecr", *command, "--image-manifest-media-type", media_type, *arguments, check=False)
        assert out.returncode == 0 or "ImageAlreadyExistsException" in out.stderr, out.stderr

    def push_index(self, index, reference):
        name, tag = self.parts(reference)
        for image in index.images:
            self.put(image, name)
        self.put_image(index.manifest, INDEX, name, "--image-tag", tag)

    def pull(self, reference, architecture=None):
        name, identity = self.parts(reference)
        manifest = self.manifest(name, identity)
        if "manifests" in manifest:
            child = next(m for m in manifest["manifests"] if m["platform"]["architecture"] == architecture)
            manifest = self.manifest(name, child["digest"])
        return files_of(*(self.request("GET", f"{name}/blobs/{layer['digest']}").content for layer in manifest["layers"]))

    def manifest(self, name, identity):
        kind = "imageDigest" if ":" in identity else "imageTag"
        image, = self.ecr("batch-get-image", name, "--image-ids", f"{kind}={identity}")["images"]
        return json.loads(image["imageManifest"])

    def tags(self, repository):
        return self.ecr("list-images", self.parts(repository)[0], "--query", "imageIds[].imageTag")

    def delete(self, reference):
        name, tag = self.parts(reference)
        assert self.ecr("batch-delete-image", name, "--image-ids", f"imageTag={tag}")["failures"] == []

    def parts(self, reference):
        """Splits `HOST/NAME:TAG`, `HOST/NAME@DIGEST` or `HOST/NAME` into the repository's name, and the digest or the tag."""
        path = reference.partition("/")[2]
        name, _, identity = path.partition("@" if "@" in path else ":")
        return name, identity

    def request(self, method, path, **options):
        auth = ("AWS", self.password)
        return requests.request(method, f"{self.server.url}/v2/{path}", auth=auth, verify=self.server.trusts, timeout=10, **options)


class AwsCli2(AwsCli1, Isolated):
    """Version 2, from Debian's package."""

    name = "AWS CLI 2.36"
    root = FORKY
    programs = ("aws",)

    def program(self):
        return self.bin / "aws"
