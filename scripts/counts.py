"""Reads what test runners say about themselves: how many tests passed, failed and were skipped.

The gate counts instead of trusting exit codes alone, since a runner that found no test, or skipped the ones
that matter, exits with 0. Each reader takes what its runner printed and its report, if it writes one, and
gives a Counts. Names and messages come from reports only: text that is made for eyes changes.
"""

import json
import re
from dataclasses import dataclass, field
from typing import Iterator, Optional
from xml.etree import ElementTree

MESSAGE_LINES_MAX = 5
MESSAGE_COLUMNS_MAX = 160


@dataclass(frozen=True)
class Failure:
    """A test that failed at least once, and what it said the first time."""

    test: str
    message: str


@dataclass
class Counts:
    """Tests of one runner. `skipped` holds ignored, filtered and to-do tests as well: none ran.

    `flaky` names those among `passed` that failed before they passed, `failures` those among `failed` that
    the report names. There may be fewer of these than `failed`, since a test that never ran has no name.
    """

    passed: int = 0
    failed: int = 0
    skipped: int = 0
    flaky: list = field(default_factory=list)
    failures: list = field(default_factory=list)

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            self.passed + other.passed,
            self.failed + other.failed,
            self.skipped + other.skipped,
            self.flaky + other.flaky,
            self.failures + other.failures,
        )

    @property
    def ran(self) -> int:
        return self.passed + self.failed

    def line(self) -> str:
        """The closing line; skipped tests are named only where there are any."""
        tail = f", {self.skipped} skipped" if self.skipped else ""
        return f"{self.passed} passed, {self.failed} failed{tail}"


ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
# The standard library's panics and anyhow's errors spell it differently.
STACK = re.compile(r"^stack backtrace:", re.IGNORECASE | re.MULTILINE)


def first_lines(message: str) -> str:
    """The beginning of a message without colours and empty lines, and without the stack below it."""
    text = STACK.split(ANSI.sub("", message))[0]
    lines = [line.rstrip()[:MESSAGE_COLUMNS_MAX] for line in text.splitlines() if line.strip()]
    return "\n".join(lines[:MESSAGE_LINES_MAX])


def nextest(text: str, report: str) -> Counts:
    """`Summary [ 1.2s] 5/9 tests run: 3 passed (1 slow), 1 failed, 1 timed out, 2 skipped`.

    The line counts and the JUnit report names, since that has no tests that never ran because the
    run was stopped (5/9). They count as failed.
    """
    found = re.findall(r"Summary \[[^\]]*\]\s+(\d+)(?:/(\d+))? tests? run: (.*)", ANSI.sub("", text))
    if not found:
        return Counts()
    run, planned, rest = found[-1]
    passed = sum(int(n) for n in re.findall(r"(\d+) passed", rest))
    skipped = sum(int(n) for n in re.findall(r"(\d+) skipped", rest))
    return Counts(
        passed,
        int(planned or run) - passed,
        skipped,
        list(junit(report, "flakyFailure")),
        # `rerunFailure` stands beside it and holds the later tries.
        list(junit(report, "failure")),
    )


def junit(report: str, kind: str) -> Iterator[Failure]:
    """Each test case that holds an element of this kind, with the first one's message."""
    try:
        cases = ElementTree.fromstring(report).iter("testcase")
    except ElementTree.ParseError as error:
        raise ValueError(f"not a JUnit report: {error}") from error
    for case in cases:
        said = case.find(kind)
        if said is not None:
            # A test that was killed says nothing; the type tells why it was.
            message = (said.text or "").strip() or said.get("message") or said.get("type", "")
            yield Failure(f"{case.get('classname')} {case.get('name')}", first_lines(message))


def cargo_test(text: str, _report: str = "") -> Counts:
    """`test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out`, once per binary."""
    total = Counts()
    for p, f, i, o in re.findall(
        r"test result: \S+ (\d+) passed; (\d+) failed; (\d+) ignored; \d+ measured; (\d+) filtered out",
        ANSI.sub("", text),
    ):
        total += Counts(int(p), int(f), int(i) + int(o))
    return total


def unittest(text: str, _report: str = "") -> Counts:
    """`Ran 7 tests in 0.01s` and, if not all is well, `FAILED (failures=1, errors=1, skipped=2)`."""
    ran = sum(int(n) for n in re.findall(r"^Ran (\d+) tests?", text, re.M))
    failed = sum(int(n) for n in re.findall(r"(?:failures|errors|unexpected successes)=(\d+)", text))
    skipped = sum(int(n) for n in re.findall(r"(?:skipped|expected failures)=(\d+)", text))
    return Counts(ran - failed - skipped, failed, skipped)


def fuzz(text: str, _report: str = "") -> Counts:
    """The last line of scripts/fuzz.py: `19 held, 0 broke a promise, 65 s in all`."""
    found = re.findall(r"^(\d+) held, (\d+) broke a promise", text, re.M)
    return Counts(int(found[-1][0]), int(found[-1][1])) if found else Counts()


def vitest(_text: str, report: str) -> Counts:
    """Vitest's JSON report (the shape of Jest's). A file that does not load fails without holding a test."""
    data = json.loads(report)
    failures, not_loaded = [], 0
    for file in data["testResults"]:
        name = "/".join(file["name"].split("/")[-2:])
        if file["status"] == "failed" and not file.get("assertionResults"):
            not_loaded += 1
            failures.append(Failure(name, first_lines(file.get("message", ""))))
        for test in file.get("assertionResults", []):
            if test["status"] == "failed":
                said = "\n".join(test.get("failureMessages") or [])
                failures.append(Failure(f"{name} › {test['fullName']}", first_lines(said)))
    return Counts(
        data["numPassedTests"],
        data["numFailedTests"] + not_loaded,
        data.get("numPendingTests", 0) + data.get("numTodoTests", 0),
        failures=failures,
    )


def playwright(_text: str, report: str) -> Counts:
    """Playwright's JSON report. A flaky test (failed, then passed) is one that passed."""
    data = json.loads(report)
    stats, errors = data["stats"], data.get("errors", [])
    tests = [(name, test) for suite in data.get("suites", []) for name, test in browser_tests(suite)]
    outside = [Failure("outside of any test", first_lines(error.get("message", ""))) for error in errors]
    return Counts(
        stats["expected"] + stats["flaky"],
        stats["unexpected"] + len(errors),
        stats["skipped"],
        [Failure(name, first_error(test)) for name, test in tests if test["status"] == "flaky"],
        [Failure(name, first_error(test)) for name, test in tests if test["status"] == "unexpected"] + outside,
    )


def browser_tests(suite: dict, path: str = "") -> Iterator[tuple]:
    """The tests of a suite and of those inside it, each with its full name."""
    path = f"{path} › {suite['title']}" if path else suite["title"]
    for spec in suite.get("specs", []):
        for test in spec["tests"]:
            yield f"{path} › {spec['title']}", test
    for inner in suite.get("suites", []):
        yield from browser_tests(inner, path)


def first_error(test: dict) -> str:
    """What the first try that failed said. `error` is short; those in `errors` quote the source too."""
    for result in test["results"]:
        error: Optional[dict] = result.get("error") or next(iter(result.get("errors", [])), None)
        if error:
            return first_lines(error.get("message", ""))
    return " ".join(result["status"] for result in test["results"])
