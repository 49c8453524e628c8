//! Which form of an answer a client wants (`Accept`, RFC 9110 §12.5.1).
//!
//! One link serves people in browsers, `curl` and programs. What tells them apart is `Accept`:
//! browsers name `text/html`, programs `application/json`, and curl says `*/*`, which takes the
//! first form that the place offers. The name of the program (User-Agent) is not looked at: a list
//! of names is never complete.

use http::{HeaderMap, header};

use crate::shared::fields;

/// Members of the list that are looked at. Browsers send about eight.
const MEMBERS_MAX: usize = 64;

/// A form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `text/plain`: for a terminal. At a file's link, the file itself.
    Text,
    /// `application/json`.
    Json,
    /// `text/html`: the pages.
    Html,
}

impl Format {
    fn halves(self) -> (&'static str, &'static str) {
        match self {
            Self::Text => ("text", "plain"),
            Self::Json => ("application", "json"),
            Self::Html => ("text", "html"),
        }
    }
}

/// How much a form is wanted, compared field by field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    /// Thousandths.
    weight: u16,
    /// 3 for `type/subtype`, 2 for `type/*`, 1 for `*/*`.
    precision: u8,
    /// The earlier it stands in the list the more; HTTP gives the order no meaning, but clients
    /// mean it.
    earlier: usize,
}

/// The offered form that is wanted most. Equally wanted ones: the one that is offered first. If
/// none is wanted, the first as well: an answer in another form tells more than 406.
///
/// `offered` must not be empty; if it is, the answer is [`Format::Text`].
#[must_use]
pub fn negotiate(headers: &HeaderMap, offered: &[Format]) -> Format {
    let first = offered.first().copied().unwrap_or(Format::Text);
    let Ok(Some(accept)) = fields::joined(headers, &header::ACCEPT) else {
        return first;
    };
    let mut best: Option<(Rank, Format)> = None;
    for format in offered {
        let Some(rank) = rank(&accept, *format) else {
            continue;
        };
        if rank.weight > 0 && best.is_none_or(|(other, _)| rank > other) {
            best = Some((rank, *format));
        }
    }
    best.map_or(first, |(_, format)| format)
}

/// Whether a page is wanted more than a document. Only browsers that navigate name its type.
pub(crate) fn wants_page(headers: &HeaderMap) -> bool {
    negotiate(headers, &[Format::Json, Format::Html]) == Format::Html
}

/// Whether a client takes answers in this content coding (`Accept-Encoding`, RFC 9110 §12.5.3). It
/// has to name it.
#[must_use]
pub fn takes_coding(headers: &HeaderMap, coding: &str) -> bool {
    let given = headers
        .get_all(header::ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok());
    given.flat_map(|value| value.split(',')).any(|item| {
        let mut parts = item.split(';').map(str::trim);
        parts
            .next()
            .is_some_and(|name| name.eq_ignore_ascii_case(coding))
            && !parts.any(|part| {
                matches!(
                    part.replace(' ', "").as_str(),
                    "q=0" | "q=0.0" | "q=0.00" | "q=0.000"
                )
            })
    })
}

/// What the most precise matching member says of this form.
fn rank(accept: &str, format: Format) -> Option<Rank> {
    let (top, sub) = format.halves();
    let mut rank: Option<Rank> = None;
    for (at, member) in fields::split(accept, ',').take(MEMBERS_MAX).enumerate() {
        let media_range = fields::media_type(member);
        let Some(halves) = media_range.split_once('/') else {
            continue;
        };
        let precision = match halves {
            ("*", "*") => 1,
            (range_top, "*") if range_top == top => 2,
            (range_top, range_sub) if (range_top, range_sub) == (top, sub) => 3,
            _ => continue,
        };
        if rank.is_none_or(|other| precision > other.precision) {
            rank = Some(Rank {
                weight: weight(member),
                precision,
                // A wildcard puts no form before another.
                earlier: if precision == 3 { MEMBERS_MAX - at } else { 0 },
            });
        }
    }
    rank
}

/// `q` in thousandths. Without one, or with one that is none, 1000.
fn weight(member: &str) -> u16 {
    fields::parameters(member)
        .skip(1)
        .find(|(name, _)| name == "q")
        .and_then(|(_, value)| thousandths(&value))
        .unwrap_or(1000)
}

fn thousandths(text: &str) -> Option<u16> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if !matches!(whole, "0" | "1")
        || fraction.len() > 3
        || !fraction.bytes().all(|b| b.is_ascii_digit())
    {
        return None;
    }
    let value: u16 = format!("{whole}{fraction:0<3}").parse().ok()?;
    (value <= 1000).then_some(value)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;

    const ALL: &[Format] = &[Format::Text, Format::Json, Format::Html];

    fn accept(value: &str, offered: &[Format]) -> Format {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_str(value).unwrap());
        negotiate(&headers, offered)
    }

    #[test]
    fn clients_get_what_they_are_known_to_want() {
        assert_eq!(negotiate(&HeaderMap::new(), ALL), Format::Text);
        assert_eq!(accept("*/*", ALL), Format::Text, "curl");
        assert_eq!(accept("*/*", &[Format::Json, Format::Text]), Format::Json);
        let browser =
            "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8";
        assert_eq!(accept(browser, ALL), Format::Html);
        assert_eq!(
            accept("image/avif,image/webp,image/*,*/*;q=0.8", ALL),
            Format::Text,
            "an <img>"
        );
        assert_eq!(accept("application/json", ALL), Format::Json);
        assert_eq!(
            accept("application/json, text/plain, */*", ALL),
            Format::Json,
            "axios"
        );
    }

    #[test]
    fn weights_and_precision_count() {
        assert_eq!(
            accept("text/plain;q=0.5, application/json;q=0.6", ALL),
            Format::Json
        );
        assert_eq!(accept("text/*, application/json;q=0.9", ALL), Format::Text);
        assert_eq!(
            accept("text/*, text/plain;q=0.1", ALL),
            Format::Html,
            "the precise member rules"
        );
        assert_eq!(accept("text/plain;q=0, */*", ALL), Format::Json);
        assert_eq!(
            accept("text/plain;q=0.001, text/html;q=0.002", ALL),
            Format::Html
        );
        assert_eq!(
            accept("TEXT/HTML;Level=1;Q=1.000, text/plain;q=0.999", ALL),
            Format::Html
        );
        assert_eq!(accept("image/png", ALL), Format::Text, "none is wanted");
        assert_eq!(
            accept("text/html;q=2, application/json;q=x", ALL),
            Format::Html,
            "no weights"
        );
        assert_eq!(
            accept("text/html;q=1.001, text/plain;q=1", ALL),
            Format::Html,
            "no weight"
        );
    }

    proptest! {
        #[test]
        fn any_text_is_answered(value in "[ -~]{0,80}") {
            prop_assert!(ALL.contains(&accept(&value, ALL)));
        }
    }
}
