//! A disk whose power can be cut.
//!
//! `kill -9` ends a process, and the kernel writes on what it left in the page cache; so it proves
//! nothing about flushes. Here the machine's power goes, as far as the disk is concerned: an ext4
//! file system on a loop device whose file is served by us, over FUSE. We see every write and every
//! flush that the kernel sends to the "disk". At a cut, what was not flushed is lost by chance,
//! block by block; the file system is mounted anew, with its journal's recovery, and the server
//! starts on what is there. SQLite, ext4 and the kernel's block layer are the real ones.
//!
//! Not shown: a disk that lies about flushes, and damage of blocks that were not being written.

mod device;
mod fuse;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use device::Device;
pub use device::PowerCut;

/// A mounted file system on a disk whose power can be cut.
#[derive(Debug)]
pub struct PowerDisk {
    folder: tempfile::TempDir,
    device: Arc<Device>,
    serving: Option<JoinHandle<()>>,
    data_mode: &'static str,
    is_mounted: bool,
}

impl PowerDisk {
    /// What ext4 promises of the order of data and journal (`data=`): its default, less than that,
    /// and more.
    pub const DATA_MODES: [&str; 3] = ["ordered", "writeback", "journal"];

    /// Makes and mounts an ext4 file system of `size_bytes`, in one of [`Self::DATA_MODES`].
    pub fn new(size_bytes: u64, data_mode: &'static str) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("ddx-power-").tempdir()?;
        let medium = folder.path().join("medium.img");
        std::fs::File::create(&medium)?.set_len(size_bytes)?;
        call(
            Command::new("mkfs.ext4")
                .args(["-q", "-F", "-m", "0"])
                .arg(&medium),
        )?;
        let file = std::fs::File::options()
            .read(true)
            .write(true)
            .open(&medium)?;
        // In `bus`, FUSE shows the medium as a file whose writes and flushes we see.
        std::fs::create_dir(folder.path().join("bus"))?;
        std::fs::create_dir(folder.path().join("mounted"))?;
        let device = Arc::new(Device::new(file)?);
        let serving = fuse::serve(Arc::clone(&device), &folder.path().join("bus"))?;
        let mut disk = Self {
            folder,
            device,
            serving: Some(serving),
            data_mode,
            is_mounted: false,
        };
        disk.mount()?;
        Ok(disk)
    }

    /// Where the file system is mounted.
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("mounted")
    }

    /// The power goes at the `calls`-th write or flush that reaches the disk from now, or at the
    /// first one after it that finds something unflushed: a cut that can take nothing shows
    /// nothing.
    pub fn power_goes_after(&self, calls: u64) {
        self.device.goes_after(calls);
    }

    /// The power goes now. Every read, write and flush fails from here on.
    pub fn cut_power(&self) {
        self.device.switch_off();
    }

    /// Waits until the power has gone; whether it has, within `within`.
    pub fn await_cut(&self, within: Duration) -> bool {
        self.device.await_off(within)
    }

    /// Power comes back: the file system goes away, what chance takes of the unflushed blocks is
    /// lost, and it is mounted again. All processes that used it must have ended. `survives`
    /// decides for each block.
    pub fn power_up(&mut self, survives: impl FnMut() -> bool) -> Result<PowerCut> {
        self.cut_power();
        self.unmount()?;
        let cut = self.device.switch_on(survives)?;
        self.mount()?;
        Ok(cut)
    }

    fn mount(&mut self) -> Result<()> {
        // The journal is recovered here; a file system that can't be mounted after a cut would be
        // the kernel's fault.
        call(
            Command::new("mount")
                .args(["-t", "ext4", "-o"])
                .arg(format!("loop,data={}", self.data_mode))
                .arg(self.folder.path().join("bus").join(fuse::FILE))
                .arg(self.path()),
        )
        .context("mounting needs root and a free loop device; run the tests as root")?;
        self.is_mounted = true;
        Ok(())
    }

    /// Unmounts, which also gives the loop device back. The kernel may hold files of a killed
    /// process for a moment.
    fn unmount(&mut self) -> Result<()> {
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            match call(Command::new("umount").arg(self.path())) {
                Ok(()) => break,
                Err(error) if Instant::now() > end => return Err(error),
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        }
        self.is_mounted = false;
        // The loop device is given back after the unmount, and must be gone before its file is
        // written past it.
        let file = self.folder.path().join("bus").join(fuse::FILE);
        while is_looped(&file)? {
            ensure!(
                Instant::now() < end,
                "the loop device of {} stays",
                file.display()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

/// Whether a loop device stands on this file.
fn is_looped(file: &Path) -> Result<bool> {
    let output = Command::new("losetup").arg("-j").arg(file).output()?;
    if !output.status.success() {
        bail!(
            "losetup: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(!output.stdout.is_empty())
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

impl Drop for PowerDisk {
    fn drop(&mut self) {
        self.cut_power();
        // Lazily (`-l`): a test that failed may have left a process with open files.
        if self.is_mounted && self.unmount().is_err() {
            let _ = call(Command::new("umount").arg("-l").arg(self.path()));
        }
        let _ = call(
            Command::new("umount")
                .arg("-l")
                .arg(self.folder.path().join("bus")),
        );
        // The thread ends with the mount, so one that is still mounted is not waited for.
        if let Some(serving) = self.serving.take().filter(|_| !self.is_mounted) {
            let _ = serving.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MIB, Turn};
    use std::fs::{self, File};
    use std::io::Write;

    #[test]
    fn exclusive_what_was_flushed_survives_a_cut_and_what_was_not_does_not() -> Result<()> {
        let _turn = Turn::alone()?;
        for data_mode in PowerDisk::DATA_MODES {
            cuts(&mut PowerDisk::new(32 * MIB, data_mode)?)?;
        }
        Ok(())
    }

    fn cuts(disk: &mut PowerDisk) -> Result<()> {
        let [kept, lost] = ["kept", "lost"].map(|name| disk.path().join(name));
        let mut file = File::create(&kept)?;
        file.write_all(&[1; 100_000])?;
        file.sync_all()?;
        File::open(disk.path())?.sync_all()?;
        fs::write(&lost, [2; 100_000])?;
        drop(file);
        let cut = disk.power_up(|| false)?;
        assert!(cut.flushes > 0, "{cut:?}");
        assert_eq!(fs::read(&kept)?, [1; 100_000]);
        assert!(!lost.exists());

        // Cut in the midst of a flush: the file system stands, whatever is lost.
        let mut lost_blocks = 0;
        for round in 0..6_u64 {
            fs::write(disk.path().join(format!("{round}")), vec![3; 50_000])?;
            disk.power_goes_after(2 + round);
            // It may fail or not: the cut may come after its last flush.
            let _ = rustix::fs::syncfs(File::open(disk.path())?);
            let mut at = 0_u64;
            let cut = disk.power_up(|| {
                at += 1;
                at.is_multiple_of(round + 2)
            })?;
            lost_blocks += cut.lost_blocks;
            assert_eq!(fs::read(&kept)?, [1; 100_000]);
        }
        assert!(lost_blocks > 0);
        Ok(())
    }
}
