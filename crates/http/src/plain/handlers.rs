//! Plain uploads: one request, one file or several, and links as the answer.
//!
//! Nobody can continue such a request, so one that is cut leaves nothing (docs/decisions/0006). What the form's text fields ask for
//! holds for all of its files, wherever the fields stand, so it is applied once the form has ended.

use std::sync::{Arc, Mutex, PoisonError};

use axum::body::{Body, BodyDataStream};
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use ddx_engine::{Created, Cut, Expected, Id, NewUpload, PROTOCOL_PLAIN, Put, Source, Taken};
use http::{HeaderValue, Method, Request, StatusCode, header};
use serde::Serialize;

use super::multipart::{self, Form, Part};
use super::wire::{self, Options};
use crate::app::App;
use crate::body::{Intake, take_from};
use crate::digests;
use crate::fields;
use crate::links::Links;
use crate::names;
use crate::negotiate::{Format, negotiate};
use crate::problem::{Kind, Problem};
use crate::refusal::problem;
use crate::view::File;

/// `PUT /{name}` and `PUT /`.
pub(super) async fn put(State(app): State<App>, links: Links, request: Request<Body>) -> Response {
    match put_file(&app, &links, request).await {
        Ok(response) => response,
        Err(problem) => problem.into_response(),
    }
}

async fn put_file(app: &App, links: &Links, request: Request<Body>) -> Result<Response, Problem> {
    let prefix = links.path("");
    let path = request.uri().path();
    let path = path.strip_prefix(prefix.as_str()).unwrap_or(path);
    let put = wire::put(path, request.headers(), &app.config().plain)?;
    let format = negotiate(request.headers(), &[Format::Text, Format::Json]);
    // The strongest that the server can check while the bytes come.
    let digest = put.digests.into_iter().next();
    let is_digest = digest.is_some();
    app.paces().count_creation(links.client())?;
    let new = NewUpload {
        owner: links.owner(),
        share_key: None,
        path: put.path,
        content_type: put.content_type,
        metadata: String::new(),
        secret_metadata: None,
        is_part: false,
        protocol: PROTOCOL_PLAIN,
        length_bytes: put.length,
        keep: put.options.keep,
        max_downloads: put.options.max_downloads,
        with_sha256: digests::wanted(request.headers(), &digests::WANT_REPR_DIGEST)
            .contains(&ddx_engine::Algorithm::Sha256),
    };
    let expected = digest.map(|digest| Expected::Known(digest.algorithm, digest.value));
    let created = app
        .engine()
        .put(Put { new, expected }, Intake::of(request))
        .await
        .map_err(|error| match error {
            ddx_engine::Error::ChecksumMismatch { algorithm } if is_digest => {
                Problem::new(Kind::DigestMismatch).value(algorithm)
            }
            other => problem(other),
        })?;
    Ok(answer(links, &[created], format))
}

/// `POST /`.
pub(super) async fn form(State(app): State<App>, links: Links, request: Request<Body>) -> Response {
    let format = negotiate(request.headers(), &[Format::Text, Format::Json]);
    let mut created = Vec::new();
    match form_files(&app, &links, request, &mut created).await {
        Ok(()) => answer(&links, &created, format),
        Err(refused) => {
            // Their links were told to nobody.
            for file in created {
                if let Err(error) = app.engine().delete(file.delete_key).await {
                    tracing::warn!(%error, "a file of a form that failed could not be removed");
                }
            }
            refused.into_response()
        }
    }
}

async fn form_files(
    app: &App,
    links: &Links,
    request: Request<Body>,
    created: &mut Vec<Created>,
) -> Result<(), Problem> {
    let limits = &app.config().plain;
    let content_type = fields::single(request.headers(), &header::CONTENT_TYPE)?
        .unwrap_or_default()
        .to_owned();
    let mut options = Options::read(request.headers(), limits)?;
    let stream = request.into_body().into_data_stream();
    let mut form = Form::new(&content_type, stream, app.config().form)?;
    let mut share_key = None;
    loop {
        let Some(part) = form.next().await.map_err(form_problem)? else {
            break;
        };
        let Some(filename) = &part.filename else {
            let text = form.text().await.map_err(form_problem)?;
            options.set(&part.name, &text, limits)?;
            continue;
        };
        if filename.is_empty() {
            // A browser's file field that nothing was chosen for.
            continue;
        }
        let key = match share_key {
            Some(key) => key,
            None => *share_key.insert(
                app.engine()
                    .create_share()
                    .await
                    .map_err(problem)?
                    .share_key,
            ),
        };
        app.paces().count_creation(links.client())?;
        let new = new_file(links, key, &part, &limits.names)?;
        let slot = Arc::new(Mutex::new(None));
        let source = PartBody {
            form: Some(form),
            frame: Bytes::new(),
            ended: false,
            is_cut: false,
            back: slot.clone(),
        };
        let made = app
            .engine()
            .put(
                Put {
                    new,
                    expected: None,
                },
                source,
            )
            .await;
        created.push(made.map_err(problem)?);
        let returned = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
        form = returned.ok_or_else(|| Problem::new(Kind::Internal))?;
    }
    if created.is_empty() {
        return Err(Problem::new(Kind::FormInvalid)
            .detail("the form has no file")
            .remedy("Send at least one field with a file name, as `curl -F file=@NAME` does."));
    }
    for file in created.iter_mut() {
        file.record = app
            .engine()
            .limit(&file.record, options.max_downloads, options.keep)
            .await
            .map_err(problem)?;
    }
    Ok(())
}

