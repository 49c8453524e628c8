//! What one HTTP/2 connection holds of what its client sends.
//!
//! The windows say how much a client may have under way, and a client that is served well never
//! fills them: what comes is taken by a handler at once. So a connection is charged little for its
//! rest, and more only while bytes of bodies have come that no handler has taken yet. Where the
//! ledger has no more, nothing is read from the connection until something is taken: the client
//! waits, as on every other way in.
//!
//! Rejected: small windows that grow while a body comes. hyper has no way to change them once a
//! connection is under way, and windows that stay small make every distant client slow.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::rt::{Read, ReadBuf, ReadBufCursor, Write};
use tokio::time::Sleep;

use super::frames::FrameScan;
use super::linger::Linger;
use super::quota::{Quota, QuotaCharge};

/// What a connection is charged for its rest: what h2 was measured to hold (16 to 20 KB beside an
/// idle connection), and [`COVERED_BYTES`].
pub(super) const REST_BYTES: u64 = 28 << 10;

/// So much may be here untaken without a further charge.
const COVERED_BYTES: u64 = 8 << 10;

/// What reading the rest of a body that is not wanted is charged: its task, and the stream.
const DRAIN_BYTES: u64 = 4 << 10;

/// In such steps more is charged.
const STEP_BYTES: u64 = 32 << 10;

/// Bytes asked of the connection at once, on the stack.
const READ_BYTES: usize = 8 << 10;

/// How often a charge that was refused is tried again.
const TRY_EVERY: Duration = Duration::from_millis(100);

#[derive(Debug)]
struct State {
    frames: FrameScan,
    /// Of bodies, come and not yet taken.
    untaken_bytes: u64,
    bodies: usize,
    more: Option<QuotaCharge>,
    /// hyper, while nothing is read.
    reader: Option<Waker>,
}

/// The account of one connection.
#[derive(Debug)]
pub(super) struct Inflow {
    quota: Arc<Quota>,
    /// What the client may have under way.
    window_bytes: u64,
    state: Mutex<State>,
}

impl Inflow {
    pub(super) fn new(quota: Arc<Quota>, window_bytes: u64) -> Arc<Self> {
        Arc::new(Self {
            quota,
            window_bytes,
            state: Mutex::new(State {
                frames: FrameScan::default(),
                untaken_bytes: 0,
                bodies: 0,
                more: None,
                reader: None,
            }),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether as much as is read at once may come.
    fn may_read(&self, cx: &Context<'_>) -> bool {
        let mut state = self.state();
        let needed = state.untaken_bytes + READ_BYTES as u64;
        let charged = state.more.as_ref().map_or(0, QuotaCharge::bytes);
        // What the window lets come is the most there can be, whatever the count says.
        if needed <= COVERED_BYTES + charged || charged >= self.window_bytes {
            return true;
        }
        let grown = match &mut state.more {
            Some(more) => more.grow(STEP_BYTES),
            None => self
                .quota
                .take(STEP_BYTES)
                .map(|share| state.more = Some(share)),
        };
        if grown.is_err() {
            state.reader = Some(cx.waker().clone());
        }
        grown.is_ok()
    }

    fn came(&self, bytes: &[u8]) {
        let mut state = self.state();
        let data_bytes = state.frames.data_in(bytes);
        state.untaken_bytes += data_bytes;
    }

    fn taken(&self, bytes: u64) {
        let mut state = self.state();
        let left = state.untaken_bytes.saturating_sub(bytes);
        state.left(left);
    }

    /// A request's body. What is not taken of it goes with it.
    /// The second half gets the body back when the handler lets go of it.
    pub(super) fn body(self: &Arc<Self>, body: Incoming) -> (CountedBody, LeftBody) {
        let left = LeftBody::default();
        (self.counted(body, Some(left.clone())), left)
    }

    fn counted(self: &Arc<Self>, body: Incoming, left: Option<LeftBody>) -> CountedBody {
        self.state().bodies += 1;
        CountedBody {
            body: Some(body),
            inflow: self.clone(),
            left,
        }
    }
}

impl State {
    fn left(&mut self, untaken_bytes: u64) {
        self.untaken_bytes = untaken_bytes;
        if untaken_bytes == 0 {
            self.more = None;
        }
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}

/// The body of a stream, counted as it is taken.
#[derive(Debug)]
pub(super) struct CountedBody {
    /// None only while it is dropped.
    body: Option<Incoming>,
    inflow: Arc<Inflow>,
    left: Option<LeftBody>,
}

/// The body of a stream that its handler did not read to its end.
///
/// A stream whose body is dropped is reset together with its answer, and clients that are still
/// sending (curl 7.88) then report a broken stream instead of the answer. So the rest is read and
/// dropped for a while, until the client has stopped.
#[derive(Debug, Clone, Default)]
pub(super) struct LeftBody(Arc<Mutex<Option<Incoming>>>);

impl LeftBody {
    /// Once the handler has answered.
    pub(super) fn drain(self, inflow: &Arc<Inflow>, limits: Linger) {
        let body = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(body) = body else { return };
        // Without memory for it the stream is reset at once.
        let Ok(share) = inflow.quota.take(DRAIN_BYTES) else {
            return;
        };
        let mut body = inflow.counted(body, None);
        tokio::spawn(async move {
            let _share = share;
            let mut dropped_bytes = 0;
            let rest = async {
                while dropped_bytes < limits.bytes_max
                    && let Some(Ok(frame)) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await
                {
                    dropped_bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
                }
            };
            let _ = tokio::time::timeout(limits.time, rest).await;
        });
    }
}

impl Body for CountedBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(body) = &mut self.body else {
            return Poll::Ready(None);
        };
        let frame = ready!(Pin::new(body).poll_frame(cx));
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
        {
            self.inflow.taken(data.len() as u64);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map(Body::size_hint).unwrap_or_default()
    }
}

impl Drop for CountedBody {
    fn drop(&mut self) {
        if let (Some(left), Some(body)) = (&self.left, self.body.take())
            && !body.is_end_stream()
        {
            *left.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(body);
        }
        let mut state = self.inflow.state();
        state.bodies -= 1;
        // Padding and what was never taken are nowhere told. Without a body nothing of one is here.
        if state.bodies == 0 {
            state.left(0);
        }
    }
}

/// hyper's side of an HTTP/2 connection.
#[derive(Debug)]
pub(super) struct Metered<T> {
    io: T,
    inflow: Arc<Inflow>,
    /// Until a charge that was refused is tried again.
    pause: Option<Pin<Box<Sleep>>>,
}

impl<T> Metered<T> {
    pub(super) fn new(io: T, inflow: Arc<Inflow>) -> Self {
        let pause = None;
        Self { io, inflow, pause }
    }
}

impl<T: Read + Unpin> Read for Metered<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while !this.inflow.may_read(cx) {
            let pause = this
                .pause
                .get_or_insert_with(|| Box::pin(tokio::time::sleep(TRY_EVERY)));
            ready!(pause.as_mut().poll(cx));
            this.pause = None;
        }
        this.pause = None;
        let mut bytes = [0; READ_BYTES];
        let most = buffer.remaining().min(READ_BYTES);
        let mut read = ReadBuf::new(&mut bytes[..most]);
        ready!(Pin::new(&mut this.io).poll_read(cx, read.unfilled()))?;
        this.inflow.came(read.filled());
        buffer.put_slice(read.filled());
        Poll::Ready(Ok(()))
    }
}

impl<T: Write + Unpin> Write for Metered<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
