"""Images to push: small root file systems in real tar layers, identical in each run."""

import gzip
import hashlib
import io
import json
import random
import tarfile

OCI = "application/vnd.oci.image"
MANIFEST = f"{OCI}.manifest.v1+json"
INDEX = f"{OCI}.index.v1+json"


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def tar(files):
    """Returns a tar archive of {name: bytes} with fixed owners and times."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def descriptor(media_type, data):
    return {"mediaType": media_type, "digest": digest(data), "size": len(data)}


class Image:
    """An OCI image with one layer for each dict of files."""

    def __init__(self, *layers, architecture="amd64"):
        self.architecture = architecture
        self.files = {name: data for layer in layers for name, data in layer.items()}
        self.plain = [tar(files) for files in layers]
        self.layers = [gzip.compress(data, mtime=0) for data in self.plain]
        rootfs = {"type": "layers", "diff_ids": [digest(p) for p in self.plain]}
        self.config = json.dumps({"architecture": architecture, "os": "linux", "config": {}, "rootfs": rootfs}).encode()
        self.manifest = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": descriptor(f"{OCI}.config.v1+json", self.config),
                "layers": [descriptor(f"{OCI}.layer.v1.tar+gzip", layer) for layer in self.layers],
            }
        ).encode()
        self.digest = digest(self.manifest)

    @classmethod
    def random(cls, seed, size):
        """Returns an image with one file, whose bytes depend only on the seed."""
        return cls({"data": random.Random(seed).randbytes(size)})

    def blobs(self):
        return [self.config, *self.layers]

    def layout(self, directory):
        """Writes it as an OCI layout with the tag `latest`."""
        return layout(directory, MANIFEST, self.manifest, self.blobs())

    def docker_archive(self, path, reference):
        """Writes the format of `docker save`, for image stores that load only that."""
        names = [f"{digest(data).removeprefix('sha256:')}.tar" for data in self.plain]
        config = f"{digest(self.config).removeprefix('sha256:')}.json"
        listing = [{"Config": config, "RepoTags": [reference], "Layers": names}]
        files = {**dict(zip(names, self.plain)), config: self.config, "manifest.json": json.dumps(listing).encode()}
        path.write_bytes(tar(files))
        return path


class Index:
    """An OCI index of images for several platforms."""

    def __init__(self, *images):
        self.images = images
        platform = lambda image: {"platform": {"architecture": image.architecture, "os": "linux"}}
        manifests = [{**descriptor(MANIFEST, image.manifest), **platform(image)} for image in images]
        self.manifest = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}).encode()
        self.digest = digest(self.manifest)

    def layout(self, directory):
        """Writes it as an OCI layout with the tag `latest`."""
        blobs = [data for image in self.images for data in [*image.blobs(), image.manifest]]
        return layout(directory, INDEX, self.manifest, blobs)


def layout(directory, media_type, manifest, blobs):
    at = directory / "blobs" / "sha256"
    at.mkdir(parents=True)
    for data in [*blobs, manifest]:
        (at / digest(data).removeprefix("sha256:")).write_bytes(data)
    (directory / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    named = {"annotations": {"org.opencontainers.image.ref.name": "latest"}}
    (directory / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [{**descriptor(media_type, manifest), **named}]}))
    return directory
