"""buildah: builds images in podman's store. It has its own commands to pull, to push and to make indexes."""

from drivers.chroot import FORKY
from drivers.containers import Containers, files_in


class Buildah(Containers):
    """The system's version."""

    name = "buildah 1.28"
    programs = ("buildah",)
    cannot = {
        "list": "buildah has no command that lists a repository's tags",
        "delete": "buildah has no command that deletes from a registry",
    }

    def load(self, image):
        """Loads an image into the store and returns its id."""
        return self.tool("pull", "-q", f"oci:{self.layout(image)}:latest").stdout.strip()

    def push(self, image, reference):
        return self.tool("push", self.load(image), f"docker://{reference}").stderr

    def push_index(self, index, reference):
        name = f"index-{index.digest[7:19]}"
        self.tool("manifest", "create", name)
        for image in index.images:
            self.tool("manifest", "add", name, f"oci:{self.layout(image)}:latest")
        return self.tool("manifest", "push", "--all", name, f"docker://{reference}").stderr

    def pull(self, reference, architecture=None):
        """Pulls into a working container, where buildah makes an image's files visible."""
        self.tool("rm", "--all")
        self.tool("rmi", "--all", "--force")
        self.tool("pull", *([f"--arch={architecture}"] if architecture else []), reference)
        container = self.tool("from", "--pull-never", reference).stdout.strip()
        return files_in(self.outside(self.tool("mount", container).stdout.strip()))


class BuildahForky(Buildah):
    name = "buildah 1.43"
    root = FORKY
