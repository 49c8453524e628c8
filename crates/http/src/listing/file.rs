//! A file as the API and the pages show it: its record, and what moves.

use ddx_engine::{Engine, FileSummary, Progress, State};
use serde::Serialize;

use crate::app::{App, PublicBase};
use crate::shared::names;

/// A place in the queue for memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Waiting {
    /// How many are admitted before.
    pub(crate) ahead: u64,
    /// How many wait.
    pub(crate) waiting: u64,
    /// When it may be its turn.
    pub(crate) estimate_ms: u64,
}

/// A file.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct File {
    pub(crate) file_id: String,
    pub(crate) share_id: String,
    pub(crate) path: String,
    pub(crate) name: String,
    pub(crate) size_bytes: Option<u64>,
    pub(crate) received_bytes: u64,
    pub(crate) percent: Option<f64>,
    pub(crate) state: &'static str,
    pub(crate) content_type: Option<String>,
    pub(crate) blake3: Option<String>,
    pub(crate) sha256: Option<String>,
    pub(crate) crc64: Option<String>,
    pub(crate) created_at: i64,
    pub(crate) completed_at: Option<i64>,
    pub(crate) expires_at: Option<i64>,
    pub(crate) link: String,
    pub(crate) rate_bytes_per_second: Option<u64>,
    pub(crate) waiting: Option<Waiting>,
    pub(crate) failure: Option<String>,
}

fn hex(bytes: impl AsRef<[u8]>) -> String {
    data_encoding::HEXLOWER.encode(bytes.as_ref())
}

impl File {
    /// As it stands at this moment.
    pub(crate) fn now(file: &FileSummary, base: &PublicBase, app: &App) -> Self {
        let progress = app
            .engine()
            .progress(file.share_id, file.file_id)
            .map(|watch| watch.borrow().clone());
        Self::new(file, progress.as_ref(), base, app.engine())
    }

    pub(crate) fn new(
        record: &FileSummary,
        progress: Option<&Progress>,
        base: &PublicBase,
        engine: &Engine,
    ) -> Self {
        let is_complete = record.state == State::Complete;
        let moving = progress.filter(|_| !is_complete);
        let received_bytes = moving
            .map_or(0, |progress| progress.written_bytes)
            .max(record.offset_bytes);
        Self {
            file_id: record.file_id.to_string(),
            share_id: record.share_id.to_string(),
            path: record.path.clone(),
            name: names::file_name(&record.path).to_owned(),
            size_bytes: record.length_bytes,
            received_bytes,
            percent: record
                .length_bytes
                .map(|length| percent(received_bytes, length)),
            state: match record.state {
                // It can't be had: to the one who asks it is as a failed upload.
                State::Complete if record.damage.is_some() => "failed",
                State::Receiving => "receiving",
                State::Joining => "joining",
                State::Complete => "complete",
                State::Failed => "failed",
            },
            content_type: record.content_type.clone(),
            blake3: record.blake3.map(hex),
            sha256: record.sha256.map(hex),
            crc64: is_complete.then(|| hex(record.crc64.to_be_bytes())),
            created_at: engine.time_of_day(record.created_at),
            completed_at: record.completed_at.map(|at| engine.time_of_day(at)),
            expires_at: record.expires_at.map(|at| engine.time_of_day(at)),
            link: base.file(record.share_id, &record.path),
            rate_bytes_per_second: moving.map(|progress| progress.rate_bytes_per_second),
            waiting: moving
                .and_then(|progress| progress.waiting.as_ref())
                .map(|place| Waiting {
                    ahead: place.ahead,
                    waiting: place.waiting,
                    estimate_ms: u64::try_from(place.estimate.as_millis()).unwrap_or(u64::MAX),
                }),
            failure: record.failure.clone().or_else(|| {
                let damage = record.damage.as_ref()?;
                Some(format!("the file is damaged: {damage}"))
            }),
        }
    }
}

/// Of a hundred, with two decimals; 100 only when it is all.
fn percent(part: u64, whole: u64) -> f64 {
    if part >= whole {
        return 100.0;
    }
    ((part as f64 / whole as f64 * 10_000.0).floor() / 100.0).min(99.99)
}

#[cfg(test)]
mod tests {
    use super::percent;

    #[test]
    fn a_hundred_percent_means_all() {
        assert_eq!(percent(0, 0), 100.0);
        assert_eq!(percent(1, 3), 33.33);
        assert_eq!(percent(u64::MAX - 1, u64::MAX), 99.99);
    }
}
