//! A machine of its own: Debian's kernel in QEMU, for what the machine of the tests can't have.
//!
//! A test runs in it by its own name: the test binary, the server and the few programs they call are packed into an initial
//! file system, each at the path that it has outside, and the test is called there again. So the same kit drives the same binary in
//! both, and only the kernel differs: its groups are of version 2, with the memory controller in them.
//!
//! KVM is used where it can be. Some clouds offer a `/dev/kvm` that starts only kernels made for it (PVM); there, and without
//! KVM, the processor is emulated, which takes some seconds more.

mod archive;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::{Finished, Run};

/// Tells the test binary that it runs in the machine.
const IN_VM: &str = "DDX_IN_VM";
/// The kernel, where it is not that which `make test` unpacks.
const KERNEL: &str = "DDX_TEST_KERNEL";
/// What the machine says when it can run the script.
const READY: &str = "the machine is ready";
/// What it says at the end, before the exit code.
const EXIT: &str = "the script ended with ";
/// A kernel that says nothing for so long under KVM will not come.
const READY_WITHIN: Duration = Duration::from_secs(30);
const MEMORY: &str = "768M";
const DISK_BYTES: u64 = 4 << 30;

/// A virtual machine that runs one script.
#[derive(Debug)]
pub struct Vm {
    programs: Vec<PathBuf>,
    within: Duration,
}

impl Vm {
    /// A machine with BusyBox, the shell of the machine outside, and `mount`, `umount` and `unshare` of util-linux.
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

    /// Runs a test of this very binary in the machine; errs with all that it printed unless it passed.
    pub async fn run_test(self, name: &str) -> Result<()> {
        let own = std::env::current_exe()?;
        let script = format!("exec {} --exact {name} --nocapture", own.display());
        let finished = self.program(&own).run(&script).await?.success()?;
        // A name that no test has passes, too.
        ensure!(
            finished.stdout.contains("test result: ok. 1 passed"),
            "no test {name}: {}",
            finished.stdout
        );
        println!("{}", finished.stdout);
        Ok(())
    }

    /// Starts the machine, runs a script of its shell, and ends it; what the script printed, both streams in one.
    pub async fn run(mut self, script: &str) -> Result<Finished> {
        let folder = tempfile::Builder::new().prefix("ddx-vm-").tempdir()?;
        self.programs.push("/bin/busybox".into());
        let init = INIT.replace("SCRIPT", script);
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

/// The first program of the machine. Its disk is where temporary files are, so that the server has a file system that it
/// can write to directly; the second serial line is for what the script says, and free of the kernel's words.
const INIT: &str = r#"#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /tmp
/bin/busybox --install -s /bin 2>/dev/null
export PATH=/usr/bin:/bin DDX_IN_VM=1 LC_ALL=C.UTF-8
mount -t proc proc /proc && mount -t sysfs sysfs /sys && mount -t devtmpfs devtmpfs /dev &&
mount -t cgroup2 cgroup2 /sys/fs/cgroup && mount -t ext4 /dev/nvme0n1 /tmp && ip link set lo up || poweroff -f
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

/// How a machine can be run here, the best way first.
fn accelerators() -> Vec<&'static str> {
    let is_open = File::options().read(true).write(true).open("/dev/kvm");
    let is_pvm = Path::new("/sys/module/kvm_pvm").exists();
    if is_open.is_ok() && !is_pvm {
        vec!["kvm", "tcg"]
    } else {
        vec!["tcg"]
    }
}

fn kernel() -> Result<PathBuf> {
    let unpacked = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/kernel/vmlinuz");
    let path = std::env::var_os(KERNEL).map_or(unpacked, PathBuf::from);
    ensure!(
        path.is_file(),
        "there is no kernel at {}: `make test` unpacks one, or set {KERNEL}",
        path.display()
    );
    Ok(path)
}

struct Machine {
    child: Child,
    console: PathBuf,
}

impl Machine {
    fn start(folder: &Path, accel: &str) -> Result<Self> {
        let at = |name: &str| folder.join(name).display().to_string();
        let drive = format!(
            "file={},if=none,id=disk,format=raw,cache=unsafe,discard=unmap",
            at("disk.img")
        );
        let cpu = match accel {
            "kvm" => "host",
            _ => "max",
        };
        let mut command = Command::new("qemu-system-x86_64");
        command
            .args(["-M", "q35", "-accel", accel, "-cpu", cpu, "-smp", "2"])
            .args(["-m", MEMORY, "-nodefaults", "-no-user-config"])
            .args(["-no-reboot", "-display", "none", "-kernel"])
            .arg(kernel()?)
            .args(["-initrd", &at("initrd")])
            .args(["-append", "console=ttyS0 quiet panic=-1 psi=1"])
            .args(["-drive", &drive, "-device", "nvme,drive=disk,serial=1"])
            .args(["-serial", &format!("file:{}", at("console"))])
            .args(["-serial", "stdio"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(folder.join("stderr"))?)
            .kill_on_drop(true);
        let child = command
            .spawn()
            .context("start QEMU; is it installed? `make test` installs what the tests need")?;
        Ok(Self {
            child,
            console: folder.join("console"),
        })
    }

    /// What the script printed; `None` where the machine does not come up and there is another way to run it.
    async fn follow(&mut self, accel: &str) -> Result<Option<Finished>> {
        let stdout = self.child.stdout.take().context("no standard output")?;
        let mut lines = BufReader::new(stdout).split(b'\n');
        let first = match accel {
            "kvm" => match timeout(READY_WITHIN, lines.next_segment()).await {
                Ok(Ok(Some(first))) => first,
                _ => return Ok(None),
            },
            _ => lines.next_segment().await?.unwrap_or_default(),
        };
        ensure!(line(&first) == READY, "it does not start");
        let mut printed = String::new();
        while let Some(segment) = lines.next_segment().await? {
            let line = line(&segment);
            if let Some(code) = line.strip_prefix(EXIT) {
                return Ok(Some(Finished {
                    code: Some(code.parse()?),
                    stdout: printed,
                    stderr: String::new(),
                }));
            }
            printed.push_str(&line);
            printed.push('\n');
        }
        bail!("it ended before its script did, which had said:\n{printed}")
    }

    /// The last lines of its console, and what QEMU said.
    fn told(&self) -> String {
        let read = |path: &Path| {
            let bytes = fs::read(path).unwrap_or_default();
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let lines: Vec<&str> = text.lines().collect();
            lines[lines.len().saturating_sub(30)..].join("\n")
        };
        let stderr = read(&self.console.with_file_name("stderr"));
        format!("the machine's console:\n{}\n{stderr}", read(&self.console))
    }
}

/// A line from a terminal, which ends lines by two characters.
fn line(segment: &[u8]) -> String {
    String::from_utf8_lossy(segment)
        .trim_end_matches('\r')
        .to_owned()
}

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
        let vm = Vm::new().within(Duration::from_secs(15));
        let script = "echo '<1>stuck here' > /dev/kmsg; sleep 600";
        let error = format!("{:#}", vm.run(script).await.unwrap_err());
        assert!(error.contains("takes over 15s"), "{error}");
        assert!(error.contains("stuck here"), "{error}");
        Ok(())
    }
}
