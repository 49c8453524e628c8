//! `ddx doctor`: looks for what would make the server fail or slow, before users find it.
//!
//! It opens the same ledger and the same segment store as the server, the latter in a folder of its
//! own beside the data, so that it says what the server will meet and can run while the server
//! does. A finding names the figure, what follows from it, and what to change.

use std::fmt;
use std::fs;
use std::io::{ErrorKind, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context;
use ddx_http::shared::size::size;
use ddx_id::SegmentId;
use ddx_memory::{Ledger, Snapshot};
use ddx_storage::{LocalDisk, Store, WriteMode};

use crate::healthcheck;
use crate::limits;
use crate::settings::{Loaded, Settings};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Grade {
    Good,
    /// It works, and would work better.
    Warning,
    /// The server can't run so.
    Failure,
}

/// One thing looked at.
#[derive(Debug)]
struct Finding {
    grade: Grade,
    subject: &'static str,
    text: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let grade = match self.grade {
            Grade::Good => "ok  ",
            Grade::Warning => "warn",
            Grade::Failure => "FAIL",
        };
        write!(f, "{grade}  {:<12} {}", self.subject, self.text)
    }
}

fn good(subject: &'static str, text: impl Into<String>) -> Finding {
    Finding {
        grade: Grade::Good,
        subject,
        text: text.into(),
    }
}

fn warning(subject: &'static str, text: impl Into<String>) -> Finding {
    Finding {
        grade: Grade::Warning,
        subject,
        text: text.into(),
    }
}

fn failure(subject: &'static str, text: impl Into<String>) -> Finding {
    Finding {
        grade: Grade::Failure,
        subject,
        text: text.into(),
    }
}

/// Examines the machine with these settings and writes what it finds. `false` if the server could
/// not run.
///
/// # Errors
/// `out` can't be written.
pub(crate) fn examine(loaded: &Loaded, out: &mut impl Write) -> anyhow::Result<bool> {
    let settings = &loaded.settings;
    let mut findings = vec![sources(loaded)];
    match Ledger::on_this_machine(settings.memory()) {
        Ok(ledger) => {
            findings.extend(memory(&ledger.snapshot()));
            findings.extend(data_folder(&settings.data_dir, settings, &ledger));
        }
        Err(error) => findings.push(failure("memory", error.to_string())),
    }
    findings.push(open_files(settings));
    findings.extend(largest_file());
    findings.push(address(settings));
    findings.extend(kernel(Path::new("/proc/sys")));
    findings.extend(tls(settings));
    findings.extend(operators(settings));
    for finding in &findings {
        writeln!(out, "{finding}")?;
    }
    let worst = findings.iter().map(|finding| finding.grade).max();
    Ok(worst != Some(Grade::Failure))
}

fn sources(loaded: &Loaded) -> Finding {
    match &loaded.file {
        Some(path) => good(
            "settings",
            format!("read from {}, the environment and flags", path.display()),
        ),
        None => good(
            "settings",
            "no config file; environment, flags and defaults",
        ),
    }
}

fn memory(snapshot: &Snapshot) -> Vec<Finding> {
    let mut findings = Vec::new();
    let figures = format!(
        "{} total, {} available, {} for upload buffers; limited by {}",
        size(snapshot.total_bytes),
        size(snapshot.available_bytes),
        size(snapshot.free_to_lease_bytes),
        snapshot.tightest.place()
    );
    findings.push(if snapshot.free_to_lease_bytes < snapshot.floor_bytes {
        warning(
            "memory",
            format!("{figures}: only one upload at a time; free some memory or raise that limit"),
        )
    } else {
        good("memory", figures)
    });
    let doubts = snapshot.doubts.iter();
    findings.extend(doubts.map(|doubt| warning("memory", doubt.to_string())));
    let kills: u64 = snapshot.limits.iter().map(|limit| limit.oom_kills).sum();
    if kills > 0 {
        let text = format!(
            "the kernel has killed {kills} processes in these control groups because memory ran out; check what else runs there"
        );
        findings.push(warning("memory", text));
    }
    if !snapshot.stall.witnessed {
        let text = "the kernel does not report memory stalls (no PSI); boot with psi=1";
        findings.push(warning("pressure", text));
    }
    findings
}

/// Tries the store where the data are, or will be.
fn data_folder(data_dir: &Path, settings: &Settings, ledger: &Ledger) -> Vec<Finding> {
    match try_store(data_dir, settings, ledger) {
        Ok(findings) => findings,
        Err(error) => vec![failure("data folder", format!("{error:#}"))],
    }
}

