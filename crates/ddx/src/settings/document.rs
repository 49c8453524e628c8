//! The settings in words: docs/CONFIGURATION.md, and what `ddx config print` shows.

use std::fmt::Write as _;

use super::definition::Definition;
use super::{Loaded, SETTINGS};

const INTRODUCTION: &str = "<!-- Written by `cargo xtask docs` from crates/ddx/src/settings/table.rs. Changes here are lost. -->

# Configuration

Nothing has to be configured. What can be, can be given in three ways, the first of which wins:

1. a flag of `ddx serve`: the key with hyphens, `--memory-limit 2GiB`;
2. an environment variable: `DDX_` and the key in capitals, `DDX_MEMORY_LIMIT=2GiB`, unless another name stands below.
   An empty variable counts as not set;
3. a TOML file named by `--config` or `DDX_CONFIG`, with flat keys: `memory_limit = \"2GiB\"`.

`ddx config print` shows every value in force and where it came from; `ddx config check` only says whether they are
right. A name that is no setting is an error, in the file and in the environment. `none` takes a value away that a file
or variable gives, where the default is none.

Sizes take `KiB`, `MiB`, `GiB`, `TiB` (1,024; also `K`, `M`, `G`, `T`) or `kB`, `MB`, `GB`, `TB` (1,000). Durations take `ms`, `s`, `m`, `h`, `d`,
`w`, and several together: `1h30m`. Lists take commas, in TOML also `[\"a\", \"b\"]`.
";

/// The whole document.
pub(crate) fn markdown() -> String {
    let mut text = INTRODUCTION.to_owned();
    let mut group = "";
    for definition in SETTINGS {
        if definition.group != group {
            group = definition.group;
            let _ = write!(
                text,
                "\n## {group}\n\n| key | kind | default | from – to | what it does |\n| --- | --- | --- | --- | --- |\n"
            );
        }
        row(&mut text, definition);
    }
    text
}

fn row(text: &mut String, definition: &Definition) {
    let default = match definition.default {
        None | Some("none") => "none".to_owned(),
        Some("") => "empty".to_owned(),
        Some(value) => format!("`{value}`"),
    };
    let range = definition
        .range
        .map_or_else(String::new, |(least, most)| format!("{least} – {most}"));
    let kind = definition.kind.name.to_lowercase();
    let mut what = definition.sentences();
    let usual = format!("DDX_{}", definition.key.to_uppercase());
    if definition.env() != usual {
        let _ = write!(what, " Variable: `{}`.", definition.env());
    }
    let _ = writeln!(
        text,
        "| `{}` | {kind} | {default} | {range} | {what} |",
        definition.key
    );
}

/// Every value in force with its origin, as TOML: it can be saved and given back as a file.
pub(crate) fn in_force(loaded: &Loaded) -> String {
    let mut text = String::new();
    let mut group = "";
    for definition in SETTINGS {
        if definition.group != group {
            group = definition.group;
            let blank = if text.is_empty() {
                ""
            } else {
                "
"
            };
            let _ = writeln!(text, "{blank}# {group}");
        }
        let origin = loaded.resolved.origin(definition.key);
        let _ = match loaded.resolved.text(definition.key).or(definition.default) {
            Some(value) => writeln!(
                text,
                "{} = {} # {origin}",
                definition.key,
                toml::Value::from(value)
            ),
            None => writeln!(text, "# {} is not set # {origin}", definition.key),
        };
    }
    text
}
