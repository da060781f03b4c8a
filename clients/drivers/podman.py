"""podman. It has no daemon, and shares its image store with buildah."""

from drivers.chroot import FORKY
from drivers.containers import Containers, files_in


class Podman(Containers):
    """The system's version."""

    name = "podman 4.3"
    programs = ("podman",)
    # podman uses the first runtime that it finds, so name one to have the same on every machine. `./test setup` installs it with docker.
    runtime = "runc"
    cannot = {"delete": "podman has no command that deletes from a registry"}

    def load(self, image):
        """Loads an image into the store and returns its id."""
        return self.tool("pull", "-q", f"oci:{self.layout(image)}:latest").stdout.strip()

    def push(self, image, reference):
        return self.tool("push", self.load(image), reference).stderr

    def push_index(self, index, reference):
        name = f"index-{index.digest[7:19]}"
        self.tool("manifest", "create", name)
        for image in index.images:
            self.tool("manifest", "add", name, f"oci:{self.layout(image)}:latest")
        return self.tool("manifest", "push", "--all", name, f"docker://{reference}").stderr

    def pull(self, reference, architecture=None):
        self.forget()
        self.tool("pull", *([f"--arch={architecture}"] if architecture else []), reference)
        return files_in(self.outside(self.tool("image", "mount", reference).stdout.strip()))

    def forget(self):
        """Removes all images of the store."""
        self.tool("image", "unmount", "--all", "--force")
        self.tool("rmi", "--all", "--force")

    def tags(self, repository):
        """Reads the tags from the table, because 4.3 ignores `--format`. Sets a limit, because the default is 25."""
        table = self.tool("search", "--list-tags", "--limit=1000", repository).stdout
        return [line.split()[1] for line in table.splitlines()[1:]]


class PodmanForky(Podman):
    name = "podman 5.8"
    root = FORKY
    # The runtime of its own package.
    runtime = "crun"
