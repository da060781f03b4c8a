"""Images to push: small root file systems as real tar layers, made the same each time."""

import gzip
import hashlib
import io
import json
import random
import tarfile

OCI = "application/vnd.oci.image"
MANIFEST = f"{OCI}.manifest.v1+json"


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def tar(files):
    """A tar archive of {name: bytes} with fixed owners and times."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


class Image:
    """An OCI image of one layer for each dict of files."""

    def __init__(self, *layers):
        plain = [tar(files) for files in layers]
        self.layers = [gzip.compress(data, mtime=0) for data in plain]
        self.config = json.dumps(
            {"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": [digest(p) for p in plain]}}
        ).encode()
        describe = lambda media_type, data: {"mediaType": media_type, "digest": digest(data), "size": len(data)}
        self.manifest = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": describe(f"{OCI}.config.v1+json", self.config),
                "layers": [describe(f"{OCI}.layer.v1.tar+gzip", layer) for layer in self.layers],
            }
        ).encode()
        self.digest = digest(self.manifest)

    @classmethod
    def random(cls, seed, size):
        """An image whose one file holds bytes that depend on the seed alone."""
        return cls({"data": random.Random(seed).randbytes(size)})

    def blobs(self):
        return [self.config, *self.layers]

    def layout(self, directory):
        """Writes it as an OCI layout with the tag `latest`, for skopeo."""
        blobs = directory / "blobs" / "sha256"
        blobs.mkdir(parents=True)
        for data in [*self.blobs(), self.manifest]:
            (blobs / digest(data).removeprefix("sha256:")).write_bytes(data)
        (directory / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        entry = {
            "mediaType": MANIFEST,
            "digest": self.digest,
            "size": len(self.manifest),
            "annotations": {"org.opencontainers.image.ref.name": "latest"},
        }
        (directory / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
        return directory
