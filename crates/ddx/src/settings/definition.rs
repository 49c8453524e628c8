//! What a setting is, apart from its value: the rows of the table, where values come from, and how
//! a value is refused. A refusal always names the setting, the value, the limit and what to write
//! instead.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// A kind of value: how it is written, and what it becomes.
pub(crate) trait Reader {
    /// The value in the program.
    type Value;
    /// Its description.
    const KIND: Kind;
    /// Reads the text. The error says what is wrong with it, not which setting it is.
    fn read(text: &str) -> Result<Self::Value, String>;
    /// The value as a number that a range can be put on; `None` for kinds without an order.
    fn measure(_text: &str) -> Result<Option<u64>, String> {
        Ok(None)
    }
}

/// Reads the text as the kind, and gives the number that its range is about.
pub(super) fn measure<K: Reader>(text: &str) -> Result<Option<u64>, String> {
    K::read(text)?;
    K::measure(text)
}

/// A kind of value in words, for help texts and refusals.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kind {
    /// One word, also the placeholder of the flag's value.
    pub(crate) name: &'static str,
    /// How it is written.
    pub(crate) syntax: &'static str,
    /// Whether several values may be given, separated by commas.
    pub(crate) is_list: bool,
    /// Whether the flag alone, without a value, means `true`.
    pub(crate) is_switch: bool,
}

/// A row of the table.
pub(crate) struct Definition {
    /// The key in the file; the flag is the same with hyphens.
    pub(crate) key: &'static str,
    /// The environment variable, where it is not `DDX_` and the key in capitals.
    pub(super) env_name: Option<&'static str>,
    /// The heading under which help and documentation show it.
    pub(crate) group: &'static str,
    /// What it does, as sentences.
    pub(super) doc: &'static str,
    /// What it takes.
    pub(crate) kind: Kind,
    /// The value when nothing is given; `None` when there is none.
    pub(crate) default: Option<&'static str>,
    /// The least and the most.
    pub(crate) range: Option<(&'static str, &'static str)>,
    /// Reads a text and gives the number that the range is about.
    pub(super) measure: fn(&str) -> Result<Option<u64>, String>,
}

impl Definition {
    /// The name of the environment variable.
    pub(crate) fn env(&self) -> String {
        self.env_name
            .map_or_else(|| format!("DDX_{}", self.key.to_uppercase()), str::to_owned)
    }

    /// The name of the flag, without the hyphens before it.
    pub(crate) fn flag(&self) -> String {
        self.key.replace('_', "-")
    }

    /// The documentation, without the line breaks of the source.
    pub(crate) fn sentences(&self) -> String {
        self.doc.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// How a right value is written, with its bounds.
    pub(super) fn remedy(&self) -> String {
        let range = self.range.map_or_else(String::new, |(least, most)| {
            format!(", from {least} to {most}")
        });
        format!("write {}{range}", self.kind.syntax)
    }

    /// Whether a value can be read and lies within the bounds.
    pub(crate) fn check(&self, text: &str, origin: &Origin) -> Result<(), Problem> {
        let refuse = |reason| Problem::Refused {
            key: self.key,
            value: text.to_owned(),
            origin: origin.clone(),
            reason,
            remedy: self.remedy(),
        };
        let Some(number) = (self.measure)(text).map_err(refuse)? else {
            return Ok(());
        };
        let Some((least, most)) = self.range else {
            return Ok(());
        };
        if (self.measure)(least)
            .map_err(refuse)?
            .is_some_and(|bound| number < bound)
        {
            return Err(refuse(format!("is below the least, {least}")));
        }
        if (self.measure)(most)
            .map_err(refuse)?
            .is_some_and(|bound| number > bound)
        {
            return Err(refuse(format!("is above the most, {most}")));
        }
        Ok(())
    }
}

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The table.
    Default,
    /// A line of the configuration file.
    File(PathBuf, usize),
    /// An environment variable.
    Environment(String),
    /// A flag of the command line.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path, line) => write!(f, "{}:{line}", path.display()),
            Self::Environment(name) => f.write_str(name),
            Self::Flag(flag) => write!(f, "--{flag}"),
        }
    }
}

/// The values that were given, after precedence, as texts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Resolved {
    values: BTreeMap<&'static str, Given>,
}

/// A value that was given.
#[derive(Debug, Clone)]
struct Given {
    text: String,
    origin: Origin,
    /// Whether there is another value where none is given.
    has_default: bool,
}

/// What an operator writes to take a value away again that a file or variable gives.
pub(super) const NONE: &str = "none";

impl Resolved {
    /// Sets a value, over whatever was there: call it from the weakest source to the strongest.
    pub(super) fn set(&mut self, definition: &Definition, text: String, origin: Origin) {
        let has_default = definition.default.is_some();
        let given = Given {
            text,
            origin,
            has_default,
        };
        self.values.insert(definition.key, given);
    }

    /// The value given for the key. `none` counts as not given where there is no default; lists
    /// read it themselves.
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        let given = self.values.get(key)?;
        Some(given.text.as_str()).filter(|text| given.has_default || *text != NONE)
    }

    /// Where a value came from.
    pub(crate) fn origin(&self, key: &str) -> &Origin {
        let given = self.values.get(key);
        given.map_or(&Origin::Default, |given| &given.origin)
    }
}

/// Why settings can't be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Problem {
    /// A value that can't be read or lies out of bounds.
    #[error("{key} = \"{value}\" ({origin}) {reason}; {remedy}")]
    Refused {
        /// The setting.
        key: &'static str,
        /// What was given.
        value: String,
        /// Where.
        origin: Origin,
        /// What is wrong.
        reason: String,
        /// What to write.
        remedy: String,
    },
    /// A name that no setting has.
    #[error("{origin} sets `{name}`, which is no setting{}", nearest.as_ref().map_or_else(
        || "; `ddx config print` lists them all".to_owned(), |nearest| format!("; did you mean `{nearest}`?")))]
    Unknown {
        /// The name.
        name: String,
        /// Where.
        origin: Origin,
        /// The setting whose name is most like it.
        nearest: Option<String>,
    },
    /// Two settings that can't both be.
    #[error("{0}")]
    Conflict(String),
    /// The file can't be read or is no TOML.
    #[error("the configuration file {} can't be used: {reason}\nwhat to do: correct the file, or its path in --config or DDX_CONFIG", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

impl Problem {
    /// A value that can't be read.
    pub(super) fn unreadable(
        key: &'static str,
        definition: Option<&Definition>,
        resolved: &Resolved,
        reason: String,
    ) -> Self {
        let value = resolved
            .text(key)
            .or(definition.and_then(|definition| definition.default));
        Self::Refused {
            key,
            value: value.unwrap_or_default().to_owned(),
            origin: resolved.origin(key).clone(),
            reason,
            remedy: definition.map(Definition::remedy).unwrap_or_default(),
        }
    }
}
