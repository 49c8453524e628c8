//! A machine of its own: Debian's kernel in QEMU, for what the machine of the tests can't have.
//!
//! A test runs in it by its own name: the test binary, the server and the few programs they call
//! are packed into an initial file system, each at the path that it has outside, and the test is
//! called there again. So the same kit drives the same binary in both, and only the kernel differs:
//! its groups are of version 2, with the memory controller in them.
//!
//! KVM is used where it can be. Some clouds offer a `/dev/kvm` that starts only kernels made for it
//! (PVM); there, and without KVM, the processor is emulated, which takes some seconds more.

mod archive;
mod machine;

use std::fs::File;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use tokio::time::timeout;

use self::machine::{Machine, accelerators};
use crate::{Finished, Run};

/// Tells the test binary that it runs in the machine.
const IN_VM: &str = "DDX_IN_VM";
const DISK_BYTES: u64 = 4 << 30;

/// A virtual machine that runs one script.
#[derive(Debug)]
pub struct Vm {
    programs: Vec<PathBuf>,
    within: Duration,
}

impl Vm {
    /// A machine with BusyBox, the shell of the machine outside, and `mount`, `umount` and
    /// `unshare` of util-linux.
    pub fn new() -> Self {
        // Of the shell and of what follows it BusyBox has a part only.
        let tools = [
            "/bin/sh",
            "/usr/bin/mount",
            "/usr/bin/umount",
            "/usr/bin/unshare",
        ];
        Self {
            programs: tools.iter().map(PathBuf::from).collect(),
            within: Duration::from_secs(240),
        }
    }

    /// Where its disk is, and temporary files on it. No program outside has its place there.
    pub const DISK: &str = "/ddx-disk";

    /// Whether this process runs in such a machine.
    pub fn is_here() -> bool {
        std::env::var_os(IN_VM).is_some()
    }

    /// Adds a program, with the libraries that it needs.
    pub fn program(mut self, path: impl Into<PathBuf>) -> Self {
        self.programs.push(path.into());
        self
    }

    /// Sets how long the whole may take.
    pub fn within(mut self, within: Duration) -> Self {
        self.within = within;
        self
    }

    /// Runs a test of this very binary in the machine; what it printed, as an error unless it
    /// passed.
    pub async fn run_test(self, name: &str) -> Result<String> {
        let own = std::env::current_exe()?;
        let script = format!("exec {} --exact {name} --nocapture", own.display());
        let finished = self.program(&own).run(&script).await?.success()?;
        // A name that no test has passes, too.
        ensure!(
            finished.stdout.contains("test result: ok. 1 passed"),
            "no test {name}: {}",
            finished.stdout
        );
        Ok(finished.stdout)
    }

    /// Starts the machine, runs a script of its shell, and ends it; what the script printed, both
    /// streams in one.
    pub async fn run(mut self, script: &str) -> Result<Finished> {
        let folder = tempfile::Builder::new().prefix("ddx-vm-").tempdir()?;
        self.programs.push("/bin/busybox".into());
        let init = INIT.replace("DISK", Self::DISK).replace("SCRIPT", script);
        let initrd = folder.path().join("initrd");
        archive::pack(&initrd, &self.programs, &init).await?;
        let disk = folder.path().join("disk.img");
        File::create(&disk)?.set_len(DISK_BYTES)?;
        let mkfs = Run::new("mkfs.ext4").args(["-q", "-F"]).arg(&disk);
        mkfs.finish().await?.success()?;
        for accel in accelerators() {
            let mut machine = Machine::start(folder.path(), accel)?;
            match timeout(self.within, machine.follow(accel)).await {
                Ok(Ok(Some(finished))) => return Ok(finished),
                Ok(Ok(None)) => machine.child.kill().await?,
                Ok(Err(error)) => return Err(error.context(machine.told())),
                Err(_) => bail!("it takes over {:?}: {}", self.within, machine.told()),
            }
        }
        bail!("no kernel starts here")
    }
}

impl Default for Vm {
    fn default() -> Self {
        Self::new()
    }
}

/// The first program of the machine. Its disk is where temporary files are, so that the server has
/// a file system that it can write to directly; the second serial line is for what the script says,
/// and free of the kernel's words.
const INIT: &str = r#"#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /tmp DISK
/bin/busybox --install -s /bin 2>/dev/null
export PATH=/usr/bin:/bin DDX_IN_VM=1 LC_ALL=C.UTF-8 TMPDIR=DISK
mount -t proc proc /proc && mount -t sysfs sysfs /sys && mount -t devtmpfs devtmpfs /dev &&
mount -t cgroup2 cgroup2 /sys/fs/cgroup && mount -t ext4 /dev/nvme0n1 DISK && ip link set lo up || poweroff -f
exec >/dev/ttyS1 2>&1
echo "the machine is ready"
(
SCRIPT
)
code=$?
echo
echo "the script ended with $code"
poweroff -f
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_script_runs_by_its_own_kernel_and_its_code_comes_back() -> Result<()> {
        let script = "cat /sys/fs/cgroup/cgroup.controllers; cat /proc/self/cgroup; exit 7";
        let finished = Vm::new().run(script).await?;
        assert_eq!(finished.code, Some(7), "{finished:?}");
        assert!(finished.stdout.contains(" memory "), "{finished:?}");
        assert!(finished.stdout.contains("\n0::/\n"), "{finished:?}");
        Ok(())
    }

    #[tokio::test]
    async fn a_script_without_an_end_is_ended_with_what_the_console_said() -> Result<()> {
        let vm = Vm::new().within(Duration::from_secs(30));
        let script = "echo '<1>stuck here' > /dev/kmsg; sleep 600";
        let error = format!("{:#}", vm.run(script).await.unwrap_err());
        assert!(error.contains("takes over 30s"), "{error}");
        assert!(error.contains("stuck here"), "{error}");
        Ok(())
    }
}
