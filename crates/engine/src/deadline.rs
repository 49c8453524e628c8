//! When the time of a record is over.

use std::time::Duration;

use ddx_catalog::FileRecord;

/// The time of a record that comes so long after `now`, in milliseconds.
pub(crate) fn after(now: i64, time: Duration) -> i64 {
    now.saturating_add(i64::try_from(time.as_millis()).unwrap_or(i64::MAX))
}

/// Whether a record's time is over then.
pub(crate) fn is_over(record: &FileRecord, at: i64) -> bool {
    record.expires_at.is_some_and(|expires_at| expires_at <= at)
}
