//! Which buffers are mapped, and the few that are kept for the next one who asks.
//!
//! The list of mappings is there to be measured: at each sample the kernel is asked how much of
//! each is resident. A buffer that was found fully resident is not asked about again for a while,
//! since buffers fill and stay full. Kept buffers are resident and belong to no upload; they stand
//! in `pool_resident`, are the first thing given back, and are never more than a lease may take
//! away again at once.

use std::time::Duration;

use super::map::Mapping;

/// One mapping in the list.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mapped {
    pub(crate) address: usize,
    pub(crate) len: usize,
    /// Tells it from a later one at the same place.
    serial: u64,
    full: bool,
}

/// A place in the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token(u32);

#[derive(Debug)]
struct Kept {
    mapping: Mapping,
    token: Token,
    since: Duration,
}

#[derive(Debug, Default)]
pub(crate) struct Pool {
    mapped: Vec<Option<Mapped>>,
    holes: Vec<u32>,
    kept: Vec<Kept>,
    kept_bytes: u64,
    mapped_bytes: u64,
    /// Σ of all bytes ever unmapped, for measurements that take a while.
    unmapped_total: u64,
    serial: u64,
    samples: u64,
}

/// After so many samples a full buffer is measured again: it may have been swapped out.
const REMEASURE_SAMPLES: u64 = 10;

/// What is to be measured, taken under the lock and measured outside it.
#[derive(Debug, Default)]
pub(crate) struct Census {
    list: Vec<(u32, Mapped)>,
    full_bytes: u64,
    unmapped_before: u64,
}

impl Pool {
    pub(crate) fn kept_bytes(&self) -> u64 {
        self.kept_bytes
    }

    pub(crate) fn mapped_bytes(&self) -> u64 {
        self.mapped_bytes
    }

    pub(crate) fn register(&mut self, mapping: &Mapping) -> Token {
        self.serial += 1;
        let mapped = Mapped {
            address: mapping.address(),
            len: mapping.len(),
            serial: self.serial,
            full: false,
        };
        self.mapped_bytes += mapping.len() as u64;
        if let Some(slot) = self.holes.pop() {
            self.mapped[slot as usize] = Some(mapped);
            return Token(slot);
        }
        let slot =
            u32::try_from(self.mapped.len()).expect("memory does not hold 2^32 buffers of a page");
        self.mapped.push(Some(mapped));
        Token(slot)
    }

    /// To be called before the mapping goes.
    pub(crate) fn unregister(&mut self, token: Token) {
        let gone = self.mapped.get_mut(token.0 as usize).and_then(Option::take);
        debug_assert!(gone.is_some(), "a buffer is unregistered twice");
        if let Some(gone) = gone {
            self.mapped_bytes -= gone.len as u64;
            self.unmapped_total += gone.len as u64;
            self.holes.push(token.0);
        }
    }

    /// Keeps a buffer that is not needed now.
    pub(crate) fn keep(&mut self, mapping: Mapping, token: Token, now: Duration) {
        self.kept_bytes += mapping.len() as u64;
        self.kept.push(Kept {
            mapping,
            token,
            since: now,
        });
    }

    /// A kept buffer of that length.
    pub(crate) fn take(&mut self, len: usize) -> Option<(Mapping, Token)> {
        let index = self
            .kept
            .iter()
            .rposition(|kept| kept.mapping.len() == len)?;
        let kept = self.kept.swap_remove(index);
        self.kept_bytes -= len as u64;
        Some((kept.mapping, kept.token))
    }

    /// Moves kept buffers to `into` until at most `keep_bytes` are left.
    pub(crate) fn shrink_to(&mut self, keep_bytes: u64, into: &mut Vec<Mapping>) {
        while self.kept_bytes > keep_bytes {
            let Some(kept) = self.kept.pop() else { break };
            self.let_go(kept, into);
        }
    }

    /// Moves buffers kept since before `before` to `into`.
    pub(crate) fn expire(&mut self, before: Duration, into: &mut Vec<Mapping>) {
        let mut index = 0;
        while index < self.kept.len() {
            if self.kept[index].since <= before {
                let kept = self.kept.swap_remove(index);
                self.let_go(kept, into);
            } else {
                index += 1;
            }
        }
    }

    fn let_go(&mut self, kept: Kept, into: &mut Vec<Mapping>) {
        self.kept_bytes -= kept.mapping.len() as u64;
        self.unregister(kept.token);
        into.push(kept.mapping);
    }

    /// Takes the list of what must be measured.
    pub(crate) fn census(&mut self, census: &mut Census) {
        self.samples += 1;
        let all = self.samples.is_multiple_of(REMEASURE_SAMPLES);
        census.list.clear();
        census.full_bytes = 0;
        census.unmapped_before = self.unmapped_total;
        for (slot, mapped) in self.mapped.iter().enumerate() {
            let Some(mapped) = mapped else { continue };
            if mapped.full && !all {
                census.full_bytes += mapped.len as u64;
            } else {
                census.list.push((slot as u32, *mapped));
            }
        }
    }

    /// Resident bytes by a census, less what was unmapped while it was taken: too little is safe,
    /// too much is not.
    pub(crate) fn resident(&mut self, census: &Census, measured: &[u64]) -> u64 {
        let mut resident = census.full_bytes;
        for ((slot, seen), bytes) in census.list.iter().zip(measured) {
            resident += *bytes;
            if let Some(Some(mapped)) = self.mapped.get_mut(*slot as usize)
                && mapped.serial == seen.serial
                && mapped.len == seen.len
            {
                mapped.full = *bytes == seen.len as u64;
            }
        }
        resident.saturating_sub(self.unmapped_total - census.unmapped_before)
    }
}

impl Census {
    /// Asks the kernel. A mapping that is gone counts as nothing.
    pub(crate) fn measure(&self, into: &mut Vec<u64>) {
        into.clear();
        into.extend(self.list.iter().map(|(_, mapped)| {
            super::map::resident_bytes(mapped.address, mapped.len).unwrap_or(0)
        }));
    }
}
