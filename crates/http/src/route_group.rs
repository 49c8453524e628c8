//! A part of the server's addresses with all that the rest must know of it: one protocol, the API,
//! the links, the pages. The router takes each in by one line.

use axum::Router;
use axum::routing::MethodRouter;
use ddx_engine::Protocol;
use http::Method;
use utoipa::openapi::OpenApi;

use crate::app::App;

/// Routes, and what is true of the requests that come to them.
pub(crate) struct RouteGroup {
    /// Its addresses, without the server's root.
    pub(crate) routes: Router<App>,
    /// What it answers at the server's root.
    pub(crate) root: MethodRouter<App>,
    /// What a request at this route is, if it is this group's. Asked in the order of the groups.
    pub(crate) describe: fn(&Method, &str) -> Option<RouteInfo>,
    /// Whether a file may lie at a path: its reader may rest longer than others.
    pub(crate) may_be_file: fn(&str) -> bool,
    /// A method that it takes also at the addresses of other groups, the API's apart, where those
    /// don't.
    pub(crate) other_method: Option<(Method, MethodRouter<App>)>,
    /// How uploads come by it.
    pub(crate) protocol: Option<Protocol>,
    /// What pages of other sites need.
    pub(crate) cors: Cors,
    /// Its addresses as the API's contract tells them.
    pub(crate) contract: OpenApi,
}

impl RouteGroup {
    /// These routes, of which nothing else is to be said.
    pub(crate) fn new(
        routes: Router<App>,
        describe: fn(&Method, &str) -> Option<RouteInfo>,
    ) -> Self {
        Self {
            routes,
            root: MethodRouter::new(),
            describe,
            may_be_file: |_| false,
            other_method: None,
            protocol: None,
            cors: Cors::default(),
            contract: OpenApi::default(),
        }
    }
}

/// What is known of a request by its method and its route, before its handler runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RouteInfo {
    /// Its label in metrics.
    pub(crate) label: &'static str,
    /// Fields of the request that the answer depends on, for caches.
    pub(crate) vary: Option<&'static str>,
    /// It tells of the server itself: no page of another site is shown it.
    pub(crate) is_for_operators: bool,
    /// A client that asks too often waits, in place of being refused.
    pub(crate) waits_its_turn: bool,
    /// Its answers have the fields of CORS whether an origin is named or not.
    pub(crate) always_cors: bool,
}

impl RouteInfo {
    /// With this label, and nothing else to be said.
    pub(crate) const fn new(label: &'static str) -> Self {
        Self {
            label,
            vary: None,
            is_for_operators: false,
            waits_its_turn: false,
            always_cors: false,
        }
    }
}

/// What pages of other sites may send to a group, and read of its answers: header fields.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cors {
    pub(crate) request_fields: &'static [&'static str],
    pub(crate) response_fields: &'static [&'static str],
}
