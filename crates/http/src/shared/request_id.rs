//! The name of a request: in its answer, in the problem document, and in every line of the log that
//! is written for it. Who has met a failure can name the lines that tell why.
//!
//! A client's own name for its request is not taken over: it could be chosen to be mistaken for
//! another's.

use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, header};

use crate::shared::problem::{Problem, RefusedAs};

/// Carries the name in every answer.
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// In the extensions of an answer: for what is logged while it is sent.
#[derive(Debug, Clone)]
pub(crate) struct RequestSpan(pub(crate) tracing::Span);

impl RequestSpan {
    /// That of this answer, or none where no request was made of what it answers.
    pub(crate) fn of<B>(response: &http::Response<B>) -> tracing::Span {
        let span = response.extensions().get::<Self>();
        span.map_or_else(tracing::Span::none, |span| span.0.clone())
    }
}

/// One request's name.
#[derive(Debug)]
pub(crate) struct RequestId(String);

impl RequestId {
    /// Of a request that has come now.
    pub(crate) fn new() -> Self {
        Self(ddx_id::random_text())
    }

    /// What is logged within it carries the name. An error's level: a filter that lets any line of
    /// a request pass lets its name pass as well.
    pub(crate) fn span(&self) -> tracing::Span {
        tracing::error_span!("request", request_id = self.0)
    }

    /// Puts the name into an answer's fields, and into the refusal that it may be; that refusal.
    pub(crate) fn complete(&self, response: &mut Response) -> Option<Problem> {
        // An id is letters and digits.
        if let Ok(value) = HeaderValue::from_str(&self.0) {
            response.headers_mut().insert(X_REQUEST_ID, value);
        }
        let RefusedAs(problem) = response.extensions().get().cloned()?;
        let problem = problem.request_id(self.0.clone());
        *response.body_mut() = problem.to_json().into();
        // A router within the router may have told the length of the body that was there.
        response.headers_mut().remove(header::CONTENT_LENGTH);
        Some(problem)
    }

    /// The answer to a request that is refused before it comes to the routes.
    pub(crate) fn refuse(&self, problem: Problem) -> Response {
        let mut response = problem.into_response();
        self.complete(&mut response);
        response
    }
}
