//! A memory box: a cgroup with a limit, in which a server is started.
//!
//! Only the kernel's own accounting proves that a server stays within a limit; a server that counts
//! its own memory would prove its own opinion. Version 1 of the memory controller and version 2 are
//! both known. The box is made in our own group, so that whatever bounds the test also bounds the
//! box; where that can't be (version 2 forbids processes and children in one group), further up,
//! the mount point last.
//!
//! A box that a killed test left behind is removed by the next one that is made.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

const PREFIX: &str = "ddx-box-";
static NEXT: AtomicU64 = AtomicU64::new(0);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

/// A cgroup with a memory limit; removed when dropped, with whatever still runs in it killed.
#[derive(Debug)]
pub struct MemoryBox {
    folder: PathBuf,
    version: Version,
    /// When each limit came into force, and its bytes as the kernel rounded them; never empty.
    limits: Mutex<Vec<(Instant, u64)>>,
}

/// What the kernel says about a box, in bytes and counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Memory charged now, page cache included.
    pub usage_bytes: u64,
    /// The most that was ever charged, page cache included.
    pub peak_bytes: u64,
    /// How often the limit was hit (and the kernel had to take something back, or fail).
    pub limit_hits: u64,
    /// Processes killed for memory.
    pub oom_kills: u64,
    /// Anonymous memory charged now: what can't be had back without swap.
    pub anonymous_bytes: u64,
}

impl MemoryBox {
    /// Makes a box of `limit_bytes`. Fails where neither version's memory controller can be used.
    pub fn new(limit_bytes: u64) -> Result<Self> {
        let name = format!(
            "{PREFIX}{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let mut refusals = Vec::new();
        for (version, parent) in places()? {
            sweep(&parent);
            match make(version, &parent.join(&name), limit_bytes) {
                Ok(()) => {
                    let folder = parent.join(&name);
                    let limit = number(&folder, limit_file(version))?;
                    return Ok(Self {
                        folder,
                        version,
                        limits: Mutex::new(vec![(Instant::now(), limit)]),
                    });
                }
                Err(error) => {
                    let _ = fs::remove_dir(parent.join(&name));
                    refusals.push(format!("{}: {error:#}", parent.display()));
                }
            }
        }
        bail!(
            "no memory box can be made here; run the tests as root with a writable memory controller. Tried: {}",
            refusals.join("; ")
        )
    }

    /// The file that takes the id of a process that is to live in the box.
    pub fn procs(&self) -> PathBuf {
        self.folder.join("cgroup.procs")
    }

    /// Changes the limit while the box is in use.
    pub fn set_limit(&self, limit_bytes: u64) -> Result<()> {
        // Held over the change, so that a test that asks for the limits knows of it as soon as the
        // server can.
        let mut limits = self.limits();
        write(
            &self.folder.join(limit_file(self.version)),
            &limit_bytes.to_string(),
        )?;
        limits.push((Instant::now(), self.limit()?));
        Ok(())
    }

    /// Every limit that was in force at `from` or later, in their order.
    pub fn limits_since(&self, from: Instant) -> Vec<u64> {
        let limits = self.limits();
        let later = limits.partition_point(|(since, _)| *since <= from);
        limits[later.saturating_sub(1)..]
            .iter()
            .map(|(_, limit_bytes)| *limit_bytes)
            .collect()
    }

    fn limits(&self) -> MutexGuard<'_, Vec<(Instant, u64)>> {
        self.limits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The limit now, as the kernel rounded it.
    pub fn limit(&self) -> Result<u64> {
        number(&self.folder, limit_file(self.version))
    }

    /// Memory of the box that can't be had back at once: all but the clean page cache, by the
    /// kernel's counters.
    pub fn hard_bytes(&self) -> Result<u64> {
        let stat = self.stat()?;
        let get = |name: &str| stat.get(name).copied().unwrap_or(0);
        match self.version {
            Version::One => {
                let usage = number(&self.folder, "memory.usage_in_bytes")?;
                let kept = get("total_shmem") + get("total_dirty") + get("total_writeback");
                Ok((usage + kept).saturating_sub(get("total_cache")))
            }
            Version::Two => {
                let kernel = get("kernel").saturating_sub(get("slab_reclaimable"));
                let file = get("shmem") + get("file_dirty") + get("file_writeback");
                let hard = get("anon") + kernel + get("sock") + file;
                Ok(hard.min(number(&self.folder, "memory.current")?))
            }
        }
    }

    /// What the kernel counts now.
    pub fn usage(&self) -> Result<Usage> {
        let stat = self.stat()?;
        let (usage, peak) = match self.version {
            Version::One => ("memory.usage_in_bytes", "memory.max_usage_in_bytes"),
            Version::Two => ("memory.current", "memory.peak"),
        };
        let (limit_hits, oom_kills, anonymous) = match self.version {
            Version::One => (
                number(&self.folder, "memory.failcnt")?,
                keyed(&self.folder, "memory.oom_control")?
                    .get("oom_kill")
                    .copied(),
                "total_rss",
            ),
            Version::Two => {
                let events = keyed(&self.folder, "memory.events")?;
                (
                    events.get("max").copied().unwrap_or(0),
                    events.get("oom_kill").copied(),
                    "anon",
                )
            }
        };
        Ok(Usage {
            usage_bytes: number(&self.folder, usage)?,
            peak_bytes: number(&self.folder, peak)?,
            limit_hits,
            oom_kills: oom_kills.context("the kernel does not count kills for memory")?,
            anonymous_bytes: stat
                .get(anonymous)
                .copied()
                .with_context(|| format!("memory.stat has no {anonymous}"))?,
        })
    }

    /// The raw figures of `memory.stat`.
    pub fn stat(&self) -> Result<BTreeMap<String, u64>> {
        keyed(&self.folder, "memory.stat")
    }

    /// The processes in the box.
    pub fn pids(&self) -> Vec<u32> {
        pids(&self.folder)
    }
}

impl Drop for MemoryBox {
    fn drop(&mut self) {
        empty_and_remove(&self.folder);
    }
}

fn limit_file(version: Version) -> &'static str {
    match version {
        Version::One => "memory.limit_in_bytes",
        Version::Two => "memory.max",
    }
}

