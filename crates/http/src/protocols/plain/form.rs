//! A form: several files in one request, and their links as the answer.
//!
//! What the form's text fields ask for holds for all of its files, wherever the fields stand, so it
//! is applied once the form has ended. A form that is cut leaves nothing, as a `PUT` that is. Of
//! each file only its keys are held meanwhile: a form may have a thousand, and as many forms may
//! come as there are connections.

use std::collections::VecDeque;
use std::sync::Arc;

use axum::body::{Body, BodyDataStream};
use axum::extract::State;
use axum::response::Response;
use ddx_engine::{Created, Engine, FileSummary, NewUpload, Put};
use ddx_id::{DeleteKey, FileId, ShareKey};
use ddx_memory::Charge;
use http::{Request, StatusCode, header};
use tokio::sync::{Mutex, OwnedMutexGuard};
use tracing::Instrument as _;
use utoipa::ToSchema;

use super::handlers::{PROTOCOL, UploadReceipt, UploadedFile, answer, limits, takes_new_files};
use super::headers::Options;
use super::multipart::{self, Form, Part};
use crate::app::{App, Client, PublicBase, charge_answer, no_memory};
use crate::listing::{self, Draw, Listing};
use crate::server::RequestBody;
use crate::shared::accept::{Format, negotiate, takes_coding};
use crate::shared::engine_error::{Stays, body_problem, problem};
use crate::shared::fields;
use crate::shared::names;
use crate::shared::problem::{Kind, Problem};

/// The fields of a form.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it is read part by part; this is its shape")]
struct UploadForm {
    /// A file, under any name of a field; more of them may follow.
    #[schema(value_type = String, format = Binary)]
    file: Vec<u8>,
    /// How often each may be downloaded.
    #[serde(rename = "max-downloads")]
    #[schema(value_type = u64, required = false, minimum = 1, maximum = 1_000_000)]
    max_downloads: Option<u64>,
    /// For how many days they are kept.
    #[serde(rename = "max-days")]
    #[schema(value_type = u64, required = false, minimum = 1, maximum = 3_650)]
    max_days: Option<u64>,
}

/// A file of the form.
#[derive(Debug, Clone, Copy)]
struct Made {
    file_id: FileId,
    delete_key: DeleteKey,
}

/// All files of a form. Until they are told to the client its keys are not known outside, so
/// dropping this deletes them.
struct Files {
    engine: Engine,
    /// The first one as it was made.
    first: Option<Created>,
    made: VecDeque<Made>,
    /// For `made`, beyond what the request is charged anyway.
    charge: Option<Charge>,
}

/// What a file of a form takes: its keys, in a list that grows by doubling, and copies of it for
/// the answer.
const MADE_BYTES: u64 = 128;
/// So many more are charged at a time, and the first of them not at all.
const MADE_STEP: usize = 64;

impl Files {
    /// Books memory for one more file.
    fn book(&mut self, app: &App) -> Result<(), Problem> {
        if self.made.is_empty() || !self.made.len().is_multiple_of(MADE_STEP) {
            return Ok(());
        }
        let bytes = MADE_STEP as u64 * MADE_BYTES;
        match &mut self.charge {
            Some(charge) => charge
                .grow(bytes)
                .map_err(|refusal| no_memory(bytes, &refusal)),
            None => {
                self.charge = Some(charge_answer(app, bytes)?);
                Ok(())
            }
        }
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let (engine, made) = (self.engine.clone(), std::mem::take(&mut self.made));
        if made.is_empty() {
            return;
        }
        let remove = async move {
            for file in made {
                if let Err(error) = engine.delete(file.delete_key).await {
                    tracing::warn!(%error, "a file of a form that failed can't be deleted and stays; delete it by its link, or it goes when it expires");
                }
            }
        };
        tokio::spawn(remove.in_current_span());
    }
}

/// Sends files in a form, and answers with their links.
///
/// What the text fields `max-downloads` and `max-days` say holds for all files of the form.
#[utoipa::path(
    post,
    path = "/",
    operation_id = "send_form",
    tag = "plain uploads",
    request_body(content = UploadForm, content_type = "multipart/form-data"),
    responses((status = 201, description = "All are stored, in one share.", content(
        (String = "text/plain"),
        (UploadReceipt = "application/json"),
    ))),
)]
pub(super) async fn form(
    State(app): State<App>,
    base: PublicBase,
    client: Client,
    request: Request<Body>,
) -> Result<Response, Problem> {
    takes_new_files(&app)?;
    let format = negotiate(request.headers(), &[Format::Text, Format::Json]);
    let is_packed = takes_coding(request.headers(), "gzip");
    let mut files = Files {
        engine: app.engine().clone(),
        first: None,
        made: VecDeque::new(),
        charge: None,
    };
    let options = receive(&app, client, request, &mut files).await?;
    limit(&mut files, &options).await?;
    let Some(first) = files.first.take() else {
        return Err(Problem::new(Kind::FormInvalid)
            .detail("The form has no file.")
            .remedy("Send at least one file, for example with curl -F file=@FILE."));
    };
    if files.made.len() == 1 {
        files.made.clear();
        return Ok(answer(&app, &base, &first, format));
    }
    let share = base.share(first.record.share_id);
    let (media_type, head) = match format {
        Format::Json => {
            let link = serde_json::to_string(&share).unwrap_or_default();
            let head = format!("{{\"link\":{link},\"files\":[");
            ("application/json", head)
        }
        Format::Text | Format::Html => ("text/plain; charset=utf-8", String::new()),
    };
    let made = files.made.clone();
    let listing = Listing::of_files(made.iter().map(|made| made.file_id).collect());
    let links = Links {
        app: app.clone(),
        base: base.clone(),
        made,
        format,
        is_first: true,
        _charge: files.charge.take(),
    };
    let body = listing::answer(
        app.engine(),
        listing,
        is_packed,
        media_type,
        head.into_bytes(),
        links,
    );
    let mut response = body.await.map_err(problem)?;
    files.made.clear();
    *response.status_mut() = StatusCode::CREATED;
    base.tell_created(response.headers_mut(), &first);
    Ok(response)
}

