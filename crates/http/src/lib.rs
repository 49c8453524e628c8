//! The ways in: tus, plain HTTP, downloads, status and the pages.

pub mod digests;
pub mod download;
pub mod fields;
pub mod metrics;
pub mod names;
pub mod negotiate;
pub mod origin;
pub mod plain;
pub mod problem;
pub mod tus;
