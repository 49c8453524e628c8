//! A file as the API and the pages show it: its record, and what moves.

use ddx_engine::{Engine, FileSummary, Progress, State};
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::{App, PublicBase};
use crate::shared::names;

/// A place in the queue for memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Waiting {
    /// How many are admitted before.
    pub(crate) ahead: u64,
    /// How many wait.
    pub(crate) waiting: u64,
    /// When it may be its turn.
    pub(crate) estimate_ms: u64,
}

/// How far a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum FileState {
    /// Its bytes arrive.
    Receiving,
    /// It is being joined from its parts.
    Joining,
    /// It is whole.
    Complete,
    /// It will not be whole, or is damaged.
    Failed,
}

/// A file. Times are milliseconds since 1970, digests hexadecimal.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct File {
    /// Its id, 26 letters and digits.
    pub(crate) file_id: String,
    /// The id of the share that it is in.
    pub(crate) share_id: String,
    /// Its path in the share, unique there.
    pub(crate) path: String,
    /// The last part of the path.
    pub(crate) name: String,
    /// Its length, if it is known already.
    #[schema(required)]
    pub(crate) size_bytes: Option<u64>,
    /// How much of it has arrived.
    pub(crate) received_bytes: u64,
    /// The same of a hundred; 100 only when all has arrived.
    #[schema(required)]
    pub(crate) percent: Option<f64>,
    /// How far it is.
    pub(crate) state: FileState,
    /// The media type that its sender gave.
    #[schema(required)]
    pub(crate) content_type: Option<String>,
    /// BLAKE3 of all bytes, once it is known.
    #[schema(required)]
    pub(crate) blake3: Option<String>,
    /// SHA-256 of all bytes, if it was asked for.
    #[schema(required)]
    pub(crate) sha256: Option<String>,
    /// CRC-64/NVME of all bytes, once it is complete.
    #[schema(required)]
    pub(crate) crc64: Option<String>,
    /// When it was made.
    pub(crate) created_at: i64,
    /// When it became complete.
    #[schema(required)]
    pub(crate) completed_at: Option<i64>,
    /// When it goes.
    #[schema(required)]
    pub(crate) expires_at: Option<i64>,
    /// Its link.
    pub(crate) link: String,
    /// How fast it arrives.
    #[schema(required)]
    pub(crate) rate_bytes_per_second: Option<u64>,
    /// Its place in the queue for memory, while it waits.
    #[schema(required)]
    pub(crate) waiting: Option<Waiting>,
    /// Why it failed.
    #[schema(required)]
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
                State::Complete if record.damage.is_some() => FileState::Failed,
                State::Receiving => FileState::Receiving,
                State::Joining => FileState::Joining,
                State::Complete => FileState::Complete,
                State::Failed => FileState::Failed,
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
