//! The streams of one HTTP/2 connection: whether they run, and whether their answers are taken.
//!
//! hyper runs each stream as a future of its own, and asks an answer's body for more only while the client's window has room.
//! So an answer that has given a piece and is not asked again is one that its client does not take, however lively the
//! connection is otherwise; to drop the stream's future resets the stream. Pieces are small, so that a slow client is not
//! taken for one that has stopped.

use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::Error;
use bytes::Bytes;
use ddx_memory::Ledger;
use http_body::{Body, Frame, SizeHint};
use hyper::rt::Executor;
use tokio::sync::Notify;

use super::idle::IdleConnections;
use super::quota::Quota;
use crate::body::AnswerBody;

/// What an answer gives at once to a client that is not known to be quick. Less than this in the time limit is no download.
const PIECE_BYTES_MIN: usize = 16 << 10;
/// What it gives at once to one that has taken the pieces before at once.
const PIECE_BYTES_MAX: usize = 64 << 10;
/// A piece that is taken within this is taken at once.
const QUICK: Duration = Duration::from_millis(50);

/// A connection without a stream for so long is idle.
const REST_AFTER: Duration = Duration::from_secs(1);

/// How often it is looked whether others wait for memory.
const LOOK_EVERY: Duration = Duration::from_secs(1);

tokio::task_local! {
    /// The answer of the stream that this task runs.
    static ANSWER: Arc<Answer>;
}

/// Runs the streams of one connection.
#[derive(Debug, Clone)]
pub(super) struct Streams(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    running: AtomicUsize,
    /// When a stream began or ended, or a piece of an answer left, for the last time.
    moved_at: Mutex<Instant>,
    /// Told when a stream begins.
    began: Notify,
    ledger: Ledger,
    /// How long an answer may not be taken, and how long while others wait for memory.
    patience: Duration,
    crowded: Duration,
}

impl Streams {
    pub(super) fn new(ledger: Ledger, patience: Duration, crowded: Duration) -> Self {
        Self(Arc::new(Shared {
            running: AtomicUsize::new(0),
            moved_at: Mutex::new(Instant::now()),
            began: Notify::new(),
            ledger,
            patience,
            crowded,
        }))
    }

    /// Returns when no stream has run and nothing has left for so long.
    pub(super) async fn are_idle_for(&self, time: Duration) {
        loop {
            let idle = self.idle();
            if idle >= time {
                return;
            }
            tokio::time::sleep(time.saturating_sub(idle)).await;
        }
    }

    /// Returns when others want what an idle connection holds, and nothing has run or left for so long.
    pub(super) async fn give_way(&self, quota: &Quota, time: Duration) {
        loop {
            quota.is_used_up().await;
            if self.idle() >= time {
                return;
            }
        }
    }

    /// Returns when the connection is to give its place while no stream runs.
    pub(super) async fn gives_place(&self, connections: &IdleConnections) {
        loop {
            self.are_idle_for(REST_AFTER).await;
            let mut began = pin!(self.0.began.notified());
            began.as_mut().enable();
            if self.idle() < REST_AFTER {
                continue;
            }
            let idle = connections.enter();
            tokio::select! {
                () = idle.gives_place() => return,
                () = began => {}
            }
        }
    }

    /// How long no stream has run and nothing has left.
    fn idle(&self) -> Duration {
        match self.0.running.load(Ordering::Acquire) {
            0 => self.0.moved_at().elapsed(),
            _ => Duration::ZERO,
        }
    }

    /// The body of an answer, given in pieces. To be called where the stream's future runs.
    pub(super) fn answer(body: AnswerBody) -> StreamBody {
        StreamBody {
            body,
            rest: Bytes::new(),
            piece_bytes: PIECE_BYTES_MIN,
            answer: ANSWER.try_with(Arc::clone).ok(),
        }
    }
}

impl Shared {
    fn moved_at(&self) -> Instant {
        *self.moved_at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn moved(&self) {
        *self.moved_at.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }
}

impl<F> Executor<F> for Streams
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, stream: F) {
        let answer = Arc::new(Answer {
            streams: self.0.clone(),
            gave_at: Mutex::new(None),
        });
        let running = Running::begin(&self.0);
        tokio::spawn(async move {
            let _running = running;
            tokio::select! {
                _ = ANSWER.scope(answer.clone(), stream) => {}
                () = answer.is_left() => tracing::debug!("a stream whose answer is not taken is reset"),
            }
        });
    }
}

/// A stream that runs.
struct Running(Arc<Shared>);

impl Running {
    fn begin(streams: &Arc<Shared>) -> Self {
        streams.running.fetch_add(1, Ordering::AcqRel);
        streams.moved();
        streams.began.notify_waiters();
        Self(streams.clone())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.moved();
        self.0.running.fetch_sub(1, Ordering::AcqRel);
    }
}

/// What is known of one answer.
#[derive(Debug)]
struct Answer {
    streams: Arc<Shared>,
    /// When it gave its last piece. None while it is asked for the next.
    gave_at: Mutex<Option<Instant>>,
}

impl Answer {
    /// When it gives a piece, or None when it is asked for one; what it was before.
    fn gave(&self, at: Option<Instant>) -> Option<Instant> {
        let mut gave_at = self.gave_at.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *gave_at, at)
    }

    /// Returns when the client has taken nothing for too long.
    async fn is_left(&self) {
        let streams = &self.streams;
        loop {
            tokio::time::sleep(LOOK_EVERY.min(streams.patience)).await;
            let gave_at = *self.gave_at.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(waits) = gave_at.map(|at| at.elapsed()) else {
                continue;
            };
            let is_crowded = streams.ledger.snapshot().waiting > 0;
            if waits >= streams.patience || (is_crowded && waits >= streams.crowded) {
                return;
            }
        }
    }
}

/// The body of one stream's answer.
pub(super) struct StreamBody {
    body: AnswerBody,
    /// Of the body's last frame.
    rest: Bytes,
    piece_bytes: usize,
    answer: Option<Arc<Answer>>,
}

/// Bytes that leave.
struct Piece {
    bytes: Bytes,
    streams: Arc<Shared>,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.streams.moved();
    }
}

impl StreamBody {
    fn next_piece(&mut self) -> Bytes {
        let bytes = self.rest.split_to(self.piece_bytes.min(self.rest.len()));
        match &self.answer {
            Some(answer) => {
                answer.gave(Some(Instant::now()));
                let streams = answer.streams.clone();
                Bytes::from_owner(Piece { bytes, streams })
            }
            None => bytes,
        }
    }
}

impl Body for StreamBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if let Some(gave_at) = self.answer.as_ref().and_then(|answer| answer.gave(None)) {
            self.piece_bytes = match gave_at.elapsed() {
                took if took <= QUICK => (2 * self.piece_bytes).min(PIECE_BYTES_MAX),
                _ => PIECE_BYTES_MIN,
            };
        }
        loop {
            if !self.rest.is_empty() {
                let piece = self.next_piece();
                return Poll::Ready(Some(Ok(Frame::data(piece))));
            }
            match std::task::ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(other) => return Poll::Ready(Some(Ok(other))),
                },
                end => return Poll::Ready(end),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.rest.len() as u64;
        let body = self.body.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(body.lower() + rest);
        if let Some(upper) = body.upper() {
            hint.set_upper(upper + rest);
        }
        hint
    }
}
