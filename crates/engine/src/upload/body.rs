//! Taking a body: waiting for its bytes, a buffer for them, and filling it.

use std::ops::Range;
use std::time::Duration;

use ddx_memory::{Buffer, Holder, Ledger};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::error::Error;
use crate::protocol::Protocol;
use crate::source::{Source, Taken};
use crate::stats::Stats;
use crate::surroundings::Surroundings;
use crate::upload::live::Live;

/// Blocks of the disk's direct path; a buffer's fill starts where the file's offset stands within a
/// block.
pub(crate) const BLOCK_BYTES: u64 = 4096;

/// How often a waiting upload's place is told anew.
const PLACE_EVERY: Duration = Duration::from_millis(500);

/// What the taking of a body needs of the engine and of its upload.
pub(crate) struct BodyContext<'a> {
    pub(crate) config: &'a Config,
    pub(crate) ledger: &'a Ledger,
    pub(crate) surroundings: &'a dyn Surroundings,
    pub(crate) stats: &'a Stats,
    pub(crate) protocol: Protocol,
    pub(crate) holder: Holder,
    pub(crate) live: &'a Live,
    /// Whether what has come stays where the request is cut.
    pub(crate) can_resume: bool,
    /// By how much the first checkpoint comes before its time: thousands of uploads that begin
    /// together, as after a restart, are not all made durable together, nor do the pages that they
    /// dirty add up until then.
    pub(crate) checkpoint_sooner: Duration,
    /// A newer request wants the upload.
    pub(crate) superseded: &'a CancellationToken,
    /// The server stops.
    pub(crate) closing: &'a CancellationToken,
}

/// Bytes in a buffer, on their way to the disk.
pub(crate) struct Filled {
    pub(crate) buffer: Buffer,
    pub(crate) range: Range<usize>,
}

