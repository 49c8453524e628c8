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

/// The requests for one upload.
#[derive(Debug)]
struct Queue {
    mutex: Arc<AsyncMutex<()>>,
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

/// The locks of all uploads that someone writes to now.
#[derive(Debug, Default)]
pub(crate) struct UploadLocks {
    queues: Mutex<HashMap<FileId, Queue>>,
    hand_overs: AtomicU64,
    arrivals: AtomicU64,
}

/// The right to write to one upload, until dropped.
#[derive(Debug)]
pub(crate) struct UploadLock {
    locks: Arc<UploadLocks>,
    file_id: FileId,
    arrival: Arrival,
    stop: CancellationToken,
    guard: Option<OwnedMutexGuard<()>>,
}

impl UploadLocks {
    fn queues(&self) -> MutexGuard<'_, HashMap<FileId, Queue>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// To be called for a request before it waits for anything; `at` is the time of day.
    pub(crate) fn arrive(&self, at: i64) -> Arrival {
        Arrival {
            number: self.arrivals.fetch_add(1, Ordering::Relaxed),
            at,
        }
    }

    /// How often a request was told to give its lock up.
    pub(crate) fn hand_overs(&self) -> u64 {
        self.hand_overs.load(Ordering::Relaxed)
    }

    /// How many uploads have a writer.
    pub(crate) fn count(&self) -> usize {
        self.queues().len()
    }

    /// Whether someone writes to this upload, or waits to.
    pub(crate) fn is_locked(&self, file_id: FileId) -> bool {
        self.queues().contains_key(&file_id)
    }

    /// The lock, if it is free.
    pub(crate) fn try_acquire(self: &Arc<Self>, file_id: FileId) -> Option<UploadLock> {
        let stop = CancellationToken::new();
        let mutex: Arc<AsyncMutex<()>> = Arc::default();
        // No other task knows this lock yet, so it is free.
        let guard = mutex.clone().try_lock_owned().ok()?;
        match self.queues().entry(file_id) {
            Entry::Occupied(_) => return None,
            Entry::Vacant(queue) => queue.insert(Queue {
                mutex,
                newest: stop.clone(),
                // Housekeeping is no request: each that comes, came after it.
                newest_arrival: Arrival::default(),
                newest_writer: Arrival::default(),
                users: 1,
            }),
        };
        Some(UploadLock {
            locks: self.clone(),
            file_id,
            arrival: Arrival::default(),
            stop,
            guard: Some(guard),
        })
    }

    /// Ends the request that writes to this upload and takes the queue.
    ///
    /// # Errors
    /// [`Error::Superseded`] by one that came later.
    pub(crate) async fn preempt(
        self: &Arc<Self>,
        file_id: FileId,
        arrival: Arrival,
    ) -> Result<UploadLock, Error> {
        let (mut lock, turn) = self.enqueue(file_id, arrival, true)?;
        tokio::select! {
            biased;
            () = lock.stop.cancelled() => return Err(Error::Superseded),
            guard = turn => lock.guard = Some(guard),
        }
        Ok(lock)
    }

    /// As [`UploadLocks::preempt`] for a request that needs the lock for a moment only: it waits
    /// for its turn also where newer ones come meanwhile. Turns are had in the order in which they
    /// are asked for, so it holds none of them up.
    ///
    /// # Errors
    /// [`Error::Superseded`] by one that came later and has the lock already.
    pub(crate) async fn acquire(
        self: &Arc<Self>,
        file_id: FileId,
        arrival: Arrival,
    ) -> Result<UploadLock, Error> {
        let (mut lock, turn) = self.enqueue(file_id, arrival, false)?;
        lock.guard = Some(turn.await);
        Ok(lock)
    }

    /// Tells the request that writes to stop, and gets in line.
    fn enqueue(
        self: &Arc<Self>,
        file_id: FileId,
        arrival: Arrival,
        writes: bool,
    ) -> Result<
        (
            UploadLock,
            impl Future<Output = OwnedMutexGuard<()>> + use<>,
        ),
        Error,
    > {
        let stop = CancellationToken::new();
        let turn = {
            let mut queues = self.queues();
            let queue = queues.entry(file_id).or_insert_with(|| Queue {
                mutex: Arc::default(),
                newest: stop.clone(),
                newest_arrival: arrival,
                newest_writer: Arrival::default(),
                users: 0,
            });
            // Who only needs a moment waits behind others of its kind, but not for a newer one's
            // whole body.
            let newer = match writes {
                true => queue.newest_arrival,
                false => queue.newest_writer,
            };
            if newer > arrival {
                return Err(Error::Superseded);
            }
            queue.newest_arrival = queue.newest_arrival.max(arrival);
            if writes {
                queue.newest_writer = arrival;
            }
            if queue.users > 0 {
                self.hand_overs.fetch_add(1, Ordering::Relaxed);
                queue.newest.cancel();
                queue.newest = stop.clone();
            }
            queue.users += 1;
            let mut turn = Box::pin(queue.mutex.clone().lock_owned());
            // The first poll gets in line: while the queues are locked, so that the line has the
            // order of arrivals.
            match turn.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(guard) => Either::Left(std::future::ready(guard)),
                Poll::Pending => Either::Right(turn),
            }
        };
        // From here on a drop, at whatever point, gives the lock back.
        let lock = UploadLock {
            locks: self.clone(),
            file_id,
            arrival,
            stop,
            guard: None,
        };
        Ok((lock, turn))
    }
}

