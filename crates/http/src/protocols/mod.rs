//! How files come: one folder for each protocol, and one line here.
//!
//! A folder has all of its protocol: addresses, fields, handlers, what pages of other sites may
//! send and read, and its label in metrics. It is taken out by deleting it and its two lines.

pub mod plain;
pub mod tus;

use crate::route_group::RouteGroup;

/// Every protocol. Asked in this order what a request is.
pub(crate) fn groups() -> Vec<RouteGroup> {
    vec![plain::group(), tus::group()]
}
