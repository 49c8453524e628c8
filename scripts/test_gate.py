"""Chance in the gate: for real, with planted tests, and in the summary without any runner."""

import io
import os
import sys
import tempfile
import threading
import time
import unittest
from contextlib import redirect_stdout
from pathlib import Path
from unittest import mock

import counts
import gate
from counts import Counts, Failure
from planted import Planted


class Chance(Planted):
    def close(self, *steps: gate.Step) -> tuple:
        """How a run with these steps ends: its exit code, its last line, and all it printed."""
        out = io.StringIO()
        with redirect_stdout(out):
            code = gate.close([gate.run(step) for step in steps], 1.0)
        said = out.getvalue()
        return code, said.splitlines()[-1], said

    def test_a_green_run_has_no_flaky_test(self):
        code, last, said = self.close(self.rust(0), self.browser(0))
        self.assertEqual((code, last), (0, "10 passed, 0 failed"), said)
        self.assertNotIn("flaky,", said)

    def test_a_flaky_test_in_rust_is_named_and_does_not_stop_the_run(self):
        code, last, said = self.close(self.rust(1))
        self.assertEqual((code, last), (0, "5 passed, 0 failed"), said)
        summary = said.split("── summary")[1]
        self.assertIn("1 flaky", summary)
        self.assertIn("  flaky, passed only when tried again: tiny planted_1\n", summary)
        self.assertIn("      a first failure of 1\n", summary)

    def test_a_flaky_test_in_the_browser_is_named_and_does_not_stop_the_run(self):
        code, last, said = self.close(self.browser(1))
        self.assertEqual((code, last), (0, "5 passed, 0 failed"), said)
        summary = said.split("── summary")[1]
        self.assertIn("1 flaky", summary)
        self.assertIn("  flaky, passed only when tried again: tiny.spec.ts › planted 1\n", summary)
        self.assertIn("      Error: a first failure of 1\n", summary)

    def test_a_red_test_stops_the_run_and_is_named(self):
        for step, name in ((self.rust(0, red=True), "tiny steady"), (self.browser(0, red=True), "tiny.spec.ts › steady")):
            code, last, said = self.close(step)
            self.assertEqual((code, last), (1, "4 passed, 1 failed"), said)
            summary = said.split("── summary")[1]
            self.assertIn(f"  failed: {name}\n", summary)
            self.assertIn("red each time", summary)

    def test_four_flaky_tests_stop_the_run(self):
        code, last, said = self.close(self.rust(2), self.browser(2))
        self.assertEqual((code, last), (1, "10 passed, 1 failed"), said)
        self.assertIn("4 flaky tests, and at most 3 are let through", said)

    def test_three_do_not(self):
        code, last, said = self.close(self.rust(2), self.browser(1))
        self.assertEqual((code, last), (0, "10 passed, 0 failed"), said)

    def test_without_another_try_a_flaky_test_is_red(self):
        for step in (self.rust(1, again=False), self.browser(1, again=False)):
            code, last, said = self.close(step)
            self.assertEqual((code, last), (1, "4 passed, 1 failed"), said)


