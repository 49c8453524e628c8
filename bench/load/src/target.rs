//! The server that is measured: where it listens and under which addresses it takes files.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};

use anyhow::{Context, Result, bail, ensure};

/// Connections from one address. There are 28,000 ports, and one that was used rests for a minute.
/// Where most of them rest a run opens its connections seconds late, and the server is blamed.
const CONNECTIONS_PER_SOURCE: u64 = 1_000;
/// Loopback addresses that are used at most.
const SOURCES_MAX: u64 = 250;

/// A server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// Where it is connected to.
    pub(crate) address: SocketAddr,
    /// Its name in `Host` fields.
    pub(crate) host: String,
    /// The path before every other one, without a slash at its end.
    pub(crate) base: String,
    /// The path of tus creations.
    pub(crate) tus: String,
}

impl Target {
    /// Reads `http://host:port/base`, and joins the path of tus.
    pub(crate) fn new(url: &str, tus_path: &str) -> Result<Self> {
        let Some(rest) = url.strip_prefix("http://") else {
            bail!(
                "--to {url}: give a URL with http://, as http://127.0.0.1:8000 (TLS is not spoken here)"
            );
        };
        let (host, base) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let has_port = host.rsplit_once(':').is_some_and(|(_, port)| {
            !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit())
        });
        let full = match has_port {
            true => host.to_owned(),
            false => format!("{host}:80"),
        };
        let mut addresses = full
            .to_socket_addrs()
            .with_context(|| format!("--to {url}: `{full}` is no address"))?;
        let address = addresses.next().context("--to names no address")?;
        ensure!(
            tus_path.starts_with('/'),
            "--tus-path {tus_path}: give a path that begins with a slash, as /files"
        );
        let base = base.trim_end_matches('/').to_owned();
        Ok(Self {
            address,
            host: host.to_owned(),
            tus: format!("{base}{tus_path}"),
            base,
        })
    }

    /// The path on this server that a `Location` or a link names. Links may name another host (a
    /// proxy's); they are asked for here.
    pub(crate) fn path_of(&self, link: &str) -> Option<String> {
        let path = match link.split_once("://") {
            Some((_, rest)) => rest.find('/').map_or("/", |at| &rest[at..]),
            None => link,
        };
        let path = path.split('#').next().unwrap_or_default();
        let is_path = path.starts_with('/') && path.bytes().all(|byte| byte > b' ' && byte < 127);
        is_path.then(|| path.to_owned())
    }

    /// The whole URL of a path.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.host)
    }

    /// From how many addresses so many connections are opened: `asked`, or one for each thousand.
    pub(crate) fn sources(&self, asked: Option<u64>, connections: u64) -> Result<u64> {
        let needed = connections
            .div_ceil(CONNECTIONS_PER_SOURCE)
            .clamp(1, SOURCES_MAX);
        let sources = asked.unwrap_or(needed);
        let is_loopback = matches!(self.address.ip(), IpAddr::V4(ip) if ip.is_loopback());
        match sources {
            1 => Ok(1),
            _ if !is_loopback && asked.is_none() => Ok(1),
            _ if !is_loopback => {
                bail!(
                    "--sources {sources}: only on the loopback network (127.0.0.0/8) there are several addresses to send from"
                )
            }
            2..=SOURCES_MAX => Ok(sources),
            _ => bail!("--sources {sources}: between 1 and {SOURCES_MAX}"),
        }
    }
}

/// The address that connection number `n` comes from, if there are several.
pub(crate) fn source(n: u64, sources: u64) -> Option<IpAddr> {
    let last = u8::try_from(n % sources.max(1) + 1).unwrap_or(1);
    (sources > 1).then_some(IpAddr::V4(Ipv4Addr::new(127, 0, 0, last)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart() {
        let target = Target::new("http://127.0.0.1:8000/base/", "/files").unwrap();
        assert_eq!(target.address.to_string(), "127.0.0.1:8000");
        assert_eq!(
            (target.host.as_str(), target.base.as_str()),
            ("127.0.0.1:8000", "/base")
        );
        assert_eq!(target.tus, "/base/files");
        let plain = Target::new("http://127.0.0.1", "/files/").unwrap();
        assert_eq!((plain.address.port(), plain.tus.as_str()), (80, "/files/"));
        assert!(Target::new("https://127.0.0.1", "/files").is_err());
        assert!(Target::new("http://127.0.0.1:x", "/files").is_err());
        assert!(Target::new("http://127.0.0.1", "files").is_err());
    }

    #[test]
    fn links_of_any_form_lead_to_a_path() {
        let target = Target::new("http://127.0.0.1:80", "/files").unwrap();
        let path = |link: &str| target.path_of(link);
        assert_eq!(path("http://other:9/a/b?c#d").as_deref(), Some("/a/b?c"));
        assert_eq!(path("/a").as_deref(), Some("/a"));
        assert_eq!(path("http://host").as_deref(), Some("/"));
        assert_eq!(path("no link"), None);
        assert_eq!(path("/a b"), None);
        assert_eq!(path(""), None);
    }

    #[test]
    fn many_connections_come_from_several_loopback_addresses() {
        let here = Target::new("http://127.0.0.1:80", "/files").unwrap();
        assert_eq!(here.sources(None, 16).unwrap(), 1);
        assert_eq!(here.sources(None, 10_000).unwrap(), 10);
        assert_eq!(here.sources(Some(20), 10).unwrap(), 20);
        assert!(here.sources(Some(0), 10).is_err());
        assert!(here.sources(Some(251), 10).is_err());
        let there = Target::new("http://192.0.2.1:80", "/files").unwrap();
        assert_eq!(there.sources(None, 10_000).unwrap(), 1);
        assert!(there.sources(Some(2), 10).is_err());
        assert_eq!(source(0, 1), None);
        assert_eq!(source(3, 3).unwrap().to_string(), "127.0.0.1");
        assert_eq!(source(5, 3).unwrap().to_string(), "127.0.0.3");
    }
}
