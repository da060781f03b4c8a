"""Runs programs in a private mount namespace: the system's, or those of the forky chroot that scripts/clients makes.

podman, buildah and skopeo keep images, locks and data about registries at fixed paths. Here each client has its own directory at those
paths, so that a test does not see the data of another. The namespace ends with the program, so nothing stays mounted after a crash.
"""

import shlex
import shutil
from pathlib import Path

from drivers.client import UNPACKED, Client, installed

SYSTEM = ""
FORKY = UNPACKED / "chroot"

# The paths that the programs write to. Each client has its own directories there.
OWN = ("/var/lib/containers", "/run", "/dev/shm")

# The script's arguments are the root, the client's directory, the program and the program's arguments.
ENTER = r"""#!/bin/sh
set -e
root=$1 directory=$2 program=$3
shift 3
if [ -n "$root" ]; then
    # Container runtimes require a root that is a mount point.
    mount --bind "$root" "$root"
    for name in proc sys dev; do mount --rbind "/$name" "$root/$name"; done
    # crun refuses a machine with cgroups of both versions, but runs with version 1 only.
    umount "$root/sys/fs/cgroup/unified" 2>/dev/null || true
    # The client's directory has the same path inside. A new /tmp gets its mount point.
    mount -t tmpfs tmpfs "$root/tmp"
    mkdir -p "$root$directory"
    mount --bind "$directory" "$root$directory"
fi
mkdir -p "$root/var/lib/containers"
for path in OWN; do mount --bind "$directory/own$path" "$root$path"; done
[ -n "$root" ] || exec "$program" "$@"
# Change to the caller's directory, if it exists inside.
exec chroot "$root" sh -c 'cd "$0" 2>/dev/null; exec "$@"' "$PWD" "$program" "$@"
""".replace("OWN", " ".join(OWN))


class Isolated(Client):
    """A client whose PATH starts with scripts that run its programs inside the namespace."""

    # The root directory of the programs: SYSTEM or FORKY.
    root = SYSTEM
    programs = ()

    def __init__(self, server, directory):
        super().__init__(server, directory)
        for path in OWN:
            self.outside(path).mkdir(parents=True)
        if server.ca is not None:
            # A path that the programs see inside the root.
            authority = shutil.copy(server.ca, self.directory / "ca.pem")
            self.environment |= {"SSL_CERT_FILE": str(authority), "AWS_CA_BUNDLE": str(authority)}
        self.bin = self.directory / "bin"
        self.bin.mkdir()
        (self.directory / "enter").write_text(ENTER)
        for program in self.programs:
            self.wrap(program)
        self.environment["PATH"] = f"{self.bin}:{self.environment['PATH']}"
        # Files that scripts and programs write must be visible inside the root too.
        self.environment["TMPDIR"] = str(self.directory)

    def wrap(self, program):
        """Writes the script that runs a program in its namespace."""
        path = installed(program) if self.root == SYSTEM else f"/usr/bin/{program}"
        assert Path(f"{self.root}{path}").exists(), f"{self.root}{path} does not exist: `./test setup` installs it"
        enter = ["unshare", "--mount", "--propagation=private", "sh", self.directory / "enter", self.root, self.directory, path]
        script = self.bin / program
        script.write_text(f'#!/bin/sh\nexec {shlex.join(map(str, enter))} "$@"\n')
        script.chmod(0o755)

    def outside(self, path):
        """Returns the path on the host of a path that the programs see."""
        return Path(f"{self.directory}/own{path}")
