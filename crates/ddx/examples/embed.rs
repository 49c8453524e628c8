//! The server inside another program: settings, start, serve until Ctrl-C, stop.
//!
//! `cargo run -p ddx --example embed -- FOLDER`
//!
//! What `ddx serve` does besides is left out: it answers while it starts, keeps the time of day
//! across restarts, gives memory back to the system, and lets downloads end within a grace.
#![allow(clippy::print_stdout, reason = "the address is what it prints")]

use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use ddx_catalog::{Catalog as _, SqliteCatalog};
use ddx_engine::Engine;
use ddx_http::server::{Connections, Limits, Server};
use ddx_http::shared::origin::Networks;
use ddx_memory::Ledger;
use ddx_storage::{LocalDisk, LocalDiskConfig};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// For uploads that are under way when the program is told to stop.
const GRACE: Duration = Duration::from_secs(5);

#[tokio::main]
async fn main() -> Result<()> {
    let folder = std::env::args().nth(1).unwrap_or_else(|| "data".to_owned());
    let listener = TcpListener::bind("127.0.0.1:8000").await?;
    let stop = async {
        // Where it can't be caught, the system ends the program.
        let _ = tokio::signal::ctrl_c().await;
    };
    serve(Path::new(&folder), listener, told, stop).await
}

fn told(address: SocketAddr) {
    println!("listening on http://{address}");
}

/// Serves this folder until `stop`.
async fn serve(
    folder: &Path,
    listener: TcpListener,
    told: impl FnOnce(SocketAddr),
    stop: impl Future<Output = ()>,
) -> Result<()> {
    let address = listener.local_addr()?;
    let ledger = Ledger::on_this_machine(ddx_memory::Config::default())?;
    let _sampler = ledger.try_spawn_sampler()?;
    // The disk first: its lock keeps a second server away from the catalog as well.
    let disk = LocalDisk::open(folder, LocalDiskConfig::default(), ledger.clone())?;
    let catalog = SqliteCatalog::open(folder, ddx_catalog::sqlite::Config::default())?;
    let catalog = Arc::new(catalog);
    let config = ddx_engine::Config {
        protocols: ddx_http::protocols::spoken(),
        ..ddx_engine::Config::default()
    };
    let engine = Engine::new(config, catalog.clone(), Arc::new(disk), ledger.clone());
    engine.recover().await?;
    engine.spawn_housekeeping();

    let (closing, connections) = (CancellationToken::new(), Arc::<Connections>::default());
    let app = ddx_http::App::new(
        engine.clone(),
        settings(),
        closing.clone(),
        connections.clone(),
    );
    let served = Arc::new(ddx_http::starting("", String::new));
    served.is_ready(ddx_http::router(app));
    let server = Server {
        listener,
        limits: Limits::default(),
        tls: None,
        app: served,
        ledger,
        trusted_proxies: Networks::default(),
        connections,
    };
    let serving = tokio::spawn(server.run(closing.clone()));
    told(address);
    stop.await;

    closing.cancel();
    engine.begin_close();
    engine.close(GRACE).await;
    serving.await?;
    catalog.close().await?;
    Ok(())
}

/// The ways in, as `ddx serve` has them without any setting.
fn settings() -> ddx_http::Config {
    ddx_http::Config {
        names: ddx_http::shared::names::Limits::default(),
        origin: ddx_http::shared::origin::Config::default(),
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
        cross_origin: ddx_http::CrossOrigin::Listed(Vec::new()),
        operators: ddx_http::shared::operators::Operators::default(),
        uploads_max: None,
        version: env!("CARGO_PKG_VERSION"),
    }
}

#[cfg(test)]
mod tests {
    use ddx_testkit::{Client, Data};

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_file_comes_and_goes_and_the_server_stops() -> Result<()> {
        let folder = tempfile::tempdir()?;
        for seed in [1, 2] {
            let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
            let (tell, told) = tokio::sync::oneshot::channel();
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let path = folder.path().to_owned();
            let server = tokio::spawn(async move {
                let tell = |address| {
                    let _ = tell.send(address);
                };
                let stopped = async {
                    let _ = stopped.await;
                };
                serve(&path, listener, tell, stopped).await
            });
            let client = Client::new(told.await?);
            let data = Data::new(seed, 3_000_000);
            let link = client.put_for_link("a.bin", &data).await?;
            client.fetch(&link, &data).await?;
            drop(stop);
            // Stopped in order: the same folder is opened again.
            server.await??;
        }
        Ok(())
    }
}
