//! Conditional requests, in the order of RFC 9110 §13.2.2.
//!
//! What can't be read never makes a client take old bytes for new ones: a broken If-Match fails, a
//! broken If-None-Match and a broken date count for nothing, a broken If-Range makes the whole file
//! come.

use http::{HeaderMap, HeaderName, Method, header};

use super::etag::ETag;
use crate::shared::fields;

/// What a file is recognised by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Validators {
    /// A strong tag of its bytes.
    pub etag: ETag,
    /// When it was completed, in milliseconds since 1970. HTTP sees whole seconds of it.
    pub modified_at: i64,
}

/// What the conditions of a request come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Answer it.
    Proceed {
        /// And honour its Range, if it has one.
        range: bool,
    },
    /// 304.
    NotModified,
    /// 412.
    Failed,
}

/// Evaluates all conditions against a file that exists.
#[must_use]
pub fn evaluate(method: &Method, headers: &HeaderMap, validators: &Validators) -> Outcome {
    let reads = method == Method::GET || method == Method::HEAD;
    let modified = validators.modified_at.div_euclid(1000);

    if headers.contains_key(header::IF_MATCH) {
        if !matches_any(headers, &header::IF_MATCH, |tag| {
            tag.strong_eq(&validators.etag)
        }) {
            return Outcome::Failed;
        }
    } else if date(headers, &header::IF_UNMODIFIED_SINCE).is_some_and(|since| modified > since) {
        return Outcome::Failed;
    }

    if headers.contains_key(header::IF_NONE_MATCH) {
        if matches_any(headers, &header::IF_NONE_MATCH, |tag| {
            tag.weak_eq(&validators.etag)
        }) {
            return if reads {
                Outcome::NotModified
            } else {
                Outcome::Failed
            };
        }
    } else if reads
        && date(headers, &header::IF_MODIFIED_SINCE).is_some_and(|since| modified <= since)
    {
        return Outcome::NotModified;
    }

    // Ranges are defined for GET alone; on HEAD the field is ignored.
    let range = method == Method::GET
        && headers.contains_key(header::RANGE)
        && if_range(headers, validators, modified);
    Outcome::Proceed { range }
}

fn if_range(headers: &HeaderMap, validators: &Validators, modified: i64) -> bool {
    if !headers.contains_key(header::IF_RANGE) {
        return true;
    }
    let Ok(Some(text)) = fields::single(headers, &header::IF_RANGE) else {
        return false;
    };
    match ETag::parse(text) {
        Some(tag) => tag.strong_eq(&validators.etag),
        // Exactly the date that was sent with the file, not "not later than".
        None => fields::date_seconds(text) == Some(modified),
    }
}

fn matches_any(headers: &HeaderMap, name: &HeaderName, is_match: impl Fn(&ETag) -> bool) -> bool {
    match fields::joined(headers, name) {
        Ok(Some(text)) => {
            text.trim_matches(fields::is_space) == "*"
                || ETag::list(&text).any(|tag| is_match(&tag))
        }
        _ => false,
    }
}

fn date(headers: &HeaderMap, name: &HeaderName) -> Option<i64> {
    fields::date_seconds(fields::single(headers, name).ok()??)
}
