//! Who asks, and by which name this server is known to them.
//!
//! Absolute links, the client's address in limits and logs, and whether a connection counts as safe
//! all rest on it, so the rules are narrow:
//!
//! - A configured public URL is the base of every link, whatever a request says.
//! - Without one, it is the request's own authority. A name that is no name is refused, never
//!   written into an answer.
//! - A proxy's fields count only if the connection comes from an address that the operator trusts;
//!   none is trusted by default. And only one family of fields counts, `X-Forwarded-…` or
//!   `Forwarded` ([`ProxyFields`]): proxies set one and pass the other on as the client wrote it.
//!   Rejected: to take whichever is there.
//! - The client's address is found from the right: each trusted proxy adds who spoke to it, and
//!   what stands to the left of the first address that is not trusted was written by a stranger.
//! - Of several values of host or scheme the one counts that the outermost trusted proxy wrote.
//! - `X-Forwarded-Port` is not read: proxies disagree on whether it is theirs or the client's, and
//!   the host carries it.

mod authority;
mod forwarded;
mod networks;

use std::net::{IpAddr, Ipv6Addr};

use http::{HeaderMap, HeaderName, Uri, header};

pub use authority::{Base, BaseError, Scheme};
pub use networks::Networks;

use crate::shared::fields;
use crate::shared::problem::{Kind, Problem};
use forwarded::Hops;

const X_FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");

/// Whom an address counts for: itself, or the network of 64 bits that one IPv6 customer has
/// alone.
pub(crate) fn client_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        address => address,
    }
}

/// Which fields a trusted proxy speaks by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ProxyFields {
    /// `X-Forwarded-For`, `-Proto`, `-Host`: what nginx, Caddy, Traefik and HAProxy are set up for.
    #[default]
    XForwarded,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

/// How requests are told where they come from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Config {
    /// The base of all links. Default none: what the request says.
    pub public_url: Option<Base>,
    /// Whose fields count. Default none.
    pub trusted_proxies: Networks,
    /// Which fields count. Default `X-Forwarded-…`.
    pub proxy_fields: ProxyFields,
    /// Path that stands before every path of this server, such as `/share`, in links. Default
    /// empty. A public URL has its own; a trusted proxy's `X-Forwarded-Prefix` comes before this
    /// one.
    pub path_prefix: String,
}

/// One request's connection, as the server itself sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// The other end's address.
    pub address: IpAddr,
    /// Whether the connection itself is TLS.
    pub tls: bool,
}

impl Config {
    /// The client's address: the peer's, or the one that trusted proxies tell. A proxy that does
    /// not tell it, or tells something unreadable, stands for its clients.
    #[must_use]
    pub fn client(&self, peer: Peer, headers: &HeaderMap) -> IpAddr {
        self.hops(peer, headers)
            .map_or(peer.address.to_canonical(), |hops| hops.client)
    }

    /// The client's address, where it is certain enough to grant something by it. `None` where a
    /// proxy stands between and no trusted one tells for whom it asks: an address of this machine
    /// is then the proxy's, and the client may be anywhere.
    #[must_use]
    pub fn certain_client(&self, peer: Peer, headers: &HeaderMap) -> Option<IpAddr> {
        match self.hops(peer, headers) {
            Some(hops) if hops.is_told => Some(hops.client),
            _ => (!forwarded::is_forwarded(headers)).then(|| peer.address.to_canonical()),
        }
    }

    /// The base of absolute links.
    ///
    /// # Errors
    /// [`Kind::HostRefused`].
    pub fn base(&self, peer: Peer, uri: &Uri, headers: &HeaderMap) -> Result<Base, Problem> {
        match &self.public_url {
            Some(base) => Ok(base.clone()),
            None => self.asked(peer, uri, headers),
        }
    }

    /// Whether [`Config::base`] is the address by which clients know the server: it is configured,
    /// or a trusted proxy told the host that it was asked for. A request's own `Host` may be the
    /// name that a proxy has for this machine.
    #[must_use]
    pub fn is_public(&self, peer: Peer, headers: &HeaderMap) -> bool {
        let told = || self.hops(peer, headers).and_then(|hops| hops.host);
        self.public_url.is_some()
            || told().is_some_and(|host| Base::new(Scheme::Http, &host, "").is_ok())
    }

    /// Whether an `Origin` is that of this server's own pages: of its public URL, or of the name by
    /// which this request reached it. A page can choose neither of the two.
    #[must_use]
    pub fn is_own(&self, peer: Peer, uri: &Uri, headers: &HeaderMap, origin: &str) -> bool {
        let public = self.public_url.as_ref();
        public.is_some_and(|base| base.is_origin(origin))
            || self
                .asked(peer, uri, headers)
                .is_ok_and(|base| base.is_origin(origin))
    }

    /// The base by which the request reached the server.
    fn asked(&self, peer: Peer, uri: &Uri, headers: &HeaderMap) -> Result<Base, Problem> {
        let hops = self.hops(peer, headers);
        let scheme = match hops.as_ref().and_then(|hops| hops.scheme) {
            Some(scheme) => scheme,
            None if peer.tls => Scheme::Https,
            None => Scheme::Http,
        };
        let prefix = self.prefix(hops.is_some(), headers);
        let told = hops.and_then(|hops| hops.host);
        // A proxy's unreadable word is no word; the request's own must be right.
        if let Some(base) = told.and_then(|host| Base::new(scheme, &host, &prefix).ok()) {
            return Ok(base);
        }
        let host = host(uri, headers)?;
        Base::new(scheme, &host, &prefix).map_err(|error| {
            Problem::new(Kind::HostRefused)
                .detail(error.to_string())
                .value(host)
        })
    }

    fn prefix(&self, is_proxied: bool, headers: &HeaderMap) -> String {
        if is_proxied
            && self.proxy_fields == ProxyFields::XForwarded
            && let Ok(Some(text)) = fields::single(headers, &X_FORWARDED_PREFIX)
            && let Ok(prefix) = authority::prefix(text)
        {
            return prefix;
        }
        self.path_prefix.clone()
    }

    /// What trusted proxies tell; `None` if the peer is not one.
    fn hops(&self, peer: Peer, headers: &HeaderMap) -> Option<Hops> {
        if !self.trusted_proxies.contains(peer.address) {
            return None;
        }
        let address = peer.address.to_canonical();
        Some(match self.proxy_fields {
            ProxyFields::XForwarded => {
                forwarded::x_forwarded(address, headers, &self.trusted_proxies)
            }
            ProxyFields::Forwarded => forwarded::forwarded(address, headers, &self.trusted_proxies),
        })
    }
}

/// The request's own authority: that of its target (HTTP/2, or an absolute form, which RFC 9112
/// §3.2.2 puts before the field), else the field `Host`.
fn host(uri: &Uri, headers: &HeaderMap) -> Result<String, Problem> {
    if let Some(authority) = uri.authority() {
        return Ok(authority.as_str().to_owned());
    }
    match fields::single(headers, &header::HOST) {
        Ok(Some(host)) if !host.is_empty() => Ok(host.to_owned()),
        Ok(_) => Err(Problem::new(Kind::HostRefused).detail("The Host header is missing.")),
        Err(_) => {
            Err(Problem::new(Kind::HostRefused).detail("The Host header is not a valid host name."))
        }
    }
}
