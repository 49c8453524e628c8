//! Where settings come from: a TOML file, the environment, flags; each over the one before.
//!
//! Read here and not with a layering library: such libraries merge texts and lose what an operator
//! asks first, "which line, which variable?". An unknown name is an error everywhere, because a
//! mistyped limit that is silently left out is found when it was needed.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::definition::{Origin, Problem, Resolved};
use super::nearest::nearest;
use super::table::{SETTINGS, definition, definition_by_env};

/// Names the configuration file; a flag and not a setting, since the file can't name itself.
pub(crate) const CONFIG_ENV: &str = "DDX_CONFIG";

/// Variables with our prefix that are no settings: the file above, and what the project's own tests
/// and benchmarks pass to each other. The test kit takes such variables from a server that it
/// starts; one that is started without it inherits them.
const NOT_SETTINGS: &[&str] = &[
    CONFIG_ENV,
    "DDX_BIN",
    "DDX_DEV_SERVER",
    "DDX_FULL",
    "DDX_KILL_ROUNDS",
    "DDX_POWER_ROUNDS",
    "DDX_SEED",
];
const NOT_SETTINGS_PREFIXES: &[&str] = &["DDX_TEST_", "DDX_BENCH_"];

/// Beginnings of what Kubernetes adds when there is a service called `ddx`: `DDX_SERVICE_HOST`,
/// `DDX_PORT=tcp://…`, `DDX_PORT_8000_TCP`. They were not written by hand, so they are not
/// mistyped.
const SERVICE_LINKS: &[&str] = &["DDX_SERVICE_", "DDX_PORT"];

/// Prefixes of variables that are ours.
const OUR_PREFIXES: &[&str] = &["DDX_", "PARALLEL_UPLOAD_MAX_BUFFERS_"];

/// Reads a TOML file of flat keys into `resolved`.
pub(super) fn read_file(path: &Path, resolved: &mut Resolved) -> Vec<Problem> {
    let file_problem = |reason: String| {
        vec![Problem::File {
            path: path.to_path_buf(),
            reason,
        }]
    };
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => return file_problem(error.to_string()),
    };
    let table = match DeTable::parse(&text) {
        Ok(table) => table.into_inner(),
        Err(error) => return file_problem(error.to_string().trim_end().to_owned()),
    };
    let mut problems = Vec::new();
    for (key, value) in table {
        let line = text[..key.span().start].matches('\n').count() + 1;
        let origin = Origin::File(path.to_path_buf(), line);
        let key = key.into_inner();
        let Some(known) = definition(&key) else {
            let nearest = nearest(&key, SETTINGS.iter().map(|known| known.key)).map(str::to_owned);
            problems.push(Problem::Unknown {
                name: key.into_owned(),
                origin,
                nearest,
            });
            continue;
        };
        match as_text(value.get_ref()) {
            Some(value) => resolved.set(known, value, origin),
            None => problems.push(Problem::Refused {
                value: text[value.span()].to_owned(),
                reason: "is neither a string, a number, true or false, nor a list of strings"
                    .to_owned(),
                remedy: known.remedy(),
                key: known.key,
                origin,
            }),
        }
    }
    problems
}

/// A value as an operator would write it in a variable.
fn as_text(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .ok()
            .map(|number| number.to_string()),
        DeValue::Boolean(value) => Some(value.to_string()),
        DeValue::Array(items) => {
            let texts: Option<Vec<String>> = items
                .iter()
                .map(|item| match item.get_ref() {
                    DeValue::String(text) => Some(text.to_string()),
                    _ => None,
                })
                .collect();
            texts.map(|texts| texts.join(","))
        }
        _ => None,
    }
}

/// Reads environment variables into `resolved`. An empty one counts as not set, as container tools
/// write it.
pub(super) fn read_environment(
    variables: impl IntoIterator<Item = (OsString, OsString)>,
    resolved: &mut Resolved,
) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (name, value) in variables {
        let Some(name) = name.to_str() else { continue };
        if value.is_empty() || !OUR_PREFIXES.iter().any(|prefix| name.starts_with(prefix)) {
            continue;
        }
        let origin = Origin::Environment(name.to_owned());
        match (definition_by_env(name), value.into_string()) {
            (Some(known), Ok(text)) => resolved.set(known, text, origin),
            (Some(known), Err(raw)) => problems.push(Problem::Refused {
                key: known.key,
                value: raw.to_string_lossy().into_owned(),
                origin,
                reason: "is not UTF-8".to_owned(),
                remedy: known.remedy(),
            }),
            (None, _) if is_no_setting(name) => {}
            (None, _) => {
                let names: Vec<String> = SETTINGS.iter().map(super::Definition::env).collect();
                let nearest = nearest(name, names.iter().map(String::as_str)).map(str::to_owned);
                problems.push(Problem::Unknown {
                    name: name.to_owned(),
                    origin: Origin::Environment("the environment".to_owned()),
                    nearest,
                });
            }
        }
    }
    problems
}

fn is_no_setting(name: &str) -> bool {
    NOT_SETTINGS.contains(&name)
        || NOT_SETTINGS_PREFIXES
            .iter()
            .any(|prefix| name.starts_with(prefix))
        || SERVICE_LINKS.iter().any(|prefix| name.starts_with(prefix))
}

/// The file that the flag names, else the one that `DDX_CONFIG` names.
pub(super) fn file_named(
    flag: Option<&Path>,
    variables: &[(OsString, OsString)],
) -> Option<PathBuf> {
    let variable = variables
        .iter()
        .find(|(name, value)| name == CONFIG_ENV && !value.is_empty());
    flag.map(Path::to_path_buf)
        .or_else(|| variable.map(|(_, value)| PathBuf::from(value)))
}
