//! What proxies tell of a client: `X-Forwarded-For`, `-Proto`, `-Host`, or `Forwarded` (RFC 7239).

use std::net::{IpAddr, Ipv6Addr};

use http::{HeaderMap, HeaderName, header};

use super::{Scheme, TrustedProxies};
use crate::fields;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Proxies in a row that are followed. What a stranger puts before them is not even read.
const HOPS_MAX: usize = 16;

/// What is known of a client behind trusted proxies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hops {
    pub(super) client: IpAddr,
    pub(super) scheme: Option<Scheme>,
    pub(super) host: Option<String>,
}

/// Follows `X-Forwarded-For` from its right end.
pub(super) fn x_forwarded(peer: IpAddr, headers: &HeaderMap, trusted: &TrustedProxies) -> Hops {
    let list = fields::joined(headers, &X_FORWARDED_FOR)
        .ok()
        .flatten()
        .unwrap_or_default();
    let (client, hops) = walk(peer, list.rsplit(',').map(node), trusted);
    Hops {
        client,
        scheme: of_hop(headers, &X_FORWARDED_PROTO, hops).and_then(|text| Scheme::parse(&text)),
        host: of_hop(headers, &X_FORWARDED_HOST, hops),
    }
}

/// The client's address, and how many entries were written by trusted proxies. `entries` come from the right.
fn walk(
    peer: IpAddr,
    entries: impl Iterator<Item = Option<IpAddr>>,
    trusted: &TrustedProxies,
) -> (IpAddr, usize) {
    let mut client = peer;
    let mut hops = 0;
    for entry in entries.take(HOPS_MAX) {
        // `client` is trusted here, so it wrote this entry.
        hops += 1;
        let Some(address) = entry else { break };
        client = address;
        if !trusted.contains(address) {
            break;
        }
    }
    (client, hops)
}

/// Of a list to which every proxy may have added, the entry of the outermost trusted one; of a shorter list the first.
fn of_hop(headers: &HeaderMap, name: &HeaderName, hops: usize) -> Option<String> {
    let list = fields::joined(headers, name).ok()??;
    let entries: Vec<&str> = fields::split(&list, ',').collect();
    let at = entries.len().saturating_sub(hops.max(1));
    entries.get(at).map(|text| (*text).to_owned())
}

/// Follows `Forwarded` from its right end.
pub(super) fn forwarded(peer: IpAddr, headers: &HeaderMap, trusted: &TrustedProxies) -> Hops {
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
    let (client, hops) = walk(peer, senders, trusted);
    // The outermost first; where it says nothing, the next one inward does.
    let written = &elements[elements.len() - hops.min(elements.len())..];
    Hops {
        client,
        scheme: written
            .iter()
            .find_map(|element| value(element, "proto"))
            .and_then(|text| Scheme::parse(&text)),
        host: written.iter().find_map(|element| value(element, "host")),
    }
}

/// An address with or without a port: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]:80`. `unknown` and
/// hidden names are none.
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
