//! QEMU: how it is started, and what comes out of it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::Finished;

/// The kernel, where it is not that which `make test` unpacks.
const KERNEL: &str = "DDX_TEST_KERNEL";
/// What the machine says when it can run the script.
const READY: &str = "the machine is ready";
/// What it says at the end, before the exit code.
const EXIT: &str = "the script ended with ";
/// A kernel that says nothing for so long under KVM will not come.
const READY_WITHIN: Duration = Duration::from_secs(30);
const MEMORY: &str = "768M";

/// How a machine can be run here, the best way first.
pub(super) fn accelerators() -> Vec<&'static str> {
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

/// A machine that runs.
pub(super) struct Machine {
    pub(super) child: Child,
    console: PathBuf,
}

impl Machine {
    /// Starts QEMU over the files in `folder`.
    pub(super) fn start(folder: &Path, accel: &str) -> Result<Self> {
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

    /// What the script printed; `None` where the machine does not come up and there is another way
    /// to run it.
    pub(super) async fn follow(&mut self, accel: &str) -> Result<Option<Finished>> {
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
    pub(super) fn told(&self) -> String {
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
