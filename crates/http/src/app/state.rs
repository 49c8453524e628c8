//! The state that handlers share: the engine, the limits, and the counts of this moment.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use ddx_engine::Engine;
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;
use crate::server::Connections;
use crate::shared::names;
use crate::shared::operators::Operators;
use crate::shared::origin;
use crate::shared::places::Places;
use crate::shared::rate_limits::RateLimits;

/// Limits and choices of the ways in. Each is a setting of the server.
#[derive(Debug, Clone)]
pub struct Config {
    /// Limits of names and paths.
    pub names: names::Limits,
    /// How absolute links and client addresses are found.
    pub origin: origin::Config,
    /// Parts of one form, files and text fields together.
    pub form_parts_max: usize,
    /// How long nothing may come of a form where no file is being sent.
    pub form_idle_timeout: Duration,
    /// The longest metadata that a client may give an upload, in bytes as they are sent.
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
    pub reserved_per_client_bytes_max: Option<u64>,
    /// What browsers are told to send at once at most.
    pub request_body_bytes_max: u64,
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
    rate_limits: RateLimits,
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
        let rate_limits = RateLimits::new(
            config.requests_per_client_max,
            config.creations_per_client_max,
        );
        Self(Arc::new(Parts {
            engine,
            config,
            metrics: Metrics::new(),
            sse_places,
            rate_limits,
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
    pub(crate) fn rate_limits(&self) -> &RateLimits {
        &self.0.rate_limits
    }

    pub(crate) fn closing(&self) -> &CancellationToken {
        &self.0.closing
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
}
