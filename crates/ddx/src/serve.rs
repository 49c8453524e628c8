//! Putting the server together: ledger, store, catalog, engine and the ways in; and taking it apart
//! again.
//!
//! The order is what matters. Everything that can fail for a wrong setting comes before the first
//! byte is taken, recovery before the first request. On the way out admission ends first, and
//! resumable uploads are brought to a checkpoint and answered; what would be lost if it were cut
//! has the whole grace to end by itself. The catalog is closed last, since all the others still
//! write to it.

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::Context;
use ddx_catalog::Catalog;
use ddx_catalog::sqlite::SqliteCatalog;
use ddx_engine::{Engine, Machine, Total};
use ddx_http::server::{Connections, Server, acceptor};
use ddx_memory::{Ledger, Plan, Size};
use ddx_storage::{LocalDisk, Store, WriteMode};
use tokio::net::{TcpListener, TcpSocket};
use tokio_util::sync::CancellationToken;

use crate::allocator;
use crate::clock;
use crate::limits;
use crate::settings::Settings;
use crate::start_errors::{self, StartError};
use crate::stop::StopSignals;
use crate::telemetry::Lost;

/// A writer's thread that has nothing to do gives its stack back after this.
const THREAD_KEEP_ALIVE: Duration = Duration::from_secs(2);

/// Threads beside the writers for what takes a moment: a file to be made or opened, a piece of a
/// download, which takes no more than half of them. An upload that begins would wait behind the
/// megabytes of all others otherwise.
const SHORT_THREADS: usize = 8;

/// After a stop, for what is left once uploads stand: connections, and the catalog's last commit.
const LAST_ACTS: Duration = Duration::from_secs(2);

/// Connections that the kernel holds until they are accepted: more than any system lets wait, so
/// its own limit (`net.core.somaxconn`) counts. Where memory for another connection is short this
/// is the queue, and one that overflows is none: clients believe that they are connected, send, and
/// are reset, or try again after 1, 3, 7, 15 and 31 s. The libraries ask for 128.
const BACKLOG: u32 = 65_535;

/// Segments that are looked at together.
const PAGE_SEGMENTS: usize = 1024;

/// Threads that a server can't do without, its first one not counted: those of the runtime, of the
/// catalog (readers, the writer, the copier), the memory sampler, the log, and two that may block.
pub(crate) fn threads_min(settings: &Settings) -> usize {
    workers(settings) + settings.catalog().readers + 2 + 1 + 1 + 2
}

fn workers(settings: &Settings) -> usize {
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    settings.workers.unwrap_or_else(cores)
}

/// Runs the server until it is told to stop.
///
/// # Errors
/// A part can't be opened, or the address is taken.
pub(crate) fn run(settings: Settings, lost: Lost) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers(&settings))
        .max_blocking_threads(settings.writers() + SHORT_THREADS)
        .thread_stack_size(limits::STACK_BYTES)
        .thread_keep_alive(THREAD_KEEP_ALIVE)
        .enable_all()
        .build()
        .map_err(|error| {
            let what = format!("the server's threads can't be started: {error}");
            StartError::new(what, start_errors::MORE_THREADS)
        })?;
    let result = runtime.block_on(serve(settings, lost));
    // A disk that hangs must not keep the process.
    runtime.shutdown_timeout(LAST_ACTS);
    result
}

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // A server that is started again must not wait for its old connections to be forgotten.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// What to do after a part of the server ended by itself.
const AFTER_A_CRASH: &str = "start it again, and report this with the log; resumable uploads continue from their last checkpoint";

struct Parts {
    ledger: Ledger,
    catalog: Arc<SqliteCatalog>,
    engine: Engine,
    /// `None` where nothing can be written.
    clock_file: Option<clock::ClockFile>,
}

