//! One plain connection, shared between hyper and the reader of a long body: the tap.
//!
//! hyper copies each body byte through its own read buffer and hands it on in frames. For an upload
//! that is one copy too many, and two buffers of 8 KiB that a slow upload holds to its end. So
//! hyper gets the head, and then goes: a long body of known length is read straight from the socket
//! into the buffer that was leased for it, and its answer is written past hyper too (`late`). What
//! makes this exact is the gate (`gate`): hyper gets a whole head and not one byte more.
//!
//! Chunked bodies, short ones and HTTP/2 go through hyper.

pub(super) mod transport;

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

use rustix::net::RecvFlags;
use socket2::SockRef;
use tokio::net::TcpStream;

use super::gate::{BodyWay, Gate, Heads, Next};
use super::timeouts::Timeouts;
use crate::shared::problem::Problem;

/// Bytes asked of the socket at once on hyper's behalf, on the stack.
const READ_BYTES: usize = 8 * 1024;

/// The first bytes of an HTTP/2 connection (RFC 9113, section 3.4).
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

#[derive(Debug)]
struct State {
    gate: Gate,
    /// hyper, waiting for the gate.
    reader: Option<Waker>,
    in_flight: bool,
    /// hyper has written all that it had to write since the last head and the last answer.
    is_flushed: bool,
    since: Instant,
    /// The client is given up, and with it what it has not taken.
    is_given_up: bool,
}

/// A plain TCP connection.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: TcpStream,
    state: Mutex<State>,
}

