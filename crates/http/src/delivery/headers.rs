//! Downloads as they stand on the wire: which bytes are asked for, and whether they are wanted at
//! all.
//!
//! The order is RFC 9110 §13.2.2 and is fixed in [`select`], because each of its steps looks
//! harmless alone: a Range that is honoured although If-Range failed glues two files into one, and
//! a 304 that is given although If-Match failed tells a client that a file is still there that is
//! not.
//!
//! Files here never change once they are complete. So every entity tag is strong, and a date is as
//! good a validator as HTTP's seconds allow: a path can name another file only after the first was
//! deleted.

mod conditional;
mod etag;
mod range;

use http::{HeaderMap, HeaderValue, Method, header};

pub use conditional::{Outcome, Validators, evaluate};
pub use etag::ETag;
pub use range::{RangeLimits, Selection, parse};

use crate::server::Span;
use crate::shared::fields;
use crate::shared::problem::{Kind, Problem};

/// What to answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// 200 with the whole file.
    Whole,
    /// 206 with one range.
    Part(Span),
    /// 206 with `multipart/byteranges`; two or more ranges.
    Parts(Vec<Span>),
    /// 304 without a body.
    NotModified,
}

/// What a GET or HEAD of a complete file of `length` bytes asks for.
///
/// # Errors
/// [`Kind::PreconditionFailed`]; [`Kind::RangeUnsatisfiable`] with the field `Content-Range`.
pub fn select(
    method: &Method,
    headers: &HeaderMap,
    validators: &Validators,
    length: u64,
    limits: &RangeLimits,
) -> Result<Answer, Problem> {
    match evaluate(method, headers, validators) {
        Outcome::Failed => Err(Kind::PreconditionFailed.into()),
        Outcome::NotModified => Ok(Answer::NotModified),
        Outcome::Proceed { range: false } => Ok(Answer::Whole),
        Outcome::Proceed { range: true } => {
            // Sent twice, or not ASCII: not a range that could be served; RFC 9110 §14.2 lets it be
            // ignored.
            let Ok(Some(text)) = fields::single(headers, &header::RANGE) else {
                return Ok(Answer::Whole);
            };
            match parse(text, length, limits) {
                Selection::Whole => Ok(Answer::Whole),
                Selection::One(span) => Ok(Answer::Part(span)),
                Selection::Several(spans) => Ok(Answer::Parts(spans)),
                Selection::Unsatisfiable => Err(Problem::new(Kind::RangeUnsatisfiable)
                    .limit(length)
                    .value(text)
                    .field(header::CONTENT_RANGE, unsatisfied(length))),
            }
        }
    }
}

/// `Content-Range` beside 206.
#[must_use]
pub fn content_range(span: Span, length: u64) -> HeaderValue {
    value(format!("bytes {}-{}/{length}", span.first, span.last))
}

/// `Content-Range` beside 416.
fn unsatisfied(length: u64) -> HeaderValue {
    value(format!("bytes */{length}"))
}

fn value(text: String) -> HeaderValue {
    // Digits and punctuation only.
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("bytes */*"))
}

/// The fields that every answer about a file has, 304 among them: `ETag`, `Last-Modified`,
/// `Accept-Ranges`, `Cache-Control`.
///
/// `limited`: downloads are counted, so no copy may be kept. Otherwise a copy may be kept by the
/// receiver's own browser and has to be asked about each time, since the sender may delete the
/// file.
#[must_use]
pub fn validator_fields(validators: &Validators, limited: bool) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(4);
    headers.insert(header::ETAG, validators.etag.to_value());
    headers.insert(header::LAST_MODIFIED, fields::date(validators.modified_at));
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static(if limited {
            "no-store"
        } else {
            "private, no-cache"
        }),
    );
    headers
}
