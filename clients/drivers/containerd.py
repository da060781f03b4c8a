"""containerd: a separate daemon for each version, and its client `ctr`."""

import io
import json
import os
import tarfile
from pathlib import Path

from drivers.client import Client, files_of, first_line, installed, unpacked
from drivers.daemon import Daemon



def oci_archive(layout, to, reference):
    """Packs an OCI layout as an archive for containerd and docker. The reference is the image's name in it."""
    with tarfile.open(to, "w") as archive:
        for path in sorted(path for path in layout.rglob("*") if path.is_file()):
            data = path.read_bytes()
            if path.name == "index.json":
                listing = json.loads(data)
                for manifest in listing["manifests"]:
                    manifest["annotations"] = {"io.containerd.image.name": reference}
                data = json.dumps(listing).encode()
            member = tarfile.TarInfo(str(path.relative_to(layout)))
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return to


# The registry of another account at the same server, and another name of the server's own registry. Only some systems resolve names
# below `localhost` by themselves.
NEIGHBOUR = "111122223333.dkr.ecr.us-east-1.localhost"
OTHER_NAME = "000000000000.dkr.ecr.us-east-1.localhost"


def named(directory):
    """Returns the start of a command line that runs the command with its own hosts file, which has these names too."""
    hosts = directory / "hosts"
    hosts.write_text(f"{Path('/etc/hosts').read_text()}\n127.0.0.1 {NEIGHBOUR}\n::1 {OTHER_NAME}\n")
    return ["unshare", "--mount", "sh", "-c", 'mount --bind "$0" /etc/hosts && exec "$@"', hosts]


class Ctr(Client):
    """`ctr`. It stores no credentials, so each command gets them. It speaks plain HTTP only with a flag."""

    suite = None
    export_flags = ()
    cannot = {
        "login": "ctr has no login: every command takes the credential (--user); refusals are asked in test_containerd.py",
        "list": "ctr has no command that lists a repository's tags",
        "delete": "ctr has no command that deletes from a registry",
    }

    def __init__(self, server, directory):
        super().__init__(server, directory)
        self.socket = self.directory / "containerd.sock"
        self.environment["CONTAINERD_ADDRESS"] = str(self.socket)
        if self.suite is not None:
            # The daemon finds its shims by name.
            self.environment["PATH"] = os.pathsep.join([str(self.program("ctr").parent), self.environment["PATH"]])
        self.named = named(self.directory)
        self.credential = None
        self.daemon = None

    def program(self, name):
        return installed(name) if self.suite is None else unpacked(self.suite, name)

    def version(self):
        return f"{first_line(self.program('containerd'), '--version')}; {first_line(self.program('ctr'), '--version')}"

    def start(self):
        settings = self.directory / "config.toml"
        settings.write_text(
            f"""version = 2
root = "{self.directory}/root"
state = "{self.directory}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
address = "{self.socket}"
[plugins."io.containerd.internal.v1.opt"]
path = "{self.directory}/opt"
"""
        )
        command = [*self.named, self.program("containerd"), "--config", settings]
        answers = lambda: self.ctr("version", check=False).returncode == 0
        self.daemon = Daemon(command, self.directory, self.environment, answers)

    def stop(self):
        if self.daemon is not None:
            self.daemon.stop()

    def ctr(self, *arguments, **options):
        # In 1.6 `ctr` resolves names, in 2.1 the daemon does.
        return self.run(*self.named, self.program("ctr"), *arguments, **options)

    def login(self, password):
        self.credential = password

    def hosts(self):
        """Writes the directory with the server's hosts.toml, as `ecru tls init` instructs."""
        at = self.directory / "certs.d"
        host = at / self.server.host
        host.mkdir(parents=True, exist_ok=True)
        url = f"https://{self.server.host}"
        (host / "hosts.toml").write_text(f'server = "{url}"\n[host."{url}"]\nca = "{self.server.ca}"\n')
        return at

    def remote(self, command, *arguments, user=None, **options):
        """Runs `ctr images push` or `pull` with the session's credentials, or with `user`, which may be empty."""
        user = f"AWS:{self.credential}" if user is None else user
        # containerd 1.6 speaks plain HTTP to localhost, unless there is a hosts.toml.
        transport = ["--plain-http"] if self.server.ca is None else ["--hosts-dir", self.hosts()]
        flags = [*(["--user", user] if user else []), *transport]
        return self.ctr("images", command, *flags, *arguments, **options)

    def push(self, image, reference):
        self.load(image, reference)
        return self.send(reference).stdout

    def send(self, reference, **options):
        """Pushes the local image of a reference."""
        return self.remote("push", reference, **options)

    def tag(self, local, reference):
        self.ctr("images", "tag", "--force", local, reference)

    def load(self, image, reference):
        """Loads all platforms of an image or index under a reference."""
        archive = oci_archive(self.layout(image), self.fresh("archive"), reference)
        self.ctr("images", "import", "--all-platforms", "--no-unpack", archive)

    def push_index(self, index, reference):
        self.push(index, reference)

    def pull(self, reference, architecture=None):
        self.forget()
        platform = f"linux/{architecture or 'amd64'}"
        self.remote("pull", "--platform", platform, reference)
        to = self.fresh("exported")
        self.ctr("images", "export", *self.export_flags, "--platform", platform, to, reference)
        return files_of(*layers_of(to))

    def forget(self):
        """Removes every local image, with its layers."""
        local = self.ctr("images", "list", "--quiet").stdout.split()
        if local:
            self.ctr("images", "remove", "--sync", *local)


def layers_of(archive):
    """Returns the layers of an OCI archive with one image."""
    with tarfile.open(archive) as files:
        read = lambda name: files.extractfile(name).read()
        blob = lambda it: read("blobs/" + it["digest"].replace(":", "/"))
        names = set(files.getnames())
        manifest = json.loads(read("index.json"))
        while "manifests" in manifest:
            here = [child for child in manifest["manifests"] if "blobs/" + child["digest"].replace(":", "/") in names]
            assert len(here) == 1, f"{archive} holds {len(here)} images"
            manifest = json.loads(blob(here[0]))
        return [blob(layer) for layer in manifest["layers"]]


class Ctr16(Ctr):
    """The system's version."""

    name = "ctr of containerd 1.6"


class Ctr21(Ctr):
    """Debian's newest version."""

    name = "ctr of containerd 2.1"
    suite = "forky"
    # With the transfer service, `export` may end before the last bytes of its archive are written.
    export_flags = ("--local",)
