//! Settings: a TOML file, an environment and flags; and the sizes and durations in them.
//!
//! They live in the binary's crate, which is no library, so they are compiled in here by their
//! path: the same files, with nothing in the product for the sake of this.

#[allow(
    dead_code,
    missing_docs,
    unused_imports,
    reason = "the binary uses what is not used here"
)]
#[path = "../../../crates/ddx/src/settings/mod.rs"]
mod product;

use std::ffi::OsString;

use product::units::{read_duration, read_size, write_size};
use product::{FlagValue, Loaded, SETTINGS, document};

use crate::scratch;

pub(super) fn units(bytes: &[u8]) {
    if let Some(number) = bytes
        .first_chunk::<8>()
        .map(|bytes| u64::from_le_bytes(*bytes))
    {
        assert_eq!(read_size(&write_size(number)), Ok(number));
        let round = number >> 24 << 24;
        assert_eq!(read_size(&write_size(round)), Ok(round));
    }
    let text = String::from_utf8_lossy(bytes);
    if let Ok(size) = read_size(&text) {
        let written = write_size(size);
        assert_eq!(read_size(&written), Ok(size), "{written}");
        assert_eq!(
            read_size(&format!(" {text} ")),
            Ok(size),
            "spaces around mean nothing"
        );
    }
    if let Ok(time) = read_duration(&text) {
        let written = format!("{}ms", time.as_millis());
        assert_eq!(read_duration(&written), Ok(time), "{written}");
        let twice = time
            .as_millis()
            .checked_mul(2)
            .and_then(|ms| u64::try_from(ms).ok());
        let text = text.trim();
        assert_eq!(
            read_duration(&format!("{text}{text}"))
                .ok()
                .map(|time| time.as_millis()),
            twice.map(u128::from),
            "twice is the sum"
        );
    }
}

/// Lines `NAME=value` are the environment, lines `--key value` flags, all others the file.
pub(super) fn load(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut variables: Vec<(OsString, OsString)> = Vec::new();
    let mut flags: Vec<FlagValue> = Vec::new();
    let mut file = String::new();
    for line in text.lines() {
        let variable = line
            .split_once('=')
            .filter(|(name, _)| name.starts_with("DDX_") && !name.contains(' '));
        let flag = line
            .strip_prefix("--")
            .and_then(|flag| flag.split_once(' '));
        if let Some((name, value)) = variable.filter(|(name, _)| *name != "DDX_CONFIG") {
            variables.push((name.into(), value.into()));
        } else if let Some((name, value)) = flag {
            let known = SETTINGS.iter().find(|known| known.flag() == name);
            flags.extend(known.map(|known| (known.key, value.to_owned())));
        } else {
            file.push_str(line);
            file.push('\n');
        }
    }
    match read(&file, &flags, variables) {
        Err(said) => assert!(!said.trim().is_empty(), "a refusal without a word"),
        Ok(loaded) => {
            // What `ddx config print` shows can be given back as a file and means the same.
            let printed = document::in_force(&loaded);
            let again = read(&printed, &[], Vec::new())
                .unwrap_or_else(|said| panic!("what was printed is refused: {said}\n{printed}"));
            for known in SETTINGS {
                let value = |loaded: &Loaded| {
                    loaded
                        .resolved
                        .text(known.key)
                        .map(str::to_owned)
                        .or(known.default.map(str::to_owned))
                };
                assert_eq!(value(&again), value(&loaded), "{}", known.key);
            }
        }
    }
}

fn read(
    file: &str,
    flags: &[FlagValue],
    variables: Vec<(OsString, OsString)>,
) -> Result<Loaded, String> {
    let folder = scratch::folder();
    let path = folder.path().join("ddx.toml");
    std::fs::write(&path, file).expect("room for a small file");
    product::load(flags, Some(&path), variables).map_err(|problems| problems.to_string())
}
