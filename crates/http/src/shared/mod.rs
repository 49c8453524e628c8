//! The words of HTTP that everything here speaks. Nothing in it knows the state, a connection or a
//! protocol.

pub mod accept;
pub mod digests;
pub(crate) mod engine_error;
pub mod fields;
pub(crate) mod gzip;
pub mod names;
pub mod operators;
pub mod origin;
pub(crate) mod path_prefix;
pub(crate) mod places;
pub mod problem;
pub(crate) mod rate_limits;
pub(crate) mod request_id;
pub mod size;
pub(crate) mod strict;
