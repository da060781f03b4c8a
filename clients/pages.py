"""Reads the pages of the documentation, so that tests can run them."""

import re

import ecru


class Page:
    """A page of the documentation whose blocks a test runs."""

    def __init__(self, name):
        self.path = ecru.ROOT / "docs" / name

    def blocks(self, heading, *languages):
        """Returns the texts of the blocks under a heading, in order. Their languages must be the given ones."""
        section = re.search(rf"^## {re.escape(heading)}$(.*?)(?=^## |\Z)", self.path.read_text(), re.M | re.S)
        assert section, f"{self.path} has no section `## {heading}`"
        found = re.findall(r"^```(\w+)\n(.*?)^```$", section.group(1), re.M | re.S)
        assert [language for language, _ in found] == list(languages), f"the blocks under `## {heading}` of {self.path} have other languages"
        return [text for _, text in found]


def general(line):
    """Replaces the parts of an output line that differ between runs: digests, ids, times, sizes."""
    line = re.sub(r"\b[0-9a-f]{64}\b|\b[0-9a-f]{12}(?=:)", "HEX", line)
    line = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "TIME", line)
    return re.sub(r"\b\d{3,5}\b", "NUMBER", line).rstrip()


def assert_printed(shown, printed):
    """Checks that every line in the documentation was printed."""
    lines = {general(line) for line in printed.splitlines()}
    for line in shown.splitlines():
        assert general(line) in lines, f"{line!r} was not printed:\n{printed}"
