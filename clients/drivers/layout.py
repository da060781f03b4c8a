"""Reads OCI layouts that clients write, for drivers whose clients pull into a layout."""

import json
from pathlib import Path

from drivers.client import files_of


def blob(directory, digest):
    return (Path(directory) / "blobs" / digest.replace(":", "/")).read_bytes()


def image_files(directory, architecture=None):
    """Returns the files of the image in a layout, or of an index's image for an architecture: {path: bytes}."""
    (entry,) = json.loads((Path(directory) / "index.json").read_bytes())["manifests"]
    manifest = json.loads(blob(directory, entry["digest"]))
    if "manifests" in manifest:
        (entry,) = [child for child in manifest["manifests"] if child["platform"]["architecture"] == architecture]
        manifest = json.loads(blob(directory, entry["digest"]))
    return files_of(*(blob(directory, layer["digest"]) for layer in manifest["layers"]))
