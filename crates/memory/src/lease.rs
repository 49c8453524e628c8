//! The right to hold so many bytes, given back when dropped.

use crate::Holder;
use crate::buffer::{Mapping, pool::Token, whole_pages};
use crate::holder::Purpose;
use crate::ledger::Inner;
use crate::sync::Arc;

/// The right to hold some bytes. Whole pages of 4096 bytes; dropping it gives them back.
#[derive(Debug)]
#[must_use = "dropping a lease gives its bytes back"]
pub struct Lease {
    inner: Arc<Inner>,
    slot: u32,
    holder: Holder,
    bytes: u64,
    purpose: Purpose,
}

impl Lease {
    pub(crate) fn new(
        inner: Arc<Inner>,
        slot: u32,
        holder: Holder,
        bytes: u64,
        purpose: Purpose,
    ) -> Self {
        Self {
            inner,
            slot,
            holder,
            bytes,
            purpose,
        }
    }

    pub(crate) fn inner(&self) -> &Inner {
        &self.inner
    }

    /// Size in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whose it is.
    pub fn holder(&self) -> Holder {
        self.holder
    }

    /// Takes `by` bytes more (rounded up to pages) without waiting; `false` if they can't be had
    /// now.
    #[must_use = "the lease is as it was if this is false"]
    pub fn try_grow(&mut self, by: u64) -> bool {
        let granted = self.inner.grow(self.slot, by, self.purpose);
        self.bytes += granted.unwrap_or(0);
        granted.is_some()
    }

    /// Gives back all beyond `bytes` (rounded up to pages, a page at least). Does nothing if it
    /// holds no more.
    pub fn shrink_to(&mut self, bytes: u64) {
        let keep = whole_pages(bytes);
        if keep < self.bytes {
            self.inner
                .give_back(self.slot, self.bytes - keep, false, self.purpose);
            self.bytes = keep;
        }
    }

    /// Takes `bytes` (rounded up to pages) out of it as a lease of their own; `None` unless
    /// something is left on both sides.
    pub fn split(&mut self, bytes: u64) -> Option<Lease> {
        let part = whole_pages(bytes);
        if part >= self.bytes {
            return None;
        }
        self.inner.split(self.slot);
        self.bytes -= part;
        Some(Lease {
            inner: self.inner.clone(),
            slot: self.slot,
            holder: self.holder,
            bytes: part,
            purpose: self.purpose,
        })
    }

    /// How much of this lease is asked back now, at the next chunk's end: all of it while one
    /// waits that has had less, else what this upload holds beyond its share, and more as pressure
    /// rises. Under the highest pressure all of it, unless this upload is the one that may always
    /// go on. Nothing is ever taken by force.
    pub fn surplus_bytes(&self) -> u64 {
        self.inner.surplus(self.slot).min(self.bytes)
    }

    /// Gives the lease back together with the memory that was mapped under it.
    pub(crate) fn give_back_with(self, mapping: Mapping, token: Token) {
        if let Some(mapping) = self.inner.keep_or_unregister(mapping, token) {
            drop(mapping);
        }
        drop(self);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.inner
            .give_back(self.slot, self.bytes, true, self.purpose);
    }
}
