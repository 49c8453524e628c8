//! A body that comes in hyper's frames.

use std::pin::Pin;
use std::task::Poll;

use axum::body::Body;
use bytes::{Buf, Bytes};
use ddx_engine::{Algorithm, Cut, Taken};
use http::HeaderMap;
use http_body::Body as HttpBody;

/// A body that comes in frames.
pub(crate) struct FrameBody {
    body: Option<Body>,
    frame: Bytes,
    /// It has failed: what came after would be taken for its end otherwise.
    is_cut: bool,
    trailers: Option<HeaderMap>,
    pub(super) read_trailers: Option<TrailingDigest>,
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

    pub(super) async fn ready(&mut self) -> Result<(), Cut> {
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

    pub(super) fn take(&mut self, into: &mut [u8]) -> Result<Taken, Cut> {
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
        let count = self.frame.len().min(into.len());
        self.frame.copy_to_slice(&mut into[..count]);
        if self.frame.is_empty() {
            // An empty slice would still keep its whole buffer alive.
            self.frame = Bytes::new();
        }
        Ok(Taken::Bytes(count))
    }

    pub(super) fn trailing_digest(&mut self) -> Option<(Algorithm, Vec<u8>)> {
        let trailers = self.trailers.take()?;
        self.read_trailers.and_then(|read| read(&trailers))
    }
}
