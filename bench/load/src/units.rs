//! Sizes and durations as people write them: `64KiB`, `1GiB`, `20s`, `250ms`.

use std::time::Duration;

const SIZES: &[(&str, u64)] = &[
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
    ("", 1),
];

const TIMES_MS: &[(&str, u64)] = &[("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];

/// Reads a size in bytes.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    read(
        text,
        SIZES,
        "sizes are whole numbers with B, kB, KiB, MB, MiB, GB or GiB, as 64KiB",
    )
}

/// Reads a duration.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let told = "durations are whole numbers with ms, s, m or h, as 20s";
    read(text, TIMES_MS, told).map(Duration::from_millis)
}

fn read(text: &str, units: &[(&str, u64)], told: &str) -> Result<u64, String> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit = units
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(unit.trim()));
    let number: Option<u64> = number.parse().ok();
    number
        .zip(unit)
        .and_then(|(number, (_, unit))| number.checked_mul(*unit))
        .ok_or_else(|| told.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_read_exactly() {
        assert_eq!(size("64KiB"), Ok(65_536));
        assert_eq!(size("1gib"), Ok(1 << 30));
        assert_eq!(size("5 MB"), Ok(5_000_000));
        assert_eq!(size("17"), Ok(17));
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        for text in ["", "KiB", "-1", "1.5MiB", "1TB", "99999999999GiB"] {
            assert!(size(text).is_err(), "{text}");
        }
        for text in ["", "20", "s", "1d"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
