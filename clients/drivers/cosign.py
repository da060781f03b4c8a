"""cosign, from forky: signatures and attestations, and images in the format of `cosign save`.

It works offline, with a local key, without a transparency log and without certificates. It allows plain HTTP for `localhost`, but tries
TLS first.
"""

import json
import shutil

from drivers.client import Client, packaged, unpacked
from drivers.layout import image_files
from images import Index

# It must not use sigstore's public services.
SIGN_OFFLINE = ["--use-signing-config=false", "--tlog-upload=false", "--yes"]
VERIFY_OFFLINE = ["--insecure-ignore-tlog"]


class Cosign(Client):
    name = "cosign 3.1"
    cannot = {
        "list": "cosign has no command that lists a repository's tags",
        "delete": "cosign deletes nothing but the signatures of older versions",
    }

    def __init__(self, server, directory):
        super().__init__(server, directory)
        self.environment["DOCKER_CONFIG"] = str(self.home / ".docker")
        self.environment["COSIGN_PASSWORD"] = ""

    def version(self):
        # Debian builds it without a version.
        self.cosign("version")
        return f"cosign {packaged('forky', 'cosign')}"

    def start(self):
        self.cosign("generate-key-pair")
        self.key, self.public_key = self.directory / "cosign.key", self.directory / "cosign.pub"

    def cosign(self, *arguments, **options):
        return self.run(unpacked("forky", "cosign"), *arguments, **options)

    def login(self, password):
        self.cosign("login", "--username", "AWS", "--password-stdin", self.server.host, input=password)
        # `login` only stores the password. With the right password, a missing repository is reported as missing.
        out = self.cosign("tree", f"{self.server.host}/no/such:image", check=False)
        assert "NAME_UNKNOWN" in out.stderr, out.stderr

    def push(self, image, reference):
        """Pushes with `cosign load`, which reads only the format of `cosign save`: a layout whose entry has cosign's annotations."""
        saved = self.fresh("saved")
        shutil.copytree(self.layout(image), saved)
        index = json.loads((saved / "index.json").read_bytes())
        index["manifests"][0]["annotations"] = {"kind": f"dev.cosignproject.cosign/{'imageIndex' if isinstance(image, Index) else 'image'}"}
        (saved / "index.json").write_text(json.dumps(index))
        return self.cosign("load", "--dir", saved, reference).stderr

    push_index = push

    def pull(self, reference, architecture=None):
        """Pulls with `cosign save`, which fetches all platforms."""
        to = self.fresh("pulled")
        self.cosign("save", "--dir", to, reference)
        return image_files(to, architecture)

    def sign(self, reference, *flags, **options):
        return self.cosign("sign", "--key", self.key, *SIGN_OFFLINE, *flags, reference, **options)

    def verify(self, reference, key=None, **options):
        return self.cosign("verify", "--key", key or self.public_key, *VERIFY_OFFLINE, reference, **options)