/// Takes in the form; what its text fields ask for.
async fn receive(
    app: &App,
    client: Client,
    request: Request<Body>,
    files: &mut Files,
) -> Result<Options, Problem> {
    let limits = &limits(app);
    let content_type = fields::single(request.headers(), &header::CONTENT_TYPE)?
        .unwrap_or_default()
        .to_owned();
    let mut options = Options::read(request.headers(), limits)?;
    let stream = request.into_body().into_data_stream();
    let form = Form::new(&content_type, stream, form_limits(app))?;
    // The engine has it while it takes a part.
    let form = Arc::new(Mutex::new(form));
    let mut share_key = None;
    loop {
        let mut form = form.clone().lock_owned().await;
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
        app.rate_limits().count_creation(client.address())?;
        files.book(app)?;
        let new = new_file(client, key, &part, &limits.names)?;
        let put = Put {
            new,
            expected: None,
        };
        let body = RequestBody::of_frames(part_body(form));
        let made = app.engine().put(put, body).await;
        let made = made.map_err(|error| body_problem(error, Stays::Nothing))?;
        files.made.push_back(Made {
            file_id: made.record.file_id,
            delete_key: made.delete_key,
        });
        files.first.get_or_insert(made);
    }
    Ok(options)
}

fn form_limits(app: &App) -> multipart::Limits {
    multipart::Limits {
        parts_max: app.config().form_parts_max,
        idle: app.config().form_idle_timeout,
        ..multipart::Limits::default()
    }
}

/// Has all files kept as the form asks.
async fn limit(files: &mut Files, options: &Options) -> Result<(), Problem> {
    if options.max_downloads.is_none() && options.keep.is_none() {
        return Ok(());
    }
    let engine = files.engine.clone();
    for made in &files.made {
        let record = engine.file(made.file_id).await.map_err(problem)?;
        let limited = engine.limit(&record, options.max_downloads, options.keep);
        let limited = limited.await.map_err(problem)?;
        if let Some(first) = &mut files.first
            && first.record.file_id == limited.file_id
        {
            first.record = limited;
        }
    }
    Ok(())
}

/// Draws the answer for several files: a link for each.
struct Links {
    app: App,
    base: PublicBase,
    made: VecDeque<Made>,
    format: Format,
    is_first: bool,
    _charge: Option<Charge>,
}

impl Draw for Links {
    fn file(&mut self, file: &FileSummary, into: &mut Vec<u8>) -> bool {
        let made = std::iter::from_fn(|| self.made.pop_front());
        let Some(made) = made.into_iter().find(|made| made.file_id == file.file_id) else {
            return false;
        };
        match self.format {
            Format::Json => {
                if !std::mem::take(&mut self.is_first) {
                    into.push(b',');
                }
                let told = UploadedFile::new(&self.app, file, made.delete_key, &self.base);
                // Into memory, strings and numbers only: it can't fail.
                let _ = serde_json::to_writer(into, &told);
            }
            Format::Text | Format::Html => {
                let link = self.base.file(file.share_id, &file.path);
                into.extend_from_slice(link.as_bytes());
                into.push(b'\n');
            }
        }
        true
    }

    fn end(&mut self, into: &mut Vec<u8>) {
        if self.format == Format::Json {
            into.extend_from_slice(b"]}");
        }
    }
}

fn new_file(
    client: Client,
    share_key: ShareKey,
    part: &Part,
    limits: &names::Limits,
) -> Result<NewUpload, Problem> {
    let filename = part.filename.as_deref().unwrap_or_default();
    Ok(NewUpload {
        owner: client.owner(),
        share_key: Some(share_key),
        path: names::name(filename, limits)?,
        content_type: part.content_type.clone(),
        metadata: String::new(),
        secret_metadata: None,
        is_part: false,
        protocol: PROTOCOL,
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
            Problem::new(Kind::BodyInvalid).detail("The form ended early.")
        }
    }
}

type BodyForm = Form<BodyDataStream>;

/// The part of a form that begins here, as a body. The form is free again at its end, or when the
/// body is dropped.
fn part_body(form: OwnedMutexGuard<BodyForm>) -> Body {
    let frames = futures_util::stream::unfold(form, |mut form| async {
        let frame = form.chunk().await.transpose()?;
        Some((frame, form))
    });
    Body::from_stream(frames)
}
