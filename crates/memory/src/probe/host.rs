//! `/proc/meminfo`, `/proc/self/status` and pressure files; and what stands for them where they, or
//! lines of them, are missing.

use std::path::Path;

use super::files::{clipped, malformed};
use crate::ProbeError;
use crate::reading::{Doubt, Host, Process, Stall};

/// Parses `/proc/meminfo`. Kernels before 3.14, and some that only look like Linux, have no
/// `MemAvailable`.
pub(super) fn host(path: &Path, text: &str) -> Result<(Host, Option<Doubt>), ProbeError> {
    let told = kilobytes(path, text, "MemAvailable")?;
    let host = Host {
        total_bytes: need(path, text, "MemTotal")?,
        available_bytes: match told {
            Some(bytes) => bytes,
            None => need(path, text, "MemFree")?.saturating_add(page_cache(path, text)?),
        },
        dirty_bytes: kilobytes(path, text, "Dirty")?.unwrap_or(0),
        writeback_bytes: kilobytes(path, text, "Writeback")?.unwrap_or(0),
    };
    Ok((host, told.is_none().then_some(Doubt::AvailableByFree)))
}

/// Page cache that can be dropped, or written and dropped. Shared memory stands in it and can't be;
/// where the kernel does not tell them apart, none of it counts.
fn page_cache(path: &Path, text: &str) -> Result<u64, ProbeError> {
    let Some(shared) = kilobytes(path, text, "Shmem")? else {
        return Ok(0);
    };
    let locked = kilobytes(path, text, "Mlocked")?.unwrap_or(0);
    let cached = kilobytes(path, text, "Cached")?.unwrap_or(0);
    Ok(cached.saturating_sub(shared).saturating_sub(locked))
}

/// What sysinfo(2) tells. It does not know how much of the page cache can be had, so none of it
/// counts.
pub(super) fn host_by_sysinfo() -> Host {
    let info = rustix::system::sysinfo();
    let unit = u64::from(info.mem_unit.max(1));
    // The C library's word is as wide as the machine's.
    #[allow(clippy::useless_conversion, reason = "not on machines of 32 bits")]
    let bytes = |units| u64::from(units).saturating_mul(unit);
    Host {
        total_bytes: bytes(info.totalram),
        available_bytes: bytes(info.freeram).saturating_add(bytes(info.bufferram)),
        dirty_bytes: 0,
        writeback_bytes: 0,
    }
}

/// Parses `/proc/self/status`; `None` on kernels before 4.5, which do not tell anonymous memory
/// apart.
pub(super) fn process(path: &Path, text: &str) -> Result<Option<Process>, ProbeError> {
    let Some(anon_bytes) = kilobytes(path, text, "RssAnon")? else {
        return Ok(None);
    };
    Ok(Some(Process {
        anon_bytes,
        shmem_bytes: kilobytes(path, text, "RssShmem")?.unwrap_or(0),
    }))
}

/// Parses `/proc/self/statm`: pages of the address space, resident ones, and those of files and
/// shared memory among these.
pub(super) fn process_by_statm(path: &Path, text: &str) -> Result<Process, ProbeError> {
    let mut fields = text.split_ascii_whitespace().skip(1);
    let mut pages = || fields.next().and_then(|field| field.parse::<u64>().ok());
    let (Some(resident), Some(shared)) = (pages(), pages()) else {
        return Err(malformed(
            path,
            format!("expected pages, found {:?}", clipped(text)),
        ));
    };
    let page_bytes = rustix::param::page_size() as u64;
    Ok(Process {
        anon_bytes: resident.saturating_sub(shared).saturating_mul(page_bytes),
        shmem_bytes: 0,
    })
}

/// Parses `/proc/self/statm`: all that is mapped, touched or not.
pub(super) fn mapped(path: &Path, text: &str) -> Result<u64, ProbeError> {
    let pages = text.split_ascii_whitespace().next();
    let pages = pages.and_then(|field| field.parse::<u64>().ok());
    let page_bytes = rustix::param::page_size() as u64;
    pages
        .map(|pages| pages.saturating_mul(page_bytes))
        .ok_or_else(|| malformed(path, format!("expected pages, found {:?}", clipped(text))))
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
        let (host, doubt) = host(Path::new("m"), text).unwrap();
        assert_eq!(doubt, None);
        assert_eq!(
            (host.writeback_bytes, host.dirty_bytes),
            (3 * 1024, 2 * 1024)
        );
        assert_eq!(host.head_bytes(), 45 * 1024);
    }

    #[test]
    fn without_memavailable_what_is_free_and_clean_cache_stand_for_it() {
        let text = "MemTotal: 100 kB\nMemFree: 50 kB\nCached: 30 kB\nSwapCached: 9 kB\nDirty: 4 kB\nShmem: 10 kB\n";
        let (host, doubt) = host(Path::new("m"), text).unwrap();
        assert_eq!(doubt, Some(Doubt::AvailableByFree));
        assert_eq!(host.head_bytes(), (50 + 30 - 10 - 4) * 1024);
    }

    #[test]
    fn cache_that_may_be_shared_memory_does_not_count() {
        let (host, _) = host(
            Path::new("m"),
            "MemTotal: 100 kB\nMemFree: 50 kB\nCached: 30 kB\n",
        )
        .unwrap();
        assert_eq!(host.available_bytes, 50 * 1024);
    }

    #[test]
    fn sysinfo_tells_what_meminfo_tells_less_the_cache() {
        let path = Path::new("/proc/meminfo");
        let text = std::fs::read_to_string(path).unwrap();
        let (host, estimate) = (host(path, &text).unwrap().0, host_by_sysinfo());
        assert_eq!(estimate.total_bytes, host.total_bytes);
        assert!(estimate.available_bytes > 0 && estimate.available_bytes <= host.total_bytes);
    }

    #[test]
    fn statm_counts_what_is_resident_and_not_shared() {
        let page = rustix::param::page_size() as u64;
        let process = process_by_statm(Path::new("s"), "900 500 200 1 0 100 0\n").unwrap();
        assert_eq!(process.anon_bytes, 300 * page);
        for text in ["", "900 500", "a b c"] {
            assert!(process_by_statm(Path::new("s"), text).is_err(), "{text:?}");
        }
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
