//! `ddx-load`: loads an upload server, checks what it stored, and tells the truth about it.
//!
//! It knows nothing of DirectDriveX: the same program measures every server that speaks `PUT`, tus
//! or forms, or the comparison would be between clients. It shares the machine with what it
//! measures, so that its own CPU time is part of the result, and it is written to need little: one
//! thread, sockets without a library above them, bytes that are sent from where they lie.
//!
//! The result is one JSON object on the standard output; words for people go to the standard error.
//! The exit code is 0 only if nothing failed and no byte was wrong, 1 if something was, 2 if the
//! run could not be made.

use std::io::Write;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::time::Instant;

mod cli;
mod client;
mod conn;
mod fault;
mod head;
mod pool;
mod protocol;
mod run;
mod tally;
mod target;
mod units;
mod upload;
mod verify;
mod work;

use cli::Asked;
use run::Run;

/// Descriptors beside those of connections: the pool, the runtime, the standard ones.
const DESCRIPTORS_BESIDE: u64 = 64;

fn main() -> ExitCode {
    let matches = cli::command().get_matches();
    match cli::asked(&matches).and_then(|asked| load(&asked)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("ddx-load: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Runs what was asked for and tells the result; `true` if all was well.
fn load(asked: &Asked) -> Result<bool> {
    let target = target::Target::new(&asked.to, &asked.tus_path)?;
    let connections = asked.work.connections();
    raise_descriptors(connections)?;
    let mut runtime = match asked.threads {
        1 => tokio::runtime::Builder::new_current_thread(),
        threads => {
            let mut runtime = tokio::runtime::Builder::new_multi_thread();
            runtime.worker_threads(threads);
            runtime
        }
    };
    let runtime = runtime.enable_all().build().context("start the runtime")?;
    let run = Arc::new(Run {
        sources: target.sources(asked.sources, connections)?,
        target,
        protocol: asked.protocol,
        fetch: asked.fetch,
        seed: asked.seed,
        pool: pool::Pool::new(asked.seed)?,
        deadline: Instant::now() + asked.within,
        tally: Mutex::new(tally::Tally::new()?),
    });
    runtime.block_on(async {
        asked.work.run(&run).await?;
        run.tally().stop();
        verify::verify(&run, asked.verify).await;
        Ok::<_, anyhow::Error>(())
    })?;
    let tally = run.tally();
    let told = tally.told(&asked.work_name, &asked.protocol_name, |path| {
        run.target.url(path)
    });
    eprintln!(
        "ddx-load: {} {}: {} files, {:.1} MB/s, {:.0} files/s in {:.2} s; failures {}; {} verified, {} wrong",
        asked.work_name,
        asked.protocol_name,
        told["files"],
        told["mb_per_s"].as_f64().unwrap_or_default(),
        told["files_per_s"].as_f64().unwrap_or_default(),
        told["seconds"].as_f64().unwrap_or_default(),
        told["failures"],
        told["verified"],
        told["digests_wrong"],
    );
    writeln!(std::io::stdout().lock(), "{told}").context("tell the result")?;
    Ok(tally.is_good())
}

/// Sees to it that so many connections can be open at once.
fn raise_descriptors(connections: u64) -> Result<()> {
    let needed = connections + DESCRIPTORS_BESIDE;
    let now = getrlimit(Resource::Nofile);
    if now.current.is_none_or(|current| current >= needed) {
        return Ok(());
    }
    let maximum = now.maximum.map(|maximum| maximum.max(needed));
    let wanted = Rlimit {
        current: Some(needed),
        maximum,
    };
    let raised = setrlimit(Resource::Nofile, wanted);
    ensure!(
        raised.is_ok(),
        "{connections} connections need {needed} open files, and {} are allowed: raise the limit (ulimit -n {needed})",
        now.maximum.unwrap_or(needed)
    );
    Ok(())
}
