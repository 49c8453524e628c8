//! What all works share: the server, the bytes, the account and the time limit.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Result;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use crate::fault::{Fault, NOT_IN_TIME};
use crate::pool::Pool;
use crate::protocol::{Fetch, Protocol};
use crate::tally::{Stored, Tally};
use crate::target::Target;

/// One run of one work.
#[derive(Debug)]
pub(crate) struct Run {
    /// The server.
    pub(crate) target: Target,
    /// How files are sent.
    pub(crate) protocol: Protocol,
    /// Where a file is fetched.
    pub(crate) fetch: Fetch,
    /// Part of every name, and what the bytes follow from.
    pub(crate) seed: u64,
    /// The bytes of all files.
    pub(crate) pool: Pool,
    /// From how many addresses connections come.
    pub(crate) sources: u64,
    /// When all must have ended.
    pub(crate) deadline: Instant,
    /// The account.
    pub(crate) tally: Mutex<Tally>,
}

impl Run {
    /// The account, for a moment.
    pub(crate) fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Books how one file ended.
    pub(crate) fn book(&self, ended: Result<(Option<Stored>, Duration), Fault>) {
        let mut tally = self.tally();
        match ended {
            Ok((Some(stored), took)) => {
                tally.done(stored.bytes, took);
                tally.stored(stored);
            }
            Ok((None, took)) => tally.done(0, took),
            Err(fault) => tally.failed(&fault),
        }
    }
}

/// Clients at work. What they do ends with the run's time limit.
pub(crate) struct Crowd {
    run: Arc<Run>,
    tasks: JoinSet<()>,
}

impl Crowd {
    pub(crate) fn new(run: &Arc<Run>) -> Self {
        Self {
            run: Arc::clone(run),
            tasks: JoinSet::new(),
        }
    }

    /// Adds a client.
    pub(crate) fn add(&mut self, work: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(work);
    }

    /// Waits for all, at most until the time limit, and books what of `expected` did not end.
    pub(crate) async fn finish(mut self, expected: u64) {
        let deadline = self.run.deadline;
        let all = async {
            while let Some(ended) = self.tasks.join_next().await {
                if let Err(error) = ended {
                    let fault = Fault::new("fault of the load generator", error.to_string());
                    self.run.tally().failed(&fault);
                }
            }
        };
        if timeout_at(deadline, all).await.is_err() {
            self.tasks.shutdown().await;
        }
        self.run.tally().settle(expected, NOT_IN_TIME);
    }
}
