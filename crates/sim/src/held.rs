//! What one client was told of one upload, and what it may therefore expect.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use ddx_engine::{Created, Error, FileRecord, State};
use ddx_id::{DeleteKey, FileId, UploadKey};

use crate::body::Sent;
use crate::world::World;

/// An upload that the server has acknowledged.
#[derive(Debug, Clone)]
pub struct Held {
    /// Its name, in what is reported.
    pub name: String,
    /// Names its URL.
    pub upload_key: UploadKey,
    /// Deletes it.
    pub delete_key: DeleteKey,
    /// Its id.
    pub file_id: FileId,
    /// Its length, as its client knows it.
    pub length_bytes: u64,
    /// The highest offset that the server has answered with.
    pub acknowledged_bytes: u64,
    /// It was told to be complete.
    pub is_complete: bool,
    /// Its client asked for its end, and may have got it.
    pub is_removed: bool,
    /// When it was made.
    pub created_at: i64,
    /// When it may go, as last told.
    pub expires_at: Option<i64>,
    /// Bodies of the right bytes, and the offsets from which they were sent.
    pub sent: Vec<(u64, Arc<Sent>)>,
}

/// What a refusal may be due to.
#[derive(Debug, Clone, Copy, Default)]
pub struct Excuse {
    /// Calls that were made to fail before the request began, and those for want of space.
    pub failures: (u64, u64),
    /// Its body is cut.
    pub is_cut: bool,
    /// Its body stalls.
    pub is_stalled: bool,
    /// Another request for the same upload came after it.
    pub has_newer: bool,
    /// Its digest is of other bytes.
    pub is_wrong: bool,
    /// No space was reserved for it.
    pub is_unreserved: bool,
}

/// What a client does after a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// It asks where the upload stands, and goes on.
    Again,
    /// The same, but there may never be room.
    NoSpace,
    /// The upload is gone, and may be.
    Gone,
}

impl Held {
    /// Of an upload that was made.
    #[must_use]
    pub fn new(name: String, created: &Created, length_bytes: u64) -> Self {
        Self {
            name,
            upload_key: created.upload_key,
            delete_key: created.delete_key,
            file_id: created.record.file_id,
            length_bytes,
            acknowledged_bytes: 0,
            is_complete: false,
            is_removed: false,
            created_at: created.record.created_at,
            expires_at: created.record.expires_at,
            sent: Vec::new(),
        }
    }

    /// The most that the server can have of the right bytes.
    fn sent_bytes(&self) -> u64 {
        let ends = self
            .sent
            .iter()
            .map(|(at, sent)| at + sent.taken_bytes.load(Ordering::Relaxed));
        ends.max().unwrap_or(0)
    }

    /// The server answered with this record.
    pub fn told(&mut self, world: &World, record: &FileRecord) {
        self.told_offset(world, record.offset_bytes);
        self.expires_at = record.expires_at;
        match record.state {
            State::Failed => world.wrong(format!("{}: failed: {:?}", self.name, record.failure)),
            State::Complete if record.offset_bytes != self.length_bytes => world.wrong(format!(
                "{}: complete with {} of {} bytes",
                self.name, record.offset_bytes, self.length_bytes
            )),
            State::Complete => self.is_complete = true,
            State::Receiving | State::Joining if self.is_complete => {
                world.wrong(format!("{}: was complete and is not any more", self.name));
            }
            State::Receiving | State::Joining => {}
        }
    }

    /// An answer that may have been overtaken by a newer one: what it acknowledges counts, that it
    /// is less does not.
    pub fn told_late(&mut self, world: &World, record: &FileRecord) {
        if record.offset_bytes >= self.acknowledged_bytes && !self.is_complete {
            self.told(world, record);
        }
    }

    /// The server answered with this offset.
    pub fn told_offset(&mut self, world: &World, offset_bytes: u64) {
        if offset_bytes < self.acknowledged_bytes {
            world.wrong(format!(
                "{}: stood at {} and stands at {offset_bytes}: taken back",
                self.name, self.acknowledged_bytes
            ));
        }
        let sent = self.sent_bytes();
        if offset_bytes > sent.max(self.acknowledged_bytes) && !self.name.contains("joined") {
            world.wrong(format!(
                "{}: stands at {offset_bytes}, {sent} right bytes were sent",
                self.name
            ));
        }
        world.event("told", offset_bytes, self.length_bytes);
        let more = offset_bytes.saturating_sub(self.acknowledged_bytes);
        world.count(|tally| tally.acknowledged_bytes += more);
        self.acknowledged_bytes = self.acknowledged_bytes.max(offset_bytes);
    }

    /// Whether its time may be over by any clock that the server has seen.
    #[must_use]
    pub fn may_have_expired(&self, world: &World) -> bool {
        world.is_over(self.expires_at)
    }
}

/// Judges a refusal: what is not excused is wrong.
pub fn judge(
    world: &World,
    name: &str,
    held: Option<&Held>,
    excuse: Excuse,
    error: &Error,
) -> Next {
    let may_be_gone = held.is_some_and(|held| held.is_removed || held.may_have_expired(world));
    let failures = world.failures();
    let (is_excused, next) = match error {
        Error::NotFound | Error::Expired | Error::PartUnknown { .. } => (may_be_gone, Next::Gone),
        Error::OffsetMismatch { .. } => (held.is_some(), Next::Again),
        Error::Superseded => (excuse.has_newer || may_be_gone, Next::Again),
        Error::ClientGone => (excuse.is_cut, Next::Again),
        Error::Stalled { .. } => (excuse.is_stalled, Next::Again),
        Error::ChecksumMismatch { .. } => (excuse.is_wrong, Next::Again),
        Error::NoSpace { .. } => {
            world.count(|tally| tally.no_space += 1);
            let was_failed = failures.1 > excuse.failures.1;
            (excuse.is_unreserved || was_failed, Next::NoSpace)
        }
        Error::Storage(_) | Error::Catalog(_) => (failures.0 > excuse.failures.0, Next::Again),
        Error::Closing => (world.is_stopping(), Next::Again),
        _ => (false, Next::Again),
    };
    if !is_excused {
        world.wrong(format!(
            "{name}: refused without a reason: {error:?} with {excuse:?}"
        ));
    }
    next
}
