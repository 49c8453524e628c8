//! What has changed lately, the newest state of each file once: what a hub tells and its streams
//! read.
//!
//! A stream that is slow misses states in between and not the last one, so nothing is queued for
//! it. The journal is bounded by bytes; where a stream has missed what fell out, it looks at all
//! files anew.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use ddx_id::FileId;

/// Frames that are kept, at most; the newest one always.
pub(super) const BYTES_MAX: usize = 16 << 10;

/// Frames by the version with which they were told.
#[derive(Debug, Default)]
pub(super) struct Journal(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    frames: BTreeMap<u64, (FileId, Bytes)>,
    versions: HashMap<FileId, u64>,
    bytes: usize,
    last: u64,
    /// Of this version and those before it something may be missing.
    lost: u64,
}

/// What comes after a version.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// This frame, with its version.
    Frame(u64, Bytes),
    /// It is not known any more.
    Lost,
    /// Nothing yet.
    Nothing,
}

impl Journal {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The newest version.
    pub(super) fn last(&self) -> u64 {
        self.state().last
    }

    /// Tells the newest state of a file; its version.
    pub(super) fn tell(&self, file_id: FileId, frame: Bytes) -> u64 {
        let mut state = self.state();
        if let Some(before) = state.versions.get(&file_id).copied() {
            state.remove(before);
        }
        state.last += 1;
        let version = state.last;
        state.bytes += frame.len();
        state.versions.insert(file_id, version);
        state.frames.insert(version, (file_id, frame));
        while state.bytes > BYTES_MAX
            && state.frames.len() > 1
            && let Some(oldest) = state.frames.first_key_value().map(|(version, _)| *version)
        {
            state.lost = oldest;
            state.remove(oldest);
        }
        version
    }

    /// Says that something was missed: all files have to be looked at anew. The version of that.
    pub(super) fn lose(&self) -> u64 {
        let mut state = self.state();
        let last = state.last + 1;
        *state = State {
            last,
            lost: last,
            ..State::default()
        };
        last
    }

    /// What was told first after the version `seen`.
    pub(super) fn next(&self, seen: u64) -> Next {
        let state = self.state();
        if seen < state.lost {
            return Next::Lost;
        }
        match state.frames.range(seen + 1..).next() {
            Some((version, (_, frame))) => Next::Frame(*version, frame.clone()),
            None => Next::Nothing,
        }
    }
}

impl State {
    fn remove(&mut self, version: u64) {
        if let Some((file_id, frame)) = self.frames.remove(&version) {
            self.bytes -= frame.len();
            self.versions.remove(&file_id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }

    #[test]
    fn each_file_is_told_once_in_its_newest_state() {
        let (journal, one, two) = (
            Journal::default(),
            FileId::from_bytes([1; 16]),
            FileId::from_bytes([2; 16]),
        );
        assert_eq!(journal.next(0), Next::Nothing);
        journal.tell(one, frame("10 %"));
        journal.tell(two, frame("new"));
        journal.tell(one, frame("20 %"));
        assert_eq!(journal.next(0), Next::Frame(2, frame("new")));
        assert_eq!(journal.next(2), Next::Frame(3, frame("20 %")));
        assert_eq!((journal.next(3), journal.last()), (Next::Nothing, 3));
    }

    #[test]
    fn what_falls_out_is_known_to_be_lost() {
        let journal = Journal::default();
        let large = Bytes::from(vec![b'x'; BYTES_MAX / 2 + 1]);
        journal.tell(FileId::from_bytes([1; 16]), large.clone());
        journal.tell(FileId::from_bytes([2; 16]), large.clone());
        assert_eq!(journal.next(0), Next::Lost, "the first fell out");
        assert_eq!(journal.next(1), Next::Frame(2, large.clone()));
        let huge = Bytes::from(vec![b'x'; BYTES_MAX * 2]);
        journal.tell(FileId::from_bytes([3; 16]), huge.clone());
        assert_eq!(journal.next(2), Next::Frame(3, huge), "the newest stays");
        assert_eq!(journal.lose(), 4);
        assert_eq!(
            (journal.next(3), journal.next(4)),
            (Next::Lost, Next::Nothing)
        );
        assert_eq!(journal.state().bytes, 0);
    }
}
