"""docker: a separate daemon for each version and image store."""

import json
import os

from drivers.client import UNPACKED, Client, files_of, first_line, installed, unpacked
from drivers.containerd import NEIGHBOUR, OTHER_NAME, named, oci_archive
from drivers.daemon import Daemon

# The files that an exported container has in addition to its image's files.
OF_THE_CONTAINER = ("dev/", "etc/", "proc/", "sys/", ".docker")


class Docker(Client):
    """The common base: the daemon, the command line, and the files of an image from `docker export`."""

    # The suite of its programs. None for the system's.
    suite = None
    # The daemon's settings, as in its configuration file.
    settings = {}
    cannot = {
        "list": "docker has no command that lists a repository's tags",
        "delete": "docker has no command that deletes from a registry",
    }

    def __init__(self, server, directory):
        super().__init__(server, directory)
        self.socket = self.directory / "docker.sock"
        self.environment["DOCKER_HOST"] = f"unix://{self.socket}"
        self.environment["DOCKER_CONFIG"] = str(self.home / ".docker")
        if self.suite is not None:
            # The daemon starts the first containerd in PATH. `docker` and the plugins are found by name too.
            folders = [unpacked(self.suite, "docker").parent, unpacked(self.suite, "dockerd").parent]
            self.environment["PATH"] = os.pathsep.join([*map(str, folders), self.environment["PATH"]])
        self.plug()
        self.daemon = None

    def plug(self):
        """Installs the suite's buildx for its `docker`."""

    def program(self, name):
        return installed(name) if self.suite is None else unpacked(self.suite, name)

    def version(self):
        return f"{first_line(self.program('dockerd'), '--version')}; {first_line(self.program('docker'), '--version')}"

    def start(self):
        settings = self.directory / "daemon.json"
        # Plain HTTP is allowed for `localhost`. For other names it must be configured in the containerd store.
        insecure = [] if self.server.ca is not None else [f"{NEIGHBOUR}:{self.server.port}"]
        settings.write_text(json.dumps({**self.settings, "insecure-registries": insecure}))
        command = [*named(self.directory), self.program("dockerd"), "--config-file", settings]
        command += ["--bridge=none", "--iptables=false", "--ip6tables=false"]
        command += ["--data-root", self.directory / "data", "--exec-root", self.directory / "exec"]
        command += ["-H", self.environment["DOCKER_HOST"], "-p", self.directory / "pid"]
        answers = lambda: self.docker("version", check=False).returncode == 0
        self.daemon = Daemon(command, self.directory, self.environment, answers)

    def stop(self):
        if self.daemon is not None:
            self.daemon.stop()

    def docker(self, *arguments, **options):
        return self.run(*named(self.directory), self.program("docker"), *arguments, **options)

    def asked_directly(self, reference):
        """Returns the reference for commands that access the registry without docker's pull and push. Some of them speak only plain HTTP
        to local names (imagetools; BuildKit and `manifest push` of 20.10), so over TLS they get another name and address of the server."""
        if self.server.ca is None:
            return reference
        host = f"{OTHER_NAME}:{self.server.port}"
        self.docker("login", "--username", "AWS", "--password-stdin", host, input=self.password)
        return reference.replace(self.server.host, host, 1)

    def login(self, password):
        out = self.docker("login", "--username", "AWS", "--password-stdin", self.server.host, input=password)
        assert "Login Succeeded" in out.stdout
        self.password = password

    def push(self, image, reference):
        self.load(image, reference)
        return self.send(reference).stdout

    def send(self, reference, **options):
        """Pushes the local image of a reference."""
        return self.docker("push", reference, **options)

    def tag(self, local, reference):
        self.docker("tag", local, reference)

    def load(self, image, reference):
        """Loads an image into the daemon under a reference."""
        raise NotImplementedError

    def pull(self, reference, architecture=None):
        self.forget()
        platform = [f"--platform=linux/{architecture}"] if architecture else []
        self.docker("pull", *platform, reference)
        return self.files(reference, *platform)

    def forget(self):
        """Removes every local image, with its layers."""
        self.docker("image", "prune", "--all", "--force")

    def files(self, reference, *platform):
        """Returns the files of a local image."""
        container = self.docker("create", *platform, reference, "none").stdout.strip()
        to = self.fresh("exported")
        self.docker("export", "-o", to, container)
        self.docker("rm", container)
        return {name: data for name, data in files_of(to.read_bytes()).items() if not name.startswith(OF_THE_CONTAINER)}


class ClassicStore(Docker):
    """docker's only image store until 2023: one platform, schema 2 manifests, and layers that are packed again for each push."""

    settings = {"features": {"containerd-snapshotter": False}}

    def load(self, image, reference):
        """Loads an archive in docker's own format."""
        archive = self.fresh("archive")
        image.docker_archive(archive, reference)
        self.docker("load", "-i", archive)

    def push_index(self, index, reference):
        """Pushes each platform under its own tag, then a list of them."""
        children = [f"{reference}-{image.architecture}" for image in index.images]
        for image, child in zip(index.images, children):
            self.push(image, child)
        self.join(reference, children)

    def join(self, reference, children, **options):
        """Makes a list of images in the registry with `docker manifest`."""
        reference, *children = (self.asked_directly(name) for name in (reference, *children))
        insecure = [] if self.server.ca is not None else ["--insecure"]
        self.docker("manifest", "create", *insecure, reference, *children)
        return self.docker("manifest", "push", *insecure, "--purge", reference, **options)


class ContainerdStore(Docker):
    """The containerd image store, docker's default since 29. It stores images and indexes unchanged."""

    settings = {"features": {"containerd-snapshotter": True}}

    def plug(self):
        plugins = self.home / ".docker" / "cli-plugins"
        plugins.mkdir(parents=True)
        plugin = UNPACKED / self.suite / "root" / "usr" / "libexec" / "docker" / "cli-plugins" / "docker-buildx"
        assert plugin.exists(), f"{plugin} does not exist: `./test setup` installs it"
        (plugins / plugin.name).symlink_to(plugin)

    def version(self):
        return f"{super().version()}; {first_line(self.program('containerd'), '--version')}"

    def load(self, image, reference):
        self.docker("load", "-i", oci_archive(self.layout(image), self.fresh("archive"), reference))

    def build(self, context, *flags, **options):
        """Builds with buildx, without a network, and returns its output."""
        out = self.docker("buildx", "build", "--progress=plain", "--network=none", *flags, context, **options)
        return out.stdout + out.stderr

    def push_index(self, index, reference):
        self.push(index, reference)


class DockerClassic(ClassicStore):
    """The system's version, which has only this store, and no setting for it."""

    name = "docker 20.10, classic store"
    settings = {}


class Docker26(ContainerdStore):
    """The version that PUTs the parts of an image to its tag before the index."""

    name = "docker 26.1, containerd store"
    suite = "trixie"


class Docker28(ContainerdStore):
    """Debian's newest version. It PUTs the parts by digest, and only the index to the tag."""

    name = "docker 28.5, containerd store"
    suite = "forky"


class Docker28Classic(ClassicStore):
    """28.5 after an update from an older docker, which keeps the existing store."""

    name = "docker 28.5, classic store"
    suite = "forky"
