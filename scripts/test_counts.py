"""The gate's arithmetic, on lines that the runners really printed."""

import json
import unittest

from counts import (
    MESSAGE_COLUMNS_MAX,
    MESSAGE_LINES_MAX,
    Counts,
    Failure,
    cargo_test,
    first_lines,
    fuzz,
    nextest,
    playwright,
    unittest as unittest_counts,
    vitest,
)

NO_CASES = '<testsuites name="ddx" tests="0" skipped="0" failures="0" errors="0" time="0.000"></testsuites>'

# Recorded from nextest 0.9.148, with most of the stacks and of the output cut away.
JUNIT = """<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="ddx" tests="4" skipped="0" failures="2" errors="0" time="3.012">
    <testsuite name="tiny" tests="4" skipped="0" errors="0" failures="2">
        <testcase name="flaky" classname="tiny" timestamp="2026-11-26T03:26:03.790+00:00" time="0.006">
            <flakyFailure timestamp="2026-11-26T03:26:03.554+00:00" time="0.233" \
message="thread &apos;flaky&apos; (9642) panicked at src/lib.rs:3:189" \
type="test failure with exit code 101">thread &apos;flaky&apos; (9642) panicked at src/lib.rs:3:189:
assertion `left == right` failed: a first
failure
  left: 1
 right: 2
stack backtrace:
   0: __rustc::rust_begin_unwind
                <system-out>
running 1 test
some out &amp; &lt;x&gt;
test flaky ... FAILED
</system-out>
            </flakyFailure>
            <flakyFailure time="0.1" type="test timeout"><system-err>the second try</system-err></flakyFailure>
        </testcase>
        <testcase name="red" classname="tiny" timestamp="2026-11-26T03:26:03.797+00:00" time="0.006">
            <failure message="Error: &quot;red&quot;" type="test failure with exit code 101">Error: &quot;red&quot;</failure>
            <rerunFailure time="0.008" message="Error: &quot;again&quot;" \
type="test failure with exit code 101">Error: &quot;again&quot;
                <system-err>Error: &quot;again&quot;
</system-err>
            </rerunFailure>
        </testcase>
        <testcase name="steady" classname="tiny" timestamp="2026-11-26T03:26:03.823+00:00" time="0.012"/>
        <testcase name="hangs" classname="tiny" timestamp="2026-11-26T03:26:03.552+00:00" time="1.004">
            <failure type="test timeout"/>
            <rerunFailure timestamp="2026-11-26T03:26:04.557+00:00" time="1.003" type="test timeout">
                <system-err>before
</system-err>
            </rerunFailure>
        </testcase>
    </testsuite>
</testsuites>
"""

# Recorded from Playwright 1.65, without places, times and attachments.
BROWSER = {
    "suites": [
        {
            "title": "tiny.spec.ts",
            "specs": [],
            "suites": [
                {
                    "title": "group",
                    "specs": [
                        {
                            "title": "planted 1",
                            "ok": True,
                            "tests": [
                                {
                                    "expectedStatus": "passed",
                                    "results": [
                                        {
                                            "status": "failed",
                                            "error": {
                                                "message": "Error: a first failure\n\n\x1b[2mexpect(\x1b[22m\x1b[31m"
                                                "received\x1b[39m\x1b[2m).\x1b[22mtoBe\x1b[2m(\x1b[22m\x1b[32mexpected"
                                                "\x1b[39m\x1b[2m) // Object.is equality\x1b[22m\n\n"
                                                "Expected: \x1b[32m2\x1b[39m\nReceived: \x1b[31m1\x1b[39m",
                                            },
                                            "errors": [{"message": "Error: a first failure\n\n   5 |  source"}],
                                            "retry": 0,
                                        },
                                        {"status": "passed", "errors": [], "retry": 1},
                                    ],
                                    "status": "flaky",
                                }
                            ],
                        },
                        {
                            "title": "skipped",
                            "ok": True,
                            "tests": [
                                {
                                    "expectedStatus": "skipped",
                                    "results": [{"status": "skipped", "errors": [], "retry": 0}],
                                    "status": "skipped",
                                }
                            ],
                        },
                        {
                            "title": "hung",
                            "ok": False,
                            "tests": [
                                {
                                    "expectedStatus": "passed",
                                    "results": [
                                        {
                                            "status": "timedOut",
                                            "error": {"message": "\x1b[31mTest timeout of 500ms exceeded.\x1b[39m"},
                                            "errors": [{"message": "\x1b[31mTest timeout of 500ms exceeded.\x1b[39m"}],
                                            "retry": 0,
                                        },
                                    ],
                                    "status": "unexpected",
                                }
                            ],
                        },
                    ],
                }
            ],
        }
    ],
    "errors": [],
    "stats": {"expected": 0, "skipped": 1, "unexpected": 1, "flaky": 1},
}


