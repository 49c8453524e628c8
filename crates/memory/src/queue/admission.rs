//! The handle of an upload that waits.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use super::RequestState;
use super::place::Place;
use crate::ledger::Inner;
use crate::sync::{Arc, thread};
use crate::{Lease, Refusal};

/// A request for memory that is granted, or waits its turn. A future for any executor;
/// [`Admission::wait`] for a thread. Dropping it leaves the queue, and bytes that had been granted
/// meanwhile go back.
#[must_use = "dropping an admission leaves the queue"]
pub struct Admission {
    inner: Arc<Inner>,
    stage: Stage,
}

enum Stage {
    Ready(Lease),
    Queued(u64),
    Done,
}

impl Admission {
    pub(crate) fn ready(inner: Arc<Inner>, lease: Lease) -> Self {
        Self {
            inner,
            stage: Stage::Ready(lease),
        }
    }

    pub(crate) fn queued(inner: Arc<Inner>, number: u64) -> Self {
        Self {
            inner,
            stage: Stage::Queued(number),
        }
    }

    /// The answer, if it is there; else `waker` is kept.
    fn fetch(&self, number: u64, waker: &Waker) -> Option<Result<Lease, Refusal>> {
        let request = self.inner.fetch(number, waker)?;
        match request.state {
            RequestState::Granted(bytes) => Some(Ok(Lease::new(
                self.inner.clone(),
                request.upload,
                request.holder,
                bytes,
                request.purpose,
            ))),
            RequestState::Refused(why) => Some(Err(why)),
            RequestState::Waiting => None,
        }
    }

    /// Where one stands; `None` once the answer is there.
    pub fn place(&self) -> Option<Place> {
        let Stage::Queued(number) = self.stage else {
            return None;
        };
        self.inner.place(number)
    }

    /// Whether the answer is there: polling would not wait.
    pub fn is_decided(&self) -> bool {
        self.place().is_none()
    }

    /// Blocks the thread until the answer is there.
    ///
    /// # Errors
    /// The ledger's refusal, or [`Refusal::TimedOut`].
    pub fn wait(mut self, timeout: Duration) -> Result<Lease, Refusal> {
        let waker = Waker::from(std::sync::Arc::new(Unpark(thread::current())));
        let mut context = Context::from_waker(&waker);
        let deadline = self.inner.now().saturating_add(timeout);
        loop {
            if let Poll::Ready(answer) = Pin::new(&mut self).poll(&mut context) {
                return answer;
            }
            let left = deadline.saturating_sub(self.inner.now());
            if left.is_zero() {
                return Err(Refusal::TimedOut);
            }
            thread::park_timeout(left);
        }
    }
}

struct Unpark(thread::Thread);

impl Wake for Unpark {
    fn wake(self: std::sync::Arc<Self>) {
        self.0.unpark();
    }
}

impl Future for Admission {
    type Output = Result<Lease, Refusal>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match std::mem::replace(&mut self.stage, Stage::Done) {
            Stage::Ready(lease) => Poll::Ready(Ok(lease)),
            Stage::Queued(number) => match self.fetch(number, context.waker()) {
                Some(answer) => Poll::Ready(answer),
                None => {
                    self.stage = Stage::Queued(number);
                    Poll::Pending
                }
            },
            Stage::Done => panic!("an admission is polled after its answer"),
        }
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        if let Stage::Queued(number) = self.stage {
            self.inner.abandon(number);
        }
    }
}

impl std::fmt::Debug for Admission {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let stage = match &self.stage {
            Stage::Ready(_) => "ready",
            Stage::Queued(_) => "queued",
            Stage::Done => "done",
        };
        f.debug_struct("Admission")
            .field("stage", &stage)
            .finish_non_exhaustive()
    }
}

impl RequestState {
    pub(crate) fn waits(&self) -> bool {
        matches!(self, Self::Waiting)
    }
}
