//! A small file whose bytes all come at once: one buffer, one commit, no file on the disk.

use std::ops::Range;

use ddx_catalog::{FileRecord, Kind};
use ddx_digest::{Algorithm, Checksum};

use crate::error::Error;
use crate::request::Expected;
use crate::source::Source;
use crate::stats::Counted;
use crate::upload::body::{BLOCK_BYTES, BodyContext, Fill, Filled};
use crate::upload::completion::WholeFile;

/// What came of the short way.
pub(crate) enum Small {
    /// All of it, and its digest is right.
    Whole(WholeFile),
    /// It is none, or comes slowly: what has come goes the long way, as will the rest.
    No(Option<Filled>),
    /// It was cut. What came of it.
    Cut(Option<Filled>, Error),
}

/// Takes the body of an upload the short way, if its record says that it fits into the catalog.
pub(crate) async fn take_small<S: Source>(
    context: &BodyContext<'_>,
    source: &mut S,
    record: &FileRecord,
    expected: Option<&Expected>,
    with_sha256: bool,
) -> Result<Small, Error> {
    let is_begun = record.offset_bytes > 0 || !record.segments.is_empty();
    let fits = |length: &u64| *length <= context.config.inline_bytes_max;
    let length_bytes = match record.length_bytes.filter(fits) {
        Some(length_bytes) if record.kind == Kind::Whole && !is_begun => length_bytes,
        _ => return Ok(Small::No(None)),
    };
    // An empty body is there before it has come.
    let gathered = match length_bytes {
        0 if expected.is_none() => Gathered::All(Vec::new()),
        _ => gather(context, source, length_bytes).await?,
    };
    let bytes = match gathered {
        Gathered::All(bytes) => bytes,
        Gathered::Some(filled) => return Ok(Small::No(Some(filled))),
        // What can't be checked does not count.
        Gathered::Cut(filled, error) => {
            return Ok(Small::Cut(filled.filter(|_| expected.is_none()), error));
        }
    };
    context
        .stats
        .count(context.protocol.name, Counted::Bytes, length_bytes);
    match expected {
        None => {}
        Some(Expected::Known(algorithm, expected)) => check(*algorithm, expected, &bytes)?,
        Some(Expected::Trailing) => {
            let (algorithm, expected) = source.trailing_digest().ok_or(Error::ChecksumMissing)?;
            check(algorithm, &expected, &bytes)?;
        }
    }
    Ok(Small::Whole(WholeFile::inline(bytes, false, with_sha256)))
}

fn check(algorithm: Algorithm, expected: &[u8], bytes: &[u8]) -> Result<(), Error> {
    let mut checksum = Checksum::new(algorithm);
    checksum.update(bytes);
    verify(algorithm, expected, &checksum.finalize())
}

/// Compares a body's digest with the one that its client gave.
pub(crate) fn verify(algorithm: Algorithm, expected: &[u8], actual: &[u8]) -> Result<(), Error> {
    match ddx_digest::verify_eq(actual, expected) {
        true => Ok(()),
        false => Err(Error::ChecksumMismatch {
            algorithm: algorithm.name(),
        }),
    }
}

enum Gathered {
    All(Vec<u8>),
    Some(Filled),
    Cut(Option<Filled>, Error),
}

/// Fills one buffer with the body, as long as its bytes keep coming.
async fn gather<S: Source>(
    context: &BodyContext<'_>,
    source: &mut S,
    length_bytes: u64,
) -> Result<Gathered, Error> {
    context.ready(source).await?;
    let mut buffer = context
        .first_buffer(length_bytes.next_multiple_of(BLOCK_BYTES).max(BLOCK_BYTES))
        .await?;
    let whole = usize::try_from(length_bytes).unwrap_or(usize::MAX);
    let most = whole.min(buffer.len());
    let (at, fill) = context
        .fill(source, &mut buffer, 0..most, context.config.linger)
        .await;
    let range: Range<usize> = 0..at;
    let end = match fill {
        Fill::Full if at == whole => context.end_after(source, length_bytes).await,
        other => other,
    };
    Ok(match end {
        Fill::Ended if at == whole => Gathered::All(buffer[range].to_vec()),
        // More than the length came: nothing of such a body counts.
        Fill::Cut(error @ Error::PastLength { .. }) => Gathered::Cut(None, error),
        Fill::Cut(error) if at == 0 => Gathered::Cut(None, error),
        Fill::Cut(error) => Gathered::Cut(Some(Filled { buffer, range }), error),
        Fill::Full | Fill::Ended | Fill::Paused => Gathered::Some(Filled { buffer, range }),
    })
}
