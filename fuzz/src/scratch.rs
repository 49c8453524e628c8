//! Folders for targets that read files.
//!
//! In memory where the system has such a place: these targets make thousands of small files, and no
//! flush of theirs has to reach a disk.

use std::path::Path;

use tempfile::TempDir;

/// A new empty folder.
pub(crate) fn folder() -> TempDir {
    let in_memory = Path::new("/dev/shm");
    let made = if in_memory.is_dir() {
        tempfile::tempdir_in(in_memory)
    } else {
        tempfile::tempdir()
    };
    made.expect("a temporary folder")
}
