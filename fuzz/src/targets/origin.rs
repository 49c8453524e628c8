//! Who asks and under which name: `address tls|plain xforwarded|forwarded`, then the fields.

use std::net::{IpAddr, Ipv4Addr};

use ddx_http::shared::origin::{Base, Config, Peer, ProxyFields};
use http::Uri;
use ipnet::IpNet;

use crate::request::Request;

const PROXIES: &[&str] = &[
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-forwarded-prefix",
    "forwarded",
];

pub(super) fn run(bytes: &[u8]) {
    let request = Request::read(bytes);
    let mut words = request.first.split(' ');
    let address = words
        .next()
        .and_then(|word| word.parse().ok())
        .unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let tls = words.next() == Some("tls");
    let proxy_fields = match words.next() {
        Some("forwarded") => ProxyFields::Forwarded,
        _ => ProxyFields::XForwarded,
    };
    let proxies = ["10.0.0.0/8", "fd00::/8"].map(|text| text.parse().expect("a network"));
    let config = Config {
        trusted_proxies: Vec::<IpNet>::from(proxies).into(),
        proxy_fields,
        path_prefix: "/share".to_owned(),
        ..Config::default()
    };
    let peer = Peer { address, tls };
    let uri = Uri::from_static("/files");
    let base = config.base(peer, &uri, &request.headers);
    let client = config.client(peer, &request.headers);
    if let Ok(base) = &base {
        let text = base.to_string();
        assert!(
            text.bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-._~:/[]".contains(&byte)),
            "{text}"
        );
        assert_eq!(text.parse::<Base>().as_ref(), Ok(base));
        assert!(base.prefix().is_empty() || base.prefix().starts_with('/'));
    }
    assert_eq!(client, client.to_canonical());
    let certain = config.certain_client(peer, &request.headers);
    assert!(certain.is_none_or(|certain| certain == client));
    if !config.trusted_proxies.contains(address) {
        // A client that is not trusted may write what it likes: it changes nothing.
        let plain = request.without(PROXIES);
        assert_eq!(client, address.to_canonical());
        assert_eq!(config.client(peer, &plain), client);
        assert_eq!(config.base(peer, &uri, &plain).ok(), base.ok());
    }
    for value in request.headers.values().filter_map(|v| v.to_str().ok()) {
        if let Ok(base) = value.parse::<Base>() {
            assert_eq!(base.to_string().parse(), Ok(base.clone()));
            let origin = format!("{}://{}", base.scheme().as_str(), base.authority());
            assert!(base.is_origin(&origin));
        }
    }
}