fn new_file(
    links: &Links,
    share_key: Id,
    part: &Part,
    limits: &names::Limits,
) -> Result<NewUpload, Problem> {
    let filename = part.filename.as_deref().unwrap_or_default();
    Ok(NewUpload {
        owner: links.owner(),
        share_key: Some(share_key),
        path: names::name(filename, limits)?,
        content_type: part.content_type.clone(),
        metadata: String::new(),
        secret_metadata: None,
        is_part: false,
        protocol: PROTOCOL_PLAIN,
        length_bytes: None,
        keep: None,
        max_downloads: None,
        with_sha256: false,
    })
}

fn form_problem(error: multipart::Error<axum::Error>) -> Problem {
    match error {
        multipart::Error::Refused(problem) => problem,
        multipart::Error::Body(_) => {
            Problem::new(Kind::BodyInvalid).detail("the form was cut short")
        }
    }
}

/// `DELETE /delete/{key}`, the secret address that the upload's answer told.
pub(super) async fn delete(
    State(app): State<App>,
    Path(key): Path<String>,
    method: Method,
) -> Response {
    if method != Method::DELETE {
        return Problem::new(Kind::MethodRefused)
            .field(header::ALLOW, HeaderValue::from_static("DELETE"))
            .into_response();
    }
    let Ok(key) = key.parse::<Id>() else {
        return Problem::new(Kind::NotFound).into_response();
    };
    match app.engine().delete(key).await {
        Ok(_) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => problem(error).into_response(),
    }
}

#[derive(Serialize)]
struct Told {
    link: String,
    files: Vec<ToldFile>,
}

#[derive(Serialize)]
struct ToldFile {
    #[serde(flatten)]
    file: File,
    delete_link: String,
}

/// One file: its link, which is the share's. Several: a link for each, and the share's in the field.
fn answer(links: &Links, created: &[Created], format: Format) -> Response {
    let Some(first) = created.first() else {
        return Problem::new(Kind::Internal).into_response();
    };
    let share = links.share(Id(first.record.share_id));
    let mut response = match format {
        Format::Json => {
            let files = created.iter().map(|created| ToldFile {
                file: File::new(&created.record.clone().into(), None, links),
                delete_link: links.delete(created.delete_key),
            });
            let told = Told {
                link: share,
                files: files.collect(),
            };
            (StatusCode::CREATED, axum::Json(told)).into_response()
        }
        Format::Text | Format::Html => {
            let each = created
                .iter()
                .map(|created| links.file(Id(created.record.share_id), &created.record.path));
            let told: Vec<String> = match created {
                [_] => vec![share],
                _ => each.collect(),
            };
            let text = wire::links_text(told.iter().map(String::as_str));
            (
                StatusCode::CREATED,
                [(header::CONTENT_TYPE, "text/plain; charset=utf-8")],
                text,
            )
                .into_response()
        }
    };
    links.tell_created(response.headers_mut(), first);
    if created.len() == 1 {
        response
            .headers_mut()
            .extend(crate::deliver::digests(&first.record));
    }
    response
}

type FormOfBody = Form<BodyDataStream>;

/// One part of a form as the engine takes it. The form comes back when the engine is done with it.
struct PartBody {
    form: Option<FormOfBody>,
    frame: Bytes,
    ended: bool,
    /// The form has failed, which is no end of a file.
    is_cut: bool,
    back: Arc<Mutex<Option<FormOfBody>>>,
}

impl Source for PartBody {
    async fn ready(&mut self) -> Result<(), Cut> {
        if self.ended || !self.frame.is_empty() {
            return Ok(());
        }
        if self.is_cut {
            return Err(Cut);
        }
        let form = self.form.as_mut().ok_or(Cut)?;
        match form.chunk().await {
            Ok(Some(frame)) => self.frame = frame,
            Ok(None) => self.ended = true,
            Err(_) => self.is_cut = true,
        }
        Ok(())
    }

    fn take(&mut self, into: &mut [u8]) -> Result<Taken, Cut> {
        if self.frame.is_empty() {
            if self.is_cut {
                return Err(Cut);
            }
            return Ok(if self.ended {
                Taken::End
            } else {
                Taken::Nothing
            });
        }
        Ok(Taken::Bytes(take_from(&mut self.frame, into)))
    }
}

impl Drop for PartBody {
    fn drop(&mut self) {
        *self.back.lock().unwrap_or_else(PoisonError::into_inner) = self.form.take();
    }
}
