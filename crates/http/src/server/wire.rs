//! One plain connection, shared between hyper and whoever reads a long body: the tap.
//!
//! hyper copies each body byte through its own read buffer and hands it on in frames. For an upload that is one copy too many, and two buffers of 8 KiB
//! that a slow upload holds to its end. So hyper gets the head, and then goes: a long body of known length is read straight from the socket
//! into the buffer that was leased for it, and its answer is written past hyper too (`late`). What makes this exact is a gate: the transport gives hyper the bytes of the head and
//! not one more, and holds the rest until the request has been looked at. hyper therefore never holds a body byte that
//! the tap would miss, however head and body were split across packets, and can be taken away and begun anew between any two requests.
//!
//! Chunked bodies, short ones, HTTP/2 and TLS go through hyper.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use hyper::rt::{Read, ReadBufCursor, Write};
use socket2::SockRef;
use tokio::net::TcpStream;

use super::head::HeadScan;

/// Bytes asked of the socket at once on hyper's behalf, on the stack.
const READ_BYTES: usize = 8 * 1024;

/// The first bytes of an HTTP/2 connection (RFC 9113, section 3.4).
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What hyper may have of the bytes that come.
#[derive(Debug)]
enum Gate {
    /// A request's head, to its last byte.
    Head(HeadScan),
    /// Nothing, until the handler has decided on the body.
    Held,
    /// This much of a body, then the next head.
    Body { left: u64 },
    /// Everything: HTTP/2, chunked bodies.
    Open,
    /// Nothing: so much of a body is still to be read past hyper.
    Past { left: u64 },
}

#[derive(Debug)]
struct State {
    gate: Gate,
    /// Read from the socket, not yet given to anyone.
    early: Vec<u8>,
    /// hyper, waiting for the gate.
    reader: Option<Waker>,
    in_flight: bool,
    /// The last head names a length.
    names_length: bool,
    /// hyper has written all that it had to write since the last head.
    is_flushed: bool,
    since: Instant,
    write_blocked_since: Option<Instant>,
    /// The client is given up, and with it what it has not taken.
    is_given_up: bool,
}

/// How a body is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyWay {
    /// There is none.
    None,
    /// Through hyper, with this length.
    Known(u64),
    /// Through hyper, to an end that only hyper recognises.
    Unknown,
}

/// A plain TCP connection.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: TcpStream,
    state: Mutex<State>,
}

/// Time limits of a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// From the first byte of a head to its last.
    pub(crate) head: Duration,
    /// Between requests.
    pub(crate) idle: Duration,
    /// While the client takes nothing of an answer.
    pub(crate) write: Duration,
    /// The same while others wait for the memory that it holds.
    pub(crate) crowded: Duration,
}

