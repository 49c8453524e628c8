//! Places of which there are so many, and of which one client may have only a part: what one takes
//! must not shut out all others.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Places for all clients together.
#[derive(Debug)]
pub(crate) struct Places {
    max: usize,
    per_client_max: usize,
    /// Clients that have some. As many entries as places at most.
    taken: Mutex<HashMap<String, usize>>,
}

/// A place, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    client: String,
}

/// Why there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    /// All are taken; there are so many.
    All(usize),
    /// This client has so many, and may not have more.
    Client(usize),
}

impl Places {
    pub(crate) fn new(max: usize, per_client_max: usize) -> Arc<Self> {
        Arc::new(Self {
            max,
            per_client_max,
            taken: Mutex::default(),
        })
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many are taken.
    pub(crate) fn count(&self) -> usize {
        self.taken().values().sum()
    }

    pub(crate) fn take(self: &Arc<Self>, client: String) -> Result<Place, Full> {
        let mut taken = self.taken();
        if taken.values().sum::<usize>() >= self.max {
            return Err(Full::All(self.max));
        }
        let own = taken.get(&client).copied().unwrap_or(0);
        if own >= self.per_client_max {
            return Err(Full::Client(self.per_client_max));
        }
        taken.insert(client.clone(), own + 1);
        drop(taken);
        Ok(Place {
            places: self.clone(),
            client,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        match taken.get_mut(&self.client) {
            Some(own) if *own > 1 => *own -= 1,
            _ => drop(taken.remove(&self.client)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_client_does_not_take_all() {
        let places = Places::new(3, 2);
        let take = |client: &str| places.take(client.to_owned());
        let (one, two) = (take("a").ok(), take("a").ok());
        assert!(one.is_some() && two.is_some());
        assert_eq!(take("a").err(), Some(Full::Client(2)));
        let other = take("b").ok();
        assert!(other.is_some());
        assert_eq!(take("c").err(), Some(Full::All(3)));
        drop(one);
        assert!(take("a").is_ok(), "one was given back");
        drop((two, other));
        assert!(places.taken().is_empty(), "what is given back is forgotten");
    }
}
