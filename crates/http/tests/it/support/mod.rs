//! The whole of HTTP in the test's own process: the real router over a real engine, catalog and
//! disk, asked without a socket.
//!
//! What is true of a connection (its end, its timeouts, its bytes in pieces) can't be shown here:
//! that is what `crates/ddx/tests/e2e` is for.

mod client;
pub(crate) mod snapshot;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use axum::Router;
use ddx_catalog::SqliteCatalog;
use ddx_engine::Engine;
use ddx_http::shared::{names, operators, origin};
use ddx_http::{App, Config, CrossOrigin};
use ddx_memory::{Ledger, Sampler};
use ddx_storage::{LocalDisk, LocalDiskConfig};
use ddx_testkit::Request;
use tokio_util::sync::CancellationToken;

pub(crate) use client::{Client, path_of};

/// The host that requests name where the test gives none.
pub(crate) const HOST: &str = "127.0.0.1:8000";

/// How an application is to be made: what the program would take from its settings.
pub(crate) struct Setup {
    pub(crate) http: Config,
    pub(crate) engine: ddx_engine::Config,
}

/// An application that is gone with the test.
pub(crate) struct TestApp {
    router: Router,
    folder: tempfile::TempDir,
    _sampler: Sampler,
}

impl TestApp {
    /// One with the defaults of the settings.
    pub(crate) async fn start() -> Result<Self> {
        Self::with(|_| {}).await
    }

    /// One whose settings are changed first.
    pub(crate) async fn with(change: impl FnOnce(&mut Setup)) -> Result<Self> {
        let mut setup = Setup {
            http: http()?,
            engine: ddx_engine::Config {
                protocols: ddx_http::protocols::spoken(),
                writer_threads: 2,
                ..ddx_engine::Config::default()
            },
        };
        change(&mut setup);
        // In memory: what is asked here is not whether it outlives a power cut, and waiting for the
        // disk was most of a test's time.
        let folder = tempfile::tempdir_in("/dev/shm")?;
        let ledger = Ledger::on_this_machine(ddx_memory::Config::default())?;
        let sampler = ledger.try_spawn_sampler()?;
        let disk = LocalDisk::open(folder.path(), LocalDiskConfig::default(), ledger.clone())?;
        let catalog = SqliteCatalog::open(folder.path(), ddx_catalog::sqlite::Config::default())?;
        let engine = Engine::new(setup.engine, Arc::new(catalog), Arc::new(disk), ledger);
        engine.recover().await?;
        engine.spawn_housekeeping();
        let closing = CancellationToken::new();
        let app = App::new(engine, setup.http, closing, Arc::default());
        Ok(Self {
            router: ddx_http::router(app),
            folder,
            _sampler: sampler,
        })
    }

    /// A client on this machine.
    pub(crate) fn client(&self) -> Client {
        Client::new(self.router.clone())
    }

    /// The absolute URL of a path.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{HOST}{path}")
    }

    /// The data folder.
    pub(crate) fn data_dir(&self) -> &std::path::Path {
        self.folder.path()
    }
}

/// The defaults of the settings, as docs/CONFIGURATION.md has them.
fn http() -> Result<Config> {
    Ok(Config {
        names: names::Limits {
            name_bytes_max: 255,
            path_bytes_max: 4 * 255,
            depth_max: 32,
        },
        origin: origin::Config::default(),
        form_parts_max: 1_000,
        form_idle_timeout: Duration::from_secs(60),
        metadata_bytes_max: 4 << 10,
        ranges_max: 16,
        sse_clients_max: 1_024,
        sse_per_client_max: 256,
        requests_per_client_max: None,
        creations_per_client_max: None,
        unfinished_per_client_max: None,
        reserved_per_client_bytes_max: None,
        request_body_bytes_max: 95 << 20,
        cross_origin: CrossOrigin::Any,
        operators: operators::Operators {
            networks: crate::origin::networks(&["127.0.0.0/8", "192.168.0.0/16"]),
            token: None,
        },
        uploads_max: None,
        version: "0.0.0",
    })
}

/// Only these origins, as `--cors-origins` has them.
pub(crate) fn listed(origins: &[&str]) -> CrossOrigin {
    CrossOrigin::Listed(origins.iter().map(|&origin| origin.to_owned()).collect())
}

/// Asks again until `true`, for at most `within`; `what` says what was waited for.
pub(crate) async fn until<F: Future<Output = Result<bool>>>(
    what: &str,
    within: Duration,
    mut ask: impl FnMut() -> F,
) -> Result<()> {
    let end = Instant::now() + within;
    while !ask().await? {
        if Instant::now() > end {
            bail!("not so within {within:?}: {what}");
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

/// Waits until nothing is charged for work in progress any more.
pub(crate) async fn ledger_at_zero(client: &Client) -> Result<()> {
    const WORK: [&str; 5] = [
        "answers",
        "buffers",
        "dirty_windows",
        "waiters",
        "downloads",
    ];
    until(
        "the ledger is at zero",
        Duration::from_secs(10),
        async || {
            let status = client.status().await?;
            let accounts = status.accounts()?;
            let mut is_zero = status.active_uploads()? == 0.0;
            for name in WORK {
                let charged = accounts
                    .iter()
                    .find(|(account, _)| account.replace('_', "") == name.replace('_', ""));
                let (_, bytes) = charged.with_context(|| format!("no {name} in {accounts:?}"))?;
                is_zero &= *bytes == 0;
            }
            Ok(is_zero)
        },
    )
    .await
}

/// A new share: its id, and the key that adds files.
pub(crate) async fn new_share(client: &Client) -> Result<(String, String)> {
    let share = Request::new("POST", "/api/v1/shares");
    let share = client.send(&share, &[]).await?.expect(201)?.json()?;
    let text = |name: &str| {
        share[name]
            .as_str()
            .map(str::to_owned)
            .context("no such field")
    };
    Ok((text("share_id")?, text("share_key")?))
}
