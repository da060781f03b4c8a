"""crane, from forky.

It pushes layouts and docker's archives, and needs no local store. It allows plain HTTP for `localhost`, but tries TLS first, so the
same command line works for both.
"""

from drivers.client import Client, packaged, unpacked
from drivers.layout import image_files


class Crane(Client):
    name = "crane 0.20"

    def __init__(self, server, directory):
        super().__init__(server, directory)
        self.environment["DOCKER_CONFIG"] = str(self.home / ".docker")

    def program(self):
        return unpacked("forky", "crane")

    def version(self):
        # Debian builds it without a version.
        self.crane("--help")
        return f"crane {packaged('forky', 'crane')}"

    def crane(self, *arguments, **options):
        return self.run(self.program(), *arguments, **options)

    def login(self, password):
        self.crane("auth", "login", self.server.host, "--username", "AWS", "--password-stdin", input=password)
        # `auth login` only stores the password, so check it with a request.
        self.crane("catalog", self.server.host)

    def push(self, image, reference):
        out = self.crane("push", self.layout(image), reference)
        return out.stdout + out.stderr

    # A layout whose one entry is an index is pushed as that index.
    push_index = push

    def pull(self, reference, architecture=None):
        to = self.fresh("pulled")
        platform = [f"--platform=linux/{architecture}"] if architecture else []
        self.crane("pull", "--format=oci", *platform, reference, to)
        return image_files(to)

    def tags(self, repository):
        return self.crane("ls", repository).stdout.split()

    def delete(self, reference):
        self.crane("delete", reference)
