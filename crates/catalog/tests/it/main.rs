//! Tests of the catalog, from outside of the crate.
//!
//! One binary: each one more is compiled and linked by itself.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod commits;
mod conformance;
mod crash;
mod crashed;
mod model;
mod read_only;
mod schema;
