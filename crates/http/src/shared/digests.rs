//! `Content-Digest`, `Repr-Digest` and their `Want-` fields (RFC 9530), which any way in and out
//! may carry.
//!
//! The fields are structured (RFC 9651): dictionaries of an algorithm and a byte sequence. A digest
//! that can't be read is refused and not ignored, although the grammar's rule would allow it: who
//! sends one wants to be told. An algorithm that is unknown here is ignored, as RFC 9530 asks.
//! `Want-` fields are wishes; what can't be read in them is no wish.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ddx_digest::Algorithm;
use http::{HeaderMap, HeaderName, HeaderValue};
use sfv::{BareItem, Dictionary, ListEntry, Parser};

use crate::shared::fields;
use crate::shared::problem::{Kind, Problem};

/// `Content-Digest`: of the body of this message.
pub const CONTENT_DIGEST: HeaderName = HeaderName::from_static("content-digest");
/// `Repr-Digest`: of the whole file, whatever part of it this message carries.
pub const REPR_DIGEST: HeaderName = HeaderName::from_static("repr-digest");
/// `Want-Content-Digest`.
pub const WANT_CONTENT_DIGEST: HeaderName = HeaderName::from_static("want-content-digest");
/// `Want-Repr-Digest`.
pub const WANT_REPR_DIGEST: HeaderName = HeaderName::from_static("want-repr-digest");

/// Longest field that is looked at, in bytes.
const FIELD_BYTES_MAX: usize = 4_096;

/// A digest that bytes must have, or have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digest {
    /// How it was computed.
    pub algorithm: Algorithm,
    /// The raw value, of the algorithm's size.
    pub value: Vec<u8>,
}

/// The algorithm's name in the registry of RFC 9530; `None` if it has none there.
#[must_use]
pub fn name(algorithm: Algorithm) -> Option<&'static str> {
    match algorithm {
        Algorithm::Sha256 => Some("sha-256"),
        Algorithm::Sha512 => Some("sha-512"),
        Algorithm::Sha1 => Some("sha"),
        Algorithm::Md5 => Some("md5"),
        // `crc32c` in the registry is another polynomial.
        Algorithm::Crc32 => None,
    }
}

fn by_name(text: &str) -> Option<Algorithm> {
    Algorithm::ALL
        .into_iter()
        .find(|algorithm| name(*algorithm) == Some(text))
}

/// The known digests of a field, the strongest first; none if there is no such field.
///
/// # Errors
/// [`Kind::DigestInvalid`].
pub fn read(headers: &HeaderMap, field: &HeaderName) -> Result<Vec<Digest>, Problem> {
    let mut digests = Vec::new();
    let Some(dictionary) = dictionary(headers, field)
        .map_err(|why| Problem::new(Kind::DigestInvalid).detail(format!("{field}: {why}")))?
    else {
        return Ok(digests);
    };
    for (key, entry) in &dictionary {
        let Some(algorithm) = by_name(key.as_str()) else {
            continue;
        };
        let ListEntry::Item(item) = entry else {
            return Err(wrong_value(field, key.as_str()));
        };
        let BareItem::ByteSequence(value) = &item.bare_item else {
            return Err(wrong_value(field, key.as_str()));
        };
        if value.len() != algorithm.output_bytes() {
            return Err(wrong_value(field, key.as_str())
                .limit(algorithm.output_bytes())
                .value(value.len()));
        }
        digests.push(Digest {
            algorithm,
            value: value.clone(),
        });
    }
    digests.sort_by_key(|digest| std::cmp::Reverse(strength(digest.algorithm)));
    Ok(digests)
}

/// The algorithms that a `Want-` field asks for, the most wanted first; among equals the strongest.
/// Without unknown and unwanted (0) ones.
#[must_use]
pub fn wanted(headers: &HeaderMap, field: &HeaderName) -> Vec<Algorithm> {
    let Ok(Some(dictionary)) = dictionary(headers, field) else {
        return Vec::new();
    };
    let mut wishes: Vec<(i64, Algorithm)> = dictionary
        .iter()
        .filter_map(|(key, entry)| {
            let ListEntry::Item(item) = entry else {
                return None;
            };
            let wish = i64::from(item.bare_item.as_integer()?);
            Some((wish, by_name(key.as_str())?)).filter(|(wish, _)| (1..=10).contains(wish))
        })
        .collect();
    wishes.sort_by_key(|(wish, algorithm)| std::cmp::Reverse((*wish, strength(*algorithm))));
    wishes.into_iter().map(|(_, algorithm)| algorithm).collect()
}

