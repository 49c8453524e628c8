//! A long body of known length on a plain connection: it is read from the socket, past hyper.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use ddx_engine::{Cut, Taken};
use http_body::{Body as HttpBody, Frame, SizeHint};

use crate::server::socket;
use crate::server::wire::Wire;

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Bytes of a frame, where a body that goes past hyper is wanted in frames.
const FRAME_BYTES: usize = 8 * 1024;

/// A long body that is read past hyper; in the extensions of its request, and its body for code
/// that wants frames.
#[derive(Debug, Clone)]
pub(crate) struct DirectBody {
    wire: Arc<Wire>,
    expects_continue: bool,
}

impl DirectBody {
    pub(crate) fn new(wire: Arc<Wire>, expects_continue: bool) -> Self {
        Self {
            wire,
            expects_continue,
        }
    }

    pub(super) fn socket(&self) -> SocketBody {
        SocketBody {
            greeting: if self.expects_continue { CONTINUE } else { &[] },
            low_water_bytes: 1,
            wire: self.wire.clone(),
        }
    }

    /// The body in frames.
    pub(crate) fn frames(&self) -> SocketFrames {
        SocketFrames(self.socket())
    }
}

/// A body that is read from the socket.
pub(super) struct SocketBody {
    wire: Arc<Wire>,
    /// What of `100 Continue` is still to be sent.
    greeting: &'static [u8],
    /// As the socket has it: it is readable when so many bytes are here.
    low_water_bytes: u64,
}

impl SocketBody {
    pub(super) async fn ready(&mut self) -> Result<(), Cut> {
        std::future::poll_fn(|cx| self.poll_ready(cx))
            .await
            .map_err(|_| Cut)
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stream = self.wire.stream();
        while !self.greeting.is_empty() {
            std::task::ready!(stream.poll_write_ready(cx))?;
            match stream.try_write(self.greeting) {
                Ok(count) => self.greeting = &self.greeting[count..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        if self.wire.body_left() == 0 || self.wire.has_early() {
            return Poll::Ready(Ok(()));
        }
        stream.poll_read_ready(cx)
    }

    /// Never more than what is left of the body, or its end would wait for the next request.
    pub(super) fn set_low_water(&mut self, bytes: u64) {
        let bytes = bytes.min(self.wire.body_left()).max(1);
        if bytes != self.low_water_bytes && socket::set_low_water(self.wire.stream(), bytes).is_ok()
        {
            self.low_water_bytes = bytes;
        }
    }

    pub(super) async fn has_arrived(&mut self) -> bool {
        // The runtime learns of it later than the kernel does.
        self.wire.has_body_bytes() && self.ready().await.is_ok()
    }

    pub(super) fn take(&mut self, into: &mut [u8]) -> Result<Taken, Cut> {
        match self.wire.read_body(into) {
            Ok(0) if self.wire.body_left() == 0 => Ok(Taken::End),
            Ok(count) => {
                self.set_low_water(self.low_water_bytes);
                Ok(Taken::Bytes(count))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Taken::Nothing),
            Err(_) => Err(Cut),
        }
    }
}

impl Drop for SocketBody {
    fn drop(&mut self) {
        // What comes next on the connection is a head, or the rest of the body on its way into
        // nothing.
        self.set_low_water(1);
    }
}

/// The same for code that takes bodies in frames.
pub(crate) struct SocketFrames(SocketBody);

impl HttpBody for SocketFrames {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        loop {
            std::task::ready!(self.0.poll_ready(cx))?;
            let most = self.0.wire.body_left().min(FRAME_BYTES as u64) as usize;
            if most == 0 {
                return Poll::Ready(None);
            }
            let mut frame = vec![0; most];
            match self.0.wire.read_body(&mut frame) {
                Ok(count) => {
                    frame.truncate(count);
                    return Poll::Ready(Some(Ok(Frame::data(frame.into()))));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.0.wire.body_left() == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.wire.body_left())
    }
}
