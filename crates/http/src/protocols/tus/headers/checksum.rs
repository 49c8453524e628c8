//! `Upload-Checksum`, as a header field or as a trailer.

use base64::Engine as _;
use ddx_digest::Algorithm;
use http::{HeaderMap, header};

use super::metadata::BASE64;
use super::names::UPLOAD_CHECKSUM;
use crate::shared::fields;
use crate::shared::problem::{Kind, Problem};

/// What `Tus-Checksum-Algorithm` lists: [`Algorithm::ALL`] as one constant.
pub const ALGORITHMS: &str = "sha1,sha256,sha512,md5,crc32";

/// Longest value that is looked at, in bytes: SHA-512 needs 88 characters.
const VALUE_BYTES_MAX: usize = 256;

/// The checksum that a chunk must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checksum {
    /// How it was computed.
    pub algorithm: Algorithm,
    /// The raw digest, of the algorithm's size.
    pub expected: Vec<u8>,
}

impl Checksum {
    /// Reads `algorithm base64`. The algorithm's name may be in any letter case.
    ///
    /// # Errors
    /// [`Kind::ChecksumAlgorithm`], [`Kind::ChecksumInvalid`].
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let (name, value) = text
            .trim_matches(fields::is_space)
            .split_once(fields::is_space)
            .ok_or_else(|| refused("Upload-Checksum has no space between algorithm and value."))?;
        let algorithm: Algorithm = name.parse().map_err(|_| {
            Problem::new(Kind::ChecksumAlgorithm)
                .limit(ALGORITHMS)
                .value(name)
        })?;
        let size = algorithm.output_bytes();
        let value = value.trim_matches(fields::is_space);
        if value.len() > VALUE_BYTES_MAX {
            return Err(refused("The checksum is too long.")
                .limit(size)
                .value(value.len()));
        }
        let expected = BASE64
            .decode(value)
            .map_err(|_| refused("The checksum is not Base64."))?;
        if expected.len() != size {
            return Err(refused("The decoded checksum has the wrong size.")
                .limit(size)
                .value(expected.len()));
        }
        Ok(Self {
            algorithm,
            expected,
        })
    }
}

/// The checksum in the head of a request, and whether one is announced as a trailer.
pub(super) fn read(headers: &HeaderMap) -> Result<(Option<Checksum>, bool), Problem> {
    let checksum = fields::single(headers, &UPLOAD_CHECKSUM)?
        .map(Checksum::parse)
        .transpose()?;
    let announced = fields::joined(headers, &header::TRAILER)?.is_some_and(|names| {
        fields::split(&names, ',').any(|name| name.eq_ignore_ascii_case(UPLOAD_CHECKSUM.as_str()))
    });
    Ok((checksum, announced))
}

/// The checksum to verify, once the body has ended: the one of the trailers, or `from_head`. A
/// trailer counts even if it was not announced.
///
/// # Errors
/// [`Kind::ChecksumInvalid`] if an announced one did not come, or if it is not the one of the head;
/// the kinds of [`Checksum::parse`].
pub fn trailing(
    trailers: Option<&HeaderMap>,
    announced: bool,
    from_head: Option<Checksum>,
) -> Result<Option<Checksum>, Problem> {
    let trailer = match trailers {
        Some(trailers) => fields::single(trailers, &UPLOAD_CHECKSUM)?
            .map(Checksum::parse)
            .transpose()?,
        None => None,
    };
    match (trailer, from_head) {
        (None, _) if announced => Err(refused("The announced trailer did not arrive.")),
        (None, head) => Ok(head),
        (Some(trailer), Some(head)) if trailer != head => {
            Err(refused("Header and trailer have different checksums."))
        }
        (trailer, _) => Ok(trailer),
    }
}

fn refused(detail: &str) -> Problem {
    Problem::new(Kind::ChecksumInvalid).detail(detail)
}
