//! What the engine takes from the machine beside disk, catalog and memory: the time of day, chance,
//! and threads that may block.
//!
//! Behind a trait for one reason: a program that holds all three, and tokio's clock, has the whole
//! engine in its hand. The simulation (`crates/sim`) runs it from one seed, on one thread, and gets
//! the same life again from the same seed.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::error::Error;
use crate::steady::{ClockState, Moment, SteadyClock};

/// A clock is taken to have jumped by this much, where no setting says otherwise.
const JUMP: Duration = Duration::from_secs(120);

/// Where an engine lives.
pub trait Surroundings: Send + Sync + 'static {
    /// The time that deadlines are counted in, in milliseconds. May jump, as a machine's clock
    /// does.
    fn unix_at(&self) -> i64;

    /// How that time and the time of day differ.
    fn clock(&self) -> ClockState {
        ClockState {
            is_settled: true,
            ..ClockState::default()
        }
    }

    /// Fills it with bytes that can't be guessed.
    fn random(&self, into: &mut [u8]);

    /// Does work that blocks where it holds up nothing else. It is called in a tokio runtime.
    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send>);

    /// The same for work that takes long: megabytes to be hashed and written. What takes a moment
    /// must not stand behind it.
    fn spawn_bulk(&self, work: Box<dyn FnOnce() + Send>) {
        self.spawn_blocking(work);
    }
}

/// The machine that the program runs on. Clones share its threads.
#[derive(Debug, Clone)]
pub struct Machine {
    bulk: Arc<Bulk>,
    clock: Arc<SteadyClock>,
}

impl Machine {
    /// At most so many threads work on bulk at once; the runtime's limit of blocking threads should
    /// be higher, so that some are left for what takes a moment.
    #[must_use]
    pub fn new(bulk_threads: usize) -> Self {
        let clock = SteadyClock::new(JUMP, Moment::now());
        Self::living_by(Arc::new(clock), bulk_threads)
    }

    /// The same, by a clock that goes on from the last run.
    #[must_use]
    pub fn living_by(clock: Arc<SteadyClock>, bulk_threads: usize) -> Self {
        let bulk = Arc::new(Bulk {
            threads_max: bulk_threads.max(1),
            state: Mutex::default(),
        });
        Self { bulk, clock }
    }
}

type Work = Box<dyn FnOnce() + Send>;

/// Work that takes long, in the order in which it came. Each upload has one piece of it at a time,
/// so their number bounds the queue.
struct Bulk {
    threads_max: usize,
    state: Mutex<BulkState>,
}

#[derive(Default)]
struct BulkState {
    threads: usize,
    waiting: VecDeque<Work>,
}

impl std::fmt::Debug for Bulk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bulk")
            .field("threads_max", &self.threads_max)
            .finish_non_exhaustive()
    }
}

impl Bulk {
    fn state(&self) -> MutexGuard<'_, BulkState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn spawn(self: &Arc<Self>, work: Work) {
        let mut state = self.state();
        if state.threads == self.threads_max {
            state.waiting.push_back(work);
            return;
        }
        state.threads += 1;
        drop(state);
        let place = ThreadPlace {
            bulk: self.clone(),
            is_left: false,
        };
        // It panics where the system has no thread for us, and drops what it was given.
        drop(tokio::task::spawn_blocking(move || place.work_from(work)));
    }
}

/// The place of one thread among those that work on bulk; given back however it ends.
struct ThreadPlace {
    bulk: Arc<Bulk>,
    is_left: bool,
}

impl Drop for ThreadPlace {
    fn drop(&mut self) {
        if !self.is_left {
            self.bulk.state().threads -= 1;
        }
    }
}

impl ThreadPlace {
    fn work_from(mut self, mut work: Work) {
        loop {
            // A panic is told by the hook and by the answer that does not come; the thread's place
            // must not be lost with it.
            let _ = catch_unwind(AssertUnwindSafe(work));
            let mut state = self.bulk.state();
            match state.waiting.pop_front() {
                Some(next) => work = next,
                None => {
                    // Under the same lock, so that no work comes to wait for a thread that is about
                    // to go.
                    state.threads -= 1;
                    drop(state);
                    self.is_left = true;
                    return;
                }
            }
        }
    }
}

