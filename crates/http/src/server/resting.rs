//! A client that takes nothing of an answer for a while, where hyper sends it: a film that is
//! paused, or a proxy that is busy with what it has.
//!
//! hyper does not tell that the socket takes no more, so its way there is watched. Everything but a
//! file must be taken within the write time-out. A file may rest beyond that, while the client
//! lives and no other needs what it holds.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use ddx_memory::Ledger;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::idle::{Idle, IdleConnections};
use super::socket;
use super::timeouts::Timeouts;

/// What the client of a connection does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Client {
    /// It takes what it is sent, or has not stopped for long.
    Takes,
    /// It has stopped, and may.
    Rests,
    /// It has stopped for too long.
    Left,
}

/// Whether it takes what it is sent.
#[derive(Debug)]
pub(super) struct Taking {
    timeouts: Timeouts,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    blocked_since: Option<Instant>,
    is_file: bool,
    /// The kernel bears with the client for as long as we do, and drops what it has not taken with
    /// the connection.
    is_borne: bool,
    is_alive: bool,
}

impl Taking {
    pub(super) fn new(timeouts: Timeouts) -> Arc<Self> {
        let state = Mutex::new(State {
            blocked_since: None,
            is_file: false,
            is_borne: false,
            is_alive: true,
        });
        Arc::new(Self { timeouts, state })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on a file is sent, or something else.
    pub(super) fn sends(&self, is_file: bool) {
        self.state().is_file = is_file;
    }

    /// Whether the socket takes nothing now.
    pub(super) fn is_blocked(&self) -> bool {
        self.state().blocked_since.is_some()
    }

    /// How often to look. The connection is to be polled then: what the socket does is seen only
    /// there.
    pub(super) fn look_every(&self) -> Duration {
        self.timeouts.head.min(self.timeouts.write) / 4
    }

    /// What the client does, as it was seen when the connection was polled last.
    pub(super) fn client(&self, ledger: &Ledger) -> Client {
        let state = self.state();
        let Some(blocked) = state.blocked_since.map(|since| since.elapsed()) else {
            return Client::Takes;
        };
        if blocked < self.timeouts.write {
            return Client::Takes;
        }
        let may_rest = state.is_file
            && state.is_alive
            && blocked < self.timeouts.in_all()
            && ledger.snapshot().waiting == 0;
        if may_rest {
            Client::Rests
        } else {
            Client::Left
        }
    }

    fn took(&self, socket: &TcpStream) -> io::Result<()> {
        let mut state = self.state();
        state.blocked_since = None;
        if std::mem::take(&mut state.is_borne) {
            SockRef::from(socket).set_linger(None)?;
            socket::set_user_timeout(socket, self.timeouts.write)?;
        }
        Ok(())
    }

    fn took_nothing(&self, socket: &TcpStream) -> io::Result<()> {
        let mut state = self.state();
        let blocked = state
            .blocked_since
            .get_or_insert_with(Instant::now)
            .elapsed();
        // In time before the kernel ends the connection, and not for each moment in which the
        // socket is full.
        if blocked >= self.timeouts.write / 4 && state.is_file {
            state.is_alive = socket::is_alive(socket);
            if !std::mem::replace(&mut state.is_borne, true) {
                SockRef::from(socket).set_linger(Some(Duration::ZERO))?;
                socket::set_user_timeout(socket, self.timeouts.in_all())?;
            }
        }
        Ok(())
    }
}

/// What has a socket below it.
pub(super) trait OverSocket {
    fn socket(&self) -> &TcpStream;
}

impl OverSocket for TlsStream<TcpStream> {
    fn socket(&self) -> &TcpStream {
        self.get_ref().0
    }
}

impl<T: OverSocket> OverSocket for TokioIo<T> {
    fn socket(&self) -> &TcpStream {
        self.inner().socket()
    }
}

/// hyper's side of a connection, watched.
#[derive(Debug)]
pub(super) struct WatchedIo<T> {
    io: T,
    taking: Arc<Taking>,
}

impl<T> WatchedIo<T> {
    pub(super) fn new(io: T, taking: Arc<Taking>) -> Self {
        Self { io, taking }
    }

    pub(super) fn into_inner(self) -> T {
        self.io
    }
}

impl<T: OverSocket> WatchedIo<T> {
    fn saw<R>(&self, result: Poll<io::Result<R>>) -> Poll<io::Result<R>> {
        match &result {
            Poll::Pending => self.taking.took_nothing(self.io.socket())?,
            Poll::Ready(_) => self.taking.took(self.io.socket())?,
        }
        result
    }
}

impl<T: Read + Unpin> Read for WatchedIo<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl<T: Write + OverSocket + Unpin> Write for WatchedIo<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.saw(result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.io).poll_write_vectored(cx, slices);
        self.saw(result)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    /// Over TLS the last of an answer is left in a buffer before it is flushed.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.io).poll_flush(cx);
        self.saw(result)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// The place of a connection whose client may rest. Others who want it get it.
#[derive(Debug)]
pub(super) struct Place<'c> {
    connections: &'c IdleConnections,
    idle: Option<Idle<'c>>,
}

impl<'c> Place<'c> {
    pub(super) fn new(connections: &'c IdleConnections) -> Self {
        let idle = None;
        Self { connections, idle }
    }

    /// Whether it is for others from now on.
    pub(super) fn is_free(&mut self, is_free: bool) {
        let connections = self.connections;
        match is_free {
            true => drop(self.idle.get_or_insert_with(|| connections.enter())),
            false => self.idle = None,
        }
    }

    /// Returns when others want it.
    pub(super) async fn is_wanted(&self) {
        match &self.idle {
            Some(idle) => idle.gives_place().await,
            None => std::future::pending().await,
        }
    }
}
