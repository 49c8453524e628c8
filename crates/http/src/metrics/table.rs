//! The table of metrics: what `/metrics` shows and what `docs/METRICS.md` explains.
//!
//! One table, because a metric that only the code knows is of no use to who runs the server, and
//! one that only the page knows is a lie. Names end in their unit, counters in `_total`, as
//! Prometheus has it.
//!
//! Every label's values are listed here, so the number of series is bounded by this table and not
//! by what strangers send. Rejected: labels with paths, ids, addresses or user agents.

use std::fmt::Write as _;

/// What a metric does over time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Type {
    /// It only rises, and begins at zero when the server starts.
    Counter,
    /// It is what it is now.
    Gauge,
    /// It counts observations by size; these are the upper ends of its buckets.
    Histogram(&'static [f64]),
}

/// A label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Label {
    /// Its name.
    pub name: &'static str,
    /// The values it takes; empty: those of another table, which the help names.
    pub values: &'static [&'static str],
}

/// One line of the table.
#[derive(Debug, Clone, Copy)]
pub struct Definition {
    /// By which the code means it.
    pub metric: Metric,
    /// As it is exposed.
    pub name: &'static str,
    /// What it does over time.
    pub kind: Type,
    /// The unit of its values; empty for a plain number.
    pub unit: &'static str,
    /// What it says, in one sentence without a full stop.
    pub help: &'static str,
    /// Its labels, in the order in which values are given.
    pub labels: &'static [Label],
}

/// From a millisecond to half a minute; what takes longer is an upload, and is not measured by
/// time.
const REQUEST_SECONDS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];

const PROTOCOL: Label = Label {
    name: "protocol",
    values: &["tus", "plain", "form"],
};
/// The classes of routes that latency and requests in flight are told by.
const ROUTE: Label = Label {
    name: "route",
    values: &[
        "tus", "plain", "download", "api", "events", "page", "health", "metrics", "other",
    ],
};

macro_rules! metrics {
    ($($metric:ident $name:literal $kind:expr, $unit:literal, [$($label:expr),*], $help:literal;)+) => {
        /// Every metric.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Metric {
            $(#[doc = $help] $metric,)+
        }

        /// The table, in the order of [`Metric`].
        pub const TABLE: &[Definition] = &[
            $(Definition {
                metric: Metric::$metric,
                name: $name,
                kind: $kind,
                unit: $unit,
                help: $help,
                labels: &[$($label),*],
            },)+
        ];
    };
}

impl Metric {
    /// The table's line for this metric.
    #[must_use]
    pub const fn definition(self) -> &'static Definition {
        &TABLE[self as usize]
    }
}

