//! A handler that crashes is a mistake of the server: its client is told so, all others go on.

use std::any::Any;
use std::panic::AssertUnwindSafe;

use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;

use crate::shared::problem::{Kind, Problem};

pub(super) async fn caught(answer: impl Future<Output = Response>) -> Response {
    let answer = AssertUnwindSafe(answer).catch_unwind().await;
    answer.unwrap_or_else(panicked)
}

fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let what = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied());
    tracing::error!(
        panic = what,
        "a request crashed by a mistake in the server; all others go on; please report this"
    );
    Problem::new(Kind::Internal).into_response()
}
