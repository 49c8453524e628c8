//! A disk that fails, under the real binary.
//!
//! A failing disk can't be had from a test's own machine: the device mapper is missing in most
//! containers, and what a preloaded library intercepts are the C library's functions, which the
//! server mostly goes past. The kernel can hand single system calls of a process to another one
//! (seccomp's user notification): the server is started under such a filter, and here each call
//! that touches a file is looked at. Nearly all are let through; those that a rule names fail, come
//! back short, or take their time. Rules change while the server runs, and when they are taken away
//! the disk is as good as before.
//!
//! What it can't show: bytes that a disk lost after it said that they were safe. For that there are
//! the simulated disks.

mod calls;
mod listener;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

pub use self::calls::Call;
pub(crate) use self::listener::Watch;

/// What happens to a call instead of what it asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// The device's error, `EIO`; nothing is done.
    Io,
    /// `ENOSPC`; nothing is done.
    Full,
    /// The process has no descriptors left, `EMFILE`; nothing is done.
    NoDescriptors,
    /// A write does only half of what it was asked for. Other calls are let through.
    Short,
    /// It is done as asked, so much later.
    Slow(Duration),
}

/// Which calls are in trouble.
#[derive(Debug, Clone)]
pub struct Rule {
    /// What happens.
    pub trouble: Trouble,
    /// Which calls.
    pub calls: &'static [Call],
    /// Paths that begin so. A prefix as text: `…/catalog.db` means its log, too.
    pub under: PathBuf,
    /// On average, one of so many calls.
    pub one_in: u64,
}

impl Rule {
    /// All calls of these kinds below a path.
    pub fn always(trouble: Trouble, calls: &'static [Call], under: impl AsRef<Path>) -> Self {
        Self {
            trouble,
            calls,
            under: under.as_ref().to_owned(),
            one_in: 1,
        }
    }

    /// One call in so many, on average.
    pub fn one_in(self, one_in: u64) -> Self {
        Self { one_in, ..self }
    }
}

/// The rules for one server's disk, and how often they struck. Given to
/// [`Setup::disk`](crate::Setup::disk); cheap to clone.
#[derive(Debug, Clone)]
pub struct DiskFaults(Arc<State>);

#[derive(Debug)]
struct State {
    rules: Mutex<Vec<Rule>>,
    seed: u64,
    looked: AtomicU64,
    struck: AtomicU64,
}

impl DiskFaults {
    /// A disk without faults so far. With the same seed and the same order of calls, the same calls
    /// are struck.
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(State {
            rules: Mutex::new(Vec::new()),
            seed,
            looked: AtomicU64::new(0),
            struck: AtomicU64::new(0),
        }))
    }

    /// From now on these rules hold, and none of those before. The first that fits a call decides.
    pub fn set(&self, rules: impl Into<Vec<Rule>>) {
        *self.0.rules.lock().unwrap_or_else(PoisonError::into_inner) = rules.into();
    }

    /// The disk is well again.
    pub fn heal(&self) {
        self.set(Vec::new());
    }

    /// How many calls were in trouble so far.
    pub fn struck(&self) -> u64 {
        self.0.struck.load(Ordering::Relaxed)
    }

    /// What is to happen to a call on `path`.
    fn decide(&self, call: Call, path: &Path) -> Option<Trouble> {
        let rules = self.0.rules.lock().unwrap_or_else(PoisonError::into_inner);
        let path = path.as_os_str().as_encoded_bytes();
        let rule = rules.iter().find(|rule| {
            rule.calls.contains(&call)
                && path.starts_with(rule.under.as_os_str().as_encoded_bytes())
        })?;
        let number = self.0.looked.fetch_add(1, Ordering::Relaxed);
        if rule.one_in > 1 && !mixed(self.0.seed ^ number).is_multiple_of(rule.one_in) {
            return None;
        }
        self.0.struck.fetch_add(1, Ordering::Relaxed);
        Some(rule.trouble)
    }
}

