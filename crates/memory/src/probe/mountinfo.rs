//! `/proc/self/mountinfo`: where a hierarchy is mounted, and which part of it we see there.
//!
//! A container often sees only its own part: the mount's *root* is then our group, and a path from
//! `/proc/self/cgroup` has to be cut by it. Where that does not fit (the namespace differs, or the
//! path leads out of it by `../`) our group is somewhere below the mount point, or not in it at
//! all.

use std::path::{Path, PathBuf};

/// One mount of a control group hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mount {
    /// Which directory of the hierarchy is mounted.
    pub(super) root: String,
    /// Where.
    pub(super) point: PathBuf,
}

/// The mounts of the version 1 hierarchy that has the memory controller.
pub(super) fn memory_v1(text: &str) -> Vec<Mount> {
    mounts(text, |kind, options| {
        kind == "cgroup" && options.split(',').any(|option| option == "memory")
    })
}

/// The mounts of the unified hierarchy.
pub(super) fn unified(text: &str) -> Vec<Mount> {
    mounts(text, |kind, _| kind == "cgroup2")
}

/// Where a path of `/proc/self/cgroup` leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Located {
    /// The directory.
    pub(super) dir: PathBuf,
    /// The mount point, above which nothing can be read.
    pub(super) top: PathBuf,
    /// The path is one below what is mounted; otherwise both are the first mount point.
    pub(super) fits: bool,
}

/// The directory of our group.
pub(super) fn locate(mounts: &[Mount], path: &str) -> Option<Located> {
    let escapes = path.split('/').any(|part| part == "..");
    let fitting = mounts
        .iter()
        .filter(|_| !escapes)
        .filter_map(|mount| strip(&mount.root, path).map(|rest| (mount, rest)))
        .max_by_key(|(mount, _)| mount.root.len());
    let (mount, rest) = fitting.or_else(|| mounts.first().map(|mount| (mount, "")))?;
    Some(Located {
        // An empty rest would leave a slash behind.
        dir: match rest {
            "" => mount.point.clone(),
            rest => mount.point.join(rest),
        },
        top: mount.point.clone(),
        fits: fitting.is_some(),
    })
}

/// Takes `root` off the front of `path`, by whole components.
fn strip<'a>(root: &str, path: &'a str) -> Option<&'a str> {
    Path::new(path).strip_prefix(root).ok()?.to_str()
}

/// A line: `36 35 98:0 /root /point rw,noatime shared:1 - type source super,options`. The optional
/// fields end at a lone dash.
fn mounts(text: &str, wanted: impl Fn(&str, &str) -> bool) -> Vec<Mount> {
    let mut found = Vec::new();
    for line in text.lines() {
        let Some((before, after)) = line.split_once(" - ") else {
            continue;
        };
        let mut before = before.split(' ').skip(3);
        let (Some(root), Some(point)) = (before.next(), before.next()) else {
            continue;
        };
        let mut after = after.split(' ');
        let (Some(kind), _, Some(options)) = (after.next(), after.next(), after.next()) else {
            continue;
        };
        if wanted(kind, options) {
            found.push(Mount {
                root: unescape(root),
                point: PathBuf::from(unescape(point)),
            });
        }
    }
    found
}

/// Undoes the kernel's `\040` for space, tab, newline and backslash.
fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let octal = tail
            .get(..3)
            .filter(|digits| first == b'\\' && digits.iter().all(|d| (b'0'..=b'7').contains(d)));
        let value = octal.map(|digits| {
            digits
                .iter()
                .fold(0u32, |sum, digit| sum * 8 + u32::from(digit - b'0'))
        });
        match value.and_then(|value| u8::try_from(value).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[3..];
            }
            None => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use super::*;

    fn mount(root: &str, point: &str) -> Mount {
        Mount {
            root: root.into(),
            point: point.into(),
        }
    }

    #[test]
    fn optional_fields_of_any_number() {
        let text = "31 23 0:28 / /a rw - cgroup cgroup rw,memory\n\
                    32 23 0:28 /x /b rw shared:1 master:2 - cgroup cgroup rw,hugetlb,memory\n\
                    33 23 0:28 / /c rw shared:1 - cgroup2 cgroup2 rw,nsdelegate\n\
                    34 23 0:28 / /d rw - cgroup cgroup rw,cpu\n";
        assert_eq!(memory_v1(text), [mount("/", "/a"), mount("/x", "/b")]);
        assert_eq!(unified(text), [mount("/", "/c")]);
    }

    #[test]
    fn escaped_points() {
        let text = "31 23 0:28 / /a\\040b\\134c rw - cgroup2 cgroup2 rw\n";
        assert_eq!(unified(text), [mount("/", "/a b\\c")]);
        assert_eq!(unescape("\\9\\04"), "\\9\\04");
        assert_eq!(unescape("\\777"), "\\777");
    }

    /// The directory, and whether the path fits.
    fn at(mounts: &[Mount], path: &str) -> (PathBuf, bool) {
        let located = locate(mounts, path).unwrap();
        (located.dir, located.fits)
    }

    #[test]
    fn a_root_is_cut_by_whole_components() {
        let docker = [mount("/docker/abc", "/sys/fs/cgroup")];
        let sub = PathBuf::from("/sys/fs/cgroup/sub");
        let point = PathBuf::from("/sys/fs/cgroup");
        assert_eq!(at(&docker, "/docker/abc/sub"), (sub, true));
        assert_eq!(at(&docker, "/docker/abc"), (point.clone(), true));
        assert_eq!(at(&docker, "/docker/abcd"), (point.clone(), false));
        assert_eq!(at(&docker, "/elsewhere"), (point, false));
    }

    #[test]
    fn a_path_that_leads_out_does_not_fit() {
        let all = [mount("/", "/sys/fs/cgroup")];
        assert_eq!(at(&all, "/../../x"), ("/sys/fs/cgroup".into(), false));
        assert_eq!(at(&[mount("/../..", "/m")], "/"), ("/m".into(), false));
    }

    #[test]
    fn of_several_mounts_the_one_that_fits_best() {
        let several = [
            mount("/other", "/o"),
            mount("/", "/all"),
            mount("/a", "/part"),
        ];
        let located = locate(&several, "/a/b").unwrap();
        assert_eq!(located.dir, PathBuf::from("/part/b"));
        assert_eq!(located.top, PathBuf::from("/part"));
        assert_eq!(locate(&[], "/a"), None);
    }
}
