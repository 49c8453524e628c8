//! The gate of an encrypted connection, and hyper's side of it.

use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use hyper::rt::{Read, ReadBufCursor, Write};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use super::gate::{BodyWay, Gate, Heads, Next};
use super::idle::IdleConnections;
use super::resting::OverSocket;

/// Bytes asked of the stream at once, on the stack.
const READ_BYTES: usize = 8 * 1024;

#[derive(Debug)]
pub(super) struct State {
    pub(super) gate: Gate,
    /// hyper, waiting for the gate.
    reader: Option<Waker>,
    in_flight: bool,
    /// hyper has written all that it had to write since the last head and the last answer.
    is_flushed: bool,
}

/// The gate of an encrypted connection.
#[derive(Debug)]
pub(crate) struct SecureGate {
    state: Mutex<State>,
    /// Told when a request begins, and when one is over.
    moved: Notify,
}

impl SecureGate {
    pub(super) fn new(heads: Arc<Heads>) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                gate: Gate::new(heads),
                reader: None,
                in_flight: false,
                is_flushed: false,
            }),
            moved: Notify::new(),
        })
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn decide(&self, way: BodyWay) {
        let mut state = self.state();
        state.in_flight = true;
        state.gate.decide(way);
        if let Some(reader) = state.reader.take() {
            reader.wake();
        }
    }

    pub(super) fn answered(&self) {
        let mut state = self.state();
        state.in_flight = false;
        state.is_flushed = false;
        state.gate.is_over();
        drop(state);
        self.moved.notify_waiters();
    }

    /// Returns when the connection is to give its place while nothing is asked on it.
    pub(super) async fn gives_place(&self, connections: &IdleConnections) {
        loop {
            let mut moved = pin!(self.moved.notified());
            moved.as_mut().enable();
            let is_idle = {
                let state = self.state();
                !state.in_flight && !state.gate.has_begun()
            };
            let idle = is_idle.then(|| connections.enter());
            match &idle {
                Some(idle) => tokio::select! {
                    () = idle.gives_place() => return,
                    () = moved => {}
                },
                None => moved.await,
            }
        }
    }

    /// Whether hyper holds nothing, and what comes next is not for it.
    pub(super) fn is_done_with_hyper(&self) -> bool {
        let state = self.state();
        let is_between = state.is_flushed && !state.in_flight;
        is_between && (state.gate.is_refused() || state.gate.wants_another_hyper())
    }
}

/// hyper's side of the connection.
pub(super) struct Transport<T> {
    pub(super) stream: T,
    pub(super) gate: Arc<SecureGate>,
}

impl<T: OverSocket> OverSocket for Transport<T> {
    fn socket(&self) -> &TcpStream {
        self.stream.socket()
    }
}

impl<T: AsyncRead + Unpin> Read for Transport<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            let most = {
                let mut state = this.gate.state();
                if state.gate.look() {
                    this.gate.moved.notify_waiters();
                }
                match state.gate.next(buffer.remaining()) {
                    Next::Nothing => {
                        state.reader = Some(cx.waker().clone());
                        return Poll::Pending;
                    }
                    Next::Give(most) => {
                        state.is_flushed = false;
                        state.gate.give(most, |bytes| buffer.put_slice(bytes));
                        return Poll::Ready(Ok(()));
                    }
                    Next::Read(most) => most.min(READ_BYTES),
                }
            };
            let mut bytes = [0; READ_BYTES];
            let mut read = ReadBuf::new(&mut bytes[..most]);
            ready!(Pin::new(&mut this.stream).poll_read(cx, &mut read))?;
            let came = read.filled();
            let passed = this.gate.state().gate.pass(came);
            buffer.put_slice(&came[..passed]);
            if passed > 0 || came.is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<T: AsyncWrite + Unpin> Write for Transport<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// hyper comes here once its own buffer is empty.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        self.gate.state().is_flushed = true;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
