//! The kinds of values that settings have, each with what it becomes in the program.

use std::marker::PhantomData;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use ipnet::IpNet;

use super::definition::{Kind, NONE, Reader};
use super::units::{read_duration, read_size};

const fn kind(name: &'static str, syntax: &'static str) -> Kind {
    Kind {
        name,
        syntax,
        is_list: false,
        is_switch: false,
    }
}

/// A number of bytes.
pub(crate) struct Size;

impl Reader for Size {
    type Value = u64;
    const KIND: Kind = kind(
        "SIZE",
        "a number of bytes with a unit (KiB, MiB, GiB; kB, MB, GB), as 512MiB",
    );

    fn read(text: &str) -> Result<u64, String> {
        read_size(text)
    }

    fn measure(text: &str) -> Result<Option<u64>, String> {
        read_size(text).map(Some)
    }
}

/// A length of time.
pub(crate) struct Span;

impl Reader for Span {
    type Value = Duration;
    const KIND: Kind = kind(
        "DURATION",
        "a time with its unit (ms, s, m, h, d, w), as 90s or 1h30m",
    );

    fn read(text: &str) -> Result<Duration, String> {
        read_duration(text)
    }

    fn measure(text: &str) -> Result<Option<u64>, String> {
        let duration = read_duration(text)?;
        u64::try_from(duration.as_millis())
            .map(Some)
            .map_err(|_| "is too long".to_owned())
    }
}

/// How many of something, as the integer that its user counts with.
pub(crate) struct Count<T>(PhantomData<T>);

impl<T: FromStr> Reader for Count<T> {
    type Value = T;
    const KIND: Kind = kind("COUNT", "a whole number");

    fn read(text: &str) -> Result<T, String> {
        // `_` may divide the digits, as in TOML.
        text.trim()
            .replace('_', "")
            .parse()
            .map_err(|_| "is no whole number".to_owned())
    }

    fn measure(text: &str) -> Result<Option<u64>, String> {
        Count::<u64>::read(text).map(Some)
    }
}

/// Yes or no.
pub(crate) struct Switch;

impl Reader for Switch {
    type Value = bool;
    const KIND: Kind = Kind {
        is_switch: true,
        ..kind("BOOL", "true or false")
    };

    fn read(text: &str) -> Result<bool, String> {
        match text.trim().to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "1" => Ok(true),
            "false" | "no" | "off" | "0" => Ok(false),
            _ => Err("is neither true nor false".to_owned()),
        }
    }
}

/// A file or a folder.
pub(crate) struct FilePath;

impl Reader for FilePath {
    type Value = PathBuf;
    const KIND: Kind = kind("PATH", "a path");

    fn read(text: &str) -> Result<PathBuf, String> {
        if text.is_empty() || text.contains('\0') {
            return Err("is no path".to_owned());
        }
        Ok(PathBuf::from(text))
    }
}

/// An address with a port.
pub(crate) struct Address;

impl Reader for Address {
    type Value = SocketAddr;
    const KIND: Kind = kind(
        "ADDRESS",
        "an address and a port, as 0.0.0.0:8000 or [::]:8000",
    );

    fn read(text: &str) -> Result<SocketAddr, String> {
        text.trim()
            .parse()
            .map_err(|_| "is no address with a port".to_owned())
    }
}

/// The scheme and authority, and perhaps a path, by which the server is known outside.
pub(crate) struct Url;

impl Reader for Url {
    type Value = String;
    const KIND: Kind = kind(
        "URL",
        "http:// or https:// and a host, as https://files.example.org",
    );

    /// Gives the URL without a slash at its end.
    fn read(text: &str) -> Result<String, String> {
        let text = text.trim();
        let rest = text
            .strip_prefix("https://")
            .or_else(|| text.strip_prefix("http://"))
            .ok_or_else(|| "begins with neither http:// nor https://".to_owned())?;
        let host = rest.split('/').next().unwrap_or_default();
        if host.is_empty()
            || text
                .contains(|c: char| c.is_whitespace() || matches!(c, '?' | '#' | '@' | '"' | '<'))
        {
            return Err("is no plain address of a server".to_owned());
        }
        Ok(text.trim_end_matches('/').to_owned())
    }
}

/// A path below which everything is served.
pub(crate) struct Prefix;

/// First parts of the server's own paths. A prefix must not begin with one: behind a proxy that
/// strips the prefix, the two could not be told apart.
const OWN_PATHS: [&str; 9] = [
    "api", "assets", "d", "delete", "errors", "files", "healthz", "metrics", "readyz",
];

impl Reader for Prefix {
    type Value = String;
    const KIND: Kind = kind(
        "PATH",
        "a path that begins with a slash, as /share, or nothing",
    );

    /// Gives the path without a slash at its end; the root becomes empty.
    fn read(text: &str) -> Result<String, String> {
        let text = text.trim().trim_end_matches('/');
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '_' | '.' | '~');
        let climbs = text.split('/').any(|part| part == ".." || part == ".");
        if !text.is_empty() && !text.starts_with('/') {
            return Err("does not begin with a slash".to_owned());
        }
        if !text.chars().all(plain) || text.contains("//") || climbs {
            return Err("has parts that can't stand in a path prefix".to_owned());
        }
        let first = text.split('/').nth(1).unwrap_or_default();
        if OWN_PATHS.contains(&first) {
            return Err(format!(
                "begins with /{first}, which is one of the server's own paths; take another name, as /share{text}"
            ));
        }
        Ok(text.to_owned())
    }
}

