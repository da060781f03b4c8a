"""notation, from forky: signatures with certificates, and a trust policy.

It stores a password only in the system's credential store, so here the password comes from the environment. It never speaks TLS to
`localhost`, so over TLS the server's name is 127.0.0.1.
"""

import json
import re

from drivers.client import Client, unpacked

KEY = "ecru.test"
POLICY = {
    "version": "1.0",
    "trustPolicies": [
        {
            "name": "all",
            "registryScopes": ["*"],
            "signatureVerification": {"level": "strict"},
            "trustStores": [f"ca:{KEY}"],
            "trustedIdentities": ["*"],
        }
    ],
}
NO_IMAGES = "notation pushes signatures alone; the images that it signs are pushed by another client"


class Notation(Client):
    name = "notation 1.3"
    cannot = {
        **dict.fromkeys(["push", "push_again", "second_repository", "pull_by_tag", "pull_by_digest", "multi_arch"], NO_IMAGES),
        "list": "notation lists signatures, not tags",
        "delete": "notation has no command that deletes",
    }

    def version(self):
        said = self.notation("version").stdout
        return "notation " + re.search(r"Version: +(\S+)", said).group(1)

    def start(self):
        self.notation("cert", "generate-test", "--default", KEY)
        policy = self.directory / "trustpolicy.json"
        policy.write_text(json.dumps(POLICY))
        self.notation("policy", "import", policy)

    def notation(self, *arguments, **options):
        return self.run(unpacked("forky", "notation"), *arguments, **options)

    def reference(self, reference):
        return reference if self.server.ca is None else reference.replace("localhost:", "127.0.0.1:", 1)

    def plain(self):
        return ["--insecure-registry"] if self.server.ca is None else []

    def login(self, password):
        """Logs in. With the right password, notation only complains that there is no credential store."""
        host = self.reference(self.server.host)
        out = self.notation("login", *self.plain(), "--username", "AWS", "--password-stdin", host, input=password, check=False)
        assert "a credentials store is required" in out.stderr, out.stderr
        self.environment |= {"NOTATION_USERNAME": "AWS", "NOTATION_PASSWORD": password}

    def on(self, command, reference, *flags, **options):
        """Runs `sign`, `list`, `verify` or `inspect` on an image."""
        return self.notation(command, *self.plain(), *flags, self.reference(reference), **options)
