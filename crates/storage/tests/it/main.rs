//! Tests of the stores, from outside of the crate.
//!
//! One binary: each one more is compiled and linked by itself.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod conformance;
mod faults;
mod full_disk;
mod page_cache;
