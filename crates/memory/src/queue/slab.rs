//! Entries that keep their number while others come and go.

/// A vector with holes.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    entries: Vec<Option<T>>,
    holes: Vec<u32>,
}

impl<T> Slab<T> {
    pub(crate) fn new() -> Self {
        Self {
            entries: Vec::new(),
            holes: Vec::new(),
        }
    }

    pub(crate) fn insert(&mut self, entry: T) -> u32 {
        if let Some(slot) = self.holes.pop() {
            self.entries[slot as usize] = Some(entry);
            return slot;
        }
        let slot =
            u32::try_from(self.entries.len()).expect("fewer than 2^32 uploads hold memory or wait");
        self.entries.push(Some(entry));
        slot
    }

    pub(crate) fn remove(&mut self, slot: u32) {
        let entry = self.entries.get_mut(slot as usize).and_then(Option::take);
        debug_assert!(entry.is_some(), "slot {slot} is removed twice");
        if entry.is_some() {
            self.holes.push(slot);
        }
        // A burst of thousands must not leave its table behind for ever.
        if self.entries.len() > 1024 && self.holes.len() == self.entries.len() {
            *self = Self::new();
        }
    }

    /// The entry, which the caller keeps alive by a lease or a waiter of its own.
    pub(crate) fn at(&self, slot: u32) -> &T {
        self.entries[slot as usize]
            .as_ref()
            .expect("a slot is kept while a lease or a waiter refers to it")
    }

    pub(crate) fn at_mut(&mut self, slot: u32) -> &mut T {
        self.entries[slot as usize]
            .as_mut()
            .expect("a slot is kept while a lease or a waiter refers to it")
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.entries.iter().flatten()
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.entries.len() - self.holes.len()
    }
}
