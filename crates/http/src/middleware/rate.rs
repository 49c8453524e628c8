//! Clients that ask too often.

use axum::response::{IntoResponse, Response};

use crate::app::{App, Client};

/// The refusal of a client that asks too often. `waits`: it is answered later in place of that,
/// since its program takes a refusal for an answer.
pub(super) async fn refusal(app: &App, client: Option<Client>, waits: bool) -> Option<Response> {
    let client = client?.address();
    loop {
        let Err((problem, after)) = app.rate_limits().count_request(client) else {
            return None;
        };
        if !waits {
            return Some(problem.into_response());
        }
        tokio::time::sleep(after).await;
    }
}
