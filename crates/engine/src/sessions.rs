//! Who writes to which upload, and how a newer request takes over.
//!
//! There is one writer per upload. A second request for the same upload does not wait for a
//! connection that may be long dead, and is not turned away with "locked", the field's most common
//! complaint: it tells the first to stop. That one makes its bytes durable, records how far it got
//! and leaves; then the second proceeds from there. Of many that would write the newest wins, the
//! others are told so; who only asks, or ends the upload, waits for a turn. The newest is the one
//! that came last: a request takes a number before it looks for its upload, since two that look at
//! the same time may find it in the other order.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use ddx_id::FileId;
use futures_util::future::Either;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};
use tokio_util::sync::CancellationToken;

use crate::error::Error;

#[derive(Debug)]
struct Seat {
    turn: Arc<AsyncMutex<()>>,
    newest: CancellationToken,
    newest_arrival: Arrival,
    /// Of those that would write.
    newest_writer: Arrival,
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
    seats: Mutex<HashMap<FileId, Seat>>,
    hand_overs: AtomicU64,
    arrivals: AtomicU64,
}

/// The right to write to one upload, until dropped.
#[derive(Debug)]
pub(crate) struct Session {
    sessions: Arc<Sessions>,
    file_id: FileId,
    arrival: Arrival,
    stop: CancellationToken,
    turn: Option<OwnedMutexGuard<()>>,
}

impl Sessions {
    fn seats(&self) -> MutexGuard<'_, HashMap<FileId, Seat>> {
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
    pub(crate) fn is_taken(&self, file_id: FileId) -> bool {
        self.seats().contains_key(&file_id)
    }

    /// The seat, if it is free.
    pub(crate) fn take_if_free(self: &Arc<Self>, file_id: FileId) -> Option<Session> {
        let stop = CancellationToken::new();
        let turn: Arc<AsyncMutex<()>> = Arc::default();
        // No other task knows this lock yet, so it is free.
        let guard = turn.clone().try_lock_owned().ok()?;
        match self.seats().entry(file_id) {
            Entry::Occupied(_) => return None,
            Entry::Vacant(seat) => seat.insert(Seat {
                turn,
                newest: stop.clone(),
                // Housekeeping is no request: each that comes, came after it.
                newest_arrival: Arrival::default(),
                newest_writer: Arrival::default(),
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
        file_id: FileId,
        arrival: Arrival,
    ) -> Result<Session, Error> {
        let (mut session, turn) = self.ask_for(file_id, arrival, true)?;
        tokio::select! {
            biased;
            () = session.stop.cancelled() => return Err(Error::Superseded),
            turn = turn => session.turn = Some(turn),
        }
        Ok(session)
    }

    /// As [`Sessions::take_over`] for a request that needs the seat for a moment only: it waits for
    /// its turn also where newer ones come meanwhile. Turns are had in the order in which they are
    /// asked for, so it holds none of them up.
    ///
    /// # Errors
    /// [`Error::Superseded`] by one that came later and has the seat already.
    pub(crate) async fn take_turn(
        self: &Arc<Self>,
        file_id: FileId,
        arrival: Arrival,
    ) -> Result<Session, Error> {
        let (mut session, turn) = self.ask_for(file_id, arrival, false)?;
        session.turn = Some(turn.await);
        Ok(session)
    }

    /// Tells the request that writes to stop, and gets in line.
    fn ask_for(
        self: &Arc<Self>,
        file_id: FileId,
        arrival: Arrival,
        writes: bool,
    ) -> Result<(Session, impl Future<Output = OwnedMutexGuard<()>> + use<>), Error> {
        let stop = CancellationToken::new();
        let turn = {
            let mut seats = self.seats();
            let seat = seats.entry(file_id).or_insert_with(|| Seat {
                turn: Arc::default(),
                newest: stop.clone(),
                newest_arrival: arrival,
                newest_writer: Arrival::default(),
                users: 0,
            });
            // Who only needs a moment waits behind others of its kind, but not for a newer one's
            // whole body.
            let newer = match writes {
                true => seat.newest_arrival,
                false => seat.newest_writer,
            };
            if newer > arrival {
                return Err(Error::Superseded);
            }
            seat.newest_arrival = seat.newest_arrival.max(arrival);
            if writes {
                seat.newest_writer = arrival;
            }
            if seat.users > 0 {
                self.hand_overs.fetch_add(1, Ordering::Relaxed);
                seat.newest.cancel();
                seat.newest = stop.clone();
            }
            seat.users += 1;
            let mut turn = Box::pin(seat.turn.clone().lock_owned());
            // The first poll gets in line: before the seats are free, so that the line has the
            // order of arrivals.
            match turn.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(guard) => Either::Left(std::future::ready(guard)),
                Poll::Pending => Either::Right(turn),
            }
        };
        // From here on a drop, at whatever point, gives the seat back.
        let session = Session {
            sessions: self.clone(),
            file_id,
            arrival,
            stop,
            turn: None,
        };
        Ok((session, turn))
    }
}

impl Session {
    /// Whose seat it is.
    pub(crate) fn file_id(&self) -> FileId {
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
        let id = FileId::random();
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
    async fn who_needs_a_moment_waits_for_it_whatever_comes_after() {
        let sessions = Arc::new(Sessions::default());
        let id = FileId::random();
        let first = sessions.take_over(id, sessions.arrive(0)).await;
        let first = first.expect("the seat is free");
        let mut waiting = Vec::new();
        // They came in another order than that in which they ask.
        let arrivals: Vec<_> = (0..6).map(|_| sessions.arrive(0)).collect();
        for arrival in arrivals.into_iter().rev() {
            let sessions = sessions.clone();
            let turn = async move { sessions.take_turn(id, arrival).await.map(drop) };
            let mut turn = Box::pin(turn);
            assert!(futures_util::poll!(&mut turn).is_pending());
            waiting.push(turn);
        }
        assert!(first.stop().is_cancelled());
        let (others, arrival) = (sessions.clone(), sessions.arrive(0));
        let mut newer = Box::pin(others.take_over(id, arrival));
        assert!(futures_util::poll!(&mut newer).is_pending());
        drop(first);
        for turn in waiting {
            assert!(turn.await.is_ok());
        }
        let newer = newer.await.expect("all before it have had their turns");
        assert!(!newer.stop().is_cancelled());
        drop(newer);
        assert_eq!(sessions.count(), 0);
    }

    #[tokio::test]
    async fn one_that_came_before_and_is_late_takes_over_from_none_that_came_after() {
        let sessions = Arc::new(Sessions::default());
        let id = FileId::random();
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
        let id = FileId::random();
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
        let take = || sessions.take_over(FileId::random(), sessions.arrive(0));
        let one = take().await.expect("free");
        let _other = take().await.expect("free");
        assert!(!one.stop().is_cancelled());
        assert_eq!(sessions.count(), 2);
    }
}
