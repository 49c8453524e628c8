//! Event streams (server-sent events): one share with all its files, one upload, the system.
//!
//! A browser opens at most six HTTP/1.1 connections to a server, so one stream serves a whole
//! share. A stream begins with every file as it is, a page at a time as the client takes them, says
//! `listed`, and goes on with what changes ([`hub`]). It is compressed where the client takes that.
//! It holds some frames and its place in the journal: one that falls behind is told `reset`, and
//! begins anew.

mod hub;
mod journal;

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use ddx_engine::{Error, FileSummary};
use ddx_id::{ShareId, UploadKey};
use ddx_memory::Charge;
use http::{HeaderMap, header};
use tokio::sync::watch;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::{App, Client, Operator, PublicBase, charge_answer};
use crate::listing::{self, File, Listing};
use crate::shared::accept::takes_coding;
use crate::shared::engine_error::{share_problem, upload_problem};
use crate::shared::gzip::Gzip;
use crate::shared::places::{Full, Place};
use crate::shared::problem::{Kind, Problem};
use hub::{Hub, Hubs, Subject, frame};
use journal::Next;

const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(15);

/// When another try is worth it where there are too many.
const RETRY_AFTER: Duration = Duration::from_secs(10);

/// Every file has been told as it was: what the client knows beside them is gone.
const LISTED: &[u8] = b"event: listed\ndata: {}\n\n";

/// Something was missed, and every file is told anew.
const RESET: Bytes = Bytes::from_static(b"event: reset\ndata: {}\n\n");

/// Shorter frames are not worth a compressor.
const SHORT_BYTES: usize = 1 << 10;

/// What a stream holds beside the listing that it begins with: a frame, and its state.
const STREAM_BYTES: u64 = 4 << 10;

/// Its routes.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::default()
        .routes(routes!(share))
        .routes(routes!(upload))
        .routes(routes!(system))
        .layer(Extension(Arc::new(Hubs::default())))
}

fn place(app: &App, client: Client) -> Result<Place, Problem> {
    let taken = app.sse_places().take(client.owner());
    taken.map_err(|full| match full {
        Full::All(limit) => Problem::new(Kind::TooManyStreams)
            .detail(format!("Too many event streams are open (limit {limit})."))
            .limit(limit)
            .retry_after(RETRY_AFTER),
        Full::Client(limit) => Problem::new(Kind::TooManyOfOne)
            .detail(format!(
                "Too many event streams from your address (limit {limit})."
            ))
            .limit(limit)
            .retry_after(RETRY_AFTER),
    })
}

fn answer(stream: Stream, asked: &HeaderMap) -> Response {
    let gzip = takes_coding(asked, "gzip").then(Gzip::default);
    let coding = gzip
        .is_some()
        .then_some([(header::CONTENT_ENCODING, "gzip")]);
    let state = (Some(stream), gzip);
    let pieces = futures_util::stream::unfold(state, |(stream, mut gzip)| async move {
        let mut stream = stream?;
        let frames = stream.next().await.inspect_err(|error| {
            tracing::warn!(
                error = error as &dyn std::error::Error,
                "the live updates of a page were cut off by an error; the page connects again by itself"
            );
        });
        let frames = frames.ok().flatten();
        let piece = match (&mut gzip, &frames) {
            (Some(gzip), Some(frames)) if frames.len() < SHORT_BYTES => gzip.short(frames).into(),
            (Some(gzip), Some(frames)) => gzip.piece(frames, false).into(),
            (Some(gzip), None) => gzip.piece(&[], true).into(),
            (None, Some(frames)) => frames.clone(),
            (None, None) => return None,
        };
        let state = (frames.is_some().then_some(stream), gzip);
        Some((Ok::<_, std::convert::Infallible>(piece), state))
    });
    // Proxies hold back what they take for a file otherwise.
    let fields = [
        (header::CONTENT_TYPE.as_str(), "text/event-stream"),
        (header::CACHE_CONTROL.as_str(), "no-cache"),
        (header::VARY.as_str(), "Accept-Encoding"),
        ("x-accel-buffering", "no"),
    ];
    (fields, coding, Body::from_stream(pieces)).into_response()
}

/// What happens to a share's files, as it happens.
///
/// Each file as it is (`file`), then `listed`, then each that changes (`file`) or goes (`gone`).
/// `reset`: something was missed, and all begins anew.
#[utoipa::path(
    get,
    path = "/api/v1/shares/{share_id}/events",
    operation_id = "follow_share",
    tag = "events",
    params(("share_id" = String, Path, description = "The share's id.")),
    responses((status = 200, description = "Events; the data of `file` is a file.", body = String,
        content_type = "text/event-stream")),
)]
async fn share(
    State(app): State<App>,
    Extension(hubs): Extension<Arc<Hubs>>,
    (base, client): (PublicBase, Client),
    Path(share_id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let share_id: ShareId = share_id
        .parse()
        .map_err(|_| Problem::new(Kind::ShareNotFound))?;
    app.engine().share(share_id).await.map_err(share_problem)?;
    let stream = Stream::begin(app, &hubs, base, client, Subject::Share(share_id))?;
    Ok(answer(stream.with_listing(None)?, &headers))
}

/// The same of one upload, for who has its URL.
#[utoipa::path(
    get,
    path = "/api/v1/uploads/{upload_key}/events",
    operation_id = "follow_upload",
    tag = "events",
    params(("upload_key" = String, Path, description = "The last part of the upload's URL.")),
    responses((status = 200, description = "Events; the data of `file` is a file.", body = String,
        content_type = "text/event-stream")),
)]
async fn upload(
    State(app): State<App>,
    Extension(hubs): Extension<Arc<Hubs>>,
    (base, client): (PublicBase, Client),
    Path(upload_key): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let upload_key: UploadKey = upload_key
        .parse()
        .map_err(|_| Problem::new(Kind::UploadNotFound))?;
    let record = app.engine().upload(upload_key).await;
    let file = FileSummary::from(record.map_err(upload_problem)?);
    let subject = Subject::File {
        share_id: file.share_id,
        file_id: file.file_id,
    };
    let stream = Stream::begin(app, &hubs, base, client, subject)?;
    Ok(answer(stream.with_listing(Some(file))?, &headers))
}

