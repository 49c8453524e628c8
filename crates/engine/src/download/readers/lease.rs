//! What one reader had of a file.

use std::ops::Range;
use std::time::Duration;

use ddx_id::LeaseId;
use ddx_memory::Charge;

use super::reader::{Mark, Reader};
use crate::deadline::after;

/// Pieces that are remembered of what one reader had. Where there are more the closest two become
/// one, which counts a download early, never late. One more than this fills the list's memory, a
/// power of two.
const PIECES_MAX: usize = 63;

/// A lease with all its pieces, and its entries in the maps.
pub(super) const LEASE_BYTES: u64 = 1536;

/// The catalog has counted a download by then, and no request knows an older count.
const SETTLED_AFTER: Duration = Duration::from_secs(60);

/// A reader's hold on a file whose number of downloads is limited.
#[derive(Debug)]
pub(super) struct Lease {
    pub(super) id: LeaseId,
    /// The client: a part of all leases is its.
    pub(super) client: Mark,
    /// The client and its program.
    pub(super) traits: Mark,
    pub(super) had: Vec<Range<u64>>,
    pub(super) requests: usize,
    /// When the last of its requests ended.
    pub(super) ended_at: i64,
    pub(super) is_counted: bool,
    pub(super) _charge: Charge,
}

impl Lease {
    pub(super) fn new(id: LeaseId, reader: &Reader, now: i64, charge: Charge) -> Self {
        Self {
            id,
            client: reader.client,
            traits: reader.traits,
            had: Vec::new(),
            requests: 0,
            ended_at: now,
            is_counted: false,
            _charge: charge,
        }
    }

    /// Whether it is this reader's.
    pub(super) fn is_of(&self, reader: &Reader) -> bool {
        Some(self.id) == reader.lease || self.traits == reader.traits
    }

    pub(super) fn had_bytes(&self) -> u64 {
        self.had.iter().map(|it| it.end - it.start).sum()
    }

    /// Whether it keeps a download from others.
    pub(super) fn holds(&self, preview_bytes: u64) -> bool {
        !self.is_counted && (self.requests > 0 || self.had_bytes() > preview_bytes)
    }

    /// Whether its reader left it for longer than it lasts.
    pub(super) fn is_over(&self, now: i64, lasts: Duration) -> bool {
        self.requests == 0 && after(self.ended_at, lasts) <= now
    }

    /// Whether no download is lost if it is forgotten: its own is counted, or it had no more than a
    /// preview.
    pub(super) fn can_go(&self, now: i64, preview_bytes: u64) -> bool {
        self.is_over(now, SETTLED_AFTER) && !self.holds(preview_bytes)
    }

    pub(super) fn add(&mut self, range: Range<u64>) {
        add(&mut self.had, range);
    }
}

fn add(had: &mut Vec<Range<u64>>, range: Range<u64>) {
    let begin = had.partition_point(|it| it.end < range.start);
    let end = had.partition_point(|it| it.start <= range.end);
    let touched = had.get(begin..end).unwrap_or_default();
    let start = touched
        .first()
        .map_or(range.start, |it| it.start.min(range.start));
    let stop = touched.last().map_or(range.end, |it| it.end.max(range.end));
    let piece = std::iter::once(start..stop);
    had.splice(begin..end.max(begin), piece);
    if had.len() > PIECES_MAX {
        let gaps = had.windows(2).enumerate();
        let closest = gaps.min_by_key(|(_, pair)| pair[1].start - pair[0].end);
        if let Some((at, _)) = closest {
            let next = had.remove(at + 1);
            had[at].end = next.end;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(had: &[Range<u64>]) -> u64 {
        had.iter().map(|it| it.end - it.start).sum()
    }

    #[test]
    fn pieces_in_any_order_are_had_once() {
        let mut had = Vec::new();
        for range in [10..20, 40..50, 0..5, 15..30, 5..10, 30..40, 45..46] {
            add(&mut had, range);
        }
        assert_eq!(
            had.as_slice(),
            std::slice::from_ref(&(0..50)),
            "all that touches is one piece"
        );
        add(&mut had, 60..70);
        add(&mut had, 52..58);
        assert_eq!(had, [0..50, 52..58, 60..70]);
        assert_eq!(bytes(&had), 66);
    }

    #[test]
    fn many_pieces_are_bounded_and_none_is_lost() {
        let mut had = Vec::new();
        for at in 0..10_000 {
            add(&mut had, at * 10..at * 10 + 1);
        }
        assert_eq!(had.len(), PIECES_MAX);
        assert!(
            had.capacity() * size_of::<Range<u64>>() <= 1024,
            "as charged"
        );
        assert!(bytes(&had) >= 10_000);
    }
}
