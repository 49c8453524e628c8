//! The base of absolute links: scheme, host and port, path prefix. What stands in one has been
//! checked letter by letter, so a link made of it can go into a header field or a page.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

/// RFC 1035 has 253 for a name; this is with a port.
const AUTHORITY_BYTES_MAX: usize = 261;
const PREFIX_BYTES_MAX: usize = 256;

/// How the client speaks to this server, or to the proxy before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Without TLS.
    Http,
    /// With TLS.
    Https,
}

impl Scheme {
    /// As it stands in a URL.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// Reads a scheme's name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.eq_ignore_ascii_case("http") {
            Some(Self::Http)
        } else if text.eq_ignore_ascii_case("https") {
            Some(Self::Https)
        } else {
            None
        }
    }

    fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// Why a text is not the base of links.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BaseError {
    /// Not `http://` or `https://`.
    #[error("a URL begins with http:// or https://")]
    Scheme,
    /// Not a host name or address.
    #[error("the host is neither a name in ASCII letters nor an address")]
    Host,
    /// Not a port.
    #[error("the port is not a number from 1 to 65535")]
    Port,
    /// Not a plain path.
    #[error("the path prefix is not a plain path such as /share")]
    Prefix,
}

/// The base of absolute links.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Base {
    scheme: Scheme,
    authority: String,
    prefix: String,
}

impl Base {
    /// From a scheme, a host with or without a port, and a path prefix. The scheme's own port is
    /// left out, and the host is in lower case.
    ///
    /// # Errors
    /// [`BaseError`], for the first thing that is wrong.
    pub fn new(scheme: Scheme, host: &str, prefix: &str) -> Result<Self, BaseError> {
        Ok(Self {
            scheme,
            authority: authority(scheme, host)?,
            prefix: self::prefix(prefix)?,
        })
    }

    /// The scheme.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Host, and port if it is not the scheme's own.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// The path prefix: empty, or with a `/` before it and none after it.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// An absolute link to a path of this server. `path` is percent-encoded already and begins with
    /// `/`.
    #[must_use]
    pub fn link(&self, path: &str) -> String {
        format!("{self}{path}")
    }

    /// Whether an `Origin` field names this base.
    #[must_use]
    pub fn is_origin(&self, origin: &str) -> bool {
        origin.parse::<Self>().is_ok_and(|other| {
            other.prefix.is_empty()
                && other.scheme == self.scheme
                && other.authority == self.authority
        })
    }
}

impl fmt::Display for Base {
    /// Without a `/` at its end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}://{}{}",
            self.scheme.as_str(),
            self.authority,
            self.prefix
        )
    }
}

impl FromStr for Base {
    type Err = BaseError;

    /// Reads a URL. It has no user, query or fragment.
    fn from_str(text: &str) -> Result<Self, BaseError> {
        let (scheme, rest) = text.trim().split_once("://").ok_or(BaseError::Scheme)?;
        let scheme = Scheme::parse(scheme).ok_or(BaseError::Scheme)?;
        let end = rest.find('/').unwrap_or(rest.len());
        Self::new(scheme, &rest[..end], &rest[end..])
    }
}

fn authority(scheme: Scheme, text: &str) -> Result<String, BaseError> {
    if text.len() > AUTHORITY_BYTES_MAX {
        return Err(BaseError::Host);
    }
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (address, after) = rest.split_once(']').ok_or(BaseError::Host)?;
            let address: Ipv6Addr = address.parse().map_err(|_| BaseError::Host)?;
            let port = match after {
                "" => None,
                _ => Some(after.strip_prefix(':').ok_or(BaseError::Host)?),
            };
            (format!("[{address}]"), port)
        }
        None => {
            let (host, port) = match text.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            };
            if !is_name(host) {
                return Err(BaseError::Host);
            }
            (host.to_ascii_lowercase(), port)
        }
    };
    match port {
        // RFC 3986 allows a colon without a port.
        None | Some("") => Ok(host),
        Some(port) => {
            let port = Some(port)
                .filter(|text| text.bytes().all(|b| b.is_ascii_digit()))
                .and_then(|text| text.parse::<u16>().ok())
                .filter(|port| *port > 0)
                .ok_or(BaseError::Port)?;
            Ok(if port == scheme.port() {
                host
            } else {
                format!("{host}:{port}")
            })
        }
    }
}

/// Letters, digits, dots, hyphens, and the underscore that container networks use. No dot at the
/// beginning, no two together; one at the end is a full name's.
fn is_name(host: &str) -> bool {
    !host.is_empty()
        && host != "."
        && host
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
        && !host.starts_with('.')
        && !host.contains("..")
}

/// A path prefix without the `/` at its end; `/` alone is none.
pub(super) fn prefix(text: &str) -> Result<String, BaseError> {
    let text = text.trim_end_matches('/');
    let is_plain = text.is_empty()
        || (text.len() <= PREFIX_BYTES_MAX
            && text.starts_with('/')
            && text[1..].split('/').all(|part| {
                !matches!(part, "" | "." | "..")
                    && part.bytes().all(|b| {
                        b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~')
                    })
            }));
    if is_plain {
        Ok(text.to_owned())
    } else {
        Err(BaseError::Prefix)
    }
}