fn try_store(
    data_dir: &Path,
    settings: &Settings,
    ledger: &Ledger,
) -> anyhow::Result<Vec<Finding>> {
    let absolute = std::path::absolute(data_dir)?;
    let parent = absolute
        .ancestors()
        .find(|folder| folder.is_dir())
        .with_context(|| format!("{} has no parent folder", absolute.display()))?;
    let trial = match Trial::begin(parent) {
        Err(error) if error.kind() == ErrorKind::ReadOnlyFilesystem => {
            let text = format!(
                "{} is read-only: a server can serve existing files, but takes no uploads; mount it writable",
                parent.display()
            );
            return Ok(vec![warning("data folder", text)]);
        }
        begun => begun.with_context(|| format!("cannot write to {}", parent.display()))?,
    };
    let store = LocalDisk::open(&trial.folder, settings.storage(), ledger.clone())
        .with_context(|| format!("{} cannot be used as the data folder", parent.display()))?;
    let mut findings = Vec::new();
    let space = store.space()?;
    let usable = space.free_bytes.saturating_sub(space.floor_bytes);
    let figures = format!(
        "{}: {} free of {}, {} kept free",
        absolute.display(),
        size(space.free_bytes),
        size(space.total_bytes),
        size(space.floor_bytes)
    );
    findings.push(if usable == 0 {
        failure(
            "data folder",
            format!("{figures}: not enough space for uploads; free some space, or lower free_space_floor"),
        )
    } else {
        good("data folder", figures)
    });
    findings.push(match store.write_mode() {
        WriteMode::Direct => good("disk", "direct I/O is available"),
        WriteMode::Windowed { reason } => {
            warning("disk", format!("direct I/O is not available: {reason}"))
        }
        WriteMode::ReadOnly => warning("disk", "read-only"),
    });
    if usable > 0 {
        findings.push(durable_write(&store)?);
    }
    Ok(findings)
}

/// How long the disk takes to make a small write durable: every answer to an upload waits for it.
fn durable_write(store: &LocalDisk) -> anyhow::Result<Finding> {
    const SLOW_MS: u128 = 50;
    let id = SegmentId::from_bytes([0xd0; 16]);
    let block = [0x5a; 4096];
    store.create(id, Some(block.len() as u64))?;
    let mut writer = store.open_writer(id, 0)?;
    let started = Instant::now();
    writer.write(&block)?;
    writer.sync()?;
    let took = started.elapsed();
    drop(writer);
    store.delete(id)?;
    let text = format!(
        "writing 4 KiB durably takes {:.1} ms",
        took.as_secs_f64() * 1000.0
    );
    Ok(if took.as_millis() > SLOW_MS {
        warning(
            "disk",
            format!(
                "{text}, and so does each small file; a disk with power-loss protection is faster"
            ),
        )
    } else {
        good("disk", text)
    })
}

/// A folder for trying the store, removed when done.
struct Trial {
    folder: PathBuf,
}

impl Trial {
    fn begin(parent: &Path) -> std::io::Result<Self> {
        let folder = parent.join(format!(".ddx-doctor-{}", std::process::id()));
        fs::create_dir(&folder)?;
        Ok(Self { folder })
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            tracing::warn!(folder = %self.folder.display(), %error, "the folder of the test can't be removed; delete it by hand");
        }
    }
}

fn open_files(settings: &Settings) -> Finding {
    /// Fewer than this are used up by a few hundred people with a browser each.
    const FEW: u64 = 4096;
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let most = limit.maximum.unwrap_or(u64::MAX);
    let wanted = settings.connections_max.unwrap_or(FEW).saturating_mul(2);
    let text = format!("limit of {most} open files and connections");
    if most < wanted {
        warning(
            "open files",
            format!("{text}, {wanted} recommended: raise the limit (LimitNOFILE=, ulimit -Hn)"),
        )
    } else {
        good("open files", text)
    }
}

fn largest_file() -> Option<Finding> {
    let bytes = limits::largest_file()?;
    let text = format!(
        "no file can be larger than {}, including the server's database: raise the limit (LimitFSIZE=, ulimit -f)",
        size(bytes)
    );
    Some(warning("file size", text))
}

fn address(settings: &Settings) -> Finding {
    let listen = settings.listen;
    match TcpListener::bind(listen) {
        Ok(_) => good("address", format!("{listen} is free")),
        Err(error) if error.kind() == ErrorKind::AddrInUse => match healthcheck::ask(settings) {
            Ok(answer) => good("address", format!("a server is already running: {answer}")),
            Err(error) => failure(
                "address",
                format!("{listen} is in use by another program: {error:#}"),
            ),
        },
        Err(error) => failure("address", format!("cannot listen on {listen}: {error}")),
    }
}

/// Settings of the kernel that bound what the server can do, below `/proc/sys`.
fn kernel(proc_sys: &Path) -> Vec<Finding> {
    /// Connections that wait to be accepted, as many as a burst of small files brings.
    const BACKLOG_WANTED: u64 = 1024;
    let Ok(text) = fs::read_to_string(proc_sys.join("net/core/somaxconn")) else {
        return Vec::new();
    };
    let Ok(backlog) = text.trim().parse::<u64>() else {
        return vec![warning(
            "kernel",
            format!("net.core.somaxconn is not a number: {}", text.trim()),
        )];
    };
    let figures = format!("up to {backlog} connections can wait to be accepted");
    vec![if backlog < BACKLOG_WANTED {
        warning(
            "kernel",
            format!(
                "{figures}: bursts of connections may be refused; set net.core.somaxconn to {BACKLOG_WANTED} or more"
            ),
        )
    } else {
        good("kernel", figures)
    }]
}