/// The last step of SplitMix64: neighbouring numbers become unrelated ones.
fn mixed(number: u64) -> u64 {
    let mut z = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use anyhow::{Result, ensure};

    use super::*;

    /// Runs a script under the rules; what it wrote to its standard output and error.
    fn run(faults: &DiskFaults, script: &str) -> Result<(bool, String)> {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        let watch = Watch::over(&mut command, faults)?;
        let output = command.output()?;
        drop(watch);
        let told = [output.stdout, output.stderr].concat();
        Ok((
            output.status.success(),
            String::from_utf8_lossy(&told).into_owned(),
        ))
    }

    #[test]
    fn calls_fail_where_a_rule_says_so_and_nowhere_else() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let (bad, good) = (folder.path().join("bad"), folder.path().join("good"));
        let faults = DiskFaults::new(1);
        let both = format!(
            "dd if=/dev/zero of={} bs=4096 count=4 conv=fsync && dd if=/dev/zero of={} bs=4096 count=4 conv=fsync && truncate -s 8000 {}",
            good.display(),
            bad.display(),
            bad.display()
        );
        ensure!(run(&faults, &both)?.0, "without rules all is well");
        for (trouble, calls, said) in [
            (Trouble::Io, &[Call::Sync][..], "Input/output error"),
            (Trouble::Full, &[Call::Open], "No space left"),
            (Trouble::NoDescriptors, &[Call::Open], "Too many open files"),
            (Trouble::Io, &[Call::Cut], "Input/output error"),
        ] {
            std::fs::remove_file(&good)?;
            faults.set([Rule::always(trouble, calls, &bad)]);
            let before = faults.struck();
            let (well, told) = run(&faults, &both)?;
            ensure!(
                !well && told.contains(said) && faults.struck() == before + 1,
                "{trouble:?} {calls:?}: {told}"
            );
            ensure!(std::fs::metadata(&good)?.len() == 16_384);
            faults.heal();
            ensure!(run(&faults, &both)?.0, "the disk is well again");
        }
        Ok(())
    }

    #[test]
    fn a_short_write_does_half_and_a_slow_one_takes_its_time() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("file");
        let script = format!(
            "import os; fd = os.open('{}', os.O_CREAT | os.O_WRONLY); print(os.pwrite(fd, b'abcdefgh', 0)); os.fsync(fd)",
            path.display()
        );
        let script = format!("python3 -c \"{script}\"");
        let faults = DiskFaults::new(1);
        faults.set([Rule::always(Trouble::Short, &[Call::Write], &path)]);
        let (well, told) = run(&faults, &script)?;
        ensure!(well && told.trim() == "4", "{told}");
        ensure!(std::fs::read(&path)? == b"abcd");
        let slow = Trouble::Slow(Duration::from_millis(300));
        faults.set([Rule::always(slow, &[Call::Write, Call::Sync], &path)]);
        let started = std::time::Instant::now();
        let (well, told) = run(&faults, &script)?;
        ensure!(well && told.trim() == "8", "{told}");
        ensure!(started.elapsed() >= Duration::from_millis(600));
        Ok(())
    }

    #[test]
    fn one_in_many_is_about_that_and_the_same_for_the_same_seed() {
        let rule = Rule::always(Trouble::Io, &[Call::Write], "/x").one_in(10);
        let strikes = |seed| {
            let faults = DiskFaults::new(seed);
            faults.set([rule.clone()]);
            (0..1000)
                .map(|_| faults.decide(Call::Write, Path::new("/x/y")).is_some())
                .collect::<Vec<_>>()
        };
        assert_eq!(strikes(5), strikes(5));
        assert_ne!(strikes(5), strikes(6));
        let count = strikes(5).iter().filter(|struck| **struck).count();
        assert!((50..150).contains(&count), "{count}");
    }
}
