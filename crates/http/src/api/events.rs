//! Event streams (server-sent events): one share with all its files, one upload, the system.
//!
//! A browser opens at most six HTTP/1.1 connections to a server, so one stream serves a whole share. Streams are bounded in number, and one that falls
//! behind is not queued for: it sees the state of the moment at its next turn.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use ddx_engine::{Change, FileRecord, Id, Kind as UploadKind, State as FileState};
use futures_util::Stream;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::Interval;

use super::shares::PAGE_FILES_MAX;
use crate::app::App;
use crate::links::Links;
use crate::places::{Full, Place};
use crate::problem::{Kind, Problem};
use crate::refusal::{problem, upload_problem};
use crate::view::File;

/// How often a stream tells what has moved.
const FILE_EVERY: Duration = Duration::from_millis(250);
const SYSTEM_EVERY: Duration = Duration::from_secs(1);
const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(15);

fn place(app: &App, links: &Links) -> Result<Place, Problem> {
    let taken = app.sse_places().take(links.owner());
    taken.map_err(|full| match full {
        Full::All(limit) => Problem::new(Kind::TooManyStreams)
            .detail("All places for event streams are taken.")
            .limit(limit)
            .retry_after(SYSTEM_EVERY * 10),
        Full::Client(limit) => Problem::new(Kind::TooManyOfOne)
            .detail(format!("{limit} event streams of one address are open."))
            .limit(limit)
            .retry_after(SYSTEM_EVERY * 10),
    })
}

fn stream(events: impl Stream<Item = Result<Event, Infallible>> + Send + 'static) -> Response {
    let keep_alive = KeepAlive::new().interval(KEEP_ALIVE_EVERY);
    // Proxies hold back what they take for a file otherwise.
    (
        [("x-accel-buffering", "no")],
        Sse::new(events).keep_alive(keep_alive),
    )
        .into_response()
}

fn event(name: &str, data: &impl serde::Serialize) -> Event {
    let event = Event::default().event(name);
    event
        .json_data(data)
        .unwrap_or_else(|error| Event::default().comment(error.to_string()))
}

/// `GET /api/v1/shares/{share_id}/events`
pub(super) async fn share(
    State(app): State<App>,
    links: Links,
    Path(share_id): Path<String>,
) -> Response {
    let Ok(share_id) = share_id.parse::<Id>() else {
        return Problem::new(Kind::ShareNotFound).into_response();
    };
    match begin(&app, links, share_id).await {
        Ok(watching) => stream(watching.events()),
        Err(problem) => problem.into_response(),
    }
}

async fn begin(app: &App, links: Links, share_id: Id) -> Result<Watching, Problem> {
    let place = place(app, &links)?;
    // Listen first, look second: nothing falls between.
    let changes = app.engine().changes();
    let mut watching = Watching::new(app.clone(), links, Subject::Share(share_id), changes, place);
    watching.look_at_all().await.map_err(|error| match error {
        ddx_engine::Error::NotFound => Problem::new(Kind::ShareNotFound),
        other => problem(other),
    })?;
    Ok(watching)
}

/// `GET /api/v1/uploads/{upload_key}/events`
pub(super) async fn upload(
    State(app): State<App>,
    links: Links,
    Path(upload_key): Path<String>,
) -> Response {
    let Ok(upload_key) = upload_key.parse::<Id>() else {
        return Problem::new(Kind::UploadNotFound).into_response();
    };
    let place = match place(&app, &links) {
        Ok(place) => place,
        Err(problem) => return problem.into_response(),
    };
    let changes = app.engine().changes();
    match app.engine().upload(upload_key).await {
        Ok(record) => {
            let mut watching = Watching::new(
                app,
                links,
                Subject::File(Id(record.file_id)),
                changes,
                place,
            );
            watching.take(record);
            stream(watching.events())
        }
        Err(error) => upload_problem(error).into_response(),
    }
}

