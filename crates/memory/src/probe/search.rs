//! Our own group by our process id.
//!
//! What `/proc/self/cgroup` tells is relative to our namespace of groups, and what is mounted may
//! begin above it: a container that has a namespace of its own, and is given the host's
//! `/sys/fs/cgroup`, is in `/` by the one and sees the root of all groups by the other. Then only
//! the group itself knows that we are in it: it lists us in `cgroup.procs`, by the id that we have
//! in our own namespace of processes.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// More groups than a machine with thousands of containers has; a bound on what one search costs.
const GROUPS_MAX: usize = 65_536;

/// Whether the group lists this process; `None` where it does not tell. One of threads (version 2)
/// has no list.
pub(super) fn lists(dir: &Path, pid: u32) -> Option<bool> {
    let text = fs::read_to_string(dir.join("cgroup.procs")).ok()?;
    Some(text.lines().any(|line| line.trim().parse() == Ok(pid)))
}

/// The group at or below `top` that lists this process, those further up first.
pub(super) fn group_of(top: &Path, pid: u32) -> Option<PathBuf> {
    let mut ahead = VecDeque::from([top.to_owned()]);
    for _ in 0..GROUPS_MAX {
        let dir = ahead.pop_front()?;
        if lists(&dir, pid) == Some(true) {
            return Some(dir);
        }
        // A group may go while we look.
        ahead.extend(folders_in(&dir).unwrap_or_default());
    }
    None
}

fn folders_in(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.push(entry.path());
        }
    }
    Ok(found)
}