impl Wire {
    pub(crate) fn new(stream: TcpStream) -> Arc<Self> {
        Arc::new(Self {
            stream,
            state: Mutex::new(State {
                gate: Gate::Head(HeadScan::default()),
                early: Vec::new(),
                reader: None,
                in_flight: false,
                names_length: false,
                is_flushed: false,
                since: Instant::now(),
                write_blocked_since: None,
                is_given_up: false,
            }),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code that holds this lock can panic half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Whether the client speaks HTTP/2 at once ("prior knowledge"). What was read to find out is kept.
    pub(crate) async fn speaks_http2(&self) -> io::Result<bool> {
        let mut seen = 0;
        let mut bytes = [0; HTTP2_PREFACE.len()];
        loop {
            self.stream.readable().await?;
            match self.stream.try_read(&mut bytes[seen..]) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => seen += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Err(error) => return Err(error),
            }
            let same = bytes[..seen] == HTTP2_PREFACE[..seen];
            if same && seen < HTTP2_PREFACE.len() {
                continue;
            }
            let mut state = self.state();
            state.early.extend_from_slice(&bytes[..seen]);
            if same {
                state.gate = Gate::Open;
            }
            return Ok(same);
        }
    }

    /// Called once for each request that stays with hyper, as soon as hyper has parsed its head.
    pub(crate) fn decide(&self, way: BodyWay) {
        let mut state = self.state();
        state.in_flight = true;
        if matches!(state.gate, Gate::Open) {
            return;
        }
        state.gate = match way {
            BodyWay::None | BodyWay::Known(0) => Gate::Head(HeadScan::default()),
            BodyWay::Known(left) => Gate::Body { left },
            BodyWay::Unknown => Gate::Open,
        };
        if let Some(reader) = state.reader.take() {
            reader.wake();
        }
    }

    /// Whether the head that hyper has just parsed tells a length. Not known after a body whose end
    /// only hyper saw: heads are not looked at then.
    pub(super) fn names_length(&self) -> bool {
        let state = self.state();
        state.names_length && matches!(state.gate, Gate::Held)
    }

    /// Whether hyper can be taken away from a request whose head it has just parsed: it holds nothing that the client has not been sent.
    pub(super) fn is_free_of_hyper(&self) -> bool {
        let state = self.state();
        state.is_flushed && matches!(state.gate, Gate::Held)
    }

    /// Since when nothing is asked, nothing is to be answered, and hyper holds nothing that it was given.
    pub(super) fn rests_since(&self) -> Option<Instant> {
        let state = self.state();
        let is_between = matches!(&state.gate, Gate::Head(scan) if !scan.has_begun());
        (is_between && state.is_flushed && !state.in_flight && state.early.is_empty())
            .then_some(state.since)
    }

    /// Returns once the next request's first bytes are there, or the end of the connection.
    pub(super) async fn begins(&self) -> io::Result<()> {
        if self.has_early() {
            return Ok(());
        }
        self.stream.readable().await
    }

    /// Returns once the client has closed the connection while nothing of it was expected. Where something came, it is not known.
    pub(super) async fn gone(&self) {
        if !self.has_early() && matches!(self.stream.peek(&mut [0]).await, Ok(0) | Err(_)) {
            return;
        }
        std::future::pending().await
    }

    /// From now on the body, of this length, is read past hyper.
    pub(super) fn go_past(&self, length_bytes: u64) {
        let mut state = self.state();
        state.gate = Gate::Past { left: length_bytes };
        state.in_flight = true;
        state.reader = None;
    }

    /// Whether bodies of requests that hyper has begun to take can go past it: not after one whose end only hyper knew.
    pub(super) fn can_go_past(&self) -> bool {
        matches!(self.state().gate, Gate::Held)
    }

    /// After an answer that was written past hyper: whether the next request may begin. It may not where some of the body is still under way.
    pub(super) fn begin_anew(&self) -> bool {
        let mut state = self.state();
        state.in_flight = false;
        state.since = Instant::now();
        let is_over = matches!(state.gate, Gate::Past { left: 0 });
        if is_over {
            state.gate = Gate::Head(HeadScan::default());
        }
        is_over
    }

    /// How much of a body that goes past hyper has not been read yet.
    pub(crate) fn body_left(&self) -> u64 {
        match self.state().gate {
            Gate::Past { left } => left,
            _ => 0,
        }
    }

    /// Whether some of it is here, read together with the head.
    pub(crate) fn has_early(&self) -> bool {
        !self.state().early.is_empty()
    }

    /// The next bytes of a body that goes past hyper. `WouldBlock` where none are here, `UnexpectedEof` where none will come.
    pub(crate) fn read_body(&self, into: &mut [u8]) -> io::Result<usize> {
        let mut state = self.state();
        let Gate::Past { left } = state.gate else {
            return Ok(0);
        };
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(into.len());
        if most == 0 {
            return Ok(0);
        }
        let count = if state.early.is_empty() {
            match self.stream.try_read(&mut into[..most])? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => count,
            }
        } else {
            let count = state.early.len().min(most);
            into[..count].copy_from_slice(&state.early[..count]);
            state.early.drain(..count);
            if state.early.is_empty() {
                state.early = Vec::new();
            }
            count
        };
        state.gate = Gate::Past {
            left: left - count as u64,
        };
        Ok(count)
    }

    /// The answer's last byte has been handed to hyper.
    pub(crate) fn answered(&self) {
        let mut state = self.state();
        state.in_flight = false;
        state.since = Instant::now();
    }

    /// The client takes nothing: what stands in its send queue is dropped with the connection. Closed in order, the kernel would keep it for as
    /// long as the client was borne with already.
    pub(super) fn give_up(&self) {
        self.state().is_given_up = true;
        // Where it fails the kernel's own time-out ends it.
        let _ = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
    }

    /// Whether the connection ends without a word.
    pub(super) fn is_given_up(&self) -> bool {
        self.state().is_given_up
    }

    /// Whether the client takes nothing of what hyper sends it.
    pub(super) fn is_write_blocked(&self) -> bool {
        self.state().write_blocked_since.is_some()
    }

    /// Whether body bytes may still come that nobody will read.
    pub(crate) fn has_unread(&self) -> bool {
        let state = self.state();
        match &state.gate {
            Gate::Head(scan) => scan.has_begun() || !state.early.is_empty(),
            _ => true,
        }
    }

    /// When the connection has used up its patience, as things stand now; None while a handler works and the client reads.
    pub(crate) fn deadline(&self, patience: &Patience) -> Option<Instant> {
        let state = self.state();
        if let Some(since) = state.write_blocked_since {
            return Some(since + patience.write);
        }
        match &state.gate {
            _ if state.in_flight => None,
            Gate::Head(scan) if scan.has_begun() => Some(state.since + patience.head),
            _ => Some(state.since + patience.idle),
        }
    }
}

impl State {
    /// How much hyper may be given now; None where the gate is shut.
    fn allowance(&self) -> Option<usize> {
        match self.gate {
            Gate::Held | Gate::Past { .. } => None,
            Gate::Body { left } => Some(usize::try_from(left).unwrap_or(usize::MAX)),
            Gate::Head(_) | Gate::Open => Some(usize::MAX),
        }
    }