impl BodyContext<'_> {
    /// Runs `wait`, unless the upload is taken over or the server stops before.
    async fn unless_stopped<T>(&self, wait: impl Future<Output = T>) -> Result<T, Error> {
        tokio::select! {
            biased;
            () = self.superseded.cancelled() => Err(Error::Superseded),
            () = self.closing.cancelled() => Err(Error::Closing),
            out = wait => Ok(out),
        }
    }

    /// Why the request has to leave, if it has to.
    pub(crate) fn stopped(&self) -> Option<Error> {
        if self.superseded.is_cancelled() {
            return Some(Error::Superseded);
        }
        self.closing.is_cancelled().then_some(Error::Closing)
    }

    /// Waits for bytes while nothing is held.
    pub(crate) async fn ready<S: Source>(&self, source: &mut S) -> Result<(), Error> {
        self.ready_after(source, Duration::ZERO).await
    }

    /// The same for a client that sends slowly: the kernel gathers its bytes, for a while.
    pub(crate) async fn ready_slowly<S: Source>(&self, source: &mut S) -> Result<(), Error> {
        let every = self.config.slow_read_every.min(self.config.body_idle / 2);
        source.set_low_water(self.config.slow_read_bytes);
        let gathered = self.unless_stopped(timeout(every, source.ready())).await;
        if let Ok(Ok(ready)) = gathered {
            return ready.map_err(|_| Error::ClientGone);
        }
        source.set_low_water(1);
        gathered.map(drop)?;
        self.ready_after(source, every).await
    }

    /// Waits for bytes, of which none have come for so long already.
    async fn ready_after<S: Source>(&self, source: &mut S, waited: Duration) -> Result<(), Error> {
        let (idle, pause) = (self.config.body_idle, self.config.body_pause);
        let soon = timeout(idle.saturating_sub(waited), source.ready());
        match self.unless_stopped(soon).await? {
            Ok(ready) => return ready.map_err(|_| Error::ClientGone),
            // One that can be resumed is not kept open for what may never come.
            Err(_) if self.protocol.is_resumable || pause <= idle => {
                return Err(Error::Stalled { after: idle });
            }
            Err(_) => {}
        }
        // A pipe may pause: it costs its connection and no more.
        let late = timeout(pause - idle, source.ready_or_unwanted());
        match self.unless_stopped(late).await? {
            Ok(Ok(true)) => Ok(()),
            Ok(Err(_)) => Err(Error::ClientGone),
            Ok(Ok(false)) => Err(Error::Stalled { after: idle }),
            Err(_) => Err(Error::Stalled { after: pause }),
        }
    }

    /// A buffer, waited for in the fair queue if there is none at once.
    pub(crate) async fn first_buffer(&self, bytes: u64) -> Result<Buffer, Error> {
        if let Some(lease) = self.ledger.try_lease(self.holder, bytes) {
            return buffer_of(lease);
        }
        let mut admission = self.ledger.admit(self.holder, bytes).map_err(refused)?;
        self.live.waits(admission.place());
        let began = Instant::now();
        let lease = loop {
            match self
                .unless_stopped(timeout(PLACE_EVERY, &mut admission))
                .await
            {
                Ok(Ok(lease)) => break lease.map_err(refused),
                Ok(Err(_)) => self.live.waits(admission.place()),
                Err(error) => break Err(error),
            }
        };
        self.live.waits(None);
        self.stats.waited(began.elapsed());
        buffer_of(lease?)
    }

    /// Fills a buffer until it is full, the body ends, or nothing comes for `linger`.
    pub(crate) async fn fill<S: Source>(
        &self,
        source: &mut S,
        buffer: &mut Buffer,
        range: Range<usize>,
        linger: Duration,
    ) -> (usize, Fill) {
        let mut at = range.start;
        while at < range.end {
            match source.take(&mut buffer[at..range.end]) {
                Ok(Taken::Bytes(count)) => at += count,
                Ok(Taken::End) => return (at, Fill::Ended),
                Err(_) => return (at, Fill::Cut(Error::ClientGone)),
                Ok(Taken::Nothing) if linger.is_zero() => return (at, Fill::Paused),
                Ok(Taken::Nothing) => {
                    match self.unless_stopped(timeout(linger, source.ready())).await {
                        Ok(Ok(Ok(()))) => {}
                        Ok(Ok(Err(_))) => return (at, Fill::Cut(Error::ClientGone)),
                        Ok(Err(_)) => return (at, Fill::Paused),
                        Err(_) if source.has_arrived().await => {}
                        Err(error) => return (at, Fill::Cut(error)),
                    }
                }
            }
        }
        (at, Fill::Full)
    }

    /// The length is reached: whether the body ends here, as it must. `Paused` where that can't be
    /// told yet.
    pub(crate) async fn end_after<S: Source>(&self, source: &mut S, length_bytes: u64) -> Fill {
        let mut one = [0];
        loop {
            match source.take(&mut one) {
                Ok(Taken::End) => return Fill::Ended,
                Ok(Taken::Bytes(_)) => return Fill::Cut(Error::PastLength { length_bytes }),
                Err(_) => return Fill::Cut(Error::ClientGone),
                Ok(Taken::Nothing) => {
                    let ready = timeout(self.config.linger, source.ready());
                    match self.unless_stopped(ready).await {
                        Ok(Ok(Ok(()))) => {}
                        Ok(Ok(Err(_))) => return Fill::Cut(Error::ClientGone),
                        Ok(Err(_)) => return Fill::Paused,
                        Err(error) => return Fill::Cut(error),
                    }
                }
            }
        }
    }
}

/// How a fill ended.
#[derive(Debug)]
pub(crate) enum Fill {
    Full,
    Paused,
    Ended,
    Cut(Error),
}

pub(crate) fn refused(refusal: ddx_memory::Refusal) -> Error {
    match refusal {
        ddx_memory::Refusal::TooManyWaiters {
            waiting,
            retry_after,
            ..
        } => Error::QueueFull {
            waiting,
            retry_after,
        },
        ddx_memory::Refusal::Closing => Error::Closing,
        ddx_memory::Refusal::NoMemory {
            needed_bytes,
            free_bytes,
            retry_after,
            ..
        } => Error::NoMemory {
            needed_bytes,
            free_bytes,
            retry_after,
        },
        other => Error::Internal(format!("the ledger refused: {other}")),
    }
}

pub(crate) fn buffer_of(lease: ddx_memory::Lease) -> Result<Buffer, Error> {
    Buffer::new(lease)
        .map_err(|error| Error::Internal(format!("a leased buffer could not be mapped: {error}")))
}