async fn serve(mut settings: Settings, lost: Lost) -> anyhow::Result<()> {
    let mut stop = StopSignals::catch()?;
    if let Some(bytes) = limits::largest_file() {
        tracing::warn!(
            limit_bytes = bytes,
            "larger files are refused: this process may not write them; to take them, raise `ulimit -f` or LimitFSIZE= of systemd"
        );
        settings.file_bytes_max = Some(settings.file_bytes_max.map_or(bytes, |max| max.min(bytes)));
    }
    let files_max = limits::raise_open_files()?;
    let tls = match (&settings.tls_cert, &settings.tls_key) {
        (Some(certificate), Some(key)) => Some(
            acceptor(certificate, key)
                .map_err(|error| start_errors::tls(certificate, key, &error))?,
        ),
        _ => None,
    };
    let listener =
        listen(settings.listen).map_err(|error| start_errors::listen(settings.listen, &error))?;
    let address = listener.local_addr()?;
    let (ledger, _sampler) = open_ledger(&settings)?;
    let (closing, connections) = (CancellationToken::new(), Arc::<Connections>::default());
    let begun = Arc::<OnceLock<Engine>>::default();
    let served = Arc::new(ddx_http::starting(
        &settings.path_prefix,
        progress_of(begun.clone()),
    ));
    let scheme = if tls.is_some() { "https" } else { "http" };
    let http = settings.http()?;
    let server = Server {
        listener,
        limits: settings.server(files_max),
        connections: connections.clone(),
        app: served.clone(),
        ledger: ledger.clone(),
        trusted_proxies: http.origin.trusted_proxies.clone(),
        tls,
    };
    let mut serving = tokio::spawn(server.run(closing.clone()));
    let parts = tokio::select! {
        parts = open_and_recover(&settings, ledger, &begun) => parts?,
        // Recovery can be cut anywhere, as by a crash: the next start does the rest.
        () = stop.next() => {
            tracing::info!("stopped before the server was ready; the next start does the rest");
            return Ok(());
        }
    };
    parts.engine.spawn_housekeeping();
    let app = ddx_http::App::new(parts.engine.clone(), http, closing.clone(), connections)
        .counting_lost_lines(move || lost.count());
    served.is_ready(ddx_http::router(app));
    parts.ledger.finalize_baseline();
    introduce(&parts, &settings, scheme, address);
    let trimming = tokio::spawn(allocator::give_back(
        parts.ledger.clone(),
        parts.catalog.clone(),
    ));
    let keeping = parts
        .clock_file
        .clone()
        .map(|clock_file| tokio::spawn(clock_file.keep_saved()));
    // A server without one of these would look sound and turn everything away: who watches it
    // starts another.
    tokio::select! {
        () = stop.next() => {}
        thread = parts.catalog.thread_died() => {
            return Err(StartError::new(format!("the server stops, since its thread `{thread}` crashed"), AFTER_A_CRASH).into());
        }
        ended = &mut serving => {
            return Err(StartError::new(format!("the server stops, since it can't accept connections any more ({ended:?})"), AFTER_A_CRASH).into());
        }
    }
    stop.end_at_once_on_the_next();
    trimming.abort();
    if let Some(keeping) = keeping {
        keeping.abort();
    }
    close(parts, settings.shutdown_grace, closing, serving).await
}

/// What a start is at, in a sentence.
fn progress_of(begun: Arc<OnceLock<Engine>>) -> impl Fn() -> String + Clone + Send + Sync {
    move || match begun.get() {
        None => "The server opens its catalog.".to_owned(),
        Some(engine) => format!(
            "The server compares its disk with its records: {} pieces were looked at so far.",
            engine.stats().total(Total::Recovered)
        ),
    }
}

async fn open_and_recover(
    settings: &Settings,
    ledger: Ledger,
    begun: &OnceLock<Engine>,
) -> anyhow::Result<Parts> {
    let parts = open(settings, ledger).await?;
    let engine = begun.get_or_init(|| parts.engine.clone());
    let recovered = engine
        .recover()
        .await
        .map_err(|error| start_errors::recovery(&settings.data_dir, &error))?;
    match engine.is_read_only() {
        true => tracing::warn!(
            folder = %settings.data_dir.display(),
            "read-only: files can be fetched, but nothing can be uploaded, changed or deleted; mount the disk for writing and start the \
             server again"
        ),
        false => tracing::info!(
            ?recovered,
            "the files on the disk were compared with the catalog; uploads can begin"
        ),
    }
    Ok(parts)
}

/// What the machine has, and what looks at it again and again.
fn open_ledger(settings: &Settings) -> anyhow::Result<(Ledger, ddx_memory::Sampler)> {
    let ledger =
        Ledger::on_this_machine(settings.memory()).map_err(|error| start_errors::memory(&error))?;
    for doubt in ledger.snapshot().doubts.iter() {
        tracing::warn!(doubt = doubt.name(), "{doubt}");
    }
    let sampler = ledger
        .try_spawn_sampler()
        .map_err(|error| start_errors::memory(&error))?;
    Ok((ledger, sampler))
}

/// Everything below the ways in. The disk comes first: its lock keeps a second server away from the
/// catalog as well.
async fn open(settings: &Settings, ledger: Ledger) -> anyhow::Result<Parts> {
    let (folder, storage, catalog) = (
        settings.data_dir.clone(),
        settings.storage(),
        settings.catalog(),
    );
    let of_disk = ledger.clone();
    let time = settings.clone();
    let (disk, catalog, clock_file) = tokio::task::spawn_blocking(move || {
        let disk = LocalDisk::open(&folder, storage, of_disk)
            .map_err(|error| start_errors::data_folder(&folder, &error))?;
        if !catalog.accept_older && !SqliteCatalog::is_in(&folder) {
            refuse_files_without_records(&folder, &disk)?;
        }
        let clock_file = clock::ClockFile::open(&folder, &time, !SqliteCatalog::is_in(&folder));
        let opened = match disk.write_mode() {
            WriteMode::ReadOnly => SqliteCatalog::open_read_only(&folder, catalog),
            _ => SqliteCatalog::open(&folder, catalog),
        };
        let catalog = opened.map_err(|error| start_errors::catalog(&folder, &error))?;
        anyhow::Ok((disk, catalog, clock_file))
    })
    .await??;
    let catalog = Arc::new(catalog);
    let writes = !matches!(disk.write_mode(), WriteMode::ReadOnly);
    let store: Arc<dyn Store> = Arc::new(disk);
    let config = settings.engine();
    let machine = Machine::living_by(clock_file.clock(), config.writer_threads);
    let engine = Engine::living_in(
        Arc::new(machine),
        config,
        catalog.clone(),
        store,
        ledger.clone(),
    );
    Ok(Parts {
        ledger,
        catalog,
        engine,
        clock_file: writes.then_some(clock_file),
    })
}

