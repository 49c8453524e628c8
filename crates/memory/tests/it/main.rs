//! Tests of the ledger, its probe and its buffers, from outside of the crate.
//!
//! One binary: each one more is compiled and linked by itself.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod buffers;
mod fairness;
mod figures;
mod memory_box;
mod plan;
mod probe;
mod properties;
mod rules;
mod support;
