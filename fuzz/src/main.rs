//! libFuzzer over the target that `DDX_FUZZ_TARGET` names.
//!
//! One binary for all of them: linking twenty would take longer than a short run. `scripts/fuzz.py`
//! builds it with coverage counters in our own crates and gives it corpus, time and dictionary.
#![no_main]

use std::sync::LazyLock;

use ddx_fuzz::{TARGETS, Target, target};
use libfuzzer_sys::fuzz_target;

static CHOSEN: LazyLock<&'static Target> = LazyLock::new(|| {
    let name = std::env::var("DDX_FUZZ_TARGET").unwrap_or_default();
    target(&name).unwrap_or_else(|| {
        let names: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
        eprintln!("DDX_FUZZ_TARGET={name:?} is none of {}", names.join(", "));
        std::process::exit(2)
    })
});

fuzz_target!(|bytes: &[u8]| (CHOSEN.run)(bytes));
