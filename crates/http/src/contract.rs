//! The API as a contract: OpenAPI 3.1, put together from what each group of routes tells.

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header;
use serde_json::{Value, json};
use utoipa::openapi::extensions::Extensions;
use utoipa::openapi::path::Operation;
use utoipa::openapi::{
    ContentBuilder, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, PathItem, Ref,
    ResponseBuilder, ServerBuilder,
};
use utoipa::{PartialSchema, ToSchema};

use crate::route_group::RouteGroup;
use crate::shared::problem::{self, Document};

/// Where it is told.
pub(crate) const PATH: &str = "/api/v1/openapi.json";

const ABOUT: &str = "Takes files of any size and gives each a link. Resumable uploads speak \
    tus 1.0.0 at `/files`. Every refusal is a problem document with the limit that was met and \
    what to do.";

/// The contract of these groups, whose addresses stand below `prefix`.
pub(crate) fn document(groups: &[RouteGroup], prefix: &str, version: &str) -> OpenApi {
    let info = InfoBuilder::new()
        .title("DirectDriveX")
        .version(version)
        .description(Some(ABOUT))
        .license(Some(
            LicenseBuilder::new()
                .name("Apache-2.0")
                .identifier(Some("Apache-2.0"))
                .build(),
        ));
    let url = if prefix.is_empty() { "/" } else { prefix };
    let mut document = OpenApiBuilder::new()
        .info(info.build())
        .servers(Some([ServerBuilder::new().url(url).build()]))
        .build();
    for group in groups {
        document.merge(group.contract.clone());
    }
    add_problem(&mut document);
    let kinds = problem::TABLE.iter().map(problem_kind).collect::<Vec<_>>();
    document.extensions = Some(Extensions::from_iter([("x-problem-kinds", kinds)]));
    document
}

/// What a problem document's type means, for who reads the contract.
fn problem_kind(entry: &problem::Entry) -> Value {
    json!({
        "type": format!("{}{}", problem::TYPE_PREFIX, entry.slug),
        "status": entry.status,
        "title": entry.title,
        "when": entry.about,
        "remedy": entry.remedy,
    })
}

/// Any request may be refused, and every refusal has the same shape.
fn add_problem(document: &mut OpenApi) {
    let components = document.components.get_or_insert_default();
    let name = Document::name().into_owned();
    let mut parts = Vec::new();
    Document::schemas(&mut parts);
    components.schemas.extend(parts);
    components.schemas.insert(name.clone(), Document::schema());
    let refused = ResponseBuilder::new()
        .description("The request is refused.")
        .content(
            problem::MEDIA_TYPE,
            ContentBuilder::new()
                .schema(Some(Ref::from_schema_name(name)))
                .build(),
        )
        .build();
    for item in document.paths.paths.values_mut() {
        for operation in operations(item) {
            let responses = &mut operation.responses.responses;
            responses.insert("default".to_owned(), refused.clone().into());
        }
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [
        &mut item.get,
        &mut item.put,
        &mut item.post,
        &mut item.delete,
        &mut item.patch,
        &mut item.head,
    ]
    .into_iter()
    .flatten()
}

/// `GET` at [`PATH`].
pub(crate) fn answer(document: Bytes) -> Response {
    let fields = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (fields, document).into_response()
}
