"""oras, from forky.

It pushes files as artifacts. Images are copied between the registry and an OCI layout with `oras cp`. By default it speaks plain HTTP
to `localhost`, so each command has a flag for plain HTTP or for TLS.
"""

from drivers.client import Client, first_line, unpacked
from drivers.layout import image_files


class Oras(Client):
    name = "oras 1.3"

    def __init__(self, server, directory):
        super().__init__(server, directory)
        self.environment["DOCKER_CONFIG"] = str(self.home / ".docker")

    def version(self):
        return first_line(unpacked("forky", "oras"), "version").replace("Version:   ", "oras")

    def oras(self, *arguments, **options):
        return self.run(unpacked("forky", "oras"), *arguments, **options)

    def plain(self, *sides):
        """Returns the flags for plain HTTP or TLS, for the sides `from` and `to`, or for a command with one side."""
        plain = "true" if self.server.ca is None else "false"
        return [f"--{side}-plain-http={plain}" for side in sides] or [f"--plain-http={plain}"]

    def login(self, password):
        self.oras("login", *self.plain(), "--username", "AWS", "--password-stdin", self.server.host, input=password)

    def push(self, image, reference):
        return self.oras("cp", "--from-oci-layout", f"{self.layout(image)}:latest", *self.plain("to"), reference).stdout

    push_index = push

    def pull(self, reference, architecture=None):
        to = self.fresh("pulled")
        platform = [f"--platform=linux/{architecture}"] if architecture else []
        self.oras("cp", *platform, *self.plain("from"), reference, "--to-oci-layout", f"{to}:latest")
        return image_files(to)

    def tags(self, repository):
        return self.oras("repo", "tags", *self.plain(), repository).stdout.split()

    def delete(self, reference):
        self.oras("manifest", "delete", "--force", *self.plain(), reference)
