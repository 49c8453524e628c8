//! Sizes as people read them.

/// Bytes as people read them, in the units of the pages: `999 B`, `1.2 kB`, `10 MB`. What is free
/// or allowed is not rounded up: nothing is told to fit that does not.
#[must_use]
pub fn size(bytes: u64) -> String {
    rounded(bytes, |amount, unit| amount / unit)
}

/// The same of what is needed, which is not rounded down.
#[must_use]
pub fn size_at_least(bytes: u64) -> String {
    rounded(bytes, u128::div_ceil)
}

fn rounded(bytes: u64, divide: fn(u128, u128) -> u128) -> String {
    const UNITS: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    let bytes = u128::from(bytes);
    let (mut unit, mut name) = (1, 0);
    while divide(bytes, unit) >= 1_000 && name + 1 < UNITS.len() {
        unit *= 1_000;
        name += 1;
    }
    let (whole, tenths) = (divide(bytes, unit), divide(bytes * 10, unit));
    match (tenths / 10, tenths % 10) {
        (below, tenth @ 1..) if below < 100 => format!("{below}.{tenth} {}", UNITS[name]),
        _ => format!("{whole} {}", UNITS[name]),
    }
}

#[cfg(test)]
mod tests {
    use super::{size, size_at_least};

    #[test]
    fn sizes_promise_nothing_that_does_not_fit() {
        for (bytes, told) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1 kB"),
            (1_299, "1.2 kB"),
            (10_000_000, "10 MB"),
            (10_485_760, "10.4 MB"),
            (999_999_999, "999 MB"),
            (1_250_000_000, "1.2 GB"),
            (u64::MAX, "18.4 EB"),
        ] {
            assert_eq!(size(bytes), told, "{bytes}");
        }
        for (bytes, told) in [
            (0, "0 B"),
            (999, "999 B"),
            (1_201, "1.3 kB"),
            (10_000_000, "10 MB"),
            (10_000_001, "10.1 MB"),
            (999_999_999, "1 GB"),
            (100_000_001, "101 MB"),
            (u64::MAX, "18.5 EB"),
        ] {
            assert_eq!(size_at_least(bytes), told, "{bytes}");
        }
    }
}