impl Surroundings for Machine {
    fn unix_at(&self) -> i64 {
        self.clock.at(Moment::now())
    }

    fn clock(&self) -> ClockState {
        self.clock.known(Moment::now())
    }

    fn random(&self, into: &mut [u8]) {
        ddx_id::fill(into);
    }

    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send>) {
        // Its answer goes its own way, and so does the news that it panicked.
        drop(tokio::task::spawn_blocking(work));
    }

    fn spawn_bulk(&self, work: Work) {
        self.bulk.spawn(work);
    }
}

impl dyn Surroundings {
    /// A new id, or a new secret.
    pub(crate) fn id<T: From<[u8; 16]>>(&self) -> T {
        let mut bytes = [0; 16];
        self.random(&mut bytes);
        bytes.into()
    }

    /// Begins work that blocks; what it answers. It is done even where the answer is not waited
    /// for.
    pub(crate) fn begin<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Begun<T> {
        let (work, begun) = answering(work);
        self.spawn_blocking(work);
        begun
    }

    /// The same for work that takes long.
    pub(crate) fn begin_bulk<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Begun<T> {
        let (work, begun) = answering(work);
        self.spawn_bulk(work);
        begun
    }
}

fn answering<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> (Work, Begun<T>) {
    let (answer, begun) = oneshot::channel();
    // What is logged on another thread belongs to the same request.
    let request = tracing::Span::current();
    let work = move || {
        // Who asked may be gone.
        let _ = answer.send(request.in_scope(work));
    };
    (Box::new(work), Begun(begun))
}

/// Work that has begun on a thread that may block.
#[derive(Debug)]
pub(crate) struct Begun<T>(oneshot::Receiver<T>);

impl<T> Begun<T> {
    /// What came of it.
    pub(crate) async fn done(self) -> Result<T, Error> {
        self.0
            .await
            .map_err(|_| Error::Internal("work on a blocking thread ended in a panic".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[tokio::test]
    async fn what_takes_a_moment_is_done_while_bulk_waits_in_order() {
        let machine: &dyn Surroundings = &Machine::new(1);
        let (release, held) = mpsc::channel::<()>();
        let first = machine.begin_bulk(move || held.recv().is_ok());
        let order = Arc::new(Mutex::new(Vec::new()));
        let waiting: Vec<_> = (0..3)
            .map(|number| {
                let order = order.clone();
                machine.begin_bulk(move || order.lock().expect("no panic").push(number))
            })
            .collect();
        assert_eq!(machine.begin(|| 7).done().await.expect("it is done"), 7);
        assert!(order.lock().expect("no panic").is_empty());
        release.send(()).expect("it waits");
        assert!(first.done().await.expect("it is done"));
        for one in waiting {
            one.done().await.expect("it is done");
        }
        assert_eq!(*order.lock().expect("no panic"), [0, 1, 2]);
    }

    #[test]
    fn a_thread_that_cannot_be_had_takes_no_place_with_it() {
        let machine: &dyn Surroundings = &Machine::new(1);
        // Without a runtime there is no thread, and tokio panics as it does where the system has
        // none.
        for _ in 0..3 {
            let begun = catch_unwind(AssertUnwindSafe(|| machine.begin_bulk(|| 1)));
            assert!(begun.is_err());
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime");
        let done = runtime.block_on(async { machine.begin_bulk(|| 1).done().await });
        assert_eq!(done.expect("done"), 1);
    }

    #[tokio::test]
    async fn a_panic_takes_no_thread_with_it() {
        let machine: &dyn Surroundings = &Machine::new(1);
        let broken = machine.begin_bulk(|| panic!("on purpose"));
        assert!(broken.done().await.is_err());
        assert_eq!(machine.begin_bulk(|| 1).done().await.expect("done"), 1);
    }
}
