//! The streams of one HTTP/2 connection: whether they run, and whether their answers are taken.
//!
//! hyper runs each stream as a future of its own, and asks an answer's body for more only while the
//! client's window has room. So an answer that has given a piece and is not asked again is one that
//! its client does not take, however lively the connection is otherwise; to drop the stream's
//! future resets the stream. Pieces are small, so that a slow client is not taken for one that has
//! stopped.

use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::Error;
use bytes::Bytes;
use ddx_memory::Ledger;
use http_body::{Body, Frame, SizeHint};
use hyper::rt::Executor;
use tokio::sync::Notify;

use super::body::ResponseBody;
use super::idle::IdleConnections;
use super::quota::{Quota, QuotaCharge};
use super::timeouts::Timeouts;

/// What an answer gives at once to a client that is not known to be quick. Less than this in the
/// time limit is no download.
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
    /// Of these, files whose client takes nothing, and may.
    resting: AtomicUsize,
    /// When a stream began or ended, or a piece of an answer left, for the last time.
    moved_at: Mutex<Instant>,
    /// Told when a stream begins, or goes on after a rest.
    began: Notify,
    ledger: Ledger,
    timeouts: Timeouts,
}

impl Streams {
    pub(super) fn new(ledger: Ledger, timeouts: Timeouts) -> Self {
        Self(Arc::new(Shared {
            running: AtomicUsize::new(0),
            resting: AtomicUsize::new(0),
            moved_at: Mutex::new(Instant::now()),
            began: Notify::new(),
            ledger,
            timeouts,
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

    /// Returns when others want what an idle connection holds, and nothing has run or left for so
    /// long.
    pub(super) async fn give_way(&self, quota: &Quota, time: Duration) {
        loop {
            quota.used_up().await;
            if self.rest() >= time {
                return;
            }
        }
    }

    /// Returns when the connection is to give its place while no stream runs, or those that do
    /// rest.
    pub(super) async fn gives_place(&self, connections: &IdleConnections) {
        loop {
            let mut began = pin!(self.0.began.notified());
            began.as_mut().enable();
            let rest = self.rest();
            if rest < REST_AFTER {
                tokio::time::sleep(REST_AFTER.saturating_sub(rest)).await;
                continue;
            }
            let idle = connections.enter();
            tokio::select! {
                () = idle.gives_place() => return,
                () = began => {}
            }
        }
    }

    /// Whether any stream runs, or rests.
    pub(super) fn are_any(&self) -> bool {
        self.0.running.load(Ordering::Acquire) > 0
    }

    /// How long no stream has run and nothing has left.
    fn idle(&self) -> Duration {
        match self.0.running.load(Ordering::Acquire) {
            0 => self.0.moved_at().elapsed(),
            _ => Duration::ZERO,
        }
    }

    /// The same where streams that rest count as if they did not run.
    fn rest(&self) -> Duration {
        let resting = self.0.resting.load(Ordering::Acquire);
        match self
            .0
            .running
            .load(Ordering::Acquire)
            .saturating_sub(resting)
        {
            0 => self.0.moved_at().elapsed(),
            _ => Duration::ZERO,
        }
    }

    /// The body of an answer, given in pieces. To be called where the stream's future runs. What it
    /// is charged is held until its last piece has left, which may be long after the stream's
    /// future is done.
    pub(super) fn answer(body: ResponseBody, is_file: bool, charged: QuotaCharge) -> StreamBody {
        let answer = ANSWER.try_with(Arc::clone).ok();
        if let Some(answer) = &answer {
            answer.is_file.store(is_file, Ordering::Relaxed);
        }
        StreamBody {
            body,
            rest: Bytes::new(),
            piece_bytes: PIECE_BYTES_MIN,
            answer,
            charged: Arc::new(charged),
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
            is_file: AtomicBool::new(false),
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

/// A stream that rests.
struct Resting<'s>(&'s Shared);

impl<'s> Resting<'s> {
    fn begin(streams: &'s Shared) -> Self {
        streams.resting.fetch_add(1, Ordering::AcqRel);
        Self(streams)
    }
}

impl Drop for Resting<'_> {
    fn drop(&mut self) {
        self.0.resting.fetch_sub(1, Ordering::AcqRel);
    }
}

/// What is known of one answer.
#[derive(Debug)]
struct Answer {
    streams: Arc<Shared>,
    is_file: AtomicBool,
    /// When it gave its last piece. None while it is asked for the next.
    gave_at: Mutex<Option<Instant>>,
}

impl Answer {
    fn gave_at(&self) -> MutexGuard<'_, Option<Instant>> {
        self.gave_at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It is asked for a piece; when it gave the one before.
    fn goes_on(&self) -> Option<Instant> {
        let gave_at = self.gave_at().take();
        if gave_at.is_some_and(|at| at.elapsed() >= self.streams.timeouts.write) {
            self.streams.moved();
            self.streams.began.notify_waiters();
        }
        gave_at
    }

    /// Returns when the client has taken nothing for too long.
    async fn is_left(&self) {
        let streams = &self.streams;
        let timeouts = &streams.timeouts;
        let mut resting = None;
        loop {
            tokio::time::sleep(LOOK_EVERY.min(timeouts.write)).await;
            let gave_at = *self.gave_at();
            let Some(waits) = gave_at.map(|at| at.elapsed()) else {
                resting = None;
                continue;
            };
            let most = match self.is_file.load(Ordering::Relaxed) {
                true => timeouts.in_all(),
                false => timeouts.write,
            };
            let is_crowded = streams.ledger.snapshot().waiting > 0;
            if waits >= most || (is_crowded && waits >= timeouts.crowded) {
                return;
            }
            if waits >= timeouts.write {
                resting.get_or_insert_with(|| Resting::begin(streams));
            }
        }
    }
}

/// The body of one stream's answer.
pub(super) struct StreamBody {
    body: ResponseBody,
    /// Of the body's last frame.
    rest: Bytes,
    piece_bytes: usize,
    answer: Option<Arc<Answer>>,
    charged: Arc<QuotaCharge>,
}

/// Bytes that leave.
struct Piece {
    bytes: Bytes,
    streams: Arc<Shared>,
    _charged: Arc<QuotaCharge>,
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
                *answer.gave_at() = Some(Instant::now());
                Bytes::from_owner(Piece {
                    bytes,
                    streams: answer.streams.clone(),
                    _charged: self.charged.clone(),
                })
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
        if let Some(gave_at) = self.answer.as_ref().and_then(|answer| answer.goes_on()) {
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
