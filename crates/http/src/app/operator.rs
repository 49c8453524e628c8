//! Whether an operator asks.

use axum::extract::FromRequestParts;
use http::request::Parts;

use super::client::peer;
use super::state::App;
use crate::shared::problem::{Kind, Problem};

/// An operator asks; all others are refused.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Operator;

impl FromRequestParts<App> for Operator {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let config = app.config();
        let peer = peer(&parts.extensions).ok_or_else(|| Problem::new(Kind::Internal))?;
        let is_one = config.operators.sent(&config.origin, peer, &parts.headers);
        is_one
            .then_some(Self)
            .ok_or_else(|| Problem::new(Kind::NotFound))
    }
}