/// The entries of a list; none for [`NONE`] and for an empty text.
fn items(text: &str) -> impl Iterator<Item = &str> {
    let listed = if text.trim() == NONE { "" } else { text };
    listed
        .split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty())
}

/// Addresses and networks.
pub(crate) struct Networks;

impl Reader for Networks {
    type Value = Vec<IpNet>;
    const KIND: Kind = Kind {
        is_list: true,
        ..kind(
            "NETWORKS",
            "addresses or networks with commas between, as 127.0.0.1,10.0.0.0/8, or none",
        )
    };

    fn read(text: &str) -> Result<Vec<IpNet>, String> {
        items(text).map(read_network).collect()
    }
}

fn read_network(text: &str) -> Result<IpNet, String> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(address.into());
    }
    let network: IpNet = text
        .parse()
        .map_err(|_| format!("has an entry that is neither an address nor a network, `{text}`"))?;
    // `10.0.0.5/8` may mean the host or the network; a guess could trust too many.
    if network != network.trunc() {
        return Err(format!(
            "names a host inside a network, `{text}`; the network is `{}`",
            network.trunc()
        ));
    }
    Ok(network)
}

/// Origins of web pages.
pub(crate) struct Origins;

impl Reader for Origins {
    type Value = Vec<String>;
    const KIND: Kind = Kind {
        is_list: true,
        ..kind(
            "ORIGINS",
            "origins with commas between, as https://example.org, or * for all, or none",
        )
    };

    fn read(text: &str) -> Result<Vec<String>, String> {
        items(text)
            .map(|item| match item {
                "*" => Ok(item.to_owned()),
                _ => match Url::read(item) {
                    // An origin has no path, so a third slash shows a mistake.
                    Ok(origin) if origin.matches('/').count() == 2 => Ok(origin),
                    _ => Err(format!("has an entry that is no origin, `{item}`")),
                },
            })
            .collect()
    }
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// For eyes.
    Human,
    /// One JSON object a line, for collectors.
    Json,
}

/// The look of log lines.
pub(crate) struct Format;

impl Reader for Format {
    type Value = LogFormat;
    const KIND: Kind = kind("FORMAT", "human or json");

    fn read(text: &str) -> Result<LogFormat, String> {
        match text.trim() {
            "human" => Ok(LogFormat::Human),
            "json" => Ok(LogFormat::Json),
            _ => Err("is neither human nor json".to_owned()),
        }
    }
}

/// What is logged.
pub(crate) struct LogFilter;

impl Reader for LogFilter {
    type Value = String;
    const KIND: Kind = kind(
        "FILTER",
        "a level (error, warn, info, debug, trace) or levels by target, as info,ddx_engine=debug",
    );

    fn read(text: &str) -> Result<String, String> {
        match tracing_subscriber::EnvFilter::try_new(text) {
            Ok(_) if !text.trim().is_empty() => Ok(text.trim().to_owned()),
            _ => Err("is no filter of log lines".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Address, Networks, Origins, Prefix, Reader, Switch, Url};

    #[test]
    fn networks_are_taken_as_written_or_refused() {
        let shown = |text| {
            Networks::read(text).map(|all| {
                all.iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
                    .join(" ")
            })
        };
        assert_eq!(
            shown("127.0.0.1, 10.0.0.0/8,::1,fd00::/8"),
            Ok("127.0.0.1/32 10.0.0.0/8 ::1/128 fd00::/8".to_owned())
        );
        assert_eq!(shown("0.0.0.0/0"), Ok("0.0.0.0/0".to_owned()));
        assert_eq!(shown("none"), Ok(String::new()));
        assert_eq!(shown(""), Ok(String::new()));
        for text in [
            "10.0.0.5/8",
            "10.0.0.0/33",
            "10.0.0.0/",
            "::/129",
            "proxy.example.org",
        ] {
            assert!(shown(text).is_err(), "{text}");
        }
        assert!(
            shown("10.0.0.5/8").unwrap_err().contains("`10.0.0.0/8`"),
            "the remedy is named"
        );
    }

    #[test]
    fn prefixes_and_urls_lose_their_last_slash() {
        assert_eq!(Prefix::read("/share/"), Ok("/share".to_owned()));
        assert_eq!(Prefix::read("/"), Ok(String::new()));
        assert!(
            [
                "share",
                "/d",
                "/files/up",
                "/a/../b",
                "/a//b",
                "/a b",
                "/a?b"
            ]
            .iter()
            .all(|text| Prefix::read(text).is_err())
        );
        assert_eq!(
            Url::read("https://x.org/up/"),
            Ok("https://x.org/up".to_owned())
        );
        assert!(
            [
                "x.org",
                "ftp://x.org",
                "https://",
                "https://a b",
                "https://u@x"
            ]
            .iter()
            .all(|text| Url::read(text).is_err())
        );
    }

    #[test]
    fn origins_have_no_path() {
        assert_eq!(Origins::read("https://a.org,*").map(|all| all.len()), Ok(2));
        assert!(Origins::read("https://a.org/page").is_err());
    }

    #[test]
    fn switches_and_addresses() {
        assert_eq!(
            (Switch::read("YES"), Switch::read("off")),
            (Ok(true), Ok(false))
        );
        assert!(Switch::read("perhaps").is_err());
        assert!(Address::read("[::1]:0").is_ok() && Address::read("localhost").is_err());
    }
}