/// What the server does, every second, for operators.
#[utoipa::path(
    get,
    path = "/api/v1/system/events",
    operation_id = "follow_system",
    tag = "events",
    responses((status = 200, description = "Events `snapshot`; the data is the state of the moment.",
        body = String, content_type = "text/event-stream")),
)]
async fn system(
    State(app): State<App>,
    _: Operator,
    Extension(hubs): Extension<Arc<Hubs>>,
    (base, client): (PublicBase, Client),
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let stream = Stream::begin(app, &hubs, base, client, Subject::System)?;
    Ok(answer(stream, &headers))
}

/// One client that follows a subject.
struct Stream {
    app: App,
    base: PublicBase,
    subject: Subject,
    hub: Arc<Hub>,
    news: watch::Receiver<u64>,
    /// The version up to which it has been told what changed.
    seen: u64,
    /// The files that it is still to be told as they are.
    listing: Option<Listing>,
    _charge: Charge,
    _place: Place,
}

impl Stream {
    fn begin(
        app: App,
        hubs: &Arc<Hubs>,
        base: PublicBase,
        client: Client,
        subject: Subject,
    ) -> Result<Self, Problem> {
        let place = place(&app, client)?;
        let charge = charge_answer(&app, STREAM_BYTES)?;
        let hub = hubs.of(&app, &base, subject)?;
        Ok(Self {
            news: hub.news(),
            app,
            base,
            subject,
            hub,
            seen: 0,
            listing: None,
            _charge: charge,
            _place: place,
        })
    }

    /// Tells all files as they are: this one, which was looked at already, or those of the share.
    /// What changes from here on is told after them.
    fn with_listing(mut self, file: Option<FileSummary>) -> Result<Self, Problem> {
        self.seen = self.hub.journal.last();
        let charge = charge_answer(&self.app, listing::PAGE_BYTES)?;
        self.listing = match (file, self.subject) {
            (Some(file), _) => Some(Listing::of_file(file, charge)),
            (None, Subject::Share(share_id)) => Some(Listing::of_share(share_id, None, charge)),
            (None, _) => None,
        };
        Ok(self)
    }

    /// What was missed is found by looking anew. False where there is no memory for that: the
    /// stream ends, and its client comes again.
    async fn look_anew(&mut self) -> Result<bool, Error> {
        self.seen = self.hub.journal.last();
        let Ok(charge) = charge_answer(&self.app, listing::PAGE_BYTES) else {
            return Ok(false);
        };
        self.listing = match self.subject {
            Subject::Share(share_id) => Some(Listing::of_share(share_id, None, charge)),
            Subject::File { file_id, .. } => match self.app.engine().file(file_id).await {
                Ok(record) => Some(Listing::of_file(record.into(), charge)),
                Err(Error::NotFound) => None,
                Err(error) => return Err(error),
            },
            Subject::System => None,
        };
        Ok(true)
    }

    /// The next files as they are, as many as make a piece.
    async fn listed(&mut self, mut listing: Listing) -> Result<Bytes, Error> {
        let mut piece = Vec::new();
        while piece.len() < listing::PIECE_BYTES {
            let Some(file) = listing.next(self.app.engine()).await? else {
                piece.extend_from_slice(LISTED);
                return Ok(piece.into());
            };
            let file = File::now(&file, &self.base, &self.app);
            piece.extend_from_slice(&frame("file", &file));
        }
        self.listing = Some(listing);
        Ok(piece.into())
    }

    /// The next frames; None at the end.
    async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            if let Some(listing) = self.listing.take() {
                return self.listed(listing).await.map(Some);
            }
            self.news.mark_unchanged();
            match self.hub.journal.next(self.seen) {
                Next::Frame(version, frame) => {
                    self.seen = version;
                    return Ok(Some(frame));
                }
                Next::Lost if self.look_anew().await? => return Ok(Some(RESET)),
                Next::Lost => return Ok(None),
                Next::Nothing => {}
            }
            tokio::select! {
                () = self.app.closing().cancelled() => return Ok(None),
                changed = self.news.changed() => if changed.is_err() {
                    return Ok(None);
                },
                () = tokio::time::sleep(KEEP_ALIVE_EVERY) => {
                    return Ok(Some(Bytes::from_static(b":\n\n")));
                }
            }
        }
    }
}
