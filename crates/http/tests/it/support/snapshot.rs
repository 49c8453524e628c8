//! Answers as text, for snapshots. What differs from run to run has a placeholder.

use anyhow::{Context, Result};
use ddx_testkit::Response;
use serde_json::Value;

/// Letters and digits of an id or a key: 128 bits in base32.
const ID_CHARS: usize = 26;

/// Fields whose value is a moment.
const TIMES: [&str; 3] = ["date", "last-modified", "upload-expires"];

/// A long list that comes with most answers. It has a snapshot of its own.
const EXPOSED: &str = "access-control-expose-headers";

/// Status, fields by their names, and content.
pub(crate) fn shown(answer: &Response) -> Result<String> {
    let body = match content_kind(answer) {
        "application/json" | "application/problem+json" => {
            serde_json::to_string_pretty(&without_chance(answer.json()?))?
        }
        _ => without_ids(&answer.text()),
    };
    Ok(format!("{}\n{body}", shown_head(answer)))
}

/// Status and fields by their names.
pub(crate) fn shown_head(answer: &Response) -> String {
    let mut lines: Vec<String> = answer
        .headers
        .iter()
        .map(|(name, value)| match name.as_str() {
            EXPOSED => format!("{name}: [list]\n"),
            time if TIMES.contains(&time) => format!("{name}: [time]\n"),
            _ => format!("{name}: {}\n", without_ids(value)),
        })
        .collect();
    lines.sort();
    format!("{}\n{}", answer.status, lines.concat())
}

/// The names in a JSON document, each with the type of its value. What differs from machine to
/// machine even in its type is named in `by_machine`.
pub(crate) fn types(answer: &Response, by_machine: &[&str]) -> Result<String> {
    let document = with_types(answer.json()?, by_machine);
    serde_json::to_string_pretty(&document).context("no JSON")
}

fn with_types(value: Value, by_machine: &[&str]) -> Value {
    match value {
        Value::Object(members) => members
            .into_iter()
            .map(|(name, value)| match by_machine.contains(&name.as_str()) {
                true => (name, "[by machine]".into()),
                false => (name, with_types(value, by_machine)),
            })
            .collect(),
        Value::Array(mut items) => {
            // The first of a pair is its name.
            let names = usize::from(matches!(items[..], [Value::String(_), Value::Number(_)]));
            for item in &mut items[names..] {
                *item = with_types(item.take(), by_machine);
            }
            items.into()
        }
        Value::String(_) => "string".into(),
        Value::Number(_) => "number".into(),
        Value::Bool(_) => "boolean".into(),
        Value::Null => Value::Null,
    }
}

fn without_chance(value: Value) -> Value {
    match value {
        Value::Object(members) => members
            .into_iter()
            .map(|(name, value)| match &value {
                Value::Number(_) if name.ends_with("_at") => (name, "[time]".into()),
                _ => (name, without_chance(value)),
            })
            .collect(),
        Value::Array(items) => items.into_iter().map(without_chance).collect(),
        Value::String(text) => without_ids(&text).into(),
        Value::Number(_) | Value::Bool(_) | Value::Null => value,
    }
}

/// Digests are longer than ids, and words are shorter.
fn without_ids(text: &str) -> String {
    let is_part = |c: char| c.is_ascii_lowercase() || matches!(c, '2'..='7');
    text.split_inclusive(|c| !is_part(c))
        .map(|piece| {
            let word = piece.trim_end_matches(|c| !is_part(c));
            match word.len() {
                ID_CHARS => format!("[id]{}", &piece[word.len()..]),
                _ => piece.to_owned(),
            }
        })
        .collect()
}

fn content_kind(answer: &Response) -> &str {
    let kind = answer.get("content-type").unwrap_or_default();
    kind.split(';').next().unwrap_or_default()
}