/// Files without a catalog are no new folder: someone lost the catalog, and recovery would take
/// their bytes for leftovers.
fn refuse_files_without_records(folder: &Path, disk: &LocalDisk) -> anyhow::Result<()> {
    let (mut segments, mut bytes) = (0_u64, 0_u64);
    let failed = |error| start_errors::data_folder(folder, &error);
    let mut page = disk.list(None, PAGE_SEGMENTS).map_err(failed)?;
    while let Some(last) = page.last().copied() {
        for id in page {
            let length_bytes = disk.length(id).map_err(failed)?;
            segments += u64::from(length_bytes > 0);
            bytes += length_bytes;
        }
        page = disk.list(Some(last), PAGE_SEGMENTS).map_err(failed)?;
    }
    if segments == 0 {
        return Ok(());
    }
    let what = format!(
        "the catalog {} is missing or empty, but {} has {} of files ({segments} in number), whose names only the catalog knows",
        folder.join(ddx_catalog::sqlite::FILE_NAME).display(),
        folder.join("segments").display(),
        Size(bytes),
    );
    let remedy = "put the catalog back, or its newest copy (your own, or one from the folder `backups`); to start with nothing, set another \
        --data-dir, or start once with `--accept-older-catalog`, which deletes these files";
    Err(StartError::new(what, remedy).into())
}

/// What was found and what follows, in a few lines; the address last, since scripts wait for it.
fn introduce(parts: &Parts, settings: &Settings, scheme: &str, address: SocketAddr) {
    let plan = parts.ledger.plan();
    let mut text = format!("memory  {}\n", memory_line(&plan));
    for doubt in plan.doubts.iter() {
        text += &format!("memory  NOTE: {doubt}\n");
    }
    text += &format!(
        "data    {}, {}\nlistening on {scheme}://{address}\n",
        settings.data_dir.display(),
        parts.engine.store().write_mode()
    );
    let mut out = std::io::stdout().lock();
    if let Err(error) = out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        tracing::warn!(%error, %scheme, %address, "the server listens, but its address can't be written to standard output");
    }
}

fn memory_line(plan: &Plan) -> String {
    let rate = plan
        .rates
        .iter()
        .find(|rate| rate.bytes_per_second == 1_250_000);
    let uploads = rate.map_or(0, |rate| rate.uploads);
    format!(
        "{} by {}, {} available; {} kept free, buffers up to {}; {uploads} uploads at once at 10 Mbit/s (`ddx plan` tells more)",
        Size(plan.total_bytes),
        plan.tightest.place(),
        Size(plan.available_bytes),
        Size(plan.reserve_bytes),
        Size(plan.ceiling_bytes),
    )
}

async fn close(
    parts: Parts,
    grace: Duration,
    closing: CancellationToken,
    mut serving: tokio::task::JoinHandle<()>,
) -> anyhow::Result<()> {
    tracing::info!(
        ?grace,
        "stopping: resumable uploads are saved and end now, other uploads and downloads may finish within the grace time"
    );
    closing.cancel();
    parts.engine.begin_close();
    let run_on = grace.saturating_sub(LAST_ACTS).max(grace / 2);
    let ended = async {
        parts.engine.finished().await;
        // How it ended is of no account any more.
        let _ = (&mut serving).await;
    };
    if tokio::time::timeout(run_on, ended).await.is_err() {
        tracing::info!(
            "the grace time is over: uploads and downloads that are not finished are cut"
        );
    }
    if !parts.engine.close(LAST_ACTS / 2).await {
        tracing::warn!(
            "some resumable uploads could not be saved in time; they continue from their last checkpoint, and clients send the rest again"
        );
    }
    let is_open = !serving.is_finished();
    if is_open && tokio::time::timeout(LAST_ACTS / 2, serving).await.is_err() {
        tracing::info!("some connections were still open and were cut");
    }
    parts.catalog.close().await.context(
        "the catalog could not be closed cleanly; nothing is lost, and the next start checks it",
    )?;
    if let Some(clock_file) = parts.clock_file {
        tokio::task::spawn_blocking(move || clock_file.save()).await?;
    }
    tracing::info!("stopped");
    Ok(())
}
