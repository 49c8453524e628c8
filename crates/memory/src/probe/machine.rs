//! The machine we run on, found anew whenever we were moved.
//!
//! `/proc/self/cgroup` is read each time (it is one small file): a process may be moved into
//! another group while it runs, and a group may be removed under a name that comes back. Only when
//! that text changes, or our directory is gone, is the mount table read again. Limits are read each
//! time as well, since an operator may change them live.
//!
//! Where the two files do not lead to a group that lists us, it is searched for
//! ([`super::search`]). One that is not found is told as a [`Doubt`], as is everything else that
//! this machine does not tell: a server that knows less promises less, and starts.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::cgroup::{self, Membership};
use super::files::text;
use super::mountinfo::{self, Mount};
use super::{host, peak, search, v1, v2};
use crate::ProbeError;
use crate::reading::{Doubt, Host, LimitKind, MemoryLimit, Process, Reading, Source};

/// Deeper than any tree of groups that is used; a bound on what one reading costs.
const LEVELS_MAX: usize = 64;

/// A group that was not found is searched for again after this.
const SEARCH_EVERY: Duration = Duration::from_secs(10);

/// The namespace of groups that the machine itself has, by the number that the kernel gives it
/// (`PROC_CGROUP_INIT_INO`). In it, `/` is the root of all groups, which has no limit.
const FIRST_NAMESPACE: &str = "cgroup:[4026531835]";

/// Reads the machine: `/proc` and the control group file systems.
#[derive(Debug)]
pub struct Machine {
    root: PathBuf,
    pid: u32,
    place: Option<GroupPath>,
}

/// Where our group was found.
#[derive(Debug, Clone, PartialEq, Eq)]
struct GroupPath {
    /// The text of `/proc/self/cgroup` that led here; `None` where it can't be read.
    membership: Option<String>,
    kind: Option<LimitKind>,
    /// Our own directory, there or not; `None` where there are no control groups.
    own: Option<PathBuf>,
    /// Our own directory and those above it up to the mount point, as seen in the mount table
    /// (without our root), as far as they are there.
    dirs: Vec<PathBuf>,
    /// Our directory in the unified hierarchy, for pressure, and those above it.
    unified_dirs: Vec<PathBuf>,
    /// When a group that must be there was not found.
    missed: Option<Instant>,
}

/// A directory, the mount point above it, and whether it is known to be ours.
struct Found {
    dir: PathBuf,
    top: PathBuf,
    is_ours: bool,
}

impl Machine {
    /// This machine.
    pub fn new() -> Self {
        Self::below(Path::new("/"))
    }

