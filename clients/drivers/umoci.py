"""umoci: packs directories into images, and unpacks images into directories. It does not access registries, so skopeo copies its
layouts, as its manual recommends.
"""

from drivers.chroot import FORKY
from drivers.containers import files_in
from drivers.skopeo import Skopeo


class Umoci(Skopeo):
    """The system's version, with the system's skopeo."""

    name = "umoci 0.4"
    programs = ("skopeo", "umoci")
    cannot = {
        "login": "umoci speaks to no registry; skopeo, which logs in for it, is asked apart",
        "multi_arch": "umoci works on one image, and chooses no platform of an index",
        "list": "umoci lists the tags of a layout, not of a registry",
        "delete": "umoci removes a tag of a layout, not of a registry",
    }

    def version(self):
        return " ".join(self.umoci("--version").stdout.splitlines()[0].split())

    def umoci(self, *arguments):
        return self.run(self.bin / "umoci", *arguments)

    def push(self, image, reference):
        return self.copy(f"oci:{self.built(image)}:latest", f"docker://{reference}")

    def built(self, image):
        """Packs the image's files with umoci, once for each image, because umoci writes the time into it."""
        layout = self.directory / "built" / image.digest.removeprefix("sha256:")[:16]
        if not layout.exists():
            layout.parent.mkdir(exist_ok=True)
            self.umoci("init", "--layout", layout)
            self.umoci("new", "--image", f"{layout}:latest")
            bundle = self.fresh("bundle")
            self.umoci("unpack", "--image", f"{layout}:latest", bundle)
            for name, data in image.files.items():
                (bundle / "rootfs" / name).write_bytes(data)
            self.umoci("repack", "--image", f"{layout}:latest", bundle)
        return layout

    def pull(self, reference, architecture=None):
        layout, bundle = self.fresh("layout"), self.fresh("bundle")
        self.copy(f"docker://{reference}", f"oci:{layout}:latest")
        self.umoci("unpack", "--image", f"{layout}:latest", bundle)
        return files_in(bundle / "rootfs")


class UmociForky(Umoci):
    name = "umoci 0.6"
    root = FORKY
