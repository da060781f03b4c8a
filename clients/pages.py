"""The pages of the documentation, as tests run them."""

import re

import ecru


class Page:
    """A page whose blocks are run."""

    def __init__(self, name):
        self.path = ecru.ROOT / "docs" / name

    def blocks(self, heading, *languages):
        """The texts of the blocks under a heading, in order, which must be of these languages."""
        section = re.search(rf"^## {re.escape(heading)}$(.*?)(?=^## |\Z)", self.path.read_text(), re.M | re.S)
        assert section, f"{self.path} has no section `## {heading}`"
        found = re.findall(r"^```(\w+)\n(.*?)^```$", section.group(1), re.M | re.S)
        assert [language for language, _ in found] == list(languages), f"the blocks under `## {heading}` of {self.path} are others"
        return [text for _, text in found]


def general(line):
    """A line of output without what differs from one run to the next: digests, ids, times, sizes."""
    line = re.sub(r"\b[0-9a-f]{64}\b|\b[0-9a-f]{12}(?=:)", "HEX", line)
    line = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "TIME", line)
    return re.sub(r"\b\d{3,5}\b", "NUMBER", line).rstrip()


def assert_printed(shown, printed):
    """Every line that the documentation shows was printed."""
    lines = {general(line) for line in printed.splitlines()}
    for line in shown.splitlines():
        assert general(line) in lines, f"{line!r} was not printed:\n{printed}"