fn tls(settings: &Settings) -> Vec<Finding> {
    let files = settings.tls_cert.iter().chain(&settings.tls_key);
    files
        .map(|path| match fs::read(path) {
            Ok(bytes) if bytes.windows(11).any(|window| window == b"-----BEGIN ") => {
                good("tls", format!("{} is a PEM file", path.display()))
            }
            Ok(_) => failure("tls", format!("{} is not a PEM file", path.display())),
            Err(error) => failure("tls", format!("cannot read {}: {error}", path.display())),
        })
        .collect()
}

fn operators(settings: &Settings) -> Option<Finding> {
    let path = settings.operator_token_file.as_ref()?;
    if let Err(error) = settings.operator_token() {
        return Some(failure("operators", format!("{error:#}")));
    }
    let mode = fs::metadata(path).map_or(0, |metadata| metadata.permissions().mode());
    let path = path.display();
    Some(if mode & 0o007 == 0 {
        good("operators", format!("the token in {path} is valid"))
    } else {
        let text = format!("all users of this machine can read {path}: run chmod o= {path}");
        warning("operators", text)
    })
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        reason = "a test that can't write its folder has failed"
    )]

    use std::net::TcpListener;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use super::{examine, kernel};
    use crate::settings::{FlagValue, load};

    fn examined(flags: &[FlagValue]) -> (bool, String) {
        let mut out = Vec::new();
        let fit = examine(&load(flags, None, []).unwrap(), &mut out).unwrap();
        (fit, String::from_utf8(out).unwrap())
    }

    fn in_folder(folder: &Path) -> Vec<FlagValue> {
        vec![
            (
                "data_dir",
                folder.join("deep/data").to_string_lossy().into_owned(),
            ),
            ("listen", "127.0.0.1:0".to_owned()),
        ]
    }

    #[test]
    fn a_machine_that_will_do_is_told_so_and_left_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let (fit, said) = examined(&in_folder(folder.path()));
        assert!(fit, "{said}");
        for subject in [
            "settings",
            "memory",
            "data folder",
            "disk",
            "open files",
            "address",
        ] {
            assert!(
                said.contains(subject),
                "{subject} was not looked at:\n{said}"
            );
        }
        assert_eq!(
            std::fs::read_dir(folder.path()).unwrap().count(),
            0,
            "something was left behind"
        );
    }

    #[test]
    fn what_stops_the_server_fails() {
        let folder = tempfile::tempdir().unwrap();
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut flags = in_folder(folder.path());
        flags[1].1 = taken.local_addr().unwrap().to_string();
        // A program that accepts nothing holds the port: the health check gets no answer and the
        // time runs out, so close every connection at once instead.
        let thread = std::thread::spawn(move || drop(taken.accept().unwrap()));
        let (fit, said) = examined(&flags);
        thread.join().unwrap();
        assert!(!fit && said.contains("in use by another program"), "{said}");

        let mut flags = in_folder(folder.path());
        flags.push(("free_space_floor", "1PiB".to_owned()));
        let (fit, said) = examined(&flags);
        assert!(
            !fit && said.contains("not enough space for uploads"),
            "{said}"
        );

        let mut flags = in_folder(folder.path());
        flags[0].1 = "/proc/ddx".to_owned();
        let (fit, said) = examined(&flags);
        assert!(!fit && said.contains("cannot write to /proc"), "{said}");
    }

    #[test]
    fn a_token_is_read_and_never_told() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        let mut flags = in_folder(folder.path());
        flags.push(("operator_token_file", file.to_string_lossy().into_owned()));
        let (fit, said) = examined(&flags);
        assert!(!fit && said.contains("can't be used"), "{said}");
        for (token, mode, is_fit, expected) in [
            ("tooshort-secret\n", 0o600, false, "has 15 characters"),
            ("a secret with spaces", 0o600, false, "not visible ASCII"),
            ("long-enough-secret\n", 0o644, true, "chmod o="),
            ("long-enough-secret\n", 0o600, true, "is valid"),
        ] {
            std::fs::write(&file, token).unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
            let (fit, said) = examined(&flags);
            assert!(fit == is_fit && said.contains(expected), "{said}");
            assert!(!said.contains("secret"), "{said}");
        }
    }

    #[test]
    fn a_short_backlog_is_warned_of() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("net/core")).unwrap();
        std::fs::write(folder.path().join("net/core/somaxconn"), "128\n").unwrap();
        let said = kernel(folder.path()).remove(0).to_string();
        assert!(
            said.starts_with("warn") && said.contains("somaxconn to 1024"),
            "{said}"
        );
    }
}
