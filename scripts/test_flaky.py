"""The hunt for chance: what is chosen, what is counted, and that it leaves nothing running."""

import io
import os
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from contextlib import redirect_stdout, suppress
from pathlib import Path
from unittest import mock

import flaky
import gate
from counts import Counts, Failure
from planted import Planted

# The hunt with a runner that hangs, and with nothing to build.
HANGS = """
import sys
from pathlib import Path
import counts, flaky, gate
flaky.LOGS = Path(sys.argv.pop())
flaky.build = lambda wanted: 0
sleep = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)"]
sleeps = gate.Step("sleeps", sleep, read=counts.unittest)
flaky.steps = lambda suites, parts: {"rust": sleeps}
sys.exit(flaky.main())
"""


def result(name: str, passed: int, *failures: Failure, unnamed: int = 0, note: str = "") -> gate.Result:
    return gate.Result(name, Counts(passed, len(failures) + unnamed, 0, failures=list(failures)), 1.0, note)


class Choice(unittest.TestCase):
    def test_all_suites_without_a_choice(self):
        self.assertEqual(flaky.chosen(""), (["rust", "pages", "browser"], []))

    def test_suites_and_parts_of_names(self):
        self.assertEqual(flaky.chosen("browser"), (["browser"], []))
        self.assertEqual(flaky.chosen("rust restart::"), (["rust"], ["restart::"]))
        self.assertEqual(flaky.chosen("browser 'comes back' rust"), (["rust", "browser"], ["comes back"]))
        self.assertEqual(flaky.chosen("resume"), (["rust", "pages", "browser"], ["resume"]))

    def test_nothing_is_tried_again(self):
        wanted = flaky.steps(["rust", "browser"], [])
        self.assertEqual(wanted["rust"].command[-2:], ["--retries", "0"])
        self.assertEqual(wanted["browser"].command[-1], "--retries=0")
        self.assertFalse(wanted["rust"].may_be_empty)

    def test_parts_are_no_patterns(self):
        wanted = flaky.steps(["pages", "browser"], ["a.b", "c"])
        self.assertIn("a\\.b|c", wanted["pages"].command)
        self.assertIn("a\\.b|c", wanted["browser"].command)
        self.assertTrue(wanted["browser"].may_be_empty)


class Counting(unittest.TestCase):
    def test_rounds_are_counted_and_the_first_message_is_kept(self):
        tally = flaky.Tally()
        tally.add([result("Rust tests", 3, Failure("a", "first\nline two"))])
        tally.add([result("Rust tests", 3, Failure("b", "of b"), Failure("a", "second"))])
        tally.add([result("Rust tests", 4), result("pages", 2)])
        self.assertEqual((tally.rounds, tally.ran), (3, 15))
        want = "    2 of 3  a\n             first\n             line two\n    1 of 3  b\n             of b"
        self.assertEqual(tally.table(), want)

    def test_failures_without_a_name_go_by_the_suite(self):
        whole = flaky.named(result("Rust tests", 3, Failure("a", "x"), unnamed=2, note="stopped after 30 minutes"))
        self.assertEqual(whole, [Failure("a", "x"), Failure("Rust tests, as a whole", "stopped after 30 minutes")])

    def test_how_it_ends(self):
        def close(*rounds: gate.Result) -> tuple:
            tally, out = flaky.Tally(), io.StringIO()
            for each in rounds:
                tally.add([each])
            with redirect_stdout(out):
                return flaky.close(tally, 2, 61.0), out.getvalue()

        self.assertEqual(close(result("r", 3), result("r", 3))[0], 0)
        self.assertEqual(close(result("r", 3), result("r", 2, Failure("a", "x")))[0], 1)
        self.assertEqual(close(result("r", 0), result("r", 0))[0], 2)


class Hunt(Planted):
    """A hunt through the planted tests, by the real runners."""

    def test_a_hunt_counts_in_how_many_rounds_a_test_failed(self):
        wanted = {"rust": self.rust(1, again=False), "browser": self.browser(2, again=False)}
        tally, out = flaky.Tally(), io.StringIO()
        with mock.patch.object(flaky, "LOGS", Path(self.marks) / "logs"), redirect_stdout(out):
            flaky.hunt(wanted, 2, tally)
            self.assertEqual(flaky.close(tally, 2, 1.0), 1)
        said = out.getvalue()
        self.assertIn("  round 1 of 2: 7 passed, 3 failed in ", said)
        self.assertIn("  round 2 of 2: 10 passed, 0 failed in ", said)
        for test in ("tiny planted_1", "tiny.spec.ts › planted 1", "tiny.spec.ts › planted 2"):
            self.assertIn(f"    1 of 2  {test}\n", said)
        self.assertTrue((Path(self.marks) / "logs" / "2-browser.log").is_file())


class NothingIsLeft(unittest.TestCase):
    def start(self, code: str, *args: str, **env: str) -> subprocess.Popen:
        child = subprocess.Popen(
            [sys.executable, "-c", code, *args],
            cwd=gate.ROOT / "scripts",
            env={**os.environ, "ONLY": "", **env},
            stdout=subprocess.PIPE,
            text=True,
        )
        self.addCleanup(child.stdout.close)
        self.addCleanup(child.wait)
        self.addCleanup(child.kill)
        return child

    def children(self, pid: int) -> list:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def wait_until(self, true) -> None:
        end = time.monotonic() + 20
        while not true():
            self.assertLess(time.monotonic(), end, "waited for 20 s")
            time.sleep(0.05)

    def gone(self, pids: list) -> bool:
        """Whether none runs. One that its parent has not asked about is still listed, with a Z."""
        for pid in pids:
            with suppress(FileNotFoundError, ProcessLookupError):
                if Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z":
                    return False
        return True

    def test_an_interrupted_hunt_leaves_nothing_running(self):
        for interrupt in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            with tempfile.TemporaryDirectory() as logs:
                hunt = self.start(HANGS, logs, BUSY="1", ROUNDS="2")
                # One spinning process for each core, and the runner.
                count = (os.cpu_count() or 1) + 1
                log = Path(logs) / "1-rust.log"
                self.wait_until(lambda: log.exists() and "\nup\n" in log.read_text())
                started = self.children(hunt.pid)
                self.assertEqual(len(started), count)
                hunt.send_signal(interrupt)
                said, _ = hunt.communicate(timeout=30)
            self.assertEqual(hunt.returncode, 130, said)
            self.assertIn("interrupted", said)
            self.assertTrue(self.gone(started), said)

    def test_a_killed_hunt_leaves_nothing_spinning(self):
        code = "import flaky, time\nwith flaky.busy(2) as s:\n    print(*[p.pid for p in s], flush=True)\n    time.sleep(60)"
        hunt = self.start(code)
        spinning = [int(pid) for pid in hunt.stdout.readline().split()]
        self.assertEqual(len(spinning), 2)
        self.assertFalse(self.gone(spinning))
        hunt.kill()
        hunt.wait()
        self.wait_until(lambda: self.gone(spinning))


if __name__ == "__main__":
    unittest.main()
