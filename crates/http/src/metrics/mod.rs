//! Metrics: one table, and what is counted by it.

pub mod registry;
pub mod table;

pub use registry::{Held, MEDIA_TYPE, Metrics};
pub use table::Metric;
