//! Who asks, and under which name: behind no proxy, behind trusted ones, and behind liars.

use std::net::IpAddr;

use ddx_http::shared::origin::{Base, BaseError, Config, Networks, Peer, ProxyFields, Scheme};
use ddx_http::shared::problem::Kind;
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use proptest::prelude::*;

const PROXY: &str = "10.0.0.1";
const STRANGER: &str = "203.0.113.9";

/// Networks in CIDR notation.
pub(crate) fn networks(all: &[&str]) -> Networks {
    let parsed = all.iter().map(|network| network.parse().unwrap());
    parsed.collect::<Vec<_>>().into()
}

fn config() -> Config {
    Config {
        trusted_proxies: networks(&["10.0.0.0/8", "fd00::/8"]),
        ..Config::default()
    }
}

fn peer(address: &str) -> Peer {
    Peer {
        address: address.parse().unwrap(),
        tls: false,
    }
}

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(
            HeaderName::from_static(name),
            HeaderValue::from_str(value).unwrap(),
        );
    }
    headers
}

fn base(config: &Config, from: &str, pairs: &[(&'static str, &str)]) -> Result<String, Kind> {
    config
        .base(peer(from), &Uri::from_static("/files"), &headers(pairs))
        .map(|base| base.to_string())
        .map_err(|problem| problem.kind())
}

fn client(config: &Config, from: &str, pairs: &[(&'static str, &str)]) -> String {
    config.client(peer(from), &headers(pairs)).to_string()
}

#[test]
fn without_a_proxy_the_request_tells_the_name() {
    let config = Config::default();
    assert_eq!(
        base(&config, STRANGER, &[("host", "Example.org:8000")]).as_deref(),
        Ok("http://example.org:8000")
    );
    assert_eq!(
        base(&config, STRANGER, &[("host", "[::1]:80")]).as_deref(),
        Ok("http://[::1]")
    );
    let tls = Peer {
        tls: true,
        ..peer(STRANGER)
    };
    let of = |uri: &'static str, pairs: &[(&'static str, &str)]| {
        config
            .base(tls, &Uri::from_static(uri), &headers(pairs))
            .unwrap()
            .to_string()
    };
    assert_eq!(of("/", &[("host", "a:443")]), "https://a");
    assert_eq!(
        of("https://b/x", &[("host", "a")]),
        "https://b",
        "the target comes before the field"
    );
}

#[test]
fn the_own_origin_is_the_public_one_and_that_of_the_request() {
    let public = Config {
        public_url: Some("https://files.example.org/share".parse().unwrap()),
        ..config()
    };
    let own = |config: &Config, from: &str, pairs: &[(&'static str, &str)], origin: &str| {
        config.is_own(peer(from), &Uri::from_static("/x"), &headers(pairs), origin)
    };
    let host = [("host", "a:8000")];
    assert!(own(&config(), STRANGER, &host, "http://a:8000"));
    for origin in [
        "http://a",
        "https://a:8000",
        "http://b:8000",
        "null",
        "",
        "http://a:8000/x",
    ] {
        assert!(!own(&config(), STRANGER, &host, origin), "{origin}");
    }
    assert!(own(&public, STRANGER, &host, "https://files.example.org"));
    assert!(own(&public, STRANGER, &host, "http://a:8000"));
    assert!(!own(&public, STRANGER, &host, "http://files.example.org"));
    let proxied = [
        ("host", "a:8000"),
        ("x-forwarded-for", STRANGER),
        ("x-forwarded-host", "b.org"),
        ("x-forwarded-proto", "https"),
    ];
    assert!(own(&config(), PROXY, &proxied, "https://b.org"));
    assert!(!own(&config(), PROXY, &proxied, "http://a:8000"));
    assert!(!own(&config(), STRANGER, &proxied, "https://b.org"));
    assert!(!own(&config(), STRANGER, &[("host", "a/b")], "http://a"));
}

#[test]
fn a_bad_name_is_refused() {
    for host in [
        "", "a b", "a/b", "a\"b", "a<b", "a@b", "a:b", "a:0", "a:99999", "a:+1", "[::1", "[x]",
        "[::1]x", "ü", ".a", "a..b", ".", "a:80:80",
    ] {
        let mut map = HeaderMap::new();
        map.append("host", HeaderValue::from_bytes(host.as_bytes()).unwrap());
        let result = Config::default().base(peer(STRANGER), &Uri::from_static("/"), &map);
        assert_eq!(result.unwrap_err().kind(), Kind::HostRefused, "{host:?}");
    }
    assert_eq!(
        base(&Config::default(), STRANGER, &[("host", "a:")]).as_deref(),
        Ok("http://a"),
        "RFC 3986 allows it"
    );
    assert_eq!(
        base(&Config::default(), STRANGER, &[]),
        Err(Kind::HostRefused)
    );
    assert_eq!(
        base(
            &Config::default(),
            STRANGER,
            &[("host", "a"), ("host", "b")]
        ),
        Err(Kind::HostRefused)
    );
}

#[test]
fn a_public_url_is_the_last_word() {
    let config = Config {
        public_url: Some("HTTPS://Files.Example:443/share/".parse().unwrap()),
        ..config()
    };
    let told = [
        ("host", "evil"),
        ("x-forwarded-host", "evil"),
        ("x-forwarded-proto", "http"),
    ];
    assert_eq!(
        base(&config, PROXY, &told).as_deref(),
        Ok("https://files.example/share")
    );
    assert_eq!(
        base(&config, PROXY, &[]).as_deref(),
        Ok("https://files.example/share")
    );
    let base: Base = "http://a".parse().unwrap();
    assert_eq!(base.link("/d/x"), "http://a/d/x");
    for (text, error) in [
        ("a", BaseError::Scheme),
        ("ftp://a", BaseError::Scheme),
        ("http://", BaseError::Host),
        ("http://u@a", BaseError::Host),
        ("http://a:x", BaseError::Port),
        ("http://a?x", BaseError::Host),
        ("http://a/b?x", BaseError::Prefix),
        ("http://a/../b", BaseError::Prefix),
        ("http://a//b", BaseError::Prefix),
    ] {
        assert_eq!(text.parse::<Base>(), Err(error), "{text}");
    }
}

#[test]
fn a_strangers_fields_do_not_count() {
    let told = [
        ("host", "a"),
        ("x-forwarded-host", "evil"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-for", "1.1.1.1"),
        ("x-forwarded-prefix", "/evil"),
        ("forwarded", "for=1.1.1.1;host=evil"),
    ];
    assert_eq!(base(&config(), STRANGER, &told).as_deref(), Ok("http://a"));
    assert_eq!(client(&config(), STRANGER, &told), STRANGER);
    assert_eq!(
        base(&Config::default(), PROXY, &told).as_deref(),
        Ok("http://a"),
        "none is trusted by default"
    );
}

#[test]
fn a_trusted_proxy_tells_name_scheme_and_prefix() {
    let told = [
        ("host", "inner:8000"),
        ("x-forwarded-host", "files.example"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-prefix", "/share/"),
    ];
    assert_eq!(
        base(&config(), PROXY, &told).as_deref(),
        Ok("https://files.example/share")
    );
    assert_eq!(
        base(&config(), "::ffff:10.0.0.1", &told).as_deref(),
        Ok("https://files.example/share")
    );
    assert_eq!(
        base(&config(), "fd00::1", &told).as_deref(),
        Ok("https://files.example/share")
    );
    let broken = [
        ("host", "a"),
        ("x-forwarded-host", "e vil"),
        ("x-forwarded-proto", "gopher"),
        ("x-forwarded-prefix", "//evil"),
    ];
    assert_eq!(
        base(&config(), PROXY, &broken).as_deref(),
        Ok("http://a"),
        "an unreadable word is no word"
    );
    let prefixed = Config {
        path_prefix: "/p".into(),
        ..config()
    };
    assert_eq!(
        base(&prefixed, PROXY, &[("host", "a")]).as_deref(),
        Ok("http://a/p")
    );
    let other = [("host", "a"), ("forwarded", "host=evil;proto=https")];
    assert_eq!(
        base(&config(), PROXY, &other).as_deref(),
        Ok("http://a"),
        "only one family counts"
    );
}

#[test]
fn the_client_is_found_from_the_right() {
    let of = |list: &str| client(&config(), PROXY, &[("x-forwarded-for", list)]);
    assert_eq!(of("198.51.100.7"), "198.51.100.7");
    assert_eq!(
        of("1.1.1.1, 198.51.100.7"),
        "198.51.100.7",
        "the left one is the stranger's own word"
    );
    assert_eq!(
        of("1.1.1.1, 198.51.100.7, 10.0.0.2,10.0.0.3"),
        "198.51.100.7"
    );
    assert_eq!(of("198.51.100.7:4711, 10.0.0.2:1"), "198.51.100.7");
    assert_eq!(of("[2001:db8::1]:4711"), "2001:db8::1");
    assert_eq!(of("2001:db8::1"), "2001:db8::1");
    assert_eq!(of("::ffff:198.51.100.7"), "198.51.100.7");
    assert_eq!(
        of("10.0.0.2"),
        "10.0.0.2",
        "a client inside the trusted network"
    );
    assert_eq!(
        of("1.1.1.1, unknown"),
        PROXY,
        "what is left of an unreadable entry can't be believed"
    );
    assert_eq!(of(""), PROXY);
    let lines = [
        ("x-forwarded-for", "1.1.1.1"),
        ("x-forwarded-for", "198.51.100.7"),
    ];
    assert_eq!(client(&config(), PROXY, &lines), "198.51.100.7");
    assert_eq!(
        of(&format!("1.1.1.1{}", ", 10.0.0.2".repeat(100))),
        "10.0.0.2",
        "hops are limited"
    );
}

#[test]
fn of_several_values_that_of_the_outermost_trusted_proxy_counts() {
    let told = [
        ("host", "inner"),
        ("x-forwarded-for", "1.1.1.1, 198.51.100.7, 10.0.0.2"),
        ("x-forwarded-host", "evil, files.example, middle"),
        ("x-forwarded-proto", "https"),
    ];
    assert_eq!(
        base(&config(), PROXY, &told).as_deref(),
        Ok("https://files.example")
    );
}

#[test]
fn forwarded_is_read_as_the_rfc_has_it() {
    let config = Config {
        proxy_fields: ProxyFields::Forwarded,
        ..config()
    };
    let told = [
        ("host", "inner"),
        (
            "forwarded",
            "for=1.1.1.1;host=evil;proto=http, For=\"[2001:db8::1]:4711\";Proto=https;host=\"files.example:8443\"",
        ),
        ("forwarded", "for=10.0.0.2;proto=http;by=10.0.0.1"),
        ("x-forwarded-host", "evil"),
        ("x-forwarded-for", "2.2.2.2"),
    ];
    assert_eq!(client(&config, PROXY, &told), "2001:db8::1");
    assert_eq!(
        base(&config, PROXY, &told).as_deref(),
        Ok("https://files.example:8443")
    );
    assert_eq!(
        client(&config, PROXY, &[("forwarded", "for=_hidden;proto=https")]),
        PROXY
    );
    assert_eq!(
        base(
            &config,
            PROXY,
            &[("host", "a"), ("forwarded", "for=_hidden;proto=https")]
        )
        .as_deref(),
        Ok("https://a")
    );
    assert_eq!(client(&config, PROXY, &[]), PROXY);
}

#[test]
fn an_address_is_in_its_networks() {
    let trusted = networks(&["127.0.0.1/32", "::1/128", "192.168.0.0/16"]);
    for (address, expected) in [
        ("127.0.0.1", true),
        ("127.0.0.2", false),
        ("::1", true),
        ("192.168.9.9", true),
        ("::ffff:192.168.9.9", true),
    ] {
        assert_eq!(
            trusted.contains(address.parse::<IpAddr>().unwrap()),
            expected,
            "{address}"
        );
    }
    assert!(!Networks::default().contains([127, 0, 0, 1].into()));
}

#[test]
fn an_origin_is_compared_whole() {
    let base = Base::new(Scheme::Https, "Files.example:443", "/share").unwrap();
    assert!(base.is_origin("https://files.example") && base.is_origin("https://files.example:443"));
    for other in [
        "http://files.example",
        "https://files.example:8443",
        "https://files.example.evil",
        "null",
        "",
        "https://files.example/share",
    ] {
        assert!(!base.is_origin(other), "{other}");
    }
}

proptest! {
    #[test]
    fn any_fields_are_answered_and_no_link_carries_anything_else(
        values in prop::collection::vec((0_usize..7, prop::collection::vec(any::<u8>(), 0..40)), 0..8),
        is_rfc in any::<bool>(),
    ) {
        const NAMES: [&str; 7] = ["host", "forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-forwarded-prefix", "host"];
        let mut map = HeaderMap::new();
        for (name, value) in values {
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                map.append(HeaderName::from_static(NAMES[name]), value);
            }
        }
        let config = Config { proxy_fields: if is_rfc { ProxyFields::Forwarded } else { ProxyFields::XForwarded }, ..config() };
        let _ = config.client(peer(PROXY), &map);
        if let Ok(base) = config.base(peer(PROXY), &Uri::from_static("/"), &map) {
            let text = base.to_string();
            prop_assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~:/[]".contains(&b)), "{}", text);
            prop_assert_eq!(text.parse::<Base>().unwrap(), base);
        }
    }

    #[test]
    fn odd_lists_are_answered(list in "(for=|host=|\"|,|;|10[.]0[.]0[.]1|1[.]1[.]1[.]1|\\[::1\\]|:| |x){0,14}") {
        let map = headers(&[("forwarded", &list), ("x-forwarded-for", &list), ("host", "a")]);
        for proxy_fields in [ProxyFields::Forwarded, ProxyFields::XForwarded] {
            let config = Config { proxy_fields, ..config() };
            let _ = config.client(peer(PROXY), &map);
            prop_assert!(config.base(peer(PROXY), &Uri::from_static("/"), &map).is_ok());
        }
    }

    #[test]
    fn any_url_is_answered(text in any::<String>()) {
        let _ = text.parse::<Base>();
        let _ = format!("http://{text}").parse::<Base>();
    }
}
