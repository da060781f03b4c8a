"""cdk-assets, with which `cdk deploy` publishes docker image assets.

It checks with ECR's API whether the image exists. If not, it runs docker to build the image, to log in and to push. Here that is the
docker with the classic store.
"""

import json
import re

from drivers.client import UNPACKED, Client, first_line
from drivers.docker import DockerClassic

NO_PULL = "cdk-assets publishes alone; what it published is pulled in test_cdk_assets.py"


class CdkAssets(Client):
    name = "cdk-assets"
    cannot = {
        "login": "cdk-assets logs docker in by itself, with the AWS credentials of each destination",
        **dict.fromkeys(["second_repository", "pull_by_tag", "pull_by_digest"], NO_PULL),
        "multi_arch": "an asset has one platform",
        "list": "cdk-assets lists the assets of a manifest, not a repository's tags",
        "delete": "cdk-assets has no command that deletes",
    }

    @staticmethod
    def program():
        path = UNPACKED / "npm" / "node_modules" / ".bin" / "cdk-assets"
        assert path.exists(), f"{path} does not exist: `./test setup` installs it"
        return path

    def version(self):
        return f"cdk-assets {first_line(self.program(), '--version')}"

    def start(self):
        # It does not share docker's settings, because cdk-assets logs in by itself.
        self.environment["DOCKER_CONFIG"] = str(self.home / ".docker")
        self.environment["DOCKER_HOST"] = self.client_of(DockerClassic).environment["DOCKER_HOST"]
        self.environment["DOCKER_BUILDKIT"] = "0"
        self.environment |= {name: value for name, value in self.server.aws_environment().items() if name.startswith("AWS_")}
        if self.server.ca is not None:
            self.environment["NODE_EXTRA_CA_CERTS"] = str(self.server.ca)

    def login(self, password):
        """Does nothing, because cdk-assets gets its own password."""

    def asset(self, image, *destinations):
        """Writes a directory as `cdk synth` does: with a Dockerfile, and a manifest with the destinations (repository, tag) of the image."""
        directory = self.fresh("cdk.out")
        source = directory / "asset.app"
        source.mkdir(parents=True)
        layers = [f"layer{n}.tar" for n in range(len(image.plain))]
        for name, data in zip(layers, image.plain):
            (source / name).write_bytes(data)
        (source / "Dockerfile").write_text("FROM scratch\n" + "".join(f"ADD {name} /\n" for name in layers))
        to = {
            f"destination-{n}": {"repositoryName": repository, "imageTag": tag, "region": self.environment["AWS_REGION"]}
            for n, (repository, tag) in enumerate(destinations)
        }
        # The key is the asset's hash in CDK, and docker's local tag contains it.
        key = image.digest.removeprefix("sha256:")
        manifest = {"version": "48.0.0", "files": {}, "dockerImages": {key: {"source": {"directory": "asset.app"}, "destinations": to}}}
        (directory / "assets.json").write_text(json.dumps(manifest))
        return directory

    def publish(self, directory, **options):
        out = self.run(self.program(), "publish", "--verbose", "--path", directory, **options)
        return out.stdout + out.stderr

    def push(self, image, reference):
        repository, tag = re.fullmatch(r"[^/]+/(.+):(.+)", reference).groups()
        return self.publish(self.asset(image, (repository, tag)))