    /// Of these bytes, how many go to hyper; moves the gate on.
    fn pass(&mut self, bytes: &[u8]) -> usize {
        match &mut self.gate {
            Gate::Head(scan) => {
                let had_begun = scan.has_begun();
                let end = scan.end_in(bytes);
                if !had_begun && scan.has_begun() {
                    self.since = Instant::now();
                }
                match end {
                    Some(end) => {
                        self.names_length = scan.names_length();
                        self.gate = Gate::Held;
                        self.is_flushed = false;
                        end
                    }
                    None => bytes.len(),
                }
            }
            Gate::Body { left } => {
                *left -= bytes.len() as u64;
                if *left == 0 {
                    self.gate = Gate::Head(HeadScan::default());
                }
                bytes.len()
            }
            Gate::Open => bytes.len(),
            Gate::Held | Gate::Past { .. } => unreachable!("a shut gate has no allowance"),
        }
    }
}

/// hyper's side of the connection.
#[derive(Debug)]
pub(crate) struct Transport(pub(crate) Arc<Wire>);

impl Read for Transport {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let wire = &self.0;
        loop {
            {
                let mut state = wire.state();
                let Some(allowance) = state.allowance() else {
                    state.reader = Some(cx.waker().clone());
                    return Poll::Pending;
                };
                let most = allowance.min(buffer.remaining());
                if !state.early.is_empty() {
                    let mut early = std::mem::take(&mut state.early);
                    let offered = early.len().min(most);
                    let passed = state.pass(&early[..offered]);
                    buffer.put_slice(&early[..passed]);
                    early.drain(..passed);
                    if !early.is_empty() {
                        state.early = early;
                    }
                    return Poll::Ready(Ok(()));
                }
            }
            ready!(wire.stream.poll_read_ready(cx))?;
            let mut bytes = [0; READ_BYTES];
            let mut state = wire.state();
            let Some(allowance) = state.allowance() else {
                continue;
            };
            let most = allowance.min(buffer.remaining()).min(READ_BYTES);
            match wire.stream.try_read(&mut bytes[..most]) {
                Ok(count) => {
                    let passed = state.pass(&bytes[..count]);
                    buffer.put_slice(&bytes[..passed]);
                    state.early.extend_from_slice(&bytes[passed..count]);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl Transport {
    fn wrote(&self, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        let mut state = self.0.state();
        match &result {
            Poll::Pending => {
                state.write_blocked_since.get_or_insert_with(Instant::now);
            }
            Poll::Ready(_) => state.write_blocked_since = None,
        }
        result
    }

    fn poll_write_with(
        &self,
        cx: &mut Context<'_>,
        write: impl Fn(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            match self.0.stream.poll_write_ready(cx) {
                Poll::Pending => return self.wrote(Poll::Pending),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Ready(Ok(())) => {}
            }
            match write(&self.0.stream) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return self.wrote(Poll::Ready(result)),
            }
        }
    }
}

impl Write for Transport {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_with(cx, |stream| stream.try_write(bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_with(cx, |stream| stream.try_write_vectored(slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// hyper comes here once its own buffer is empty.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.state().is_flushed = true;
        Poll::Ready(Ok(()))
    }

    /// The connection is closed by its driver, after what lingers has been read (`linger`).
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