impl Wire {
    pub(super) fn new(stream: TcpStream, heads: Arc<Heads>) -> Arc<Self> {
        Arc::new(Self {
            stream,
            state: Mutex::new(State {
                gate: Gate::new(heads),
                reader: None,
                in_flight: false,
                is_flushed: false,
                since: Instant::now(),
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

    /// Whether the client speaks HTTP/2 at once ("prior knowledge"). What was read to find out is
    /// kept.
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
            state.gate.keep(&bytes[..seen]);
            if same {
                state.gate.open();
            }
            return Ok(same);
        }
    }

    pub(super) fn decide(&self, way: BodyWay) {
        let mut state = self.state();
        state.in_flight = true;
        state.gate.decide(way);
        if let Some(reader) = state.reader.take() {
            reader.wake();
        }
    }

    /// Whether hyper can be taken away from a request whose head it has just parsed: it holds
    /// nothing that the client has not been sent.
    pub(super) fn is_free_of_hyper(&self) -> bool {
        let state = self.state();
        state.is_flushed && state.gate.is_held()
    }

    /// Whether hyper is to go, though nothing is over: it holds nothing, and what comes next is not
    /// for it.
    pub(super) fn is_done_with_hyper(&self) -> bool {
        let state = self.state();
        let is_between = state.is_flushed && !state.in_flight;
        is_between && (state.gate.is_refused() || state.gate.wants_another_hyper())
    }

    /// The longest head that the hyper which begins now is to take.
    pub(super) fn size_hyper(&self) -> usize {
        self.state().gate.size_hyper()
    }

    /// Why a head was refused, and whether its answer is to have no content.
    pub(super) fn take_refusal(&self) -> Option<(Problem, bool)> {
        self.state().gate.take_refusal()
    }

    /// Since when nothing is to be answered, hyper holds nothing that it was given, and no head is
    /// whole.
    pub(super) fn rests_since(&self) -> Option<Instant> {
        let state = self.state();
        let is_between = state.is_flushed && !state.in_flight && state.gate.is_at_head();
        is_between.then_some(state.since)
    }

    /// Gathers what has come of a head, or waits until something does. Whether the head is there,
    /// or refused. Errs at the end of the connection.
    pub(super) async fn gather(&self) -> io::Result<bool> {
        if self.state().is_gathered() {
            return Ok(true);
        }
        self.stream.readable().await?;
        self.gather_some()
    }

    /// Not inside the future, which would hold the buffer for as long as the connection rests.
    fn gather_some(&self) -> io::Result<bool> {
        let mut bytes = [0; READ_BYTES];
        let mut state = self.state();
        let Next::Read(most) = state.gate.next(0) else {
            return Ok(true);
        };
        match self.stream.try_read(&mut bytes[..most.min(READ_BYTES)]) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                state.gate.keep(&bytes[..count]);
                Ok(state.is_gathered())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether a byte of the next head is here.
    pub(super) fn has_begun(&self) -> bool {
        self.state().gate.has_begun()
    }

    /// Returns once the client has closed the connection while nothing of it was expected. Where
    /// something came, it is not known.
    pub(super) async fn gone(&self) {
        if !self.has_early() && matches!(self.stream.peek(&mut [0]).await, Ok(0) | Err(_)) {
            return;
        }
        std::future::pending().await
    }

    /// From now on the body, of this length, is read past hyper.
    pub(super) fn go_past(&self, length_bytes: u64) {
        let mut state = self.state();
        state.gate.go_past(length_bytes);
        state.in_flight = true;
        state.reader = None;
    }

    /// Whether the request that hyper has begun to take can go past it.
    pub(super) fn can_go_past(&self) -> bool {
        self.state().gate.is_held()
    }

    /// After an answer that was written past hyper: whether the next request may begin. It may not
    /// where some of the body is still under way.
    pub(super) fn begin_anew(&self) -> bool {
        let mut state = self.state();
        state.in_flight = false;
        state.since = Instant::now();
        state.gate.is_over();
        state.gate.begin_anew()
    }

    /// How much of a body that goes past hyper has not been read yet.
    pub(crate) fn body_left(&self) -> u64 {
        self.state().gate.past_left()
    }

    /// Whether some of it is here, read together with the head.
    pub(crate) fn has_early(&self) -> bool {
        self.state().gate.has_early()
    }

    /// Whether the kernel has bytes of the client, of which the runtime may not have told us yet.
    pub(super) fn has_arrived(&self) -> bool {
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        let mut byte = [0; 1];
        rustix::net::recv(&self.stream, &mut byte, flags).is_ok_and(|(_, count)| count > 0)
    }

    /// Whether bytes of a body that goes past hyper are here, or it is over.
    pub(crate) fn has_body_bytes(&self) -> bool {
        self.has_early() || self.body_left() == 0 || self.has_arrived()
    }

    /// The next bytes of a body that goes past hyper. `WouldBlock` where none are here,
    /// `UnexpectedEof` where none will come.
    pub(crate) fn read_body(&self, into: &mut [u8]) -> io::Result<usize> {
        let mut state = self.state();
        let left = usize::try_from(state.gate.past_left()).unwrap_or(usize::MAX);
        let most = left.min(into.len());
        if most == 0 {
            return Ok(0);
        }
        let count = if state.gate.has_early() {
            state.gate.take_early(&mut into[..most])
        } else {
            match self.stream.try_read(&mut into[..most])? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => count,
            }
        };
        state.gate.took_past(count);
        Ok(count)
    }

    pub(super) fn answered(&self) {
        let mut state = self.state();
        state.in_flight = false;
        state.is_flushed = false;
        state.since = Instant::now();
        state.gate.is_over();
    }

    /// The client takes nothing: what stands in its send queue is dropped with the connection.
    /// Closed in order, the kernel would keep it for as long as the client was borne with already.
    pub(super) fn give_up(&self) {
        self.state().is_given_up = true;
        // Where it fails the kernel's own time-out ends it.
        let _ = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
    }

    /// Whether the connection ends without a word.
    pub(super) fn is_given_up(&self) -> bool {
        self.state().is_given_up
    }

    /// Whether bytes may still come that will not be read.
    pub(crate) fn has_unread(&self) -> bool {
        let gate = &self.state().gate;
        !gate.is_at_head() || gate.has_begun() || gate.has_early()
    }

    /// When the connection has used up its timeouts, as things stand now; None while something is
    /// asked.
    pub(crate) fn deadline(&self, timeouts: &Timeouts) -> Option<Instant> {
        let state = self.state();
        if state.in_flight {
            return None;
        }
        let from_now = match state.gate.has_begun() {
            true => timeouts.head,
            false => timeouts.idle,
        };
        Some(state.since + from_now)
    }
}

impl State {
    /// Looks at what has come of a head; its time counts from its first byte.
    fn look(&mut self) {
        if self.gate.look() {
            self.since = Instant::now();
        }
    }

    fn is_gathered(&mut self) -> bool {
        self.look();
        !self.gate.is_at_head()
    }
}
