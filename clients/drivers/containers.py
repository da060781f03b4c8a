"""The common base of podman, buildah and skopeo, which share a library with its settings, logins and store."""

from drivers.chroot import Isolated

# Use plain directories, because an overlay would disappear with its mount namespace.
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
    """A program that is based on github.com/containers/image. Its name is the first of `programs`."""

    def __init__(self, server, directory):
        super().__init__(server, directory)
        storage = self.home / "storage.conf"
        storage.write_text(STORAGE)
        self.environment["CONTAINERS_STORAGE_CONF"] = str(storage)
        self.environment["PODMAN_IGNORE_CGROUPSV1_WARNING"] = "1"
        # Without TLS the registry is configured as insecure, as docs/clients says, so that a user's script needs no flag. Other tests
        # cover the flags.
        if server.ca is None:
            settings = self.home / ".config" / "containers"
            settings.mkdir(parents=True)
            (settings / "registries.conf").write_text(REGISTRIES.format(host=server.host))

    def version(self):
        return self.tool("--version").stdout.strip()

    def tool(self, *arguments, **options):
        """Runs the client."""
        return self.run(self.bin / self.programs[0], *arguments, **options)

    def login(self, password):
        self.tool("login", "--username", "AWS", "--password-stdin", self.server.host, input=password)


def files_in(directory):
    """Returns the files below a directory: {path: bytes}."""
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}
