//! Who writes to which upload, and how a newer request takes over.
//!
//! There is one writer per upload. A second request for the same upload does not wait for a connection that may be long dead, and is not
//! turned away with "locked", the field's most common complaint: it tells the first to stop. That one makes its bytes durable, records how far it
//! got and leaves; then the second proceeds from there. Of many newcomers the newest wins, the others are told so. The newest is the one that came
//! last: a request takes a number before it looks for its upload, since two that look at the same time may find it in the other order.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};
use tokio_util::sync::CancellationToken;

use crate::error::Error;
use crate::id::Id;

#[derive(Debug)]
struct Seat {
    turn: Arc<AsyncMutex<()>>,
    newest: CancellationToken,
    newest_arrival: Arrival,
    users: usize,
}

/// When a request came.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Arrival {
    /// Its place in the order of all.
    number: u64,
    /// Milliseconds since the Unix epoch.
    at: i64,
}

/// The seats of all uploads that someone writes to now.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    seats: Mutex<HashMap<Id, Seat>>,
    hand_overs: AtomicU64,
    arrivals: AtomicU64,
}

/// The right to write to one upload, until dropped.
#[derive(Debug)]
pub(crate) struct Session {
    sessions: Arc<Sessions>,
    file_id: Id,
    arrival: Arrival,
    stop: CancellationToken,
    turn: Option<OwnedMutexGuard<()>>,
}

impl Sessions {
    fn seats(&self) -> MutexGuard<'_, HashMap<Id, Seat>> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// To be called for a request before it waits for anything; `at` is the time of day.
    pub(crate) fn arrive(&self, at: i64) -> Arrival {
        Arrival {
            number: self.arrivals.fetch_add(1, Ordering::Relaxed),
            at,
        }
    }

    /// How often a request was told to give its seat up.
    pub(crate) fn hand_overs(&self) -> u64 {
        self.hand_overs.load(Ordering::Relaxed)
    }

    /// How many uploads have a writer.
    pub(crate) fn count(&self) -> usize {
        self.seats().len()
    }

    /// Whether someone writes to this upload, or waits to.
    pub(crate) fn is_taken(&self, file_id: Id) -> bool {
        self.seats().contains_key(&file_id)
    }

    /// The seat, if nobody has it.
    pub(crate) fn take_if_free(self: &Arc<Self>, file_id: Id) -> Option<Session> {
        let stop = CancellationToken::new();
        let turn: Arc<AsyncMutex<()>> = Arc::default();
        // Nobody knows this lock yet, so it is free.
        let guard = turn.clone().try_lock_owned().ok()?;
        match self.seats().entry(file_id) {
            Entry::Occupied(_) => return None,
            Entry::Vacant(seat) => seat.insert(Seat {
                turn,
                newest: stop.clone(),
                // Housekeeping is no request: each that comes, came after it.
                newest_arrival: Arrival::default(),
                users: 1,
            }),
        };
        Some(Session {
            sessions: self.clone(),
            file_id,
            arrival: Arrival::default(),
            stop,
            turn: Some(guard),
        })
    }

    /// Ends the request that writes to this upload and takes the seat.
    ///
    /// # Errors
    /// [`Error::Superseded`] by one that came later.
    pub(crate) async fn take_over(
        self: &Arc<Self>,
        file_id: Id,
        arrival: Arrival,
    ) -> Result<Session, Error> {
        let stop = CancellationToken::new();
        let turn = {
            let mut seats = self.seats();
            let seat = seats.entry(file_id).or_insert_with(|| Seat {
                turn: Arc::default(),
                newest: stop.clone(),
                newest_arrival: arrival,
                users: 0,
            });
            if seat.newest_arrival > arrival {
                return Err(Error::Superseded);
            }
            seat.newest_arrival = arrival;
            if seat.users > 0 {
                self.hand_overs.fetch_add(1, Ordering::Relaxed);
                seat.newest.cancel();
                seat.newest = stop.clone();
            }
            seat.users += 1;
            seat.turn.clone()
        };
        // From here on a drop, at whatever point, gives the seat back.
        let mut session = Session {
            sessions: self.clone(),
            file_id,
            arrival,
            stop,
            turn: None,
        };
        tokio::select! {
            biased;
            () = session.stop.cancelled() => return Err(Error::Superseded),
            turn = turn.lock_owned() => session.turn = Some(turn),
        }
        Ok(session)
    }
}

impl Session {
    /// Whose seat it is.
    pub(crate) fn file_id(&self) -> Id {
        self.file_id
    }

    /// When the request came, in milliseconds since the Unix epoch.
    pub(crate) fn came_at(&self) -> i64 {
        self.arrival.at
    }

    /// Cancelled when a newer request wants the seat.
    pub(crate) fn stop(&self) -> &CancellationToken {
        &self.stop
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.turn = None;
        let mut seats = self.sessions.seats();
        if let Some(seat) = seats.get_mut(&self.file_id) {
            seat.users -= 1;
            if seat.users == 0 {
                seats.remove(&self.file_id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_newest_wins_and_nobody_is_left_behind() {
        let sessions = Arc::new(Sessions::default());
        let id = Id::random();
        let take = |sessions: &Arc<Sessions>| {
            let (sessions, arrival) = (sessions.clone(), sessions.arrive(0));
            async move { sessions.take_over(id, arrival).await }
        };
        let first = take(&sessions).await.expect("the seat is free");
        let second = tokio::spawn(take(&sessions));
        first.stop().cancelled().await;
        let third = tokio::spawn({
            let third = take(&sessions);
            async move { third.await.map(|session| session.stop().is_cancelled()) }
        });
        // The second has been told to go by the third, and does so although the first still sits.
        assert!(matches!(second.await, Ok(Err(Error::Superseded))));
        drop(first);
        assert!(matches!(third.await, Ok(Ok(false))));
        assert_eq!(sessions.count(), 0);
    }

    #[tokio::test]
    async fn one_that_came_before_and_is_late_takes_over_from_none_that_came_after() {
        let sessions = Arc::new(Sessions::default());
        let id = Id::random();
        let late = sessions.arrive(0);
        let newer = sessions.take_over(id, sessions.arrive(0)).await;
        let newer = newer.expect("the seat is free");
        let refused = sessions.take_over(id, late).await;
        assert!(matches!(refused, Err(Error::Superseded)));
        assert!(!newer.stop().is_cancelled());
        drop(newer);
        assert_eq!(sessions.count(), 0);
        assert!(sessions.take_over(id, late).await.is_ok(), "it is alone");
    }

    #[tokio::test]
    async fn a_seat_that_is_free_is_taken_and_no_other() {
        let sessions = Arc::new(Sessions::default());
        let id = Id::random();
        let before = sessions.arrive(0);
        let first = sessions.take_if_free(id).expect("the seat is free");
        assert!(sessions.take_if_free(id).is_none() && sessions.is_taken(id));
        let second = tokio::spawn({
            let sessions = sessions.clone();
            async move { sessions.take_over(id, before).await.map(drop) }
        });
        first.stop().cancelled().await;
        drop(first);
        assert!(matches!(second.await, Ok(Ok(()))));
        assert_eq!((sessions.count(), sessions.hand_overs()), (0, 1));
    }

    #[tokio::test]
    async fn other_uploads_are_not_touched() {
        let sessions = Arc::new(Sessions::default());
        let take = || sessions.take_over(Id::random(), sessions.arrive(0));
        let one = take().await.expect("free");
        let _other = take().await.expect("free");
        assert!(!one.stop().is_cancelled());
        assert_eq!(sessions.count(), 2);
    }
}