/// `GET /api/v1/system/events`
pub(super) async fn system(State(app): State<App>, links: Links) -> Response {
    let place = match place(&app, &links) {
        Ok(place) => place,
        Err(problem) => return problem.into_response(),
    };
    let interval = tokio::time::interval(SYSTEM_EVERY);
    stream(futures_util::stream::unfold(
        (app, interval, place),
        |(app, mut interval, place)| async move {
            tokio::select! {
                () = app.closing().cancelled() => return None,
                _ = interval.tick() => {}
            }
            let event = event("snapshot", &super::status_document(&app).await);
            Some((Ok(event), (app, interval, place)))
        },
    ))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Subject {
    Share(Id),
    File(Id),
}

struct Shown {
    record: FileRecord,
    told: Option<File>,
}

struct Watching {
    app: App,
    links: Links,
    subject: Subject,
    changes: Receiver<Change>,
    interval: Interval,
    files: BTreeMap<Id, Shown>,
    due: VecDeque<Event>,
    _place: Place,
}

impl Watching {
    fn new(
        app: App,
        links: Links,
        subject: Subject,
        changes: Receiver<Change>,
        place: Place,
    ) -> Self {
        let mut interval = tokio::time::interval(FILE_EVERY);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        Self {
            app,
            links,
            subject,
            changes,
            interval,
            files: BTreeMap::new(),
            due: VecDeque::new(),
            _place: place,
        }
    }

    fn take(&mut self, record: FileRecord) {
        if record.kind == UploadKind::Partial && matches!(self.subject, Subject::Share(_)) {
            return;
        }
        let shown = self
            .files
            .entry(Id(record.file_id))
            .or_insert_with(|| Shown {
                record: record.clone(),
                told: None,
            });
        shown.record = record;
    }

    async fn look_at_all(&mut self) -> Result<(), ddx_engine::Error> {
        match self.subject {
            Subject::File(file_id) => self.look_at(file_id).await,
            Subject::Share(share_id) => {
                let (_, records) = self
                    .app
                    .engine()
                    .share(share_id, None, PAGE_FILES_MAX)
                    .await?;
                records.into_iter().for_each(|record| self.take(record));
                Ok(())
            }
        }
    }

    async fn look_at(&mut self, file_id: Id) -> Result<(), ddx_engine::Error> {
        match self.app.engine().file(file_id).await {
            Ok(record) => self.take(record),
            Err(ddx_engine::Error::NotFound) => self.forget(file_id),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn forget(&mut self, file_id: Id) {
        self.files.remove(&file_id);
        self.due.push_back(event(
            "gone",
            &serde_json::json!({ "file_id": file_id.to_string() }),
        ));
    }

    fn concerns(&self, change: Change) -> bool {
        match self.subject {
            Subject::Share(share_id) => change.share_id == share_id,
            Subject::File(file_id) => change.file_id == file_id,
        }
    }

    /// What has changed since it was told. A file that is complete or failed is told once and forgotten until it changes again, so a stream
    /// holds what moves and not the whole share.
    fn look_over(&mut self) {
        let (app, links, due) = (&self.app, &self.links, &mut self.due);
        self.files.retain(|file_id, shown| {
            let progress = app
                .engine()
                .progress(*file_id)
                .map(|watch| watch.borrow().clone());
            let file = File::new(&shown.record, progress.as_ref(), links);
            if shown.told.as_ref() != Some(&file) {
                due.push_back(event("file", &file));
                shown.told = Some(file);
            }
            matches!(
                shown.record.state,
                FileState::Receiving | FileState::Joining
            )
        });
    }

    /// Takes in changes until the next turn; false when the stream is over.
    async fn wait(&mut self) -> bool {
        loop {
            let change = tokio::select! {
                () = self.app.closing().cancelled() => return false,
                _ = self.interval.tick() => return true,
                change = self.changes.recv() => change,
            };
            let looked = match change {
                Ok(change) if !self.concerns(change) => Ok(()),
                Ok(change) if change.gone => {
                    self.forget(change.file_id);
                    Ok(())
                }
                Ok(change) => self.look_at(change.file_id).await,
                Err(RecvError::Lagged(_)) => self.look_at_all().await,
                Err(RecvError::Closed) => return false,
            };
            if looked.is_err() {
                return false;
            }
        }
    }

    fn events(self) -> impl Stream<Item = Result<Event, Infallible>> + Send {
        futures_util::stream::unfold(self, |mut watching| async move {
            loop {
                if let Some(event) = watching.due.pop_front() {
                    return Some((Ok(event), watching));
                }
                if !watching.wait().await {
                    return None;
                }
                watching.look_over();
            }
        })
    }
}
