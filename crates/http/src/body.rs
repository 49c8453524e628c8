//! A request's body as the engine takes it: from the socket (the tap), or in frames; and the
//! answer's body on its way out.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::{Buf, Bytes};
use ddx_engine::{Algorithm, Cut, Source, Taken};
use futures_util::FutureExt as _;
use http::{HeaderMap, Request};
use http_body::{Body as HttpBody, Frame, SizeHint};

use crate::server::{Carrier, Pauses, Wire};
use crate::socket;

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Bytes of a frame, where a body that goes past hyper is wanted in frames.
const FRAME_BYTES: usize = 8 * 1024;

/// A long body that is read past hyper; in the extensions of its request, and its body for code
/// that wants frames.
#[derive(Debug, Clone)]
pub(crate) struct Tap {
    wire: Arc<Wire>,
    expects_continue: bool,
}

impl Tap {
    pub(crate) fn new(wire: Arc<Wire>, expects_continue: bool) -> Self {
        Self {
            wire,
            expects_continue,
        }
    }

    fn socket(&self) -> SocketBody {
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

/// The body of one request, whichever way it comes.
pub(crate) struct Intake {
    way: Way,
    pauses: Option<Pauses>,
}

enum Way {
    Socket(SocketBody),
    Frames(FrameBody),
}

impl Intake {
    /// The shortest way that this request's body can take.
    pub(crate) fn of(request: Request<Body>) -> Self {
        let pauses = request.extensions().get::<Pauses>().cloned();
        let way = match request.extensions().get::<Tap>() {
            Some(tap) => Way::Socket(tap.socket()),
            None => Way::Frames(FrameBody::new(request.into_body())),
        };
        Self { way, pauses }
    }

    /// The same, with a digest after the body.
    pub(crate) fn with_trailer(mut self, read: TrailingDigest) -> Self {
        if let Way::Frames(body) = &mut self.way {
            body.read_trailers = Some(read);
        }
        self
    }
}

impl Source for Intake {
    async fn ready(&mut self) -> Result<(), Cut> {
        match &mut self.way {
            Way::Socket(body) => body.ready().await,
            Way::Frames(body) => body.ready().await,
        }
    }

    async fn ready_or_unwanted(&mut self) -> Result<bool, Cut> {
        let pauses = self.pauses.clone();
        let unwanted = async {
            match &pauses {
                Some(pauses) => pauses.unwanted().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            ready = self.ready() => ready.map(|()| true),
            () = unwanted => Ok(false),
        }
    }

    fn set_low_water(&mut self, bytes: u64) {
        if let Way::Socket(body) = &mut self.way {
            body.set_low_water(bytes);
        }
    }

    async fn has_arrived(&mut self) -> bool {
        match &mut self.way {
            Way::Socket(body) => body.has_arrived().await,
            Way::Frames(body) => {
                // What the connection has is known only after the runtime has asked it.
                tokio::task::yield_now().await;
                matches!(body.ready().now_or_never(), Some(Ok(())))
            }
        }
    }

    fn take(&mut self, into: &mut [u8]) -> Result<Taken, Cut> {
        match &mut self.way {
            Way::Socket(body) => body.take(into),
            Way::Frames(body) => body.take(into),
        }
    }

    fn trailing_digest(&mut self) -> Option<(Algorithm, Vec<u8>)> {
        match &mut self.way {
            Way::Socket(_) => None,
            Way::Frames(body) => body.trailing_digest(),
        }
    }
}

/// A body that is read from the socket.
pub(crate) struct SocketBody {
    wire: Arc<Wire>,
    /// What of `100 Continue` is still to be sent.
    greeting: &'static [u8],
    /// As the socket has it: it is readable when so many bytes are here.
    low_water_bytes: u64,
}

impl SocketBody {
    async fn ready(&mut self) -> Result<(), Cut> {
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
    fn set_low_water(&mut self, bytes: u64) {
        let bytes = bytes.min(self.wire.body_left()).max(1);
        if bytes != self.low_water_bytes && socket::set_low_water(self.wire.stream(), bytes).is_ok()
        {
            self.low_water_bytes = bytes;
        }
    }

    async fn has_arrived(&mut self) -> bool {
        // The runtime learns of it later than the kernel does.
        self.wire.has_body_bytes() && self.ready().await.is_ok()
    }

    fn take(&mut self, into: &mut [u8]) -> Result<Taken, Cut> {
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

/// Moves the beginning of a frame out of it; how many bytes that were.
pub(crate) fn take_from(frame: &mut Bytes, into: &mut [u8]) -> usize {
    let count = frame.len().min(into.len());
    frame.copy_to_slice(&mut into[..count]);
    if frame.is_empty() {
        // An empty slice would still keep its whole buffer alive.
        *frame = Bytes::new();
    }
    count
}

/// A body that comes in frames.
pub(crate) struct FrameBody {
    body: Option<Body>,
    frame: Bytes,
    /// It has failed: what came after would be taken for its end otherwise.
    is_cut: bool,
    trailers: Option<HeaderMap>,
    read_trailers: Option<TrailingDigest>,
}

/// How a protocol finds a digest in the fields after a body.
pub(crate) type TrailingDigest = fn(&HeaderMap) -> Option<(Algorithm, Vec<u8>)>;

impl FrameBody {
    pub(crate) fn new(body: Body) -> Self {
        Self {
            body: Some(body),
            frame: Bytes::new(),
            is_cut: false,
            trailers: None,
            read_trailers: None,
        }
    }

    async fn ready(&mut self) -> Result<(), Cut> {
        std::future::poll_fn(|cx| {
            while self.frame.is_empty() {
                if self.is_cut {
                    return Poll::Ready(Err(Cut));
                }
                let Some(body) = &mut self.body else {
                    return Poll::Ready(Ok(()));
                };
                match std::task::ready!(Pin::new(body).poll_frame(cx)) {
                    None => self.body = None,
                    Some(Err(_)) => self.is_cut = true,
                    Some(Ok(frame)) => match frame.into_data() {
                        Ok(data) => self.frame = data,
                        Err(frame) => self.trailers = frame.into_trailers().ok(),
                    },
                }
            }
            Poll::Ready(Ok(()))
        })
        .await
    }

    fn take(&mut self, into: &mut [u8]) -> Result<Taken, Cut> {
        if self.frame.is_empty() {
            if self.is_cut {
                return Err(Cut);
            }
            return Ok(if self.body.is_none() {
                Taken::End
            } else {
                Taken::Nothing
            });
        }
        Ok(Taken::Bytes(take_from(&mut self.frame, into)))
    }

    fn trailing_digest(&mut self) -> Option<(Algorithm, Vec<u8>)> {
        let trailers = self.trailers.take()?;
        self.read_trailers.and_then(|read| read(&trailers))
    }
}

/// An answer's body, which tells the connection when the request is over.
pub(crate) struct AnswerBody {
    body: Body,
    carrier: Option<Carrier>,
}

impl AnswerBody {
    pub(crate) fn new(body: Body, carrier: Option<Carrier>) -> Self {
        Self { body, carrier }
    }
}

impl Drop for AnswerBody {
    fn drop(&mut self) {
        if let Some(carrier) = &self.carrier {
            carrier.answered();
        }
    }
}

impl HttpBody for AnswerBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
