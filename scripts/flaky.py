#!/usr/bin/env python3
"""Hunts chance: repeats the suites, tries no test again, and counts the failures of each test.

  ROUNDS=10   how often
  BUSY=1      as many spinning processes as there are cores run beside it
  ONLY=…      words that choose. `rust`, `pages` and `browser` are suites; every other word is a part of
              tests' names, and a test that has one of them in its name runs. Quote a part with spaces.
              ONLY=browser    ONLY="rust restart::"    ONLY="browser 'comes back'"    ONLY=resume

Everything is installed and built first, as in the gate. What the runners print goes to files, one for each
round and suite. At the end, or when it is interrupted, stands each test that failed, in how many rounds,
and its first message. It exits with 1 if there is any.
"""

import os
import re
import shlex
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Iterator

import gate
from counts import Counts, Failure

LOGS = gate.REPORTS / "flaky"
SUITES = ("rust", "pages", "browser")
# It looks for its parent, since a killed script can't end it, and rarely, since looking is no work.
SPIN = """
import os, sys
while os.getppid() == int(sys.argv[1]):
    for _ in range(1_000_000):
        pass
"""


@dataclass
class Tally:
    """In how many rounds each test failed, and what it said the first time."""

    rounds: int = 0
    ran: int = 0
    failed: dict = field(default_factory=dict)
    first: dict = field(default_factory=dict)

    def add(self, results: list) -> None:
        self.rounds += 1
        failures = {}
        for result in results:
            self.ran += result.counts.ran
            for failure in named(result):
                failures.setdefault(failure.test, failure.message)
        for test, message in failures.items():
            self.failed[test] = self.failed.get(test, 0) + 1
            self.first.setdefault(test, message)

    def table(self) -> str:
        """The most frequent first."""
        lines = []
        for test, times in sorted(self.failed.items(), key=lambda pair: (-pair[1], pair[0])):
            lines.append(f"  {times:>3} of {self.rounds}  {test}")
            lines += [f"             {line}" for line in self.first[test].splitlines()]
        return "\n".join(lines)


def named(result: gate.Result) -> list:
    """The failures of a suite. Those without a test, such as a run cut short, go by its name."""
    rest = result.counts.failed - len(result.counts.failures)
    whole = [Failure(f"{result.name}, as a whole", result.note or f"{rest} never ran")] if rest > 0 else []
    return result.counts.failures + whole


def chosen(only: str) -> tuple:
    """The suites and the parts of names in ONLY."""
    words = shlex.split(only)
    suites = [suite for suite in SUITES if suite in words]
    return suites or list(SUITES), [word for word in words if word not in SUITES]


def steps(suites: list, parts: list) -> dict:
    """The gate's steps for these suites, narrowed. A part may be found in some suites only."""
    rust, script, browser = (), (), ()
    if parts:
        pattern = "|".join(re.escape(part) for part in parts)
        rust = (*parts, "--no-tests=pass")
        script = ("-t", pattern, "--passWithNoTests")
        browser = ("-g", pattern, "--pass-with-no-tests")
    every = {
        "rust": gate.rust_tests(again=False, more=rust),
        "pages": gate.page_tests(more=script),
        "browser": gate.browser_tests(again=False, more=browser),
    }
    return {suite: replace(every[suite], may_be_empty=bool(parts)) for suite in suites}


@contextmanager
def busy(count: int) -> Iterator[list]:
    """That many processes that do nothing but work. They end with the block and with this process."""
    command = [sys.executable, "-c", SPIN, str(os.getpid())]
    spinners = []
    try:
        for _ in range(count):
            # An interrupt from the keyboard reaches them as well, and they would complain.
            spinners.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        yield spinners
    finally:
        for spinner in spinners:
            spinner.kill()
        for spinner in spinners:
            spinner.wait()


def hunt(wanted: dict, rounds: int, tally: Tally) -> None:
    """All the rounds, a line for each and one for each test that failed in it."""
    LOGS.mkdir(parents=True, exist_ok=True)
    for number in range(1, rounds + 1):
        started = time.monotonic()
        results = []
        for suite, step in wanted.items():
            with open(LOGS / f"{number}-{suite}.log", "w", encoding="utf-8") as log:
                results.append(gate.run(step, log))
        tally.add(results)
        total = sum((result.counts for result in results), Counts())
        times = ", ".join(f"{suite} {result.seconds:.0f} s" for suite, result in zip(wanted, results))
        print(f"  round {number} of {rounds}: {total.passed} passed, {total.failed} failed", end="")
        print(f" in {time.monotonic() - started:.0f} s ({times})", flush=True)
        for result in results:
            for failure in named(result):
                print(f"    FAIL {failure.test}", flush=True)


def build(wanted: dict) -> int:
    """What the gate installs and builds before these steps; how much of it failed."""
    started = time.monotonic()
    results = gate.prepare(["test"])
    if not results and any(gate.BUILD in step.needs for step in wanted.values()):
        results = [result for result in [gate.run(gate.build_step())] if result.counts.failed]
    if results:
        gate.close(results, time.monotonic() - started)
    return len(results)


def close(tally: Tally, rounds: int, seconds: float) -> int:
    print(f"\n── {tally.rounds} of {rounds} rounds in {int(seconds // 60)} min {int(seconds % 60)} s")
    if tally.failed:
        print(tally.table())
        print(f"  all that the runners printed: {LOGS}/ROUND-SUITE.log")
        return 1
    if tally.rounds and not tally.ran:
        print("  no test has such a name")
        return 2
    print(f"  no failure in {tally.ran} tests")
    return 0


def main() -> int:
    number = os.environ.get("ROUNDS") or "10"
    if sys.argv[1:] or not number.isdigit() or int(number) < 1:
        print(__doc__)
        return 2
    rounds = int(number)
    wanted = steps(*chosen(os.environ.get("ONLY") or ""))
    gate.unwind()
    spinning = (os.cpu_count() or 1) if os.environ.get("BUSY", "0") not in ("", "0") else 0
    beside = f" beside {spinning} busy processes" if spinning else ""
    tally, started = Tally(), time.monotonic()
    try:
        if build(wanted):
            return 1
        print(f"\n── {rounds} times {', '.join(wanted)}{beside}", flush=True)
        started = time.monotonic()
        with busy(spinning):
            hunt(wanted, rounds, tally)
    except KeyboardInterrupt:
        print("\ninterrupted")
        close(tally, rounds, time.monotonic() - started)
        return 130
    return close(tally, rounds, time.monotonic() - started)


if __name__ == "__main__":
    sys.exit(main())
