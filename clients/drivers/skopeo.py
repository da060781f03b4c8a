"""skopeo: copies images between registries and directories, without an image store."""

import json

from drivers.chroot import FORKY
from drivers.client import files_of
from drivers.containers import Containers


class Skopeo(Containers):
    """The system's version."""

    name = "skopeo 1.9"
    programs = ("skopeo",)

    def copy(self, source, destination, *flags, **options):
        return self.tool("copy", *flags, source, destination, **options).stdout

    def push(self, image, reference):
        return self.copy(f"oci:{self.layout(image)}:latest", f"docker://{reference}")

    def push_index(self, index, reference):
        return self.copy(f"oci:{self.layout(index)}:latest", f"docker://{reference}", "--all")

    def pull(self, reference, architecture=None):
        to = self.fresh("pulled")
        platform = [f"--override-arch={architecture}"] if architecture else []
        self.tool(*platform, "copy", f"docker://{reference}", f"dir:{to}")
        return self.files(to)

    def files(self, directory):
        """Returns the files of an image that was copied to `dir:`."""
        manifest = json.loads((directory / "manifest.json").read_bytes())
        return files_of(*((directory / layer["digest"].removeprefix("sha256:")).read_bytes() for layer in manifest["layers"]))

    def tags(self, repository):
        return json.loads(self.tool("list-tags", f"docker://{repository}").stdout)["Tags"]

    def delete(self, reference):
        self.tool("delete", f"docker://{reference}")


class SkopeoForky(Skopeo):
    name = "skopeo 1.22"
    root = FORKY
