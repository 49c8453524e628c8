//! What every request passes before its handler and every answer after it.

mod cors;
mod measure;
mod panic;
mod problem_page;
mod rate;

use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderName, HeaderValue, Method, header};
use tracing::Instrument as _;

use crate::app::{App, Client};
use crate::route_group::{RouteGroup, RouteInfo};
use crate::shared::path_prefix;
use crate::shared::request_id::{RequestId, RequestSpan};
use crate::shared::strict;
use cors::{CorsFields, CrossOriginRequest};
use measure::Measured;
use problem_page::ProblemPage;

/// What the middleware knows: the state, and what the groups of routes told of themselves.
#[derive(Clone)]
pub(crate) struct Middleware(Arc<Inner>);

struct Inner {
    app: App,
    describe: Vec<fn(&Method, &str) -> Option<RouteInfo>>,
    cors: CorsFields,
}

impl Middleware {
    pub(crate) fn new(app: App, groups: &[RouteGroup]) -> Self {
        Self(Arc::new(Inner {
            app,
            describe: groups.iter().map(|group| group.describe).collect(),
            cors: CorsFields::of(groups.iter().map(|group| &group.cors)),
        }))
    }

    /// In one layer: each of its own would be one more future that a slow upload holds to its end.
    pub(crate) async fn around(
        State(middleware): State<Self>,
        request: Request,
        next: Next,
    ) -> Response {
        let request_id = RequestId::new();
        let span = request_id.span();
        let answer = middleware.0.answer(&request_id, request, next);
        let mut response = answer.instrument(span.clone()).await;
        response.extensions_mut().insert(RequestSpan(span));
        response
    }
}

impl Inner {
    async fn answer(&self, request_id: &RequestId, request: Request, next: Next) -> Response {
        let app = &self.app;
        let route = self.route_of(&request);
        let page = ProblemPage::of(app, &request);
        let measured = Measured::begin(app, &request, route.label);
        let asked = CrossOriginRequest::of(app, &request, route.is_for_operators);
        let client = Client::of(app, request.extensions(), request.headers());
        let too_many = rate::refusal(app, client, route.waits_its_turn).await;
        let early = too_many
            .or_else(|| strict::refusal(&request))
            .or_else(|| asked.answer(&self.cors));
        // A refusal that is made here is none of the group's answers.
        let always_cors = route.always_cors && early.is_none();
        let mut response = match early {
            Some(answer) => answer,
            None => panic::caught(next.run(request)).await,
        };
        if let Some(vary) = route.vary {
            let vary = HeaderValue::from_static(vary);
            response.headers_mut().append(header::VARY, vary);
        }
        asked.permit(app, &self.cors, always_cors, &mut response);
        let refused = request_id.complete(&mut response);
        if let (Some(page), Some(problem)) = (page, refused) {
            page.shows(&problem, &mut response);
        }
        add_common_fields(&mut response);
        measured.answered(app, &response);
        response
    }

    fn route_of(&self, request: &Request) -> RouteInfo {
        let unknown = RouteInfo::new("other");
        let Some(matched) = request.extensions().get::<MatchedPath>() else {
            return unknown;
        };
        let prefix = &self.app.config().origin.path_prefix;
        let route = path_prefix::below(prefix, matched.as_str());
        let mut groups = self.describe.iter();
        groups
            .find_map(|describe| describe(request.method(), route))
            .unwrap_or(unknown)
    }
}

/// No answer is ever taken for another type than it says, or tells other sites where its reader
/// came from: links are secrets.
pub(crate) fn add_common_fields(response: &mut Response) {
    const FIELDS: [(HeaderName, HeaderValue); 2] = [
        (
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        ),
        (
            header::REFERRER_POLICY,
            HeaderValue::from_static("no-referrer"),
        ),
    ];
    for (name, value) in FIELDS {
        response.headers_mut().entry(name).or_insert(value);
    }
}
