//! Fuzz targets: for every place where the server reads bytes from outside, a function
//! that takes any bytes and panics if a promise about them is broken.
//!
//! A target is a plain function, so that one and the same check has two drivers: the ordinary test
//! in `tests/corpus.rs` replays the corpus and mutates it a fixed number of times from a fixed
//! seed, on every machine, and libFuzzer (`main.rs`) looks for new paths through the code for as
//! long as it is given. What either finds becomes a file in `corpus/<target>`.
//!
//! "Never panics" is the least of what is asked. Wherever there is something to compare with, the
//! target compares: the end of a head with hyper's parser, a form cut in pieces with the same form
//! whole, what was written with what is read back.
// The files that are compiled in by their path hold tests of their own, which run where they live
// and not once more here.
#![cfg(not(test))]

pub mod mutate;
mod request;
mod scratch;
mod target;
mod targets;

pub use target::Target;
pub use targets::TARGETS;

/// The target of this name.
#[must_use]
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
