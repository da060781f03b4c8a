"""Programs in a mount namespace of their own: the system's, or those of the forky chroot that scripts/clients makes.

podman, buildah and skopeo keep images, locks and what they know of registries under fixed paths of the machine. Here each client
finds a directory of its own at those paths, so that no test sees what another one left, and nothing stays mounted after a crash:
the namespace ends with the program.
"""

import shlex
import shutil
from pathlib import Path

from drivers.client import UNPACKED, Client, installed

SYSTEM = ""
FORKY = UNPACKED / "chroot"

# Paths that the programs write to: each client has directories of its own there.
OWN = ("/var/lib/containers", "/run", "/dev/shm")

# Its arguments are the root, the client's directory, the program and the program's arguments.
ENTER = r"""#!/bin/sh
set -e
root=$1 directory=$2 program=$3
shift 3
if [ -n "$root" ]; then
    # Container runtimes want a root that is a mount point.
    mount --bind "$root" "$root"
    for name in proc sys dev; do mount --rbind "/$name" "$root/$name"; done
    # crun refuses a machine that has cgroups of both versions; it runs with the first alone.
    umount "$root/sys/fs/cgroup/unified" 2>/dev/null || true
    # The client's directory has the same path inside; a fresh /tmp takes its mount point.
    mount -t tmpfs tmpfs "$root/tmp"
    mkdir -p "$root$directory"
    mount --bind "$directory" "$root$directory"
fi
mkdir -p "$root/var/lib/containers"
for path in OWN; do mount --bind "$directory/own$path" "$root$path"; done
[ -n "$root" ] || exec "$program" "$@"
# Where it was called, if that is there too.
exec chroot "$root" sh -c 'cd "$0" 2>/dev/null; exec "$@"' "$PWD" "$program" "$@"
""".replace("OWN", " ".join(OWN))


class Isolated(Client):
    """A client whose programs, by their plain names, are the first that its PATH finds: scripts that enter the namespace."""

    # The root directory that holds the programs: SYSTEM or FORKY.
    root = SYSTEM
    programs = ()

    def __init__(self, server, directory):
        super().__init__(server, directory)
        for path in OWN:
            self.outside(path).mkdir(parents=True)
        if server.ca is not None:
            # Where the programs see it.
            authority = shutil.copy(server.ca, self.directory / "ca.pem")
            self.environment |= {"SSL_CERT_FILE": str(authority), "AWS_CA_BUNDLE": str(authority)}
        self.bin = self.directory / "bin"
        self.bin.mkdir()
        (self.directory / "enter").write_text(ENTER)
        for program in self.programs:
            self.wrap(program)
        self.environment["PATH"] = f"{self.bin}:{self.environment['PATH']}"
        # What scripts and programs write beside their input must be seen inside of the root too.
        self.environment["TMPDIR"] = str(self.directory)

    def wrap(self, program):
        """Writes the script that runs a program in its namespace."""
        path = installed(program) if self.root == SYSTEM else f"/usr/bin/{program}"
        assert Path(f"{self.root}{path}").exists(), f"{self.root}{path} is not there: `./test setup` makes it"
        enter = ["unshare", "--mount", "--propagation=private", "sh", self.directory / "enter", self.root, self.directory, path]
        script = self.bin / program
        script.write_text(f'#!/bin/sh\nexec {shlex.join(map(str, enter))} "$@"\n')
        script.chmod(0o755)

    def outside(self, path):
        """Where the host has what the programs know under one of the paths of their own."""
        return Path(f"{self.directory}/own{path}")
