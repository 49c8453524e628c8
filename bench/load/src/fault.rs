//! Why something failed: a short reason that is counted, and words about this one time.
//!
//! Reasons are few and stable, since a run of ten thousand is read as a table; the first detail of
//! each goes to the standard error.

use std::io;

/// A failure of one file or connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    /// What is counted.
    pub(crate) reason: String,
    /// What happened this time.
    pub(crate) detail: String,
}

/// The reason of all that the time limit ended, or never let begin.
pub(crate) const NOT_IN_TIME: &str = "not done in time";

impl Fault {
    pub(crate) fn new(reason: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            detail: detail.into(),
        }
    }

    /// Something that the system refused, while `doing` this.
    pub(crate) fn io(doing: &str, error: &io::Error) -> Self {
        let reason = match error.kind() {
            io::ErrorKind::ConnectionRefused => "connection refused",
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::ConnectionAborted => "connection reset",
            io::ErrorKind::AddrNotAvailable => "no port left on this side",
            io::ErrorKind::TimedOut => "connection timed out",
            _ => "system error",
        };
        Self::new(reason, format!("{doing}: {error}"))
    }

    /// The connection ended where an answer was due.
    pub(crate) fn closed(when: &str) -> Self {
        Self::new("closed without an answer", when)
    }

    /// An answer that is none.
    pub(crate) fn malformed(detail: impl Into<String>) -> Self {
        Self::new("malformed answer", detail)
    }
}
