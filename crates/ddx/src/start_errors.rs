//! Why a server does not start, for the person who started it: what is wrong, with the value, and
//! what to do.
//!
//! The parts below report what failed in their own terms. Which setting that came from, and what
//! helps on this machine, is known only where they are put together.

use std::io;
use std::net::SocketAddr;
use std::path::Path;

use ddx_http::server::TlsError;
use ddx_storage::ErrorKind as DiskFault;

/// A start that failed: what is wrong, and on a line of its own what to do.
#[derive(Debug, thiserror::Error)]
#[error("{what}\nwhat to do: {remedy}")]
pub(crate) struct StartError {
    what: String,
    remedy: String,
}

impl StartError {
    /// `what` is wrong, and `remedy` helps.
    pub(crate) fn new(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            remedy: remedy.into(),
        }
    }
}

/// For errors of a disk that say nothing of their cause.
const SEE_TO_THE_DISK: &str =
    "check the disk and its connection (`dmesg` shows its errors), then start again";

const MORE_FILES: &str = "raise the limit of open files (`ulimit -n`, LimitNOFILE= of systemd, --ulimit nofile= of Docker)";

/// More threads, or memory for their stacks.
pub(crate) const MORE_THREADS: &str = "raise the limit of threads (TasksMax= of systemd, pids.max of the control group, `ulimit -u`) or \
     of memory (`ulimit -v`)";

/// The address can't be listened on.
pub(crate) fn listen(address: SocketAddr, error: &io::Error) -> StartError {
    let port = address.port();
    let (why, remedy) = match error.kind() {
        io::ErrorKind::AddrInUse => (
            "another program uses this port".to_owned(),
            format!(
                "end that program (`ss -ltnp` shows it), or set another port: --listen {}:{}",
                host(address),
                other(port)
            ),
        ),
        io::ErrorKind::AddrNotAvailable => (
            "this machine does not have this address".to_owned(),
            format!(
                "set one that it has (`ip address` shows them), or all of them: --listen 0.0.0.0:{port}"
            ),
        ),
        io::ErrorKind::PermissionDenied => (
            "only privileged programs may use this port".to_owned(),
            format!(
                "set a port above 1023: --listen {}:{}; or give the program the capability CAP_NET_BIND_SERVICE",
                host(address),
                other(port)
            ),
        ),
        _ => (
            error.to_string(),
            "set an address and a port of this machine with --listen".to_owned(),
        ),
    };
    StartError::new(format!("can't listen on {address}: {why}"), remedy)
}

fn host(address: SocketAddr) -> String {
    match address {
        SocketAddr::V4(address) => address.ip().to_string(),
        SocketAddr::V6(address) => format!("[{}]", address.ip()),
    }
}

/// A port to try instead.
fn other(port: u16) -> u16 {
    match port {
        0..1024 => 8000,
        u16::MAX => port - 1,
        _ => port + 1,
    }
}

/// The data folder can't be opened.
pub(crate) fn data_folder(folder: &Path, error: &ddx_storage::Error) -> StartError {
    let remedy = match (error.kind(), error.system()) {
        (DiskFault::Busy, _) => {
            "stop the other server, or give this one a folder of its own with --data-dir".to_owned()
        }
        (DiskFault::NoSpace { .. }, _) => "free some space on its disk".to_owned(),
        (DiskFault::ReadOnly, _) => {
            "mount its disk for writing, or set another folder with --data-dir".to_owned()
        }
        (_, Some(system)) => of_system(folder, system),
        _ => SEE_TO_THE_DISK.to_owned(),
    };
    StartError::new(
        naming("the data folder", folder, &error.to_string()),
        remedy,
    )
}

/// What is wrong with `what`, which is in `folder`; the path once only.
fn naming(what: &str, folder: &Path, why: &str) -> String {
    let folder = folder.display().to_string();
    if why.contains(&folder) {
        format!("{what} can't be used: {why}")
    } else {
        format!("{what} {folder} can't be used: {why}")
    }
}

