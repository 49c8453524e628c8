"""The gate's arithmetic, on lines that the runners really printed."""

import json
import unittest

from counts import Counts, cargo_test, fuzz, nextest, playwright, unittest as unittest_counts, vitest


class Readers(unittest.TestCase):
    def test_nextest_all_well(self):
        text = "     Summary [   0.512s] 12 tests run: 12 passed (1 slow), 0 skipped\n"
        self.assertEqual(nextest(text), Counts(12, 0, 0))

    def test_nextest_counts_everything_that_did_not_pass_as_failed(self):
        text = "\x1b[31;1m     Summary\x1b[0m [   3.000s] 7/9 tests run: 4 passed, 2 failed, 1 timed out, 3 skipped\n"
        self.assertEqual(nextest(text), Counts(4, 5, 3))

    def test_nextest_that_did_not_compile_ran_nothing(self):
        self.assertEqual(nextest("error: could not compile `ddx-memory`"), Counts())

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
            "numFailedTests": 0,
            "numPendingTests": 1,
            "numTodoTests": 1,
            "testResults": [{"status": "failed", "assertionResults": []}, {"status": "passed", "assertionResults": [1]}],
        }
        self.assertEqual(vitest(json.dumps(report)), Counts(5, 1, 2))

    def test_playwright_counts_flaky_as_failed(self):
        report = {"stats": {"expected": 4, "unexpected": 1, "flaky": 1, "skipped": 2}, "errors": [{}]}
        self.assertEqual(playwright(json.dumps(report)), Counts(4, 3, 2))

    def test_closing_line(self):
        self.assertEqual((Counts(1, 0) + Counts(2, 1)).line(), "3 passed, 1 failed")
        self.assertEqual(Counts(1, 0, 2).line(), "1 passed, 0 failed, 2 skipped")


if __name__ == "__main__":
    unittest.main()