fn make(version: Version, folder: &Path, limit_bytes: u64) -> Result<()> {
    if version == Version::Two
        && let Some(parent) = folder.parent()
        && !fs::read_to_string(parent.join("cgroup.subtree_control"))?
            .split_whitespace()
            .any(|name| name == "memory")
    {
        write(&parent.join("cgroup.subtree_control"), "+memory")?;
    }
    fs::create_dir(folder).with_context(|| format!("make {}", folder.display()))?;
    write(&folder.join(limit_file(version)), &limit_bytes.to_string())?;
    if version == Version::Two && folder.join("memory.swap.max").exists() {
        write(&folder.join("memory.swap.max"), "0")?;
    }
    Ok(())
}

/// Where a box could be made, best first.
fn places() -> Result<Vec<(Version, PathBuf)>> {
    let groups = fs::read_to_string("/proc/self/cgroup")?;
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    let mut found = Vec::new();
    for line in mounts.lines() {
        let Some((left, right)) = line.split_once(" - ") else {
            continue;
        };
        let left: Vec<&str> = left.split(' ').collect();
        let right: Vec<&str> = right.split(' ').collect();
        let (Some(root), Some(mount), Some(kind)) = (left.get(3), left.get(4), right.first())
        else {
            continue;
        };
        let one = *kind == "cgroup"
            && right
                .get(2)
                .is_some_and(|options| options.split(',').any(|option| option == "memory"));
        let two = *kind == "cgroup2"
            && fs::read_to_string(Path::new(mount).join("cgroup.controllers"))
                .is_ok_and(|all| all.split_whitespace().any(|name| name == "memory"));
        let version = if one {
            Version::One
        } else if two {
            Version::Two
        } else {
            continue;
        };
        let own = own_path(&groups, version).unwrap_or("/");
        let below = own
            .strip_prefix(root)
            .unwrap_or(own)
            .trim_start_matches('/');
        let mut place = Path::new(mount).join(below);
        while place.starts_with(mount) {
            if place.is_dir() {
                found.push((version, place.clone()));
            }
            if !place.pop() {
                break;
            }
        }
    }
    found.sort_by_key(|(version, _)| *version != Version::One); // the sort is stable: best place first stays
    Ok(found)
}

