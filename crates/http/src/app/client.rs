//! Who asks.
//!
//! Today an address, or the network of 64 bits that one IPv6 customer has alone; an account takes
//! its place where there is one.

use std::net::IpAddr;

use axum::extract::FromRequestParts;
use http::request::Parts;
use http::{Extensions, HeaderMap};

use super::state::App;
use crate::server::Connection;
use crate::shared::origin::{Peer, client_of};
use crate::shared::problem::{Kind, Problem};

/// The client of one request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Client(IpAddr);

impl FromRequestParts<App> for Client {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let client = Self::of(app, &parts.extensions, &parts.headers);
        client.ok_or_else(|| Problem::new(Kind::Internal))
    }
}

impl Client {
    /// Who sent a request with these fields; None where no connection brought it.
    pub(crate) fn of(app: &App, extensions: &Extensions, headers: &HeaderMap) -> Option<Self> {
        let peer = peer(extensions)?;
        Some(Self(app.config().origin.client(peer, headers)))
    }

    /// Its address.
    pub(crate) fn address(self) -> IpAddr {
        self.0
    }

    /// Whether it is this machine itself.
    pub(crate) fn is_local(self) -> bool {
        self.0.to_canonical().is_loopback()
    }

    /// Among whom memory is shared fairly.
    pub(crate) fn owner(self) -> String {
        match client_of(self.0) {
            IpAddr::V4(address) => format!("ip:{address}"),
            IpAddr::V6(network) => format!("ip:{network}/64"),
        }
    }
}

/// The other end of the connection that brought a request.
pub(crate) fn peer(extensions: &Extensions) -> Option<Peer> {
    let connection = extensions.get::<Connection>()?;
    Some(Peer {
        address: connection.peer.ip(),
        tls: connection.is_tls,
    })
}
