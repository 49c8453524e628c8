"""Reads what test runners say about themselves: how many tests passed, failed and were skipped.

The gate counts instead of trusting exit codes alone, since a runner that found no test, or skipped the ones
that matter, exits with 0. Each reader takes what its runner printed (or its JSON report) and gives a Counts.
"""

import json
import re
from dataclasses import dataclass


@dataclass
class Counts:
    """Tests of one runner. `skipped` holds ignored, filtered and to-do tests as well: none of them ran."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(self.passed + other.passed, self.failed + other.failed, self.skipped + other.skipped)

    @property
    def ran(self) -> int:
        return self.passed + self.failed

    def line(self) -> str:
        """The closing line; skipped tests are named only where there are any."""
        tail = f", {self.skipped} skipped" if self.skipped else ""
        return f"{self.passed} passed, {self.failed} failed{tail}"


ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def nextest(text: str) -> Counts:
    """`Summary [ 1.2s] 5/9 tests run: 3 passed (1 slow), 1 failed, 1 timed out, 2 skipped`.

    Tests that never ran because the run was stopped (5/9) count as failed.
    """
    found = re.findall(r"Summary \[[^\]]*\]\s+(\d+)(?:/(\d+))? tests? run: (.*)", ANSI.sub("", text))
    if not found:
        return Counts()
    run, planned, rest = found[-1]
    passed = sum(int(n) for n in re.findall(r"(\d+) passed", rest))
    skipped = sum(int(n) for n in re.findall(r"(\d+) skipped", rest))
    return Counts(passed, int(planned or run) - passed, skipped)


def cargo_test(text: str) -> Counts:
    """`test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out`, once per binary."""
    total = Counts()
    for p, f, i, o in re.findall(
        r"test result: \S+ (\d+) passed; (\d+) failed; (\d+) ignored; \d+ measured; (\d+) filtered out",
        ANSI.sub("", text),
    ):
        total += Counts(int(p), int(f), int(i) + int(o))
    return total


def unittest(text: str) -> Counts:
    """`Ran 7 tests in 0.01s` and, if not all is well, `FAILED (failures=1, errors=1, skipped=2)`."""
    ran = sum(int(n) for n in re.findall(r"^Ran (\d+) tests?", text, re.M))
    failed = sum(int(n) for n in re.findall(r"(?:failures|errors|unexpected successes)=(\d+)", text))
    skipped = sum(int(n) for n in re.findall(r"(?:skipped|expected failures)=(\d+)", text))
    return Counts(ran - failed - skipped, failed, skipped)


def fuzz(text: str) -> Counts:
    """The last line of scripts/fuzz.py: `19 held, 0 broke a promise, 65 s in all`."""
    found = re.findall(r"^(\d+) held, (\d+) broke a promise", text, re.M)
    return Counts(int(found[-1][0]), int(found[-1][1])) if found else Counts()


def vitest(report: str) -> Counts:
    """Vitest's JSON report (the shape of Jest's). A file that does not load fails without holding a test."""
    data = json.loads(report)
    not_loaded = sum(
        1 for file in data["testResults"] if file["status"] == "failed" and not file.get("assertionResults")
    )
    return Counts(
        data["numPassedTests"],
        data["numFailedTests"] + not_loaded,
        data.get("numPendingTests", 0) + data.get("numTodoTests", 0),
    )


def playwright(report: str) -> Counts:
    """Playwright's JSON report. A flaky test (failed, then passed when tried again) counts as failed."""
    data = json.loads(report)
    stats = data["stats"]
    return Counts(
        stats["expected"],
        stats["unexpected"] + stats["flaky"] + len(data.get("errors", [])),
        stats["skipped"],
    )