fn own_path(groups: &str, version: Version) -> Option<&str> {
    groups.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':');
        let (_, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
        let ours = match version {
            Version::One => controllers.split(',').any(|name| name == "memory"),
            Version::Two => controllers.is_empty(),
        };
        ours.then_some(path)
    })
}

/// Removes boxes whose test is gone.
fn sweep(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let owner = name
            .to_str()
            .and_then(|name| name.strip_prefix(PREFIX))
            .and_then(|rest| rest.split('-').next());
        if let Some(owner) = owner
            && !Path::new("/proc").join(owner).exists()
        {
            empty_and_remove(&entry.path());
        }
    }
}

fn empty_and_remove(folder: &Path) {
    let end = Instant::now() + Duration::from_secs(5);
    loop {
        for pid in pids(folder) {
            if let Some(pid) = i32::try_from(pid)
                .ok()
                .and_then(rustix::process::Pid::from_raw)
            {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
        if fs::remove_dir(folder).is_ok() || !folder.exists() || Instant::now() > end {
            return;
        }
        std::thread::sleep(Duration::from_millis(5)); // a killed process leaves its group a moment later; nothing tells when
    }
}

fn pids(folder: &Path) -> Vec<u32> {
    let text = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
    text.lines()
        .filter_map(|line| line.trim().parse().ok())
        .collect()
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("write {text} to {}", path.display()))
}

fn number(folder: &Path, name: &str) -> Result<u64> {
    let path = folder.join(name);
    let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    text.trim()
        .parse()
        .with_context(|| format!("{} says {text:?}", path.display()))
}

fn keyed(folder: &Path, name: &str) -> Result<BTreeMap<String, u64>> {
    let path = folder.join(name);
    let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    Ok(text
        .lines()
        .filter_map(|line| line.split_once(' '))
        .filter_map(|(key, value)| Some((key.to_owned(), value.trim().parse().ok()?)))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    fn in_box(memory_box: &MemoryBox, script: &str) -> Result<std::process::Output> {
        Ok(Command::new("sh")
            .arg("-c")
            .arg(format!(
                "echo $$ > '{}'; {script}",
                memory_box.procs().display()
            ))
            .output()?)
    }

    #[test]
    fn a_process_within_the_limit_lives_and_is_counted() -> Result<()> {
        let memory_box = MemoryBox::new(64 * crate::MIB)?;
        let output = in_box(
            &memory_box,
            "exec head -c 8000000 /dev/zero | tail -c 8000000 | wc -c",
        )?;
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "8000000");
        let usage = memory_box.usage()?;
        assert!(
            usage.peak_bytes > 8_000_000 && usage.peak_bytes <= 64 * crate::MIB,
            "{usage:?}"
        );
        assert_eq!(usage.oom_kills, 0);
        Ok(())
    }

    #[test]
    fn a_process_beyond_the_limit_is_killed_and_counted() -> Result<()> {
        let memory_box = MemoryBox::new(8 * crate::MIB)?;
        let output = in_box(
            &memory_box,
            "head -c 64000000 /dev/zero | tail -c 64000000 | wc -c",
        )?;
        assert_ne!(String::from_utf8_lossy(&output.stdout).trim(), "64000000");
        let usage = memory_box.usage()?;
        assert!(usage.oom_kills >= 1 && usage.limit_hits >= 1, "{usage:?}");
        Ok(())
    }

    #[test]
    fn a_dropped_box_takes_its_processes_with_it() -> Result<()> {
        let memory_box = MemoryBox::new(64 * crate::MIB)?;
        let folder = memory_box.folder.clone();
        let mut child = Command::new("sh")
            .arg("-c")
            .arg(format!(
                "echo $$ > '{}'; exec sleep 600",
                memory_box.procs().display()
            ))
            .spawn()?;
        while memory_box.pids().is_empty() {
            std::thread::yield_now();
        }
        drop(memory_box);
        assert!(!child.wait()?.success());
        assert!(!folder.exists());
        Ok(())
    }
}
