"""What podman, buildah and skopeo share: one library, with its settings, its logins and its store."""

from drivers.chroot import Isolated

# Plain directories: an overlay would be gone with the namespace that it was mounted in.
STORAGE = """\
[storage]
driver = "vfs"
graphroot = "/var/lib/containers/storage"
runroot = "/run/containers/storage"
"""

REGISTRIES = """\
[[registry]]
location = "{host}"
insecure = true
"""


class Containers(Isolated):
    """One of the programs that stand on github.com/containers/image, named by the first of `programs`."""

    def __init__(self, server, directory):
        super().__init__(server, directory)
        storage = self.home / "storage.conf"
        storage.write_text(STORAGE)
        self.environment["CONTAINERS_STORAGE_CONF"] = str(storage)
        self.environment["PODMAN_IGNORE_CGROUPSV1_WARNING"] = "1"
        # Without TLS the registry is named as insecure once, as docs/clients has it, so that a user's script needs no flag.
        # The flags have tests of their own.
        if server.ca is None:
            settings = self.home / ".config" / "containers"
            settings.mkdir(parents=True)
            (settings / "registries.conf").write_text(REGISTRIES.format(host=server.host))

    def version(self):
        return self.tool("--version").stdout.strip()

    def tool(self, *arguments, **options):
        """Runs the client itself."""
        return self.run(self.bin / self.programs[0], *arguments, **options)

    def login(self, password):
        self.tool("login", "--username", "AWS", "--password-stdin", self.server.host, input=password)


def files_in(directory):
    """The files below a directory: {path: bytes}."""
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}
