"""helm, from the CDK's kubectl layer. It pushes charts instead of images.

The image of a case becomes a chart with the image's files. The last part of the repository's name is the chart's name, and the tag is
its version. helm accepts `v1` as a version.
"""

import io
import tarfile

from drivers.client import UNPACKED, Client, first_line


class Helm(Client):
    name = "helm 4.1 (charts)"
    cannot = {
        "second_repository": "a repository's last part is the chart's name, so two hold two charts; test_helm.py pushes under two prefixes",
        "multi_arch": "a chart has no platforms",
        "list": "helm has no command that lists a registry's tags",
        "delete": "helm has no command that deletes from a registry",
    }

    @staticmethod
    def program():
        path = UNPACKED / "npm" / "helm" / "helm"
        assert path.exists(), f"{path} does not exist: `./test setup` installs it"
        return path

    def version(self):
        return f"helm {first_line(self.program(), 'version', '--short')}"

    def helm(self, *arguments, **options):
        return self.run(self.program(), *arguments, **options)

    def plain(self):
        return ["--plain-http"] if self.server.ca is None else []

    def login(self, password):
        self.helm("registry", "login", *self.plain(), "--username", "AWS", "--password-stdin", self.server.host, input=password)

    def package(self, key, name, version, files):
        """Makes a chart's archive, once for each key, because helm writes the time into it."""
        chart = self.directory / "charts" / key / name
        archive = chart.parent / f"{name}-{version}.tgz"
        for path, data in {**files, "Chart.yaml": f"apiVersion: v2\nname: {name}\nversion: {version}\n".encode()}.items():
            (chart / path).parent.mkdir(parents=True, exist_ok=True)
            (chart / path).write_bytes(data)
        if not archive.exists():
            self.helm("package", chart, "--destination", chart.parent)
        return archive

    def push(self, image, reference):
        repository, version = reference.rsplit(":", 1)
        parent, name = repository.rsplit("/", 1)
        files = {f"files/{path}": data for path, data in image.files.items()}
        return self.push_chart(self.package(image.digest.removeprefix("sha256:")[:16], name, version, files), parent)

    def push_chart(self, archive, parent, **options):
        out = self.helm("push", *self.plain(), archive, f"oci://{parent}", **options)
        return out.stdout + out.stderr

    def pull(self, reference, architecture=None):
        to = self.fresh("pulled")
        to.mkdir()
        self.helm("pull", *self.plain(), "--destination", to, f"oci://{reference}")
        (archive,) = to.iterdir()
        with tarfile.open(fileobj=io.BytesIO(archive.read_bytes())) as chart:
            members = [(member.name.partition("/")[2], member) for member in chart.getmembers()]
            return {name.removeprefix("files/"): chart.extractfile(member).read() for name, member in members if name.startswith("files/")}
