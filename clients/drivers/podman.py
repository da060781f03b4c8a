"""podman: no daemon; images in the store that buildah shares."""

from drivers.chroot import FORKY
from drivers.containers import Containers, files_in


class Podman(Containers):
    """The system's."""

    name = "podman 4.3"
    programs = ("podman",)
    # podman takes the first runtime that it finds; named, it is the same on every machine. `./test setup` installs it with docker.
    runtime = "runc"
    cannot = {"delete": "podman has no command that deletes from a registry"}

    def load(self, image):
        """Makes an image known to the store; returns its id."""
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
        """From the table: 4.3 prints it whatever `--format` says. Without a limit the first 25 are listed."""
        table = self.tool("search", "--list-tags", "--limit=1000", repository).stdout
        return [line.split()[1] for line in table.splitlines()[1:]]


class PodmanForky(Podman):
    name = "podman 5.8"
    root = FORKY
    # The one that comes with it.
    runtime = "crun"
