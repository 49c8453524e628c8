//! What proxies tell of a client: `X-Forwarded-For`, `-Proto`, `-Host`, or `Forwarded` (RFC 7239).

use std::net::{IpAddr, Ipv6Addr};

use http::{HeaderMap, HeaderName, header};

use super::{Networks, Scheme};
use crate::shared::fields;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Proxies in a row that are followed. What a stranger puts before them is not even read.
const HOPS_MAX: usize = 16;

/// Fields by which proxies tell that they ask for another client, beside all `X-Forwarded-…`.
const PROXIES_FIELDS: [HeaderName; 6] = [
    header::FORWARDED,
    header::VIA,
    HeaderName::from_static("x-real-ip"),
    HeaderName::from_static("x-client-ip"),
    HeaderName::from_static("true-client-ip"),
    HeaderName::from_static("cf-connecting-ip"),
];

/// Whether a request says, truly or not, that it came through a proxy.
pub(super) fn is_forwarded(headers: &HeaderMap) -> bool {
    headers
        .keys()
        .any(|name| PROXIES_FIELDS.contains(name) || name.as_str().starts_with("x-forwarded"))
}

/// What is known of a client behind trusted proxies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hops {
    pub(super) client: IpAddr,
    /// The outermost trusted proxy told the client's address; else it is the proxy's own.
    pub(super) is_told: bool,
    pub(super) scheme: Option<Scheme>,
    pub(super) host: Option<String>,
}

/// Follows `X-Forwarded-For` from its right end.
pub(super) fn x_forwarded(peer: IpAddr, headers: &HeaderMap, trusted: &Networks) -> Hops {
    let list = fields::joined(headers, &X_FORWARDED_FOR)
        .ok()
        .flatten()
        .unwrap_or_default();
    let Walked {
        client,
        is_told,
        hops,
    } = walk(peer, list.rsplit(',').map(node), trusted);
    Hops {
        client,
        is_told,
        scheme: of_hop(headers, &X_FORWARDED_PROTO, hops).and_then(|text| Scheme::parse(&text)),
        host: of_hop(headers, &X_FORWARDED_HOST, hops),
    }
}

/// How far a list of addresses can be followed.
struct Walked {
    client: IpAddr,
    is_told: bool,
    /// How many entries trusted proxies wrote.
    hops: usize,
}

/// Follows `entries`, which come from the right.
fn walk(peer: IpAddr, entries: impl Iterator<Item = Option<IpAddr>>, trusted: &Networks) -> Walked {
    let mut walked = Walked {
        client: peer,
        is_told: false,
        hops: 0,
    };
    for entry in entries.take(HOPS_MAX) {
        // `client` is trusted here, so it wrote this entry.
        walked.hops += 1;
        walked.is_told = entry.is_some();
        let Some(address) = entry else { break };
        walked.client = address;
        if !trusted.contains(address) {
            break;
        }
    }
    walked
}

/// Of a list to which every proxy may have added, the entry of the outermost trusted one; of a
/// shorter list the first.
fn of_hop(headers: &HeaderMap, name: &HeaderName, hops: usize) -> Option<String> {
    let list = fields::joined(headers, name).ok()??;
    let entries: Vec<&str> = fields::split(&list, ',').collect();
    let at = entries.len().saturating_sub(hops.max(1));
    entries.get(at).map(|text| (*text).to_owned())
}

/// Follows `Forwarded` from its right end.
pub(super) fn forwarded(peer: IpAddr, headers: &HeaderMap, trusted: &Networks) -> Hops {
    let list = fields::joined(headers, &header::FORWARDED)
        .ok()
        .flatten()
        .unwrap_or_default();
    let elements: Vec<&str> = fields::split(&list, ',').collect();
    let value = |element: &str, wanted: &str| {
        fields::parameters(element)
            .find(|(name, _)| name == wanted)
            .map(|(_, value)| value.into_owned())
    };
    let senders = elements
        .iter()
        .rev()
        .map(|element| value(element, "for").and_then(|text| node(&text)));
    let Walked {
        client,
        is_told,
        hops,
    } = walk(peer, senders, trusted);
    // The outermost first; where it says nothing, the next one inward does.
    let written = &elements[elements.len() - hops.min(elements.len())..];
    Hops {
        client,
        is_told,
        scheme: written
            .iter()
            .find_map(|element| value(element, "proto"))
            .and_then(|text| Scheme::parse(&text)),
        host: written.iter().find_map(|element| value(element, "host")),
    }
}

/// An address with or without a port: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`,
/// `[2001:db8::1]:80`. `unknown` and hidden names are none.
fn node(text: &str) -> Option<IpAddr> {
    let text = text.trim_matches(fields::is_space);
    let address = if let Some(rest) = text.strip_prefix('[') {
        let (address, _port) = rest.split_once(']')?;
        address.parse::<Ipv6Addr>().ok().map(IpAddr::V6)
    } else {
        text.parse().ok().or_else(|| {
            let (address, port) = text.rsplit_once(':')?;
            port.bytes().all(|b| b.is_ascii_digit()).then_some(())?;
            address.parse().ok().filter(IpAddr::is_ipv4)
        })
    };
    address.map(|address: IpAddr| address.to_canonical())
}
