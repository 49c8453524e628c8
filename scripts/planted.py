"""Tests that are planted for the gate's own tests: some are told to fail, once or each time.

The real nextest and the real Playwright run them. The gate installs both before its own tests; by hand,
`make test` must have run once. A missing tool is a failure, since a test of the gate that is left out
would be missed by nobody.
"""

import shutil
import tempfile
import unittest
from dataclasses import replace
from pathlib import Path

import gate

MANIFEST = """[package]
name = "tiny"
version = "0.0.0"
edition = "2021"

[workspace]
"""

LOCK = """version = 3

[[package]]
name = "tiny"
version = "0.0.0"
"""

# The first FLAKY of the four fail once each, which a file in MARKS remembers.
RUST = """
fn planted(number: u32) {
    let flaky: u32 = std::env::var("FLAKY").unwrap().parse().unwrap();
    let mark = format!("{}/rust-{number}", std::env::var("MARKS").unwrap());
    if number <= flaky && !std::path::Path::new(&mark).exists() {
        std::fs::write(mark, "").unwrap();
        panic!("a first failure of {number}");
    }
}

#[test] fn planted_1() { planted(1) }
#[test] fn planted_2() { planted(2) }
#[test] fn planted_3() { planted(3) }
#[test] fn planted_4() { planted(4) }
#[test] fn steady() {
    assert!(std::env::var("RED").unwrap() != "1", "red each time");
    assert_eq!(std::env::var("INSTA_UPDATE").unwrap(), "no", "snapshots would be written");
}
"""

SPEC = """
import { existsSync, writeFileSync } from 'node:fs';
import { expect, test } from '@playwright/test';

for (const number of [1, 2, 3, 4]) {
  test(`planted ${number}`, () => {
    const mark = `${process.env['MARKS']}/browser-${number}`;
    if (number <= Number(process.env['FLAKY']) && !existsSync(mark)) {
      writeFileSync(mark, '');
      throw new Error(`a first failure of ${number}`);
    }
  });
}
test('steady', () => expect(process.env['RED'], 'red each time').not.toBe('1'));
"""


class Planted(unittest.TestCase):
    """Five tests in Rust and five in a spec, some of which are told to fail."""

    @classmethod
    def setUpClass(cls):
        cls.root = Path(tempfile.mkdtemp(prefix="ddx-planted-"))
        cls.addClassCleanup(shutil.rmtree, cls.root, ignore_errors=True)
        files = {
            "rust/Cargo.toml": MANIFEST,
            "rust/Cargo.lock": LOCK,
            "rust/src/lib.rs": RUST,
            # The project's own configuration.
            "rust/.config/nextest.toml": (gate.ROOT / ".config" / "nextest.toml").read_text(),
            "browser/playwright.config.ts": "export default { testDir: 'tests', workers: 1 };\n",
            "browser/tests/tiny.spec.ts": SPEC,
        }
        for name, text in files.items():
            (cls.root / name).parent.mkdir(parents=True, exist_ok=True)
            (cls.root / name).write_text(text)
        (cls.root / "browser" / "node_modules").symlink_to(gate.WEB / "node_modules")

    def setUp(self):
        self.marks = tempfile.mkdtemp(dir=self.root)

    def step(self, step: gate.Step, flaky: int, red: bool = False) -> gate.Step:
        """One of the gate's own steps, with what is planted."""
        mine = {"MARKS": self.marks, "FLAKY": flaky, "RED": int(red), "CARGO_TARGET_DIR": self.root / "target"}
        return replace(step, env={**step.env, **mine})

    def rust(self, flaky: int, red: bool = False, again: bool = True) -> gate.Step:
        return self.step(gate.rust_tests(self.root / "rust", again), flaky, red)

    def browser(self, flaky: int, red: bool = False, again: bool = True) -> gate.Step:
        return self.step(gate.browser_tests(self.root / "browser", self.root, again), flaky, red)
