//! A disk of its own for a test: a small ext4 file system in a file.
//!
//! "Disk full" can't be tried on the machine's own disk, and a quota or a `tmpfs` behaves unlike
//! one (no direct I/O, no delayed allocation). So a test makes an image and mounts it over a loop
//! device, which needs root; where that is not possible the test fails and says so, since a promise
//! that was not checked is not kept.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// A mounted file system; unmounted and gone when dropped.
#[derive(Debug)]
pub struct Image {
    folder: tempfile::TempDir,
}

impl Image {
    /// Makes and mounts an ext4 file system in a file of `size_bytes`; a few per cent of it go to
    /// the file system itself.
    pub fn new(size_bytes: u64) -> Result<Self> {
        Self::formatted(
            size_bytes,
            Command::new("mkfs.ext4").args(["-q", "-F", "-m", "0"]),
        )
    }

    /// The same with btrfs, which counts late and never writes in place. It needs 110 MiB.
    pub fn btrfs(size_bytes: u64) -> Result<Self> {
        Self::formatted(size_bytes, Command::new("mkfs.btrfs").arg("-q"))
    }

    fn formatted(size_bytes: u64, mkfs: &mut Command) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("ddx-image-").tempdir()?;
        let file = folder.path().join("disk.img");
        std::fs::File::create(&file)?.set_len(size_bytes)?;
        std::fs::create_dir(folder.path().join("mounted"))?;
        let image = Self { folder };
        call(mkfs.arg(&file))?;
        call(
            Command::new("mount")
                .args(["-o", "loop"])
                .arg(&file)
                .arg(image.path()),
        )
        .context("mounting an image needs root and a free loop device; run the tests as root")?;
        Ok(image)
    }

    /// Mounts a file system of `size_bytes` that lives in memory (tmpfs).
    pub fn in_memory(size_bytes: u64) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("ddx-image-").tempdir()?;
        std::fs::create_dir(folder.path().join("mounted"))?;
        let image = Self { folder };
        call(
            Command::new("mount")
                .args(["-t", "tmpfs", "-o", &format!("size={size_bytes}"), "ddx"])
                .arg(image.path()),
        )
        .context("mounting tmpfs needs root; run the tests as root")?;
        Ok(image)
    }

    /// Mounts it anew with these options, `ro` for instance.
    pub fn remount(&self, options: &str) -> Result<()> {
        let options = format!("remount,{options}");
        call(
            Command::new("mount")
                .args(["-o", &options])
                .arg(self.path()),
        )
    }

    /// Unmounts it, lets the file system be repaired, and mounts it again.
    pub fn repair(&self) -> Result<()> {
        call(Command::new("umount").arg(self.path()))?;
        let file = self.folder.path().join("disk.img");
        let checked = Command::new("fsck.ext4").arg("-p").arg(&file).output()?;
        // 1: it had errors and has none now.
        ensure!(
            matches!(checked.status.code(), Some(0 | 1)),
            "{}",
            String::from_utf8_lossy(&checked.stdout)
        );
        call(
            Command::new("mount")
                .args(["-o", "loop"])
                .arg(&file)
                .arg(self.path()),
        )
    }

    /// Where it is mounted.
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("mounted")
    }

    /// Bytes that can still be written.
    pub fn free_bytes(&self) -> Result<u64> {
        free_bytes(&self.path())
    }
}

fn free_bytes(path: &Path) -> Result<u64> {
    let space = rustix::fs::statvfs(path)?;
    Ok(space.f_bavail * space.f_frsize)
}

fn call(command: &mut Command) -> Result<()> {
    let output = command
        .output()
        .with_context(|| format!("start {command:?}"))?;
    ensure!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}

impl Drop for Image {
    fn drop(&mut self) {
        // A server that was just killed may hold the mount for a moment; the lazy way ends it in
        // any case.
        if call(Command::new("umount").arg(self.path())).is_err() {
            let _ = call(Command::new("umount").arg("-l").arg(self.path()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_as_small_as_asked_and_goes_away() -> Result<()> {
        let image = Image::new(32 * crate::MIB)?;
        let path = image.path();
        let free = image.free_bytes()?;
        assert!(
            free > 16 * crate::MIB && free < 32 * crate::MIB,
            "{free} bytes free"
        );
        let full = std::fs::write(
            path.join("too-large"),
            vec![1; usize::try_from(free)? + 4096],
        );
        assert_eq!(
            full.err().map(|error| error.kind()),
            Some(std::io::ErrorKind::StorageFull)
        );
        drop(image);
        assert!(!path.exists());
        Ok(())
    }
}
