//! `/proc/meminfo`, `/proc/self/status` and pressure files.

use std::path::Path;

use super::files::{clipped, malformed};
use crate::ProbeError;
use crate::reading::{Host, Process, Stall};

/// Parses `/proc/meminfo`.
pub(super) fn host(path: &Path, text: &str) -> Result<Host, ProbeError> {
    Ok(Host {
        total_bytes: need(path, text, "MemTotal")?,
        available_bytes: need(path, text, "MemAvailable")?,
        dirty_bytes: kilobytes(path, text, "Dirty")?.unwrap_or(0),
        writeback_bytes: kilobytes(path, text, "Writeback")?.unwrap_or(0),
    })
}

/// Parses `/proc/self/status`.
pub(super) fn process(path: &Path, text: &str) -> Result<Process, ProbeError> {
    Ok(Process {
        anon_bytes: need(path, text, "RssAnon")?,
        shmem_bytes: kilobytes(path, text, "RssShmem")?.unwrap_or(0),
    })
}

/// Parses the `total=` counters of a pressure file.
pub(super) fn stall(path: &Path, text: &str) -> Result<Stall, ProbeError> {
    let total = |kind: &str| -> Result<Option<u64>, ProbeError> {
        let Some(line) = text
            .lines()
            .find(|line| line.split(' ').next() == Some(kind))
        else {
            return Ok(None);
        };
        line.split(' ')
            .find_map(|field| field.strip_prefix("total="))
            .and_then(|value| value.parse().ok())
            .map(Some)
            .ok_or_else(|| malformed(path, format!("no total= in {:?}", clipped(line))))
    };
    Ok(Stall {
        some_us: total("some")?
            .ok_or_else(|| malformed(path, "there is no line \"some\"".to_owned()))?,
        full_us: total("full")?.unwrap_or(0),
    })
}

fn need(path: &Path, text: &str, key: &str) -> Result<u64, ProbeError> {
    kilobytes(path, text, key)?.ok_or_else(|| malformed(path, format!("there is no {key}")))
}

/// The value of a line `Key:   123 kB`, in bytes.
fn kilobytes(path: &Path, text: &str, key: &str) -> Result<Option<u64>, ProbeError> {
    for line in text.lines() {
        let Some(value) = line
            .strip_prefix(key)
            .and_then(|rest| rest.strip_prefix(':'))
        else {
            continue;
        };
        return value
            .trim()
            .strip_suffix("kB")
            .and_then(|number| number.trim().parse::<u64>().ok())
            .and_then(|number| number.checked_mul(1024))
            .map(Some)
            .ok_or_else(|| malformed(path, format!("{key} is {:?}", clipped(value))));
    }
    Ok(None)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_begins_like_another_is_not_taken_for_it() {
        let text = "MemTotal:  100 kB\nMemAvailable: 50 kB\nWritebackTmp: 7 kB\nWriteback: 3 kB\nDirty:  2 kB\n";
        let host = host(Path::new("m"), text).unwrap();
        assert_eq!(
            (host.writeback_bytes, host.dirty_bytes),
            (3 * 1024, 2 * 1024)
        );
        assert_eq!(host.head_bytes(), 45 * 1024);
    }

    #[test]
    fn a_kernel_without_memavailable_is_told_so() {
        let error = host(Path::new("m"), "MemTotal: 100 kB\nMemFree: 50 kB\n").unwrap_err();
        assert!(error.to_string().contains("MemAvailable"), "{error}");
    }

    #[test]
    fn overflow_and_nonsense_are_errors() {
        for value in ["18446744073709551615 kB", "12 MB", "kB", "-1 kB", ""] {
            let text = format!("MemTotal: {value}\nMemAvailable: 1 kB\n");
            assert!(host(Path::new("m"), &text).is_err(), "{value:?}");
        }
    }

    #[test]
    fn stall_totals() {
        let text = "some avg10=0.00 avg60=0.00 avg300=0.00 total=71\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=9\n";
        assert_eq!(
            stall(Path::new("p"), text).unwrap(),
            Stall {
                some_us: 71,
                full_us: 9
            }
        );
        assert!(stall(Path::new("p"), "some avg10=0.00\n").is_err());
        assert!(stall(Path::new("p"), "").is_err());
    }
}
