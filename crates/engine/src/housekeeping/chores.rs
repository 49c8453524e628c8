//! What wakes the tasks that are done without being asked.

use tokio::sync::Notify;

/// Wakes the tasks before their time.
#[derive(Debug, Default)]
pub(crate) struct Chores {
    /// Segments wait to be deleted.
    pub(crate) deletion: Notify,
    /// Files wait to be joined.
    pub(crate) joining: Notify,
    /// A digest waits to be computed.
    pub(crate) digests: Notify,
    /// Nothing wakes what only time makes due.
    pub(crate) never: Notify,
}
