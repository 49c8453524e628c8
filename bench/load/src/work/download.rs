//! Downloads to nowhere: what comes is counted and forgotten, in one buffer that is used again.

use std::sync::Arc;

use anyhow::{Context, Result};
use tokio::time::Instant;

use crate::client::{Client, SCRATCH_BYTES};
use crate::fault::Fault;
use crate::run::{Crowd, Run};

/// Downloads.
#[derive(Debug, Clone)]
pub(crate) struct Get {
    pub(crate) paths: Vec<String>,
    pub(crate) clients: u64,
    pub(crate) bytes: Option<u64>,
    /// The first path is this file, the next one the next.
    pub(crate) file: Option<u64>,
}

/// All clients at once, one file each.
pub(super) async fn get(run: &Arc<Run>, work: &Get) -> Result<()> {
    let paths = work.paths.iter().map(|path| {
        let told =
            || format!("--path {path}: give a path that begins with a slash, or a whole link");
        run.target.path_of(path).with_context(told)
    });
    let paths: Vec<String> = paths.collect::<Result<_>>()?;
    let mut crowd = Crowd::new(run);
    run.tally().start();
    let numbered = (0..).zip(paths.iter()).cycle();
    for (n, (i, path)) in (0..work.clients).zip(numbered) {
        let (run, path, due_bytes) = (Arc::clone(run), path.clone(), work.bytes);
        let file = work.file.map(|first: u64| first + i);
        crowd.add(async move {
            let started = Instant::now();
            match one(&run, n, &path, (due_bytes, file)).await {
                Ok(bytes) => run.tally().done(bytes, started.elapsed()),
                Err(fault) => run.tally().failed(&fault),
            }
        });
    }
    crowd.finish(work.clients).await;
    Ok(())
}

/// One download, whose bytes are those of a known file if there is one; its length.
async fn one(
    run: &Arc<Run>,
    n: u64,
    path: &str,
    (due_bytes, file): (Option<u64>, Option<u64>),
) -> Result<u64, Fault> {
    let mut scratch = vec![0; SCRATCH_BYTES];
    let (mut bytes, mut is_same) = (0, true);
    let look = |some: &[u8]| {
        is_same &= file.is_none_or(|k| run.pool.is_same(k, bytes, some));
        bytes += some.len() as u64;
    };
    Client::new(run, n).fetch(path, &mut scratch, look).await?;
    if let Some(due) = due_bytes.filter(|due| *due != bytes) {
        let told = format!("{path}: {bytes} bytes, not {due}");
        return Err(Fault::new("wrong length", told));
    }
    if file.is_some() {
        run.tally().verified(is_same);
    }
    Ok(bytes)
}
