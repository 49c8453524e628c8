//! Metrics: one table, and what is counted by it.

pub mod registry;
pub mod table;

pub use registry::Metrics;
pub use table::Metric;
