//! Operators: who may ask what is about the server itself.
//!
//! Metrics and the system's state tell of paths, disks and memory, which helps a stranger to fill
//! them. So they are answered only to an address of the operators' networks, or to a request with
//! their token. All others are told that nothing is there: a refusal would say that a better guess
//! is worth it.
//!
//! An address grants something only where it is the client's for certain
//! ([`certain_client`](origin::Config::certain_client)): behind a proxy that is not trusted,
//! every visitor has the proxy's address, which is often this machine's own.

use http::{HeaderMap, header};
use subtle::ConstantTimeEq;

use crate::shared::origin::{self, Networks, Peer};

/// The shortest token, in characters.
pub const TOKEN_CHARS_MIN: usize = 16;

/// By what operators are known.
#[derive(Debug, Clone, Default)]
pub struct Operators {
    /// Their addresses. Default none.
    pub networks: Networks,
    /// Their token, which counts from every address. Default none.
    pub token: Option<Token>,
}

/// A secret that operators send with a request.
#[derive(Clone)]
pub struct Token(Box<str>);

/// Why a text is no token. It is never quoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAToken {
    /// It can be guessed.
    #[error("its token has {0} characters, and at least {TOKEN_CHARS_MIN} are needed")]
    TooShort(usize),
    /// It can't stand in a header field.
    #[error("its token has a character that is not visible ASCII")]
    NotVisible,
}

impl std::str::FromStr for Token {
    type Err = NotAToken;

    /// The text without the white space around it, since editors end files with a line break.
    fn from_str(text: &str) -> Result<Self, NotAToken> {
        let text = text.trim();
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(NotAToken::NotVisible);
        }
        if text.len() < TOKEN_CHARS_MIN {
            return Err(NotAToken::TooShort(text.len()));
        }
        Ok(Self(text.into()))
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token")
    }
}

impl Token {
    /// The time it takes tells nothing but whether the lengths are the same.
    fn is(&self, given: &str) -> bool {
        self.0.as_bytes().ct_eq(given.as_bytes()).into()
    }
}

impl Operators {
    /// Whether an operator sent this.
    #[must_use]
    pub fn sent(&self, origin: &origin::Config, peer: Peer, headers: &HeaderMap) -> bool {
        let is_near = || {
            let client = origin.certain_client(peer, headers);
            client.is_some_and(|client| self.networks.contains(client))
        };
        self.has_token(headers) || is_near()
    }

    fn has_token(&self, headers: &HeaderMap) -> bool {
        let Some(token) = &self.token else {
            return false;
        };
        let given = crate::shared::fields::single(headers, &header::AUTHORIZATION);
        let bearer = given.ok().flatten().and_then(|text| text.split_once(' '));
        bearer.is_some_and(|(scheme, given)| {
            scheme.eq_ignore_ascii_case("bearer") && token.is(given.trim_start_matches(' '))
        })
    }
}

/// What strangers are told of a free space: its two highest binary digits, the others as zero. It
/// tells whether a file may fit, and is no gauge of the disk. What is free is less than half as
/// much again.
pub(crate) fn coarse(bytes: u64) -> u64 {
    let dropped_bits = 62_u32.saturating_sub(bytes.leading_zeros());
    bytes >> dropped_bits << dropped_bits
}

#[cfg(test)]
mod tests {
    use super::coarse;

    #[test]
    fn two_binary_digits_are_told() {
        for (bytes, told) in [
            (0, 0),
            (1, 1),
            (3, 3),
            (4, 4),
            (5, 4),
            (7, 6),
            (1000, 768),
            (1 << 40, 1 << 40),
            (u64::MAX, 3 << 62),
        ] {
            assert_eq!(coarse(bytes), told, "{bytes}");
            assert!(bytes - told <= told / 2, "{bytes}");
        }
    }
}
