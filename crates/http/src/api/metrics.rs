//! `GET /metrics`: what is counted elsewhere, brought into the table when it is asked for.
//!
//! Gauges are read from the ledger, the disk and the catalog at that moment; the engine counts by
//! itself and knows nothing of metrics.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use ddx_engine::{Counted, Protocol, Total};
use ddx_memory::{Doubt, PressureLevel};
use http::header;

use super::system::{disk, fresh};
use crate::app::{App, Operator};
use crate::metrics::{MEDIA_TYPE, Metric};

/// All figures, for operators.
#[utoipa::path(
    get,
    path = "/metrics",
    operation_id = "show_metrics",
    tag = "system",
    responses((status = 200, description = "OpenMetrics.", body = String, content_type = MEDIA_TYPE)),
)]
pub(super) async fn metrics(State(app): State<App>, _: Operator) -> Response {
    tell_memory(&app);
    tell_uploads(&app);
    tell_server(&app);
    if let Ok(disk) = disk(&app).await {
        let set = |metric, bytes: u64| app.metrics().set(metric, &[], bytes as f64);
        set(Metric::DiskTotal, disk.total_bytes);
        set(Metric::DiskFree, disk.free_bytes);
        set(Metric::DiskFloor, disk.floor_bytes);
        set(Metric::DiskReserved, disk.reserved_bytes);
    }
    if let Ok(totals) = app.engine().totals().await {
        let set = |metric, value: u64| app.metrics().set(metric, &[], value as f64);
        set(Metric::Files, totals.files);
        set(Metric::FileBytes, totals.bytes);
        set(Metric::FilesDamaged, totals.damaged);
        set(Metric::UploadsUnfinished, totals.unfinished);
    }
    // A cache must not give an operator's answer to others.
    let fields = [
        (header::CONTENT_TYPE, MEDIA_TYPE),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (fields, app.metrics().encode()).into_response()
}

fn tell_memory(app: &App) {
    let ledger = fresh(app);
    let set = |metric, value: f64| app.metrics().set(metric, &[], value);
    for (account, bytes) in &ledger.accounts {
        app.metrics()
            .set(Metric::MemoryAccount, &[account.name()], *bytes as f64);
    }
    for doubt in Doubt::ALL {
        let holds = ledger.doubts.contains(&doubt);
        let value = f64::from(u8::from(holds));
        app.metrics()
            .set(Metric::MemoryDoubts, &[doubt.name()], value);
    }
    for (metric, bytes) in [
        (Metric::MemoryTotal, ledger.total_bytes),
        (Metric::MemoryAvailable, ledger.available_bytes),
        (Metric::MemoryUsed, ledger.used_bytes),
        (Metric::MemoryReserve, ledger.reserve_bytes),
        (Metric::MemoryCeiling, ledger.ceiling_bytes),
        (Metric::MemoryLeased, ledger.leased_bytes),
        (Metric::MemoryFreeToLease, ledger.free_to_lease_bytes),
        (Metric::MemoryShare, ledger.share_bytes),
        (Metric::MemoryOvercommitted, ledger.overcommitted_bytes),
        (Metric::QueueWaiting, ledger.waiting),
        (Metric::QueueWaitingBytes, ledger.waiting_bytes),
        (Metric::QueueDrain, ledger.drain_bytes_per_second),
        (Metric::UploadSlots, ledger.slots_available),
        (Metric::UploadsActive, ledger.active_uploads),
    ] {
        set(metric, bytes as f64);
    }
    set(Metric::MemoryDrift, ledger.drift_bytes as f64);
    let level = match ledger.pressure_level {
        PressureLevel::Normal => 0.0,
        PressureLevel::Constrained => 1.0,
        PressureLevel::Critical => 2.0,
    };
    set(Metric::MemoryPressureLevel, level);
    set(
        Metric::MemoryPressureStep,
        f64::from(ledger.pressure_step as u8),
    );
    set(
        Metric::MemoryStalled,
        f64::from(u8::from(ledger.stall.stalled)),
    );
    set(Metric::MemorySampleAge, ledger.age_ms as f64 / 1000.0);
}

fn tell_uploads(app: &App) {
    let stats = app.engine().stats();
    let raise = |metric, labels: &[&'static str], to| app.metrics().raise(metric, labels, to);
    for protocol in stats.protocols() {
        let counted = |what| stats.counted(protocol, what);
        // A data folder of a server that spoke more than this one.
        if protocol == Protocol::OTHER.name && !Counted::ALL.into_iter().any(|it| counted(it) > 0) {
            continue;
        }
        raise(
            Metric::UploadsCreated,
            &[protocol],
            counted(Counted::Created),
        );
        raise(Metric::UploadBytes, &[protocol], counted(Counted::Bytes));
        for (outcome, what) in [
            ("complete", Counted::Completed),
            ("failed", Counted::Failed),
            ("cancelled", Counted::Cancelled),
            ("expired", Counted::Expired),
        ] {
            raise(Metric::UploadsEnded, &[protocol, outcome], counted(what));
        }
        for (outcome, what) in [
            ("done", Counted::RequestDone),
            ("refused", Counted::RequestRefused),
            ("cut", Counted::RequestCut),
            ("stalled", Counted::RequestStalled),
            ("taken_over", Counted::RequestTakenOver),
            ("failed", Counted::RequestFailed),
        ] {
            raise(Metric::UploadRequests, &[protocol, outcome], counted(what));
        }
    }
    for (metric, what) in [
        (Metric::ChecksumMismatches, Total::ChecksumMismatches),
        (Metric::Joins, Total::Joins),
        (Metric::DownloadBytes, Total::DownloadBytes),
        (Metric::DownloadsCut, Total::DownloadsCut),
        (Metric::QueueWaits, Total::Waits),
        (Metric::QueueWaited, Total::WaitedMicros),
    ] {
        raise(metric, &[], stats.total(what));
    }
    raise(Metric::HandOvers, &[], app.engine().hand_overs());
    raise(
        Metric::QueueRefused,
        &["full"],
        stats.total(Total::RefusedFull),
    );
    raise(
        Metric::QueueRefused,
        &["closing"],
        stats.total(Total::RefusedClosing),
    );
    let expired = stats
        .protocols()
        .map(|it| stats.counted(it, Counted::Expired));
    raise(Metric::Expired, &["upload"], expired.sum());
    raise(Metric::Expired, &["file"], stats.total(Total::FilesExpired));
}

fn tell_server(app: &App) {
    let work = app.engine().catalog_work();
    app.metrics()
        .raise(Metric::CatalogCommits, &[], work.commits);
    app.metrics()
        .raise(Metric::CatalogOperations, &[], work.operations);
    app.metrics().raise(Metric::LogLost, &[], app.lost_lines());
    let clock = app.engine().clock();
    app.metrics().raise(Metric::ClockJumps, &[], clock.jumps);
    let ahead = clock.ahead_ms as f64 / 1000.0;
    app.metrics().set(Metric::ClockAhead, &[], ahead);
    let settled = f64::from(u8::from(clock.is_settled));
    app.metrics().set(Metric::ClockSettled, &[], settled);
    let connections = app.connections();
    app.metrics()
        .set(Metric::Connections, &[], connections.open() as f64);
    app.metrics()
        .raise(Metric::ConnectionsAccepted, &[], connections.accepted());
    let streams = app.sse_places().count();
    app.metrics().set(Metric::EventStreams, &[], streams as f64);
    app.metrics()
        .set(Metric::BuildInfo, &[app.config().version], 1.0);
    app.metrics()
        .set(Metric::StartTime, &[], app.started_at_seconds());
}
