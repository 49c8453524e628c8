//! The syntax that fields share, and what `Accept` comes to.

use ddx_http::shared::accept::{Format, negotiate};
use ddx_http::shared::fields;

use crate::request::Request;

pub(super) fn syntax(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for separator in [',', ';'] {
        for piece in fields::split(&text, separator) {
            assert!(!piece.is_empty() && piece == piece.trim_matches(fields::is_space));
        }
    }
    for (name, _) in fields::parameters(&text) {
        assert_eq!(name, name.to_ascii_lowercase());
    }
    // Quoted, any text comes back.
    let quoted = format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    assert_eq!(fields::unquote(&quoted), text);
    assert_eq!(
        fields::split(&format!("a={quoted},b"), ',').count(),
        2,
        "{quoted}"
    );
    let _ = fields::unquote(&text);
    let _ = fields::media_type(&text);
    if let Some(number) = fields::whole_number(&text) {
        assert!(number <= fields::NUMBER_MAX && text.bytes().all(|b| b.is_ascii_digit()));
    }
    if let Some(seconds) = fields::date_seconds(&text) {
        let written = fields::date(seconds.saturating_mul(1000));
        let again = fields::date_seconds(written.to_str().expect("visible ASCII"));
        assert_eq!(again, Some(seconds));
    }
}

pub(super) fn negotiation(bytes: &[u8]) {
    let headers = Request::read(bytes).headers;
    let all = [Format::Text, Format::Json, Format::Html];
    let chosen = negotiate(&headers, &all);
    assert!(all.contains(&chosen));
    for only in all {
        assert_eq!(negotiate(&headers, &[only]), only);
    }
    // What is not chosen does not decide between the others.
    let fewer: Vec<Format> = all
        .into_iter()
        .filter(|format| *format == chosen || *format != Format::Text)
        .collect();
    assert_eq!(negotiate(&headers, &fewer), chosen);
}