const fn label(name: &'static str, values: &'static [&'static str]) -> Label {
    Label { name, values }
}

metrics! {
    // Memory: read from the ledger's snapshot when /metrics is asked for.
    MemoryAccount "ddx_memory_account_bytes" Type::Gauge, "bytes", [label("account", &[])],
        "Memory by account of the ledger; the accounts add up to the total and what is overcommitted";
    MemoryTotal "ddx_memory_total_bytes" Type::Gauge, "bytes", [],
        "The least memory limit found: cgroups, host, configuration";
    MemoryAvailable "ddx_memory_available_bytes" Type::Gauge, "bytes", [],
        "The least headroom under any limit";
    MemoryUsed "ddx_memory_used_bytes" Type::Gauge, "bytes", [],
        "Total less available";
    MemoryReserve "ddx_memory_reserve_bytes" Type::Gauge, "bytes", [],
        "What is kept free";
    MemoryCeiling "ddx_memory_ceiling_bytes" Type::Gauge, "bytes", [],
        "What all leases together may reach";
    MemoryLeased "ddx_memory_leased_bytes" Type::Gauge, "bytes", [],
        "What is leased to uploads now";
    MemoryFreeToLease "ddx_memory_free_to_lease_bytes" Type::Gauge, "bytes", [],
        "What may be leased now";
    MemoryShare "ddx_memory_share_bytes" Type::Gauge, "bytes", [],
        "What one active upload may hold now";
    MemoryOvercommitted "ddx_memory_overcommitted_bytes" Type::Gauge, "bytes", [],
        "What was promised and others took since; nothing more is promised until it is zero";
    MemoryDrift "ddx_memory_drift_bytes" Type::Gauge, "bytes", [],
        "Memory of the process that no line of the ledger explains; negative if less is used than charged";
    MemoryPressureLevel "ddx_memory_pressure_level" Type::Gauge, "", [],
        "How tight memory is: 0 normal, 1 constrained, 2 critical";
    MemoryPressureStep "ddx_memory_pressure_step" Type::Gauge, "", [],
        "How many steps are taken because memory is tight: 0 none, 5 all";
    MemoryStalled "ddx_memory_stalled" Type::Gauge, "", [],
        "1 if the kernel says that tasks stall for memory";
    MemorySampleAge "ddx_memory_sample_age_seconds" Type::Gauge, "seconds", [],
        "How old the figure is; it grows if the machine's memory can not be read";
    MemoryDoubts "ddx_memory_doubts" Type::Gauge, "", [label("doubt", &[])],
        "1 for each figure of memory that this machine does not tell and that is estimated, by the names of `doubts` in the status document";

    // Admission.
    QueueWaiting "ddx_queue_waiting" Type::Gauge, "", [],
        "Uploads that wait for memory";
    QueueWaitingBytes "ddx_queue_waiting_bytes" Type::Gauge, "bytes", [],
        "What these ask for";
    QueueDrain "ddx_queue_drain_bytes_per_second" Type::Gauge, "bytes per second", [],
        "How fast memory came back lately; estimates of waiting rest on it";
    QueueWaits "ddx_queue_waits_total" Type::Counter, "", [],
        "How often a request had to wait for memory";
    QueueWaited "ddx_queue_waited_microseconds_total" Type::Counter, "microseconds", [],
        "For how long, in all";
    QueueRefused "ddx_queue_refused_total" Type::Counter, "", [label("reason", &["full", "closing"])],
        "Uploads that could not even wait";
    UploadSlots "ddx_upload_slots_available" Type::Gauge, "", [],
        "How many more uploads could be admitted now";

    // Uploads.
    UploadsActive "ddx_uploads_active" Type::Gauge, "", [],
        "Uploads that hold memory";
    UploadsUnfinished "ddx_uploads_unfinished" Type::Gauge, "", [],
        "Uploads that are not complete, active or not";
    UploadsCreated "ddx_uploads_created_total" Type::Counter, "", [PROTOCOL],
        "Uploads that were created";
    UploadsEnded "ddx_uploads_ended_total" Type::Counter, "", [PROTOCOL, label("outcome", &["complete", "failed", "cancelled", "expired"])],
        "Uploads that came to an end";
    UploadRequests "ddx_upload_requests_total" Type::Counter, "",
        [PROTOCOL, label("outcome", &["done", "refused", "cut", "stalled", "taken_over", "failed"])],
        "Requests that brought bytes, by how they ended; an upload may need several";
    UploadBytes "ddx_upload_bytes_total" Type::Counter, "bytes", [PROTOCOL],
        "Bytes of files that arrived and were kept";
    ChecksumMismatches "ddx_checksum_mismatches_total" Type::Counter, "", [],
        "Pieces that were discarded because their checksum was another";
    HandOvers "ddx_handovers_total" Type::Counter, "", [],
        "Requests that took an upload over from an older one";
    Joins "ddx_joins_total" Type::Counter, "", [],
        "Files that were joined from partial uploads";
    Expired "ddx_expired_total" Type::Counter, "", [label("what", &["upload", "file"])],
        "What was removed because its time was over";

    // Downloads.
    Downloads "ddx_downloads_total" Type::Counter, "", [label("answer", &["whole", "range", "ranges", "not_modified"])],
        "Answers to requests for files";
    DownloadsCut "ddx_downloads_cut_total" Type::Counter, "", [],
        "Downloads that ended before their last byte was sent";
    DownloadBytes "ddx_download_bytes_total" Type::Counter, "bytes", [],
        "Bytes of files that were sent";

    // HTTP.
    HttpRequest "ddx_http_request_seconds" Type::Histogram(REQUEST_SECONDS), "seconds", [ROUTE, label("status", &["1xx", "2xx", "3xx", "4xx", "5xx"])],
        "From a request's head to its answer's head; for an upload this includes its bytes";
    HttpInFlight "ddx_http_requests_in_flight" Type::Gauge, "", [ROUTE],
        "Requests that are being answered";
    HttpRefusals "ddx_http_refusals_total" Type::Counter, "", [label("problem", &[])],
        "Refusals by the slug of their problem document, see ERRORS.md";
    Connections "ddx_connections" Type::Gauge, "", [],
        "Open connections";
    ConnectionsAccepted "ddx_connections_accepted_total" Type::Counter, "", [],
        "Connections that were accepted";
    EventStreams "ddx_sse_clients" Type::Gauge, "", [],
        "Open event streams";

    // Storage and catalog.
    DiskTotal "ddx_disk_total_bytes" Type::Gauge, "bytes", [],
        "The size of the file system that holds the data folder";
    DiskFree "ddx_disk_free_bytes" Type::Gauge, "bytes", [],
        "What is free on it";
    DiskFloor "ddx_disk_floor_bytes" Type::Gauge, "bytes", [],
        "What is to stay free on it";
    DiskReserved "ddx_disk_reserved_bytes" Type::Gauge, "bytes", [],
        "What is promised to uploads and has not arrived";
    CatalogCommits "ddx_catalog_commits_total" Type::Counter, "", [],
        "Transactions that were committed; each holds all operations that were waiting";
    CatalogOperations "ddx_catalog_operations_total" Type::Counter, "", [],
        "Operations that were written; divided by commits, how well they are grouped";
    Files "ddx_files" Type::Gauge, "", [],
        "Complete files";
    FilesDamaged "ddx_files_damaged" Type::Gauge, "", [],
        "Complete files whose bytes are missing or are not those that arrived; the log names each";
    FileBytes "ddx_file_bytes" Type::Gauge, "bytes", [],
        "Their bytes";

    // The process.
    BuildInfo "ddx_build_info" Type::Gauge, "", [label("version", &[])],
        "1, with the server's version";
    LogLost "ddx_log_lines_lost_total" Type::Counter, "", [],
        "Lines of the log that could not be written, or not even wait for it";
    ClockJumps "ddx_clock_jumps_total" Type::Counter, "", [],
        "How often the time of day has jumped, the stop before this start included; deadlines moved with it";
    ClockAhead "ddx_clock_ahead_seconds" Type::Gauge, "seconds", [],
        "How far the time of day is ahead of the time that deadlines are counted in: the sum of all jumps";
    ClockSettled "ddx_clock_settled" Type::Gauge, "", [],
        "0 while nothing that is due is deleted, since the machine was started anew and its clock may not be set";
    StartTime "ddx_start_time_seconds" Type::Gauge, "seconds", [],
        "When the server started, in seconds since 1970";
}

/// The table as `docs/METRICS.md` shows it.
#[must_use]
pub fn markdown() -> String {
    let mut page = String::from(
        "# Metrics\n\nGenerated from `crates/http/src/metrics/table.rs`; do not edit.\n\n\
         `GET /metrics` answers in the OpenMetrics text format.\n\n| name | type | unit | labels | meaning |\n| --- | --- | --- | --- | --- |\n",
    );
    for line in TABLE {
        let kind = match line.kind {
            Type::Counter => "counter",
            Type::Gauge => "gauge",
            Type::Histogram(_) => "histogram",
        };
        let labels: Vec<String> = line
            .labels
            .iter()
            .map(|label| match label.values {
                [] => format!("`{}`", label.name),
                values => format!("`{}`: {}", label.name, values.join(", ")),
            })
            .collect();
        let _ = writeln!(
            page,
            "| `{}` | {kind} | {} | {} | {} |",
            line.name,
            line.unit,
            labels.join("; "),
            line.help
        );
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_keeps_to_the_rules_of_names() {
        let mut names = std::collections::HashSet::new();
        for line in TABLE {
            assert_eq!(line.metric.definition().name, line.name);
            assert!(names.insert(line.name), "{} twice", line.name);
            assert!(
                line.name.starts_with("ddx_")
                    && line
                        .name
                        .bytes()
                        .all(|b| b.is_ascii_lowercase() || b == b'_'),
                "{}",
                line.name
            );
            assert_eq!(
                line.kind == Type::Counter,
                line.name.ends_with("_total"),
                "{}",
                line.name
            );
            let unit = line.unit.replace(' ', "_");
            assert!(
                line.name.trim_end_matches("_total").ends_with(&unit),
                "{} does not end in its unit",
                line.name
            );
            assert!(
                !line.help.is_empty()
                    && !line.help.ends_with('.')
                    && !line.help.contains(['|', '\n'])
            );
            if let Type::Histogram(buckets) = line.kind {
                assert!(
                    buckets.windows(2).all(|pair| pair[0] < pair[1]),
                    "{}",
                    line.name
                );
            }
        }
    }

    #[test]
    fn the_number_of_series_is_bounded() {
        for line in TABLE {
            let series: usize = line
                .labels
                .iter()
                .map(|label| label.values.len().max(1))
                .product();
            assert!(series <= 64, "{} has {series}", line.name);
            assert!(line.labels.len() <= 2);
        }
    }
}
