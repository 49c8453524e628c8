//! Tests of what the ways in and out read and write, from outside of the crate.
//!
//! One binary: each one more is compiled and linked by itself.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod caches;
mod cross_site;
mod delivery_headers;
mod documents;
mod fetch;
mod for_operators;
mod forms;
mod limits;
mod names;
mod operators;
mod origin;
mod paths;
mod plain_headers;
mod plain_multipart;
mod refusals;
mod support;
mod tus_create;
mod tus_headers;
mod walk;
mod wrong_turns;
