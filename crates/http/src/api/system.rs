//! The system's state: what operators' checks, probes, dashboards and the status page ask.
//!
//! One document tells all, and each figure in it is the ledger's own: there is no second
//! calculation anywhere. The keys `concurrency_manager` and `memory_monitor` are what the checks of
//! the system before this one read, from anywhere: they are for everybody. The rest is for
//! operators.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use ddx_engine::Error;
use ddx_memory::Snapshot;
use http::{HeaderMap, header};
use serde::Serialize;
use utoipa::openapi::schema::AnyOfBuilder;
use utoipa::openapi::{Ref, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::app::{App, Operator};
use crate::shared::operators::coarse;
use crate::shared::problem::{Kind, Problem};

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Status {
    #[serde(flatten)]
    load: Load,
    /// The whole ledger; sizes in bytes.
    #[schema(value_type = Object)]
    ledger: std::sync::Arc<Snapshot>,
    #[schema(required)]
    disk: Option<Disk>,
    /// How bytes get to the disk.
    disk_write_mode: String,
    clock: Clock,
    uptime_ms: u64,
    version: &'static str,
}

/// What is answered: all of it to operators, the load to all others.
struct StatusAnswer;

impl PartialSchema for StatusAnswer {
    fn schema() -> RefOr<Schema> {
        let either = AnyOfBuilder::new()
            .item(Ref::from_schema_name(Status::name()))
            .item(Ref::from_schema_name(Load::name()));
        Schema::AnyOf(either.build()).into()
    }
}

impl ToSchema for StatusAnswer {
    fn schemas(parts: &mut Vec<(String, RefOr<Schema>)>) {
        Status::schemas(parts);
        Load::schemas(parts);
        parts.push((Status::name().into(), Status::schema()));
        parts.push((Load::name().into(), Load::schema()));
    }
}

/// How the time of day and the time that deadlines are counted in differ.
#[derive(Debug, Serialize, ToSchema)]
struct Clock {
    ahead_ms: i64,
    jumps: u64,
    last_jump_ms: i64,
    /// Otherwise nothing that is due is deleted yet.
    is_settled: bool,
}

/// What everybody is told.
#[derive(Debug, Serialize, ToSchema)]
struct Load {
    concurrency_manager: Concurrency,
    memory_monitor: MemoryMonitor,
}

#[derive(Debug, Serialize, ToSchema)]
struct Concurrency {
    active_uploads: u64,
    global_upload_slots_available: u64,
    waiting: u64,
    waiting_bytes: u64,
    /// Uploads with a request, waiting ones included.
    requests: u64,
}

#[derive(Debug, Serialize, ToSchema)]
struct MemoryMonitor {
    current_usage: Usage,
}

#[derive(Debug, Serialize, ToSchema)]
struct Usage {
    total_gb: f64,
    available_gb: f64,
    used_gb: f64,
    percent: f64,
}

#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub(super) struct Disk {
    pub(super) total_bytes: u64,
    pub(super) free_bytes: u64,
    pub(super) floor_bytes: u64,
    pub(super) reserved_bytes: u64,
    available_bytes: u64,
    read_only: bool,
}

/// Binary gigabytes, as memory is sold, to a tenth of a mebibyte.
fn gb(bytes: u64) -> f64 {
    (bytes as f64 / f64::from(1 << 30) * 10_000.0).round() / 10_000.0
}

/// The ledger as it stands, on a reading of the machine that is not from before the question.
pub(super) fn fresh(app: &App) -> std::sync::Arc<Snapshot> {
    let ledger = app.engine().ledger();
    let snapshot = ledger.snapshot();
    if u128::from(snapshot.age_ms) <= ledger.config().fresh_after.as_millis() {
        return snapshot;
    }
    ledger.sample();
    ledger.snapshot()
}

/// The state of this moment.
pub(crate) async fn status_document(app: &App) -> impl Serialize + use<> {
    let snapshot = fresh(app);
    let clock = app.engine().clock();
    Status {
        clock: Clock {
            ahead_ms: clock.ahead_ms,
            jumps: clock.jumps,
            last_jump_ms: clock.last_jump_ms,
            is_settled: clock.is_settled,
        },
        load: load(app, &snapshot),
        ledger: snapshot,
        disk: disk(app).await.ok(),
        disk_write_mode: app.engine().store().write_mode().to_string(),
        uptime_ms: u64::try_from(app.uptime().as_millis()).unwrap_or(u64::MAX),
        version: app.config().version,
    }
}

fn load(app: &App, snapshot: &Snapshot) -> Load {
    let slots = snapshot.slots_available;
    let live = app.engine().active_uploads() as u64;
    let active = live.saturating_sub(snapshot.waiting);
    let slots = match app.config().uploads_max {
        Some(max) => slots.min(max.saturating_sub(active)),
        None => slots,
    };
    let percent = snapshot.used_bytes as f64 / snapshot.total_bytes.max(1) as f64;
    Load {
        concurrency_manager: Concurrency {
            active_uploads: active,
            global_upload_slots_available: slots,
            waiting: snapshot.waiting,
            waiting_bytes: snapshot.waiting_bytes,
            requests: app.engine().locked_uploads() as u64,
        },
        memory_monitor: MemoryMonitor {
            current_usage: Usage {
                total_gb: gb(snapshot.total_bytes),
                available_gb: gb(snapshot.available_bytes),
                used_gb: gb(snapshot.used_bytes),
                percent: (percent * 10_000.0).round() / 100.0,
            },
        },
    }
}

