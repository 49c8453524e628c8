//! Memory that owns its lease.
//!
//! A buffer is mapped when its lease is had and unmapped when it is dropped: nothing is allocated
//! at start and nothing stays. A few freed ones are kept for a second, because a fast upload asks
//! again at once and mapping costs a page fault for every 4 KiB; they are never in the way,
//! see [`pool`].

mod map;
pub(crate) mod pool;

use std::ops::{Deref, DerefMut};

use crate::{Error, Lease};
pub(crate) use map::{Mapping, whole_pages};
pub(crate) use pool::Pool;
use pool::Token;

/// Page-aligned memory of exactly the length of its lease.
#[derive(Debug)]
pub struct Buffer {
    // Both are there until `drop` or `into_lease` takes them out.
    memory: Option<(Mapping, Token)>,
    lease: Option<Lease>,
}

impl Buffer {
    /// Zeroed memory of `lease.bytes()`.
    ///
    /// # Errors
    /// [`Error::Map`] if the kernel refuses; the lease is given back then.
    pub fn new(lease: Lease) -> Result<Self, Error> {
        let (mut buffer, was_used) = Self::obtain(lease)?;
        if was_used {
            buffer.fill(0);
        }
        Ok(buffer)
    }

    /// Memory of `lease.bytes()` that may hold what an earlier buffer held: for those who write
    /// before they read and never show what they did not write. Saves the cost of zeroing.
    ///
    /// # Errors
    /// As [`Buffer::new`].
    pub fn with_stale_contents(lease: Lease) -> Result<Self, Error> {
        Self::obtain(lease).map(|(buffer, _)| buffer)
    }

    fn obtain(lease: Lease) -> Result<(Self, bool), Error> {
        let bytes = lease.bytes();
        let len = usize::try_from(bytes).map_err(|_| Error::Map {
            bytes,
            source: std::io::ErrorKind::OutOfMemory.into(),
        })?;
        if let Some(memory) = lease.inner().take_kept(len) {
            return Ok((
                Self {
                    memory: Some(memory),
                    lease: Some(lease),
                },
                true,
            ));
        }
        let mapping = Mapping::new(len).map_err(|source| Error::Map { bytes, source })?;
        let token = lease.inner().register(&mapping);
        Ok((
            Self {
                memory: Some((mapping, token)),
                lease: Some(lease),
            },
            false,
        ))
    }

    fn mapping(&self) -> &Mapping {
        &self
            .memory
            .as_ref()
            .expect("memory is there until the buffer is taken apart")
            .0
    }

    /// Length in bytes: that of the lease.
    pub fn len(&self) -> usize {
        self.mapping().len()
    }

    /// Never: a lease is a page at least.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The lease that it owns.
    pub fn lease(&self) -> &Lease {
        self.lease
            .as_ref()
            .expect("the lease is there until the buffer is taken apart")
    }

    /// Makes it longer without waiting, contents kept, the new part zeroed; `false` if there is not
    /// enough. It may move in memory.
    pub fn try_grow(&mut self, to_bytes: u64) -> bool {
        let (Some((mapping, token)), Some(lease)) = (self.memory.as_mut(), self.lease.as_mut())
        else {
            return false;
        };
        let before = lease.bytes();
        if to_bytes <= before {
            return true;
        }
        if !lease.try_grow(to_bytes - before) {
            return false;
        }
        let Ok(len) = usize::try_from(lease.bytes()) else {
            lease.shrink_to(before);
            return false;
        };
        // Unlisted while it moves: a census in between must not count it at its old place.
        lease.inner().unregister(*token);
        let grown = mapping.grow(len);
        *token = lease.inner().register(mapping);
        if grown.is_err() {
            lease.shrink_to(before);
        }
        grown.is_ok()
    }

    /// Gives the memory back and keeps the right to it.
    pub fn into_lease(mut self) -> Lease {
        let lease = self
            .lease
            .take()
            .expect("the lease is there until the buffer is taken apart");
        if let Some((mapping, token)) = self.memory.take() {
            lease.inner().unregister(token);
            drop(mapping);
        }
        lease
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.mapping().bytes()
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.memory
            .as_mut()
            .expect("memory is there until the buffer is taken apart")
            .0
            .bytes_mut()
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let (Some((mapping, token)), Some(lease)) = (self.memory.take(), self.lease.take()) {
            // First the memory, then the right to it: between the two no other may be promised
            // it.
            lease.give_back_with(mapping, token);
        }
    }
}
