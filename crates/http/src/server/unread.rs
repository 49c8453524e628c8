//! Bodies of HTTP/1 that a handler did not read to their end.
//!
//! What is left of one stands before the next request, so hyper closes such a connection, and a
//! client that was not told loses the request that it sends next. So it is told. A short rest that
//! is here already is read and dropped: a client that sends `{}` where nothing is wanted keeps its
//! connection.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;

/// How much is dropped at most, so that the connection can stay.
const DROPPED_BYTES_MAX: usize = 64 << 10;

/// How often hyper is let go on to look for more of it. Nothing is waited for.
const LOOKS: usize = 8;

#[derive(Debug)]
struct State {
    incoming: Incoming,
    end: End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    ToCome,
    Reached,
    Failed,
}

/// A body that is given to a handler, and seen to its end here.
#[derive(Debug, Clone)]
pub(super) struct Watched(Arc<Mutex<State>>);

impl Watched {
    pub(super) fn new(incoming: Incoming) -> Self {
        let end = if incoming.is_end_stream() {
            End::Reached
        } else {
            End::ToCome
        };
        Self(Arc::new(Mutex::new(State { incoming, end })))
    }

    /// The body as the handler gets it.
    pub(super) fn body(&self) -> Body {
        Body::new(self.clone())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Once the handler has answered: says in the answer whether the connection ends with it.
    /// `may_drop`: the client sends the rest without being asked to (`Expect`).
    pub(super) async fn tell(self, answer: &mut HeaderMap, may_drop: bool) {
        if may_drop {
            self.drop_rest().await;
        }
        if self.state().end != End::Reached {
            answer.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
    }

    async fn drop_rest(&self) {
        let mut dropped = 0;
        for _ in 0..LOOKS {
            while self.state().end == End::ToCome {
                let frame = std::future::poll_fn(|cx| Poll::Ready(self.state().poll(cx))).await;
                let Poll::Ready(Some(Ok(frame))) = frame else {
                    break;
                };
                dropped += frame.data_ref().map_or(0, Bytes::len);
                if dropped > DROPPED_BYTES_MAX {
                    return;
                }
            }
            if self.state().end != End::ToCome {
                return;
            }
            // hyper reads on when it sees that more is wanted.
            tokio::task::yield_now().await;
        }
    }
}

impl State {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = std::task::ready!(Pin::new(&mut self.incoming).poll_frame(cx));
        match &frame {
            Some(Err(_)) => self.end = End::Failed,
            Some(Ok(_)) if self.incoming.is_end_stream() => self.end = End::Reached,
            Some(Ok(frame)) if frame.is_trailers() => self.end = End::Reached,
            None if self.end == End::ToCome => self.end = End::Reached,
            Some(Ok(_)) | None => {}
        }
        Poll::Ready(frame)
    }
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        self.state().poll(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.state().incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.state().incoming.size_hint()
    }
}