class Readers(unittest.TestCase):
    def test_nextest_all_well(self):
        text = "     Summary [   0.512s] 12 tests run: 12 passed (1 slow), 0 skipped\n"
        self.assertEqual(nextest(text, NO_CASES), Counts(12, 0, 0))

    def test_nextest_counts_everything_that_did_not_pass_as_failed(self):
        text = "\x1b[31;1m     Summary\x1b[0m [   3.000s] 7/9 tests run: 4 passed, 2 failed, 1 timed out, 3 skipped\n"
        self.assertEqual(nextest(text, NO_CASES), Counts(4, 5, 3))

    def test_nextest_that_did_not_compile_ran_nothing(self):
        self.assertEqual(nextest("error: could not compile `ddx-memory`", ""), Counts())

    def test_nextest_names_flaky_and_failed_tests_with_their_first_message(self):
        text = "     Summary [   3.012s] 4 tests run: 2 passed (1 flaky), 1 failed, 1 timed out, 1 skipped\n"
        got = nextest(text, JUNIT)
        self.assertEqual((got.passed, got.failed, got.skipped), (2, 2, 1))
        message = (
            "thread 'flaky' (9642) panicked at src/lib.rs:3:189:\n"
            "assertion `left == right` failed: a first\nfailure\n  left: 1\n right: 2"
        )
        self.assertEqual(got.flaky, [Failure("tiny flaky", message)])
        self.assertEqual(got.failures, [Failure("tiny red", 'Error: "red"'), Failure("tiny hangs", "test timeout")])

    def test_a_report_that_breaks_off_is_no_report(self):
        text = "     Summary [   3.012s] 4 tests run: 4 passed, 0 skipped\n"
        for report in ("", JUNIT[:400]):
            with self.assertRaises(ValueError):
                nextest(text, report)

    def test_cargo_test_sums_binaries_and_sees_ignored_ones(self):
        text = (
            "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.1s\n"
            "test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 4 filtered out; finished in 0.1s\n"
        )
        self.assertEqual(cargo_test(text), Counts(4, 2, 5))

    def test_unittest(self):
        self.assertEqual(unittest_counts("Ran 7 tests in 0.01s\n\nOK\n"), Counts(7, 0, 0))
        self.assertEqual(
            unittest_counts("Ran 7 tests in 0.01s\n\nFAILED (failures=1, errors=2, skipped=1)\n"), Counts(3, 3, 1)
        )

    def test_fuzz(self):
        self.assertEqual(fuzz("   ok  tus   1,000 inputs\n18 held, 1 broke a promise, 65 s in all\n"), Counts(18, 1, 0))
        self.assertEqual(fuzz("built in 4 s; 19 targets, 2 s each\n"), Counts())

    def test_vitest_counts_a_file_that_does_not_load(self):
        report = {
            "numPassedTests": 5,
            "numFailedTests": 1,
            "numPendingTests": 1,
            "numTodoTests": 1,
            "testResults": [
                {"status": "failed", "assertionResults": [], "name": "/p/web/src/lib/api.test.ts", "message": "no such"},
                {
                    "status": "failed",
                    "name": "/p/web/src/upload/queue.test.ts",
                    "assertionResults": [
                        {"status": "passed", "fullName": "a queue is empty", "failureMessages": []},
                        {"status": "failed", "fullName": "a queue grows", "failureMessages": ["AssertionError: 1\n  at x"]},
                    ],
                },
            ],
        }
        want = [
            Failure("lib/api.test.ts", "no such"),
            Failure("upload/queue.test.ts › a queue grows", "AssertionError: 1\n  at x"),
        ]
        self.assertEqual(vitest("", json.dumps(report)), Counts(5, 2, 2, failures=want))

    def test_playwright_counts_flaky_as_passed_and_errors_outside_of_tests_as_failed(self):
        report = {"stats": {"expected": 4, "unexpected": 1, "flaky": 1, "skipped": 2}, "errors": [{"message": "no"}]}
        want = Counts(5, 2, 2, failures=[Failure("outside of any test", "no")])
        self.assertEqual(playwright("", json.dumps(report)), want)

    def test_playwright_names_flaky_and_failed_tests_with_their_first_message(self):
        message = "Error: a first failure\nexpect(received).toBe(expected) // Object.is equality\nExpected: 2\nReceived: 1"
        want = Counts(
            1,
            1,
            1,
            [Failure("tiny.spec.ts › group › planted 1", message)],
            [Failure("tiny.spec.ts › group › hung", "Test timeout of 500ms exceeded.")],
        )
        self.assertEqual(playwright("", json.dumps(BROWSER)), want)

    def test_a_stack_is_no_part_of_a_message(self):
        said = "Error: Close at 1399752: only 606208 were kept\n\nStack backtrace:\n   0: anyhow::error\n"
        self.assertEqual(first_lines(said), "Error: Close at 1399752: only 606208 were kept")

    def test_a_message_is_cut(self):
        lines = first_lines("\n\n".join(["y" * 1000] * 20)).splitlines()
        self.assertEqual(lines, ["y" * MESSAGE_COLUMNS_MAX] * MESSAGE_LINES_MAX)

    def test_closing_line(self):
        self.assertEqual((Counts(1, 0) + Counts(2, 1)).line(), "3 passed, 1 failed")
        self.assertEqual(Counts(1, 0, 2).line(), "1 passed, 0 failed, 2 skipped")

    def test_a_sum_holds_the_names_of_both(self):
        one, other = Failure("one", ""), Failure("other", "")
        got = Counts(1, 1, 0, [one], [other]) + Counts(1, 1, 0, [other], [one])
        self.assertEqual(got, Counts(2, 2, 0, [one, other], [other, one]))


if __name__ == "__main__":
    unittest.main()