impl UploadLock {
    /// The upload that is locked.
    pub(crate) fn file_id(&self) -> FileId {
        self.file_id
    }

    /// When the request came, in milliseconds since the Unix epoch.
    pub(crate) fn requested_at(&self) -> i64 {
        self.arrival.at
    }

    /// Cancelled when a newer request wants the queue.
    pub(crate) fn stop(&self) -> &CancellationToken {
        &self.stop
    }
}

impl Drop for UploadLock {
    fn drop(&mut self) {
        self.guard = None;
        let mut queues = self.locks.queues();
        if let Some(queue) = queues.get_mut(&self.file_id) {
            queue.users -= 1;
            if queue.users == 0 {
                queues.remove(&self.file_id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_newest_wins_and_no_request_is_left_behind() {
        let locks = Arc::new(UploadLocks::default());
        let id = FileId::random();
        let take = |locks: &Arc<UploadLocks>| {
            let (locks, arrival) = (locks.clone(), locks.arrive(0));
            async move { locks.preempt(id, arrival).await }
        };
        let first = take(&locks).await.expect("the lock is free");
        let second = tokio::spawn(take(&locks));
        first.stop().cancelled().await;
        let third = tokio::spawn({
            let third = take(&locks);
            async move { third.await.map(|lock| lock.stop().is_cancelled()) }
        });
        // The second has been told to go by the third, and does so although the first still has
        // the lock.
        assert!(matches!(second.await, Ok(Err(Error::Superseded))));
        drop(first);
        assert!(matches!(third.await, Ok(Ok(false))));
        assert_eq!(locks.count(), 0);
    }

    #[tokio::test]
    async fn who_needs_a_moment_waits_for_it_whatever_comes_after() {
        let locks = Arc::new(UploadLocks::default());
        let id = FileId::random();
        let first = locks.preempt(id, locks.arrive(0)).await;
        let first = first.expect("the lock is free");
        let mut waiting = Vec::new();
        // They came in another order than that in which they ask.
        let arrivals: Vec<_> = (0..6).map(|_| locks.arrive(0)).collect();
        for arrival in arrivals.into_iter().rev() {
            let locks = locks.clone();
            let turn = async move { locks.acquire(id, arrival).await.map(drop) };
            let mut turn = Box::pin(turn);
            assert!(futures_util::poll!(&mut turn).is_pending());
            waiting.push(turn);
        }
        assert!(first.stop().is_cancelled());
        let (others, arrival) = (locks.clone(), locks.arrive(0));
        let mut newer = Box::pin(others.preempt(id, arrival));
        assert!(futures_util::poll!(&mut newer).is_pending());
        drop(first);
        for turn in waiting {
            assert!(turn.await.is_ok());
        }
        let newer = newer.await.expect("all before it have had their turns");
        assert!(!newer.stop().is_cancelled());
        drop(newer);
        assert_eq!(locks.count(), 0);
    }

    #[tokio::test]
    async fn one_that_came_before_and_is_late_takes_over_from_none_that_came_after() {
        let locks = Arc::new(UploadLocks::default());
        let id = FileId::random();
        let late = locks.arrive(0);
        let newer = locks.preempt(id, locks.arrive(0)).await;
        let newer = newer.expect("the lock is free");
        let refused = locks.preempt(id, late).await;
        assert!(matches!(refused, Err(Error::Superseded)));
        assert!(!newer.stop().is_cancelled());
        drop(newer);
        assert_eq!(locks.count(), 0);
        assert!(locks.preempt(id, late).await.is_ok(), "it is alone");
    }

    #[tokio::test]
    async fn a_lock_that_is_free_is_taken_and_no_other() {
        let locks = Arc::new(UploadLocks::default());
        let id = FileId::random();
        let before = locks.arrive(0);
        let first = locks.try_acquire(id).expect("the lock is free");
        assert!(locks.try_acquire(id).is_none() && locks.is_locked(id));
        let second = tokio::spawn({
            let locks = locks.clone();
            async move { locks.preempt(id, before).await.map(drop) }
        });
        first.stop().cancelled().await;
        drop(first);
        assert!(matches!(second.await, Ok(Ok(()))));
        assert_eq!((locks.count(), locks.hand_overs()), (0, 1));
    }

    #[tokio::test]
    async fn other_uploads_are_not_touched() {
        let locks = Arc::new(UploadLocks::default());
        let take = || locks.preempt(FileId::random(), locks.arrive(0));
        let one = take().await.expect("free");
        let _other = take().await.expect("free");
        assert!(!one.stop().is_cancelled());
        assert_eq!(locks.count(), 2);
    }
}