/// The field's value for these digests; `None` if none of them has a name in the registry.
#[must_use]
pub fn value(digests: &[Digest]) -> Option<HeaderValue> {
    let members: Vec<String> = digests
        .iter()
        .filter_map(|digest| {
            let name = name(digest.algorithm)?;
            Some(format!("{name}=:{}:", STANDARD.encode(&digest.value)))
        })
        .collect();
    if members.is_empty() {
        return None;
    }
    HeaderValue::try_from(members.join(", ")).ok()
}

fn strength(algorithm: Algorithm) -> u8 {
    match algorithm {
        Algorithm::Sha512 => 5,
        Algorithm::Sha256 => 4,
        Algorithm::Sha1 => 3,
        Algorithm::Md5 => 2,
        Algorithm::Crc32 => 1,
    }
}

fn dictionary(headers: &HeaderMap, field: &HeaderName) -> Result<Option<Dictionary>, &'static str> {
    let text = fields::joined(headers, field).map_err(|_| "has non-ASCII characters")?;
    let Some(text) = text else {
        return Ok(None);
    };
    if text.len() > FIELD_BYTES_MAX {
        return Err("too long");
    }
    Parser::new(text.as_ref())
        .parse()
        .map(Some)
        .map_err(|_| "not a dictionary (RFC 8941)")
}

fn wrong_value(field: &HeaderName, key: &str) -> Problem {
    Problem::new(Kind::DigestInvalid).detail(format!(
        "{field}: {key} is not a byte sequence of the right size"
    ))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// RFC 9530, appendix B: of `{"hello": "world"}` and a line feed.
    const EXAMPLE: &str = "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:";

    fn read_text(text: &str) -> Result<Vec<Digest>, Kind> {
        let mut headers = HeaderMap::new();
        headers.insert(REPR_DIGEST, HeaderValue::from_str(text).unwrap());
        read(&headers, &REPR_DIGEST).map_err(|problem| problem.kind())
    }

    fn wanted_text(text: &str) -> Vec<Algorithm> {
        let mut headers = HeaderMap::new();
        headers.insert(WANT_REPR_DIGEST, HeaderValue::from_str(text).unwrap());
        wanted(&headers, &WANT_REPR_DIGEST)
    }

    #[test]
    fn the_rfcs_example_is_read_and_written() {
        let digests = read_text(EXAMPLE).unwrap();
        assert_eq!(digests.len(), 1);
        assert_eq!(digests[0].algorithm, Algorithm::Sha256);
        assert_eq!(digests[0].value[..3], [0x44, 0xaf, 0xf4]);
        assert_eq!(value(&digests).unwrap(), EXAMPLE);
        assert!(read(&HeaderMap::new(), &REPR_DIGEST).unwrap().is_empty());
    }

    #[test]
    fn the_strongest_comes_first_and_unknown_ones_are_ignored() {
        let both = format!("unixsum=:AAA=:, md5=:AAAAAAAAAAAAAAAAAAAAAA==:, {EXAMPLE}, blake9=3");
        let algorithms: Vec<_> = read_text(&both)
            .unwrap()
            .iter()
            .map(|d| d.algorithm)
            .collect();
        assert_eq!(algorithms, [Algorithm::Sha256, Algorithm::Md5]);
    }

    #[test]
    fn what_can_not_be_verified_is_refused() {
        for text in [
            "sha-256",
            "sha-256=abc",
            "sha-256=:AAAA:",
            "sha-256=(:AAAA:)",
            "sha-256=:!:",
            "=",
            "SHA-256=:AAAA:",
        ] {
            assert_eq!(read_text(text), Err(Kind::DigestInvalid), "{text}");
        }
        assert_eq!(
            read_text(&format!("a=1{}", " ".repeat(5000))),
            Err(Kind::DigestInvalid)
        );
    }

    #[test]
    fn wishes_are_sorted() {
        assert_eq!(
            wanted_text("sha-256=1, sha-512=3, md5=0"),
            [Algorithm::Sha512, Algorithm::Sha256]
        );
        assert_eq!(
            wanted_text("sha=10, sha-256=10, unixsum=10"),
            [Algorithm::Sha256, Algorithm::Sha1]
        );
        assert!(wanted_text("sha-256=11").is_empty());
        assert!(wanted_text("sha-256=a").is_empty());
        assert!(wanted_text(",,").is_empty());
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text in "[ -~]{0,80}") {
            let _ = read_text(&text);
            let _ = wanted_text(&text);
        }

        #[test]
        fn digests_come_back(bytes in prop::collection::vec(any::<u8>(), 64)) {
            let digests: Vec<Digest> = [Algorithm::Sha512, Algorithm::Sha256, Algorithm::Sha1, Algorithm::Md5]
                .into_iter()
                .map(|algorithm| Digest { algorithm, value: bytes[..algorithm.output_bytes()].to_vec() })
                .collect();
            let text = value(&digests).unwrap();
            prop_assert_eq!(read_text(text.to_str().unwrap()).unwrap(), digests);
        }
    }
}
