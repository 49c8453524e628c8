//! The machine we run on, found anew whenever we were moved.
//!
//! `/proc/self/cgroup` is read each time (it is one small file): a process may be moved into another group while it runs,
//! and a group may be removed under a name that comes back. Only when that text changes, or our directory is gone, is the mount
//! table read again. Limits are read each time as well, since an operator may change them live.

use std::path::{Path, PathBuf};

use super::cgroup::{self, Membership};
use super::files::{text, text_if_there};
use super::{host, mountinfo, v1, v2};
use crate::ProbeError;
use crate::reading::{Level, LevelKind, Reading, Source};

/// Deeper than any tree of groups that is used; a bound on what one reading costs.
const LEVELS_MAX: usize = 64;

/// Reads the machine: `/proc` and the control group file systems.
#[derive(Debug)]
pub struct Machine {
    root: PathBuf,
    place: Option<Place>,
}

/// Where our group was found.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    /// The text of `/proc/self/cgroup` that led here.
    membership: String,
    kind: Option<LevelKind>,
    /// Our own directory, there or not; `None` where there are no control groups.
    own: Option<PathBuf>,
    /// Our own directory and those above it up to the mount point, as seen in the mount table (without our root), as far as
    /// they are there.
    dirs: Vec<PathBuf>,
    /// Our directory in the unified hierarchy, for pressure, and those above it.
    unified_dirs: Vec<PathBuf>,
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
            place: None,
        }
    }

    fn at(&self, absolute: &Path) -> PathBuf {
        self.root
            .join(absolute.strip_prefix("/").unwrap_or(absolute))
    }

    /// Makes sure that `place` is where we are now.
    fn settle(&mut self) -> Result<&Place, ProbeError> {
        // Without control groups in the kernel the file is not there: then only the host counts.
        let membership =
            text_if_there(&self.at(Path::new("/proc/self/cgroup")))?.unwrap_or_default();
        let stays = self.place.as_ref().is_some_and(|place| {
            place.membership == membership
                && place.own.as_ref().is_none_or(|own| {
                    // One that was missing may come back, and binds us from then on.
                    place.dirs.first() == Some(own) && self.at(own).is_dir()
                })
        });
        let place = match self.place.take() {
            Some(place) if stays => place,
            _ => self.resolve(membership)?,
        };
        Ok(self.place.insert(place))
    }

    fn resolve(&self, membership: String) -> Result<Place, ProbeError> {
        let mounts = match cgroup::membership(&membership) {
            Membership::None => String::new(),
            _ => text(&self.at(Path::new("/proc/self/mountinfo")))?,
        };
        let (kind, found) = match cgroup::membership(&membership) {
            Membership::V1(path) => (
                Some(LevelKind::CgroupV1),
                mountinfo::locate(&mountinfo::memory_v1(&mounts), &path),
            ),
            Membership::V2(path) => (
                Some(LevelKind::CgroupV2),
                mountinfo::locate(&mountinfo::unified(&mounts), &path),
            ),
            Membership::None => (None, None),
        };
        let unified = cgroup::unified_path(&membership)
            .and_then(|path| mountinfo::locate(&mountinfo::unified(&mounts), &path));
        Ok(Place {
            membership,
            kind: kind.filter(|_| found.is_some()),
            own: found.as_ref().map(|(dir, _)| dir.clone()),
            dirs: found.map_or_else(Vec::new, |(dir, top)| self.upwards(&dir, &top)),
            unified_dirs: unified.map_or_else(Vec::new, |(dir, top)| self.upwards(&dir, &top)),
        })
    }

    /// The directories from `dir` up to `top` that are there. Our own may be missing for a moment, between a removal
    /// and a move; those above it still bind us.
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

    fn levels(&self, place: &Place, total_bytes: u64) -> Result<Vec<Level>, ProbeError> {
        let mut levels = Vec::with_capacity(place.dirs.len());
        for dir in &place.dirs {
            let shown_as = dir.to_string_lossy();
            let level = match place.kind {
                Some(LevelKind::CgroupV1) => v1::level(&self.at(dir), &shown_as)?,
                _ => v2::level(&self.at(dir), &shown_as)?,
            };
            let Some(mut level) = level else { continue };
            level.limit_bytes = level.limit_bytes.filter(|limit| *limit < total_bytes);
            levels.push(level);
        }
        Ok(levels)
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
        self.settle()?;
        let meminfo = self.at(Path::new("/proc/meminfo"));
        let host = host::host(&meminfo, &text(&meminfo)?)?;
        let status = self.at(Path::new("/proc/self/status"));
        let process = host::process(&status, &text(&status)?)?;
        let levels = match &self.place {
            Some(place) => self.levels(place, host.total_bytes)?,
            None => Vec::new(),
        };
        let stall = match self.pressure_path() {
            // A kernel may have the file and refuse to read it (psi=0): then there is no such witness.
            Some(path) => text(&path)
                .ok()
                .map(|text| host::stall(&path, &text))
                .transpose()?,
            None => None,
        };
        Ok(Reading {
            host,
            levels,
            process,
            stall,
        })
    }

    fn pressure_file(&self) -> Option<PathBuf> {
        self.pressure_path()
    }
}