    /// A machine whose `/proc` and `/sys` lie below another directory: a saved tree.
    pub fn below(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            pid: std::process::id(),
            place: None,
        }
    }

    fn at(&self, absolute: &Path) -> PathBuf {
        self.root
            .join(absolute.strip_prefix("/").unwrap_or(absolute))
    }

    /// The text of a file; `None` where this machine has none, or does not let us read it.
    fn told(&self, path: &str) -> Result<Option<String>, ProbeError> {
        match text(&self.at(Path::new(path))) {
            Ok(text) => Ok(Some(text)),
            Err(ProbeError::Io { source, .. })
                if matches!(
                    source.kind(),
                    ErrorKind::NotFound | ErrorKind::PermissionDenied
                ) =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// What `/proc/self/cgroup` says. A kernel without control groups does not have the file; then
    /// only the host counts.
    fn membership(&self) -> Result<Option<String>, ProbeError> {
        let told = self.told("/proc/self/cgroup")?;
        let is_left_out = self.at(Path::new("/proc/self/status")).exists()
            && !self.at(Path::new("/proc/self/cgroup")).exists();
        Ok(told.or_else(|| is_left_out.then(String::new)))
    }

    /// Makes sure that `place` is where we are now.
    fn refresh_place(&mut self) -> Result<(), ProbeError> {
        let membership = self.membership()?;
        let stays = self.place.as_ref().is_some_and(|place| {
            let is_as_it_was = place.own.as_ref().is_none_or(|own| {
                // One that was missing may come back, and binds us from then on.
                (place.dirs.first() == Some(own)) == self.at(own).is_dir()
            });
            let is_due = place.missed.is_some_and(|at| at.elapsed() >= SEARCH_EVERY);
            place.membership == membership && is_as_it_was && !is_due
        });
        if !stays {
            self.place = Some(self.resolve(membership)?);
        }
        Ok(())
    }

    fn resolve(&self, membership: Option<String>) -> Result<GroupPath, ProbeError> {
        let text = membership.as_deref().unwrap_or_default();
        let ours = cgroup::membership(text);
        let mounts = match ours {
            Membership::None => None,
            _ => self.told("/proc/self/mountinfo")?,
        };
        let mounts = mounts.unwrap_or_default();
        let unified_mounts = mountinfo::unified(&mounts);
        let (kind, path, found) = match &ours {
            Membership::V1(path) => (
                Some(LimitKind::CgroupV1),
                path.as_str(),
                self.find(&mountinfo::memory_v1(&mounts), path),
            ),
            Membership::V2(path) => (
                Some(LimitKind::CgroupV2),
                path.as_str(),
                self.find(&unified_mounts, path),
            ),
            Membership::None => (None, "/", None),
        };
        let is_missed = match &found {
            Some(found) => !found.is_ours,
            None => membership.is_none() || kind.is_some() && !self.is_root_of_all(path),
        };
        let unified = cgroup::unified_path(text).and_then(|path| self.find(&unified_mounts, &path));
        let unified = unified.filter(|found| found.is_ours);
        let upwards = |found: &Found| self.upwards(&found.dir, &found.top);
        Ok(GroupPath {
            kind: kind.filter(|_| found.is_some()),
            own: found.as_ref().map(|found| found.dir.clone()),
            dirs: found.as_ref().map_or_else(Vec::new, upwards),
            unified_dirs: unified.as_ref().map_or_else(Vec::new, upwards),
            missed: is_missed.then(Instant::now),
            membership,
        })
    }

    /// Whether this path is that of the group in which all others are.
    fn is_root_of_all(&self, path: &str) -> bool {
        let link = std::fs::read_link(self.at(Path::new("/proc/self/ns/cgroup")));
        // Kernels before 4.6 have no such namespaces.
        path == "/" && link.map_or(true, |name| name.as_os_str() == FIRST_NAMESPACE)
    }

    /// Our directory by the path that we were told, or, where it does not list us, by a search.
    fn find(&self, mounts: &[Mount], path: &str) -> Option<Found> {
        let located = mountinfo::locate(mounts, path)?;
        let at = self.at(&located.dir);
        if located.fits && at.is_dir() && search::lists(&at, self.pid) != Some(false) {
            return Some(Found {
                dir: located.dir,
                top: located.top,
                is_ours: true,
            });
        }
        for mount in mounts {
            if let Some(dir) = search::group_of(&self.at(&mount.point), self.pid) {
                let below_root = dir.strip_prefix(&self.root).unwrap_or(&dir);
                return Some(Found {
                    dir: Path::new("/").join(below_root),
                    top: mount.point.clone(),
                    is_ours: true,
                });
            }
        }
        Some(Found {
            dir: located.dir,
            top: located.top,
            is_ours: false,
        })
    }

    /// The directories from `dir` up to `top` that are there. Our own may be missing for a moment,
    /// between a removal and a move; those above it still bind us.
    fn upwards(&self, dir: &Path, top: &Path) -> Vec<PathBuf> {
        let mut dirs = Vec::new();
        for ancestor in dir.ancestors().take(LEVELS_MAX) {
            if self.at(ancestor).is_dir() {
                dirs.push(ancestor.to_owned());
            }
            if ancestor == top {
                break;
            }
        }
        dirs
    }

    fn limits(&self, place: &GroupPath, total_bytes: u64) -> Result<Vec<MemoryLimit>, ProbeError> {
        let mut limits = Vec::with_capacity(place.dirs.len());
        for dir in &place.dirs {
            let shown_as = dir.to_string_lossy();
            let found = match place.kind {
                Some(LimitKind::CgroupV1) => v1::limit(&self.at(dir), &shown_as)?,
                _ => v2::limit(&self.at(dir), &shown_as)?,
            };
            let Some(mut found) = found else { continue };
            found.limit_bytes = found.limit_bytes.filter(|limit| *limit < total_bytes);
            limits.push(found);
        }
        Ok(limits)
    }

    fn host(&self, doubts: &mut Vec<Doubt>) -> Result<Host, ProbeError> {
        const PATH: &str = "/proc/meminfo";
        let Some(text) = self.told(PATH)? else {
            doubts.push(Doubt::HostBySysinfo);
            return Ok(host::host_by_sysinfo());
        };
        let (host, doubt) = host::host(&self.at(Path::new(PATH)), &text)?;
        doubts.extend(doubt);
        Ok(host)
    }

    fn process(&self, doubts: &mut Vec<Doubt>) -> Result<Process, ProbeError> {
        const STATUS: &str = "/proc/self/status";
        const STATM: &str = "/proc/self/statm";
        if let Some(text) = self.told(STATUS)?
            && let Some(process) = host::process(&self.at(Path::new(STATUS)), &text)?
        {
            return Ok(process);
        }
        let Some(text) = self.told(STATM)? else {
            doubts.push(Doubt::ProcessByPeak);
            return Ok(peak::process());
        };
        doubts.push(Doubt::ProcessByStatm);
        host::process_by_statm(&self.at(Path::new(STATM)), &text)
    }

    /// The limit of our address space, if there is one. Where it can't be told what is mapped, the
    /// limit is no guide.
    fn address_space(&self) -> Result<Option<MemoryLimit>, ProbeError> {
        const STATM: &str = "/proc/self/statm";
        let limit = rustix::process::getrlimit(rustix::process::Resource::As).current;
        let Some(limit_bytes) = limit else {
            return Ok(None);
        };
        let Some(text) = self.told(STATM)? else {
            return Ok(None);
        };
        let mapped_bytes = host::mapped(&self.at(Path::new(STATM)), &text)?;
        Ok(Some(MemoryLimit {
            kind: LimitKind::AddressSpace,
            path: "ulimit -v".into(),
            limit_bytes: Some(limit_bytes),
            hard_bytes: mapped_bytes,
            usage_bytes: mapped_bytes,
            dirty_bytes: 0,
            socket_bytes: 0,
            limit_events: 0,
            oom_kills: 0,
        }))
    }

    fn pressure_path(&self) -> Option<PathBuf> {
        let place = self.place.as_ref()?;
        let own = place
            .unified_dirs
            .iter()
            .take(1)
            .map(|dir| self.at(&dir.join("memory.pressure")));
        own.chain([self.at(Path::new("/proc/pressure/memory"))])
            .find(|path| path.is_file())
    }
}

impl Default for Machine {
    fn default() -> Self {
        Self::new()
    }
}

impl Source for Machine {
    fn read(&mut self) -> Result<Reading, ProbeError> {
        self.refresh_place()?;
        let mut doubts = Vec::new();
        let place = self.place.as_ref();
        if place.is_some_and(|place| place.missed.is_some()) {
            doubts.push(Doubt::GroupNotFound);
        }
        let host = self.host(&mut doubts)?;
        let process = self.process(&mut doubts)?;
        let mut limits = match place {
            Some(place) => self.limits(place, host.total_bytes)?,
            None => Vec::new(),
        };
        limits.extend(self.address_space()?);
        let stall = match self.pressure_path() {
            // A kernel may have the file and refuse to read it (psi=0): then there is no such
            // witness.
            Some(path) => text(&path)
                .ok()
                .map(|text| host::stall(&path, &text))
                .transpose()?,
            None => None,
        };
        Ok(Reading {
            host,
            limits,
            process,
            stall,
            doubts,
        })
    }

    fn pressure_file(&self) -> Option<PathBuf> {
        self.pressure_path()
    }
}
