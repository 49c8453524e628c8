//! How files come: one folder for each protocol, and one line here.
//!
//! A folder has all of its protocol: addresses, fields, handlers, what pages of other sites may
//! send and read, and its label in metrics. It is taken out by deleting it and its two lines.

pub mod plain;
pub mod tus;

use ddx_engine::Protocol;

use crate::route_group::RouteGroup;

/// Every protocol. Asked in this order what a request is.
pub(crate) fn groups() -> Vec<RouteGroup> {
    vec![plain::group(), tus::group()]
}

/// What the engine must know of them, for its [`Config`](ddx_engine::Config).
#[must_use]
pub fn spoken() -> Vec<Protocol> {
    let groups = groups().into_iter();
    groups.filter_map(|group| group.protocol).collect()
}