/// A dead network disk must not take a thread of the runtime with it.
pub(super) async fn disk(app: &App) -> Result<Disk, Error> {
    let space = app.engine().space().await?;
    Ok(Disk {
        total_bytes: space.total_bytes,
        free_bytes: space.free_bytes,
        floor_bytes: space.floor_bytes,
        reserved_bytes: space.reserved_bytes,
        available_bytes: space.available_bytes(),
        read_only: app.engine().is_read_only(),
    })
}

/// What the server does. How much it takes is for every client; all else is for operators.
#[utoipa::path(
    get,
    path = "/api/v1/system/upload-status",
    operation_id = "show_status",
    tag = "system",
    responses((status = 200, description = "The state of this moment.", body = StatusAnswer)),
)]
pub(super) async fn upload_status(
    State(app): State<App>,
    asker: Result<Operator, Problem>,
) -> Response {
    let fields = [(header::CACHE_CONTROL, "no-store")];
    match asker {
        Ok(Operator) => (fields, Json(status_document(&app).await)).into_response(),
        Err(_) => (fields, Json(load(&app, &fresh(&app)))).into_response(),
    }
}

/// What a client should know before it sends.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Limits {
    /// The largest file; none: as large as the disk holds.
    #[schema(required)]
    file_bytes_max: Option<u64>,
    /// What a request should carry at most; longer files come in several.
    request_body_bytes_max: u64,
    /// What the disk has for files, roughly unless an operator asks.
    #[schema(required)]
    free_bytes: Option<u64>,
    /// An upload on which nothing happens for so long goes.
    upload_expires_ms: u64,
    /// A complete file goes after so long; none: it stays.
    #[schema(required)]
    file_expires_ms: Option<u64>,
    /// Bytes of UTF-8 in a name.
    name_bytes_max: usize,
    /// The server's version.
    version: &'static str,
}

/// What a client should know before it sends.
#[utoipa::path(
    get,
    path = "/api/v1/limits",
    operation_id = "show_limits",
    tag = "system",
    responses((status = 200, description = "The limits.", body = Limits)),
)]
pub(super) async fn limits(
    State(app): State<App>,
    headers: HeaderMap,
    asker: Result<Operator, Problem>,
) -> Response {
    // A page of another site may read this answer, and gets what a stranger gets, also in an
    // operator's browser. Browsers tell the origin of every page but the server's own.
    let is_exact = asker.is_ok() && !headers.contains_key(header::ORIGIN);
    let free_bytes = disk(&app).await.ok().map(|disk| disk.available_bytes);
    let ms = |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let engine = app.engine().config();
    let limits = Limits {
        file_bytes_max: engine.file_bytes_max,
        request_body_bytes_max: app.config().request_body_bytes_max,
        free_bytes: free_bytes.map(|bytes| if is_exact { bytes } else { coarse(bytes) }),
        upload_expires_ms: ms(engine.upload_expires),
        file_expires_ms: engine.file_expires.map(ms),
        name_bytes_max: app.config().names.name_bytes_max,
        version: app.config().version,
    };
    ([(header::CACHE_CONTROL, "no-store")], Json(limits)).into_response()
}

/// The process answers.
#[utoipa::path(
    get,
    path = "/healthz",
    operation_id = "show_health",
    tag = "system",
    responses((status = 200, description = "It does.", body = String, content_type = "text/plain")),
)]
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// Less than this above the floor, and the next upload is turned away.
const READY_BYTES: u64 = 1 << 20;

/// An upload that came now would be taken.
#[utoipa::path(
    get,
    path = "/readyz",
    operation_id = "show_readiness",
    tag = "system",
    responses((status = 200, description = "It would.", body = String, content_type = "text/plain")),
)]
pub(super) async fn readyz(State(app): State<App>) -> Response {
    let ledger = app.engine().ledger().snapshot();
    if app.closing().is_cancelled() || ledger.closing {
        return Problem::new(Kind::ShuttingDown).into_response();
    }
    let memory = ledger.read_error.as_ref().map(|error| error.to_string());
    let catalog = app
        .engine()
        .totals()
        .await
        .err()
        .map(|error| error.to_string());
    let disk = match disk(&app).await {
        Ok(disk) if disk.available_bytes < READY_BYTES => {
            let floor = disk.floor_bytes;
            Some(format!(
                "not enough free disk space ({floor} bytes are kept free)"
            ))
        }
        Ok(_) => app
            .engine()
            .try_change()
            .await
            .err()
            .map(|error| error.to_string()),
        Err(error) => Some(error.to_string()),
    };
    match memory.or(catalog).or(disk) {
        None => "ready\n".into_response(),
        Some(reason) => {
            tracing::warn!(
                reason,
                "not ready: uploads fail until the reason is mended, and /readyz answers 503"
            );
            Problem::new(Kind::StorageUnavailable).into_response()
        }
    }
}
