//! The ways in: tus, plain HTTP, downloads, status and the pages.
//!
//! Each protocol is a module whose `wire` is pure (fields and bytes in, values out) and whose
//! handlers call the engine. What they share stands beside them: names, digests, problem documents,
//! links. [`router`] puts them together, and [`server`] serves them.

mod allowance;
mod api;
mod app;
mod body;
mod cross_origin;
mod deliver;
pub mod digests;
pub mod download;
pub mod fields;
mod gzip;
mod links;
mod listing;
pub mod metrics;
pub mod names;
pub mod negotiate;
mod observe;
pub mod operators;
pub mod origin;
mod pace;
mod pages;
mod places;
pub mod plain;
mod prefix;
pub mod problem;
mod reader;
mod refusal;
mod request_id;
mod routes;
pub mod server;
mod socket;
mod starting;
mod strict;
pub mod tus;
mod vary;
mod view;

pub use app::{App, Config, CrossOrigin};
pub use routes::router;
pub use starting::Served;
