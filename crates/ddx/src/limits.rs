//! Limits that the shell, or whatever else starts the server, sets for it.
//!
//! That of open files is raised to what the system allows, since each upload is a connection and a file. The default soft limit of 1,024 is for programs that use `select`; this one does not.

use anyhow::Context;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the soft limit to the hard one; how many files may be open then.
///
/// # Errors
/// The system refuses a limit that it allows: something is wrong with it.
pub(crate) fn raise_open_files() -> anyhow::Result<u64> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    setrlimit(Resource::Nofile, raised).context("the limit of open files can't be raised")?;
    Ok(limit.maximum.unwrap_or(u64::MAX))
}

/// The largest file that may be written (`ulimit -f`, `LimitFSIZE=`); `None` without such a limit. It is a limit of uploads, so that
/// one that is too large is told so before it is sent.
pub(crate) fn largest_file() -> Option<u64> {
    getrlimit(Resource::Fsize).current
}