class Close(unittest.TestCase):
    """The summary, without any runner."""

    def close(self, *steps: Counts) -> tuple:
        out = io.StringIO()
        with redirect_stdout(out):
            code = gate.close([gate.Result(f"step {at}", each, 1.0) for at, each in enumerate(steps)], 61.0)
        return code, out.getvalue()

    def test_flaky_tests_of_all_steps_are_counted_together(self):
        def some(count: int) -> Counts:
            return Counts(9, 0, 0, [Failure(f"test {number}", "why") for number in range(count)])

        self.assertEqual(self.close(some(2), some(1))[0], 0)
        code, said = self.close(some(2), some(2))
        self.assertEqual(code, 1)
        self.assertEqual(said.splitlines()[-1], "18 passed, 1 failed")

    def test_a_long_list_is_cut(self):
        count = gate.NAMED_MAX + 5
        _, said = self.close(Counts(1, count, 0, failures=[Failure(f"test {number}", "") for number in range(count)]))
        self.assertEqual(said.count("  failed: test "), gate.NAMED_MAX)
        self.assertIn("  failed: 5 more\n", said)

    def test_a_tool_that_is_not_there_is_a_failure(self):
        out = io.StringIO()
        result = gate.run(gate.Step("gone", ["/nonexistent/tool"]), out)
        self.assertEqual(result.counts, Counts(0, 1))
        self.assertIn("/nonexistent/tool", result.note)

    def test_a_runner_that_hangs_is_ended_and_counts_what_it_says_then(self):
        # It ends politely, as nextest does, and its child that does not hear is ended all the same.
        runner = """
import signal, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(60)"])
def bye(*_):
    print("Ran 3 tests in 1s", flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, bye)
child.wait()
"""
        step = gate.Step("hangs", [sys.executable, "-c", runner], read=counts.unittest, minutes_max=1 / 60)
        result = gate.run(step, io.StringIO())
        self.assertEqual(result.counts, Counts(3, 1))
        self.assertIn("stopped after", result.note)
        self.assertLess(result.seconds, 15)

    def test_a_step_beside_others_runs_while_they_do_and_is_counted_in_its_place(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "pipe"
            os.mkfifo(path)
            # Each waits for the other: a pipe opens when both ends are there.
            beside = gate.Step("reads", [sys.executable, "-c", f"print(open({str(path)!r}).read())"], beside=True, minutes_max=1)
            after = gate.Step("writes", [sys.executable, "-c", f"open({str(path)!r}, 'w').write('met')"], minutes_max=1)
            out = io.StringIO()
            with redirect_stdout(out):
                results = gate.run_all([beside, after], set())
        self.assertEqual([(each.name, each.counts) for each in results], [("reads", Counts(1, 0)), ("writes", Counts(1, 0))])
        self.assertIn("met\n", out.getvalue())

    def test_a_step_may_wait_until_another_has_begun(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "pipe"
            os.mkfifo(path)
            late = gate.Step("late", [sys.executable, "-c", f"open({str(path)!r}).read(); print('came late')"], beside=True)
            late.once_begun = "first"
            writes = f"print('no'); print('now', flush=True); open({str(path)!r}, 'w').close(); print('met')"
            first = gate.Step("first", [sys.executable, "-c", writes], begun="now", minutes_max=1)
            out = io.StringIO()
            with redirect_stdout(out):
                results = gate.run_all([late, first], set())
        self.assertEqual([each.counts for each in results], [Counts(1, 0), Counts(1, 0)])
        said = out.getvalue()
        self.assertLess(said.index("now\n"), said.index("came late\n"), said)

    def test_a_step_that_waits_for_one_that_cannot_run_starts_all_the_same(self):
        late = gate.Step("late", [sys.executable, "-c", "print('came')"], beside=True, once_begun="held back")
        held = gate.Step("held back", ["true"], needs=("broken",))
        with redirect_stdout(io.StringIO()):
            results = gate.run_all([late, held], {"broken"})
        self.assertEqual([each.counts for each in results], [Counts(1, 0), Counts(0, 1)])

    def test_an_interrupt_ends_what_runs_beside(self):
        class Stop(BaseException):
            pass

        def interrupt(step: gate.Step, out=None):
            while not gate.RUNNING:
                time.sleep(0.01)
            raise Stop

        real = gate.run
        beside = gate.Step("hangs", [sys.executable, "-c", "import time; time.sleep(600)"], beside=True)
        alone = gate.Step("is interrupted", [])
        started = time.monotonic()
        waits = gate.Step("waits", ["true"], beside=True, once_begun="is interrupted")
        with mock.patch.object(gate, "INTERRUPTED", threading.Event()), mock.patch.object(gate, "run", lambda step, out=None: (real if step.beside else interrupt)(step, out)):
            with redirect_stdout(io.StringIO()), self.assertRaises(Stop):
                gate.run_all([beside, waits, alone], set())
        self.assertEqual(gate.RUNNING, set())
        self.assertLess(time.monotonic() - started, 60)


if __name__ == "__main__":
    unittest.main()
