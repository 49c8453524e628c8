//! Sizes and durations as people write them.
//!
//! Own code, since both must be exact (a bound that was rounded through a floating-point number
//! refuses itself) and must be written back as they were meant: `ddx config print` is read by
//! people. `512M` means mebibytes, as for systemd and container runtimes, whose limits stand beside
//! ours; `512MB` means 512,000,000.

use std::time::Duration;

const SIZES: &[(&str, u64)] = &[
    ("EiB", 1 << 60),
    ("PiB", 1 << 50),
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("E", 1 << 60),
    ("P", 1 << 50),
    ("T", 1 << 40),
    ("G", 1 << 30),
    ("M", 1 << 20),
    ("K", 1 << 10),
    ("EB", 1_000_000_000_000_000_000),
    ("PB", 1_000_000_000_000_000),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
    ("", 1),
];

const TIMES_MS: &[(&str, u64)] = &[
    ("w", 604_800_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// Reads a size in bytes: `512MiB`, `1.5 GiB`, `95000000`.
pub(crate) fn read_size(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.' && c != '_')
        .unwrap_or(text.len());
    let (number, unit) = (&text[..end], text[end..].trim());
    let (_, bytes) = SIZES
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(unit))
        .ok_or_else(|| format!("has no unit of size, `{unit}`"))?;
    scale(number, *bytes)
}

/// Writes a size so that it reads back as the same number: in the largest unit that divides it.
pub(crate) fn write_size(bytes: u64) -> String {
    let unit = SIZES
        .iter()
        .take(6)
        .find(|(_, unit)| bytes >= *unit && bytes.is_multiple_of(*unit));
    match unit {
        Some((name, unit)) => format!("{}{name}", bytes / unit),
        None => format!("{bytes}B"),
    }
}

/// Reads a duration: `30s`, `24h`, `1h30m`, `250ms`, `0s`.
pub(crate) fn read_duration(text: &str) -> Result<Duration, String> {
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err("is no duration".to_owned());
    }
    let mut total_ms: u64 = 0;
    while !rest.is_empty() {
        let end = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let (number, tail) = rest.split_at(end);
        let tail = tail.trim_start();
        let end = tail
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(end);
        let (_, unit_ms) = TIMES_MS
            .iter()
            .find(|(name, _)| *name == unit)
            .ok_or_else(|| {
                let seen = if unit.is_empty() {
                    "no unit".to_owned()
                } else {
                    format!("the unit `{unit}`")
                };
                format!("has {seen}, and units of time are ms, s, m, h, d and w")
            })?;
        let part = scale(number, *unit_ms)?;
        total_ms = total_ms
            .checked_add(part)
            .ok_or_else(|| "is too long".to_owned())?;
        rest = tail.trim_start();
    }
    Ok(Duration::from_millis(total_ms))
}

/// A whole or decimal number times a unit, exactly; a fraction of the smallest unit is refused.
fn scale(number: &str, unit: u64) -> Result<u64, String> {
    let number = number.replace('_', "");
    let (whole, fraction) = number.split_once('.').unwrap_or((&number, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty()
        || !digits(whole)
        || !digits(fraction)
        || (number.contains('.') && fraction.is_empty())
    {
        return Err(format!("begins with no number, `{number}`"));
    }
    let too_large = || "is too large".to_owned();
    let whole: u128 = whole.parse().map_err(|_| too_large())?;
    let mut total = whole.checked_mul(u128::from(unit)).ok_or_else(too_large)?;
    if !fraction.is_empty() {
        let places = u32::try_from(fraction.len())
            .ok()
            .filter(|places| *places <= 18)
            .ok_or_else(too_large)?;
        let parts: u128 = fraction.parse().map_err(|_| too_large())?;
        let scaled = parts * u128::from(unit);
        let divisor = 10_u128.pow(places);
        if !scaled.is_multiple_of(divisor) {
            return Err("is no whole number of its smallest unit".to_owned());
        }
        total = total.checked_add(scaled / divisor).ok_or_else(too_large)?;
    }
    u64::try_from(total).map_err(|_| too_large())
}

#[cfg(test)]
mod tests {
    use super::{read_duration, read_size, write_size};
    use std::time::Duration;

    #[test]
    fn sizes_are_exact() {
        for (text, bytes) in [
            ("0", 0),
            ("95", 95),
            ("512MiB", 512 << 20),
            ("512 mib", 512 << 20),
            ("512M", 512 << 20),
            ("512MB", 512_000_000),
            ("1.5GiB", 3 << 29),
            ("1_000", 1_000),
            ("15EiB", 15 << 60),
        ] {
            assert_eq!(read_size(text), Ok(bytes), "{text}");
        }
        for text in [
            "",
            "MiB",
            "1.",
            "1..5K",
            "-1",
            "12 parsecs",
            "16EiB",
            "0.3B",
            "1.2.3",
            "99999999999999999999999",
        ] {
            assert!(read_size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_are_written_as_they_are_read() {
        for (bytes, text) in [
            (0, "0B"),
            (1023, "1023B"),
            (1024, "1KiB"),
            (1536, "1536B"),
            (512 << 20, "512MiB"),
            (u64::MAX, "18446744073709551615B"),
        ] {
            assert_eq!(write_size(bytes), text);
            assert_eq!(read_size(text), Ok(bytes));
        }
    }

    #[test]
    fn durations_need_a_unit() {
        for (text, ms) in [
            ("0s", 0),
            ("250ms", 250),
            ("30s", 30_000),
            ("1h30m", 5_400_000),
            ("1.5h", 5_400_000),
            ("2 d", 172_800_000),
        ] {
            assert_eq!(read_duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for text in [
            "",
            "30",
            "s",
            "1y",
            "1h30",
            "0.5ms",
            "-1s",
            "99999999999999999999d",
            "213503982334d 213503982334d",
        ] {
            assert!(read_duration(text).is_err(), "{text}");
        }
    }
}
