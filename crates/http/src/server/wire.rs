//! One plain connection, shared between hyper and whoever reads a long body: the tap.
//!
//! hyper copies each body byte through its own read buffer and hands it on in frames. For an upload that is one copy too many and a
//! buffer per connection that grows to hundreds of KiB. So hyper gets the head, and a long body of known length goes straight from the socket
//! into the buffer that was leased for it. What makes this exact is a gate: the transport gives hyper the bytes of the head and
//! not one more, and holds the rest until the request's handler has said which way the body goes. hyper therefore never holds a body byte that
//! the tap would miss, however head and body were split across packets.
//!
//! hyper does not learn that a tapped body was read, so such an answer carries `Connection: close`; for bodies of megabytes that costs
//! nothing. Chunked bodies, short ones, HTTP/2 and TLS go through hyper.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use hyper::rt::{Read, ReadBufCursor, Write};
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
    /// Nothing ever again: the body is read past hyper.
    Tapped,
}

#[derive(Debug)]
struct State {
    gate: Gate,
    /// Read from the socket, not yet given to anyone.
    early: Vec<u8>,
    /// hyper, waiting for the gate.
    reader: Option<Waker>,
    in_flight: bool,
    since: Instant,
    write_blocked_since: Option<Instant>,
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
                since: Instant::now(),
                write_blocked_since: None,
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

    /// Called once for each request, as soon as hyper has parsed its head.
    pub(crate) fn decide(&self, way: BodyWay) {
        let mut state = self.state();
        state.in_flight = true;
        if matches!(state.gate, Gate::Open | Gate::Tapped) {
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

    /// Takes a body of this length for the tap. False where it can't be: then `decide` says how it goes.
    ///
    /// Pipelined requests are left to hyper (their next head is here already), as is a connection whose last answer still waits to be written,
    /// since `100 Continue` must not overtake it.
    pub(crate) fn tap(&self, length_bytes: u64) -> bool {
        let mut state = self.state();
        let can = matches!(state.gate, Gate::Held)
            && state.write_blocked_since.is_none()
            && (state.early.len() as u64) < length_bytes;
        if can {
            state.gate = Gate::Tapped;
            state.in_flight = true;
        }
        can
    }

    /// Whether a body went past hyper, after which the connection can carry no further request.
    pub(crate) fn is_tapped(&self) -> bool {
        matches!(self.state().gate, Gate::Tapped)
    }

    /// The answer's last byte has been handed to hyper.
    pub(crate) fn answered(&self) {
        let mut state = self.state();
        state.in_flight = false;
        state.since = Instant::now();
    }

    /// Whether body bytes may still come that nobody will read.
    pub(crate) fn has_unread(&self) -> bool {
        let state = self.state();
        match &state.gate {
            Gate::Head(scan) => scan.has_begun() || !state.early.is_empty(),
            _ => true,
        }
    }

    /// Moves bytes that came with the head into a tapped body's buffer.
    pub(crate) fn take_early(&self, into: &mut [u8]) -> usize {
        let mut state = self.state();
        let count = state.early.len().min(into.len());
        into[..count].copy_from_slice(&state.early[..count]);
        state.early.drain(..count);
        if state.early.is_empty() {
            state.early = Vec::new();
        }
        count
    }

    pub(crate) fn has_early(&self) -> bool {
        !self.state().early.is_empty()
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
            Gate::Held | Gate::Tapped => None,
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
                        self.gate = Gate::Held;
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
            Gate::Held | Gate::Tapped => unreachable!("a shut gate has no allowance"),
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

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// The connection is closed by its driver, after what lingers has been read (`linger`).
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
