//! What every way in shares: the engine, the limits, and how a file's bytes are given out.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use ddx_engine::Engine;
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;
use crate::names;
use crate::operators::Operators;
use crate::origin;
use crate::pace::Paces;
use crate::places::Places;
use crate::plain;
use crate::problem::Problem;
use crate::refusal::problem;
use crate::server::Connections;
use crate::tus;

/// Limits and choices of the ways in. Each is a setting of the server.
#[derive(Debug, Clone)]
pub struct Config {
    /// Limits of names and paths.
    pub names: names::Limits,
    /// How absolute links and client addresses are found.
    pub origin: origin::Config,
    /// Limits of plain uploads.
    pub plain: plain::wire::Limits,
    /// Limits of forms.
    pub form: plain::multipart::Limits,
    /// The longest `Upload-Metadata`.
    pub metadata_bytes_max: usize,
    /// Ranges in one request.
    pub ranges_max: usize,
    /// Event streams at once.
    pub sse_clients_max: usize,
    /// Event streams of one client at once.
    pub sse_per_client_max: usize,
    /// Requests of one client in a second; without it a figure that people do not meet, and none
    /// for this machine.
    pub requests_per_client_max: Option<u64>,
    /// Uploads and shares that one client may make in a day; without it as above.
    pub creations_per_client_max: Option<u64>,
    /// Uploads that one client may have unfinished; without it a figure that people do not meet,
    /// and none for this machine.
    pub unfinished_per_client_max: Option<u64>,
    /// What these may come to; without it nine tenths of what the disk has, and the first may have
    /// all.
    pub reserved_per_client_max_bytes: Option<u64>,
    /// What browsers are told to send at once at most.
    pub request_body_max_bytes: u64,
    /// Which other sites' pages may use this server.
    pub cross_origin: CrossOrigin,
    /// Who may ask what is about the server itself.
    pub operators: Operators,
    /// A configured maximum of uploads at once, by which the free slots are capped.
    pub uploads_max: Option<u64>,
    /// The server's version.
    pub version: &'static str,
}

/// Origins of other sites whose pages may use this server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CrossOrigin {
    /// All.
    Any,
    /// These, as browsers write them; none where empty.
    Listed(Vec<String>),
}

/// The parts that a request needs.
#[derive(Clone)]
pub struct App(Arc<Parts>);

struct Parts {
    engine: Engine,
    config: Config,
    metrics: Metrics,
    sse_places: Arc<Places>,
    paces: Paces,
    closing: CancellationToken,
    connections: Arc<Connections>,
    lost_lines: OnceLock<Box<dyn Fn() -> u64 + Send + Sync>>,
    started: Instant,
    started_at: SystemTime,
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App")
            .field("engine", &self.0.engine)
            .finish_non_exhaustive()
    }
}

impl App {
    /// An application on this engine. `closing` ends event streams when the server stops;
    /// `connections` are those of the server that serves it.
    #[must_use]
    pub fn new(
        engine: Engine,
        config: Config,
        closing: CancellationToken,
        connections: Arc<Connections>,
    ) -> Self {
        let sse_places = Places::new(config.sse_clients_max, config.sse_per_client_max);
        let paces = Paces::new(
            config.requests_per_client_max,
            config.creations_per_client_max,
        );
        Self(Arc::new(Parts {
            engine,
            config,
            metrics: Metrics::new(),
            sse_places,
            paces,
            closing,
            connections,
            lost_lines: OnceLock::new(),
            started: Instant::now(),
            started_at: SystemTime::now(),
        }))
    }

    /// Tells by `count` how many lines of the log were lost.
    #[must_use]
    pub fn counting_lost_lines(self, count: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        // A second one changes nothing.
        let _ = self.0.lost_lines.set(Box::new(count));
        self
    }

    pub(crate) fn lost_lines(&self) -> u64 {
        self.0.lost_lines.get().map_or(0, |count| count())
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.0.engine
    }

    pub(crate) fn config(&self) -> &Config {
        &self.0.config
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    pub(crate) fn sse_places(&self) -> &Arc<Places> {
        &self.0.sse_places
    }

    /// How often clients may ask.
    pub(crate) fn paces(&self) -> &Paces {
        &self.0.paces
    }

    pub(crate) fn closing(&self) -> &CancellationToken {
        &self.0.closing
    }

    /// Refuses a plain upload that comes while the server stops; one that came before may end.
    pub(crate) fn takes_new_files(&self) -> Result<(), Problem> {
        match self.closing().is_cancelled() {
            true => Err(problem(ddx_engine::Error::Closing)),
            false => Ok(()),
        }
    }

    /// Counts of the server's connections.
    pub(crate) fn connections(&self) -> &Arc<Connections> {
        &self.0.connections
    }

    pub(crate) fn started_at_seconds(&self) -> f64 {
        let since = self.0.started_at.duration_since(SystemTime::UNIX_EPOCH);
        since.map_or(0.0, |since| since.as_secs_f64())
    }

    pub(crate) fn uptime(&self) -> Duration {
        self.0.started.elapsed()
    }

    pub(crate) fn tus_limits(&self) -> tus::wire::Limits {
        tus::wire::Limits {
            file_bytes_max: self.engine().config().file_max_bytes,
            metadata_bytes_max: self.config().metadata_bytes_max,
            ..tus::wire::Limits::default()
        }
    }
}
