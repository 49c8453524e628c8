//! Who is taken for an operator: by the address, by what proxies tell, by the token.

use crate::origin::networks;
use ddx_http::shared::operators::{NotAToken, Operators, Token};
use ddx_http::shared::origin::{Config, Peer, ProxyFields};
use http::{HeaderMap, HeaderName, HeaderValue};

const TOKEN: &str = "correct-horse-battery";

fn operators() -> Operators {
    Operators {
        networks: networks(&["127.0.0.1/32", "10.0.0.0/8", "fd00::/8"]),
        token: Some(TOKEN.parse().unwrap()),
    }
}

/// Believes 127.0.0.1 and 10.0.0.1, which are operators' addresses, too.
fn proxied() -> Config {
    Config {
        trusted_proxies: networks(&["127.0.0.1/32", "10.0.0.1/32"]),
        ..Config::default()
    }
}

fn sent(operators: &Operators, origin: &Config, from: &str, pairs: &[(&str, &str)]) -> bool {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(
            name.parse::<HeaderName>().unwrap(),
            HeaderValue::from_str(value).unwrap(),
        );
    }
    let peer = Peer {
        address: from.parse().unwrap(),
        tls: false,
    };
    operators.sent(origin, peer, &headers)
}

/// All fields by which a proxy, or a liar, tells that a request is another's.
const TOLD: [(&str, &str); 11] = [
    ("forwarded", "for=127.0.0.1"),
    ("x-forwarded-for", "127.0.0.1"),
    ("x-forwarded-host", "files.example"),
    ("x-forwarded-proto", "https"),
    ("x-forwarded-port", "443"),
    ("x-real-ip", "127.0.0.1"),
    ("x-client-ip", "127.0.0.1"),
    ("true-client-ip", "127.0.0.1"),
    ("cf-connecting-ip", "127.0.0.1"),
    ("via", "1.1 proxy"),
    ("x-forwarded-for", ""),
];

#[test]
fn an_address_counts_where_no_proxy_stands_between() {
    let (operators, origin) = (operators(), Config::default());
    for (from, expected) in [
        ("127.0.0.1", true),
        ("::ffff:127.0.0.1", true),
        ("127.0.0.2", false),
        ("10.9.8.7", true),
        ("fd00::1", true),
        ("2001:db8::1", false),
        ("203.0.113.9", false),
    ] {
        assert_eq!(sent(&operators, &origin, from, &[]), expected, "{from}");
        for told in TOLD {
            let is_one = sent(&operators, &origin, from, &[told]);
            assert!(!is_one, "{from} {told:?}: any visitor of a proxy");
        }
    }
    let none = Operators::default();
    assert!(!sent(&none, &origin, "127.0.0.1", &[]));
}

#[test]
fn behind_a_trusted_proxy_the_client_counts_that_it_tells() {
    let (operators, origin) = (operators(), proxied());
    let of = |fields: &[(&str, &str)]| sent(&operators, &origin, "127.0.0.1", fields);
    assert!(of(&[]), "no proxy: this machine itself");
    for (list, expected) in [
        ("10.9.8.7", true),
        ("127.0.0.1", true),
        ("203.0.113.9", false),
        ("10.9.8.7, 203.0.113.9", false),
        ("203.0.113.9, 10.9.8.7", true),
        ("203.0.113.9, 10.0.0.1", false),
        ("10.9.8.7, 10.0.0.1", true),
        // The proxy does not know its client, or its word can't be read.
        ("unknown", false),
        ("unknown, 10.0.0.1", false),
        ("", false),
    ] {
        let fields = [("x-forwarded-for", list), ("x-forwarded-proto", "https")];
        assert_eq!(of(&fields), expected, "{list}");
    }
    for told in TOLD.iter().filter(|(name, _)| *name != "x-forwarded-for") {
        assert!(!of(&[*told]), "{told:?} tells of no client");
    }
    let by_rfc = Config {
        proxy_fields: ProxyFields::Forwarded,
        ..origin.clone()
    };
    let of = |fields: &[(&str, &str)]| sent(&operators, &by_rfc, "127.0.0.1", fields);
    assert!(of(&[("forwarded", "for=10.9.8.7")]));
    assert!(!of(&[("forwarded", "for=203.0.113.9")]));
    assert!(!of(&[("forwarded", "proto=https")]));
    assert!(!of(&[("x-forwarded-for", "10.9.8.7")]), "the client's own");
}

#[test]
fn the_token_counts_from_everywhere() {
    let origin = Config::default();
    let with = |operators: &Operators, value: &str| {
        let fields = [("authorization", value), ("x-forwarded-for", "192.0.2.1")];
        sent(operators, &origin, "203.0.113.9", &fields)
    };
    let shorter = &TOKEN[1..];
    for (value, expected) in [
        (format!("Bearer {TOKEN}"), true),
        (format!("bearer  {TOKEN} "), true),
        (format!("Bearer {TOKEN}x"), false),
        (format!("Bearer {shorter}"), false),
        (format!("Basic {TOKEN}"), false),
        (TOKEN.to_owned(), false),
        ("Bearer ".to_owned(), false),
        ("Bearer".to_owned(), false),
        (String::new(), false),
    ] {
        assert_eq!(with(&operators(), &value), expected, "{value}");
    }
    let none = Operators {
        token: None,
        ..operators()
    };
    assert!(!with(&none, &format!("Bearer {TOKEN}")));
    let twice = [("authorization", "Bearer a"), ("authorization", "Bearer b")];
    assert!(!sent(&operators(), &origin, "203.0.113.9", &twice));
    let wrong = [("authorization", "Bearer something-else")];
    assert!(sent(&operators(), &origin, "127.0.0.1", &wrong), "near by");
}

#[test]
fn a_token_is_long_and_is_shown_nowhere() {
    let read = |text: &str| text.parse::<Token>().map(|token| format!("{token:?}"));
    assert_eq!(read(&format!(" \t{TOKEN}\r\n")), Ok("Token".to_owned()));
    assert_eq!(read("fifteen-letters\n"), Err(NotAToken::TooShort(15)));
    assert_eq!(read(""), Err(NotAToken::TooShort(0)));
    for text in [
        "two words that are long",
        "sixteen-letters-\u{e9}",
        "a\0bcdefghijklmnopq",
    ] {
        let error = read(text).unwrap_err();
        assert_eq!(error, NotAToken::NotVisible);
        assert!(!error.to_string().contains("sixteen"));
    }
    assert!(!format!("{:?}", operators()).contains(TOKEN));
}
