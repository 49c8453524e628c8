//! An answer's body on its way out.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};

use crate::server::carrier::Carrier;

/// An answer's body, which tells the connection when the request is over.
pub(crate) struct ResponseBody {
    body: Body,
    carrier: Option<Carrier>,
}

impl ResponseBody {
    pub(crate) fn new(body: Body, carrier: Option<Carrier>) -> Self {
        Self { body, carrier }
    }
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        if let Some(carrier) = &self.carrier {
            carrier.answered();
        }
    }
}

impl HttpBody for ResponseBody {
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
