//! Tests of what the ways in and out read and write, from outside of the crate.
//!
//! One binary: each one more is compiled and linked by itself.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod download_wire;
mod names;
mod operators;
mod origin;
mod plain_multipart;
mod plain_wire;
mod tus_wire;
