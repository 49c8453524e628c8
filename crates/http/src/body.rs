//! A request's body as the engine takes it: from the socket (the tap), or from hyper's frames; and the answer's body on its way out.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::{Buf, Bytes};
use ddx_engine::{Algorithm, Cut, Source, Taken};
use http::{HeaderMap, Request};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;

use crate::server::{BodyWay, Wire};

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// A long body that may be read past hyper; in the extensions of its request.
#[derive(Debug, Clone)]
pub(crate) struct Tap {
    pub(crate) wire: Arc<Wire>,
    pub(crate) length_bytes: u64,
    pub(crate) expects_continue: bool,
}

/// hyper's body, which tells the connection to let it have its bytes once somebody asks for them.
pub(crate) struct LazyBody {
    incoming: Incoming,
    tap: Option<Tap>,
}

impl LazyBody {
    pub(crate) fn new(incoming: Incoming, tap: Option<Tap>) -> Self {
        Self { incoming, tap }
    }
}

impl HttpBody for LazyBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        if let Some(tap) = self.tap.take() {
            tap.wire.decide(BodyWay::Known(tap.length_bytes));
        }
        Pin::new(&mut self.incoming).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

/// The body of one request, whichever way it comes.
pub(crate) enum Intake {
    Socket(SocketBody),
    Frames(FrameBody),
}

impl Intake {
    /// The shortest way that this request's body can take.
    pub(crate) fn of(request: Request<Body>) -> Self {
        let tap = request.extensions().get::<Tap>().cloned();
        match tap {
            Some(tap) if tap.wire.tap(tap.length_bytes) => Self::Socket(SocketBody {
                left: tap.length_bytes,
                greeting: if tap.expects_continue { CONTINUE } else { &[] },
                wire: tap.wire,
            }),
            _ => Self::Frames(FrameBody::new(request.into_body())),
        }
    }

    /// The same, with a digest after the body.
    pub(crate) fn with_trailer(mut self, read: TrailingDigest) -> Self {
        if let Self::Frames(body) = &mut self {
            body.read_trailers = Some(read);
        }
        self
    }
}

impl Source for Intake {
    async fn ready(&mut self) -> Result<(), Cut> {
        match self {
            Self::Socket(body) => body.ready().await,
            Self::Frames(body) => body.ready().await,
        }
    }

    fn take(&mut self, into: &mut [u8]) -> Result<Taken, Cut> {
        match self {
            Self::Socket(body) => body.take(into),
            Self::Frames(body) => body.take(into),
        }
    }

    fn trailing_digest(&mut self) -> Option<(Algorithm, Vec<u8>)> {
        match self {
            Self::Socket(_) => None,
            Self::Frames(body) => body.trailing_digest(),
        }
    }
}

/// A body that is read from the socket.
pub(crate) struct SocketBody {
    wire: Arc<Wire>,
    left: u64,
    greeting: &'static [u8],
}

impl SocketBody {
    async fn ready(&mut self) -> Result<(), Cut> {
        while !self.greeting.is_empty() {
            self.wire.stream().writable().await.map_err(|_| Cut)?;
            match self.wire.stream().try_write(self.greeting) {
                Ok(count) => self.greeting = &self.greeting[count..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return Err(Cut),
            }
        }
        if self.left == 0 || self.wire.has_early() {
            return Ok(());
        }
        self.wire.stream().readable().await.map_err(|_| Cut)
    }

    fn take(&mut self, into: &mut [u8]) -> Result<Taken, Cut> {
        if self.left == 0 {
            return Ok(Taken::End);
        }
        let most = usize::try_from(self.left)
            .unwrap_or(usize::MAX)
            .min(into.len());
        let count = match self.wire.take_early(&mut into[..most]) {
            0 => match self.wire.stream().try_read(&mut into[..most]) {
                Ok(0) => return Err(Cut),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(Taken::Nothing);
                }
                Err(_) => return Err(Cut),
            },
            count => count,
        };
        self.left -= count as u64;
        Ok(Taken::Bytes(count))
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
    wire: Option<Arc<Wire>>,
}

impl AnswerBody {
    pub(crate) fn new(body: Body, wire: Option<Arc<Wire>>) -> Self {
        Self { body, wire }
    }
}

impl Drop for AnswerBody {
    fn drop(&mut self) {
        if let Some(wire) = &self.wire {
            wire.answered();
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
