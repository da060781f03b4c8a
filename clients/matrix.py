"""The table that `./test` prints: the result of each case for each client and version."""

from drivers import CLIENTS

CASES = ["login", "push", "push_again", "second_repository", "pull_by_tag", "pull_by_digest", "multi_arch", "list", "delete"]
MARKS = {"passed": "ok", "failed": "FAILED", None: ""}


class Matrix:
    def __init__(self):
        self.versions = {}
        self.outcomes = {}
        self.more = {}

    def record(self, client, case, outcome):
        """Records a case's outcome. A case that failed once stays failed."""
        cases = self.outcomes.setdefault(client, {}) if case in CASES else self.more.setdefault(client, {})
        if cases.get(case) != "failed":
            cases[case] = outcome

    def lines(self):
        rows = [["client", *(case.replace("_", " ") for case in CASES), "more"]]
        notes = []
        # Use the drivers' order, then the clients that only their own test files use.
        known = {client.name: client for client in CLIENTS}
        names = [*known, *(name for name in self.more if name not in known)]
        for name in (name for name in names if name in self.outcomes or name in self.more):
            done, more = self.outcomes.get(name, {}), self.more.get(name, {})
            cannot = known[name].cannot if name in known else {}
            cells = ["-" if case in cannot else MARKS[done.get(case)] for case in CASES]
            passed = sum(outcome == "passed" for outcome in more.values())
            rows.append([name, *cells, f"{passed} of {len(more)}" if more else ""])
            notes.append(f"{name}: {self.versions.get(name, 'not started')}")
            for why in dict.fromkeys(cannot.values()):
                cases = ", ".join(case.replace("_", " ") for case in cannot if cannot[case] == why)
                notes.append(f"    - {cases}: {why}")
            notes += [f"    {MARKS[outcome]:6} {case}" for case, outcome in more.items()]
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        table = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
        return [*table, "", *notes] if len(rows) > 1 else []