/// What helps against this error of the system on the way into `folder`.
fn of_system(folder: &Path, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::PermissionDenied => format!(
            "let the server's user write there: `chown {}:{} {}`, and open the folders above it (`chmod +x`); or set another folder \
             with --data-dir",
            rustix::process::geteuid().as_raw(),
            rustix::process::getegid().as_raw(),
            folder.display()
        ),
        io::ErrorKind::NotFound => {
            "check the path, and that its disk is mounted and can be written; or set another folder with --data-dir".to_owned()
        }
        io::ErrorKind::AlreadyExists
        | io::ErrorKind::NotADirectory
        | io::ErrorKind::IsADirectory => {
            "move away what is there, since it is no folder, or set another folder with --data-dir".to_owned()
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "free some space on its disk".to_owned()
        }
        io::ErrorKind::ReadOnlyFilesystem => {
            "mount its disk for writing, or set another folder with --data-dir".to_owned()
        }
        _ if is_out_of_files(error) => MORE_FILES.to_owned(),
        _ => SEE_TO_THE_DISK.to_owned(),
    }
}

fn is_out_of_files(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

/// The catalog can't be opened.
pub(crate) fn catalog(folder: &Path, error: &ddx_catalog::Error) -> StartError {
    let what = naming("the catalog in the data folder", folder, error.detail());
    if let Some(remedy) = error.remedy() {
        return StartError::new(what, remedy);
    }
    let remedy = match error.kind() {
        ddx_catalog::ErrorKind::Full => "free some space on its disk".to_owned(),
        ddx_catalog::ErrorKind::ReadOnly => "mount its disk for writing".to_owned(),
        _ => "let the server's user read and write what is in this folder, and check the disk (`dmesg` shows its errors) and the limit \
              of open files (`ulimit -n`)"
            .to_owned(),
    };
    StartError::new(what, remedy)
}

/// What is on the disk could not be compared with the catalog.
pub(crate) fn recovery(folder: &Path, error: &ddx_engine::Error) -> StartError {
    let why = anyhow::Chain::new(error)
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ");
    StartError::new(
        format!(
            "the files in {} can't be compared with the catalog: {why}",
            folder.display()
        ),
        SEE_TO_THE_DISK,
    )
}

/// TLS can't be served with these files.
pub(crate) fn tls(certificate: &Path, key: &Path, error: &TlsError) -> StartError {
    match error {
        TlsError::File { path, reason } if certificate == key => StartError::new(
            format!(
                "tls_cert and tls_key, {}, can't be used: {reason}",
                path.display()
            ),
            "set --tls-cert to a file with the certificate, and --tls-key to one with its private key, both in PEM",
        ),
        TlsError::File { path, reason } if path == key => StartError::new(
            format!("tls_key, {}, can't be used: {reason}", path.display()),
            "set --tls-key to the file with the private key of the certificate, in PEM, which the server's user may read",
        ),
        TlsError::File { path, reason } => StartError::new(
            format!("tls_cert, {}, can't be used: {reason}", path.display()),
            "set --tls-cert to the file with the certificate and those that signed it, in PEM, which the server's user may read",
        ),
        TlsError::Pair(reason) => StartError::new(
            format!(
                "the key {} does not fit the certificate {}: {reason}",
                key.display(),
                certificate.display()
            ),
            "set --tls-key to the key for which this certificate was made",
        ),
    }
}

/// What the machine has of memory is not known, or a setting does not fit it.
pub(crate) fn memory(error: &ddx_memory::Error) -> StartError {
    let remedy = match error {
        ddx_memory::Error::Setting { .. } => {
            "change the settings of memory (`ddx config print` shows them)"
        }
        ddx_memory::Error::Sampler(_) => MORE_THREADS,
        _ => "mount /proc and /sys/fs/cgroup for the server, so that it can read what it may use",
    };
    StartError::new(error.to_string(), remedy)
}

/// Fewer files may be open than the server needs by itself.
pub(crate) fn open_files(limit: u64, least: u64) -> StartError {
    StartError::new(
        format!(
            "only {limit} files may be open at once; the server needs {least} by itself, and two for each upload"
        ),
        MORE_FILES,
    )
}
