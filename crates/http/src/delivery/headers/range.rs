//! `Range` (RFC 9110 §14.1.2 and §14.2).
//!
//! Own, although crates exist: what matters is not the grammar but what comes after it. Ranges that
//! overlap or nearly touch are joined (§15.3.7.2 allows it), so that the answer is never longer
//! than the file and a little; and what is still scattered over too many places is answered with
//! the whole file, which is always right. Rejected: 416 for too many; a client would not know what
//! to ask instead.

use crate::server::Span;
use crate::shared::fields;

/// Limits on one Range field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RangeLimits {
    /// Ranges that are listed. More: the field is ignored. Default 64.
    pub listed_max: usize,
    /// Ranges that are sent, after joining. More: the field is ignored. Default 16.
    pub sent_max: usize,
    /// Ranges with at most this many bytes between them are joined: a part's own head is about as
    /// long. Default 100.
    pub gap_bytes: u64,
}

impl Default for RangeLimits {
    fn default() -> Self {
        Self {
            listed_max: 64,
            sent_max: 16,
            gap_bytes: 100,
        }
    }
}

/// What a Range field comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// The field is ignored.
    Whole,
    /// One range.
    One(Span),
    /// Two or more that do not touch, in the order in which they were asked for.
    Several(Vec<Span>),
    /// It is well-formed, and none of its ranges touches the file.
    Unsatisfiable,
}

/// Reads a Range field's value for a file of `length` bytes. What is not of the grammar, or of
/// another unit, is ignored.
#[must_use]
pub fn parse(text: &str, length: u64, limits: &RangeLimits) -> Selection {
    let Some((unit, set)) = text.split_once('=') else {
        return Selection::Whole;
    };
    if !unit
        .trim_matches(fields::is_space)
        .eq_ignore_ascii_case("bytes")
    {
        return Selection::Whole;
    }
    let mut spans: Vec<Span> = Vec::new();
    let mut listed = 0;
    for text in fields::split(set, ',') {
        listed += 1;
        if listed > limits.listed_max {
            return Selection::Whole;
        }
        match read_spec(text, length) {
            Spec::Invalid => return Selection::Whole,
            Spec::Outside => {}
            Spec::Inside(span) => join(&mut spans, span, limits.gap_bytes),
        }
    }
    match spans.as_slice() {
        [] if listed == 0 => Selection::Whole,
        // The last n bytes of an empty file are a range that exists and that Content-Range can't
        // write (§14.1.2).
        [] if length == 0 && fields::split(set, ',').any(is_suffix_with_bytes) => Selection::Whole,
        [] => Selection::Unsatisfiable,
        [span] => Selection::One(*span),
        more if more.len() > limits.sent_max => Selection::Whole,
        _ => Selection::Several(spans),
    }
}

/// One range of the list (`range-spec` in the RFC), held against the file.
enum Spec {
    /// Not of the grammar.
    Invalid,
    /// No byte of it is in the file.
    Outside,
    /// The bytes of it that are in the file.
    Inside(Span),
}

fn read_spec(text: &str, length: u64) -> Spec {
    let Some((first, last)) = text.split_once('-') else {
        return Spec::Invalid;
    };
    match (
        first.trim_matches(fields::is_space),
        last.trim_matches(fields::is_space),
    ) {
        ("", suffix) => match position(suffix) {
            None => Spec::Invalid,
            Some(0) => Spec::Outside,
            Some(_) if length == 0 => Spec::Outside,
            Some(bytes) => Spec::Inside(Span {
                first: length.saturating_sub(bytes),
                last: length - 1,
            }),
        },
        (first, last) => {
            let last = if last.is_empty() {
                Some(u64::MAX)
            } else {
                position(last)
            };
            match (position(first), last) {
                (Some(first), Some(last)) if last < first => Spec::Invalid,
                (Some(first), Some(_)) if first >= length => Spec::Outside,
                (Some(first), Some(last)) => Spec::Inside(Span {
                    first,
                    last: last.min(length - 1),
                }),
                _ => Spec::Invalid,
            }
        }
    }
}

/// Whether it is `-n`, the last `n` bytes, for an `n` above zero.
fn is_suffix_with_bytes(text: &str) -> bool {
    text.strip_prefix('-')
        .and_then(position)
        .is_some_and(|bytes| bytes > 0)
}

/// Digits. A number past u64 is a position past every file, not an error.
fn position(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some(text.parse().unwrap_or(u64::MAX))
}

/// Adds a span, joined with all that it touches, at the place of the first of them.
fn join(spans: &mut Vec<Span>, mut span: Span, gap: u64) {
    let touches = |a: Span, b: Span| {
        a.first <= b.last.saturating_add(gap).saturating_add(1)
            && b.first <= a.last.saturating_add(gap).saturating_add(1)
    };
    let mut place = spans.len();
    // No two in the list touch, but the joined span is wider and may reach a next one.
    while let Some(at) = spans.iter().position(|other| touches(*other, span)) {
        let other = spans.remove(at);
        place = place.min(at);
        span = Span {
            first: span.first.min(other.first),
            last: span.last.max(other.last),
        };
    }
    spans.insert(place.min(spans.len()), span);
}
