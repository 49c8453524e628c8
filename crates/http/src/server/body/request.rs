//! A request's body as the engine takes it, whichever way it comes.

use axum::body::Body;
use ddx_engine::{Algorithm, Cut, Source, Taken};
use futures_util::FutureExt as _;
use http::Request;

use super::direct::{DirectBody, SocketBody};
use super::frames::{FrameBody, TrailingDigest};
use crate::server::idle::Pauses;

/// The body of one request, whichever way it comes.
pub(crate) struct RequestBody {
    transport: Transport,
    pauses: Option<Pauses>,
}

enum Transport {
    Socket(SocketBody),
    Frames(FrameBody),
}

impl RequestBody {
    /// The shortest way that this request's body can take.
    pub(crate) fn of(request: Request<Body>) -> Self {
        let pauses = request.extensions().get::<Pauses>().cloned();
        let transport = match request.extensions().get::<DirectBody>() {
            Some(direct) => Transport::Socket(direct.socket()),
            None => Transport::Frames(FrameBody::new(request.into_body())),
        };
        Self { transport, pauses }
    }

    /// What comes in frames, and not as the body of a request: a part of a form.
    pub(crate) fn of_frames(body: Body) -> Self {
        Self {
            transport: Transport::Frames(FrameBody::new(body)),
            pauses: None,
        }
    }

    /// The same, with a digest after the body.
    pub(crate) fn with_trailer(mut self, read: TrailingDigest) -> Self {
        if let Transport::Frames(body) = &mut self.transport {
            body.read_trailers = Some(read);
        }
        self
    }
}

impl Source for RequestBody {
    async fn ready(&mut self) -> Result<(), Cut> {
        match &mut self.transport {
            Transport::Socket(body) => body.ready().await,
            Transport::Frames(body) => body.ready().await,
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
        if let Transport::Socket(body) = &mut self.transport {
            body.set_low_water(bytes);
        }
    }

    async fn has_arrived(&mut self) -> bool {
        match &mut self.transport {
            Transport::Socket(body) => body.has_arrived().await,
            Transport::Frames(body) => {
                // What the connection has is known only after the runtime has asked it.
                tokio::task::yield_now().await;
                matches!(body.ready().now_or_never(), Some(Ok(())))
            }
        }
    }

    fn take(&mut self, into: &mut [u8]) -> Result<Taken, Cut> {
        match &mut self.transport {
            Transport::Socket(body) => body.take(into),
            Transport::Frames(body) => body.take(into),
        }
    }

    fn trailing_digest(&mut self) -> Option<(Algorithm, Vec<u8>)> {
        match &mut self.transport {
            Transport::Socket(_) => None,
            Transport::Frames(body) => body.trailing_digest(),
        }
    }
}
