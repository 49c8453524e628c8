//! The way of the bytes: socket → leased buffer → digests and disk.
//!
//! Memory follows bytes in flight. A connection that has nothing to say is waited for without a
//! buffer; when bytes are there, one small buffer is leased, in the fair queue if need be; a client
//! that fills its buffers at once gets larger ones, as far as its share allows, and a second one,
//! so that socket and disk work at the same time. A client that dawdles has its buffer written and
//! taken away. So ten thousand slow uploads hold next to nothing, and one fast one gets all that
//! makes it faster.
//!
//! The one blocking request for memory is made while nothing is held. Everything beyond it is tried
//! and done without where it can't be had: no hold-and-wait, so no deadlock.

use std::ops::Range;
use std::time::Duration;

use ddx_memory::{Buffer, Holder, Ledger};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::error::Error;
use crate::lane::{Done, Lane, Mark, Settles, Then};
use crate::live::Live;
use crate::protocol::Protocol;
use crate::source::{Source, Taken};
use crate::stats::{Counted, Stats};
use crate::surroundings::{Begun, Surroundings};

/// Blocks of the disk's direct path; a buffer's fill starts where the file's offset stands within a
/// block.
pub(crate) const BLOCK_BYTES: u64 = 4096;

/// How often a waiting upload's place is told anew.
const PLACE_EVERY: Duration = Duration::from_millis(500);

/// What a request that has to leave still takes of the bytes that have arrived: more than a socket
/// holds, and so few that its successor does not notice.
const LAST_BYTES_MAX: u64 = 8 << 20;

/// Why a body ended.
#[derive(Debug)]
pub(crate) enum End {
    /// The body is over, or the upload's length is reached.
    Whole,
    /// It was cut short. What came before stands.
    Cut(Error),
}

/// What the bytes' way needs to know of its surroundings.
pub(crate) struct Context<'a> {
    pub(crate) config: &'a Config,
    pub(crate) ledger: &'a Ledger,
    pub(crate) surroundings: &'a dyn Surroundings,
    pub(crate) stats: &'a Stats,
    pub(crate) protocol: Protocol,
    pub(crate) holder: Holder,
    pub(crate) live: &'a Live,
    /// Whether what has come stays where the request is cut.
    pub(crate) keeps: bool,
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

impl Context<'_> {
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
    fn stopped(&self) -> Option<Error> {
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
    async fn ready_slowly<S: Source>(&self, source: &mut S) -> Result<(), Error> {
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
                Ok(Taken::Nothing) if linger.is_zero() => return (at, Fill::Dawdled),
                Ok(Taken::Nothing) => {
                    match self.unless_stopped(timeout(linger, source.ready())).await {
                        Ok(Ok(Ok(()))) => {}
                        Ok(Ok(Err(_))) => return (at, Fill::Cut(Error::ClientGone)),
                        Ok(Err(_)) => return (at, Fill::Dawdled),
                        Err(_) if source.has_arrived().await => {}
                        Err(error) => return (at, Fill::Cut(error)),
                    }
                }
            }
        }
        (at, Fill::Full)
    }

    /// The length is reached: whether the body ends here, as it must. `Dawdled` where that can't be
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
                        Ok(Err(_)) => return Fill::Dawdled,
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
    Dawdled,
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

/// The disk's side of one upload: its lane, at work or at rest, and the buffer that came back last.
struct Disk {
    resting: Option<Lane>,
    working: Option<Begun<Done>>,
    spare: Option<Buffer>,
    /// What it works on brings back a buffer, or a mark that is to be kept.
    owes: bool,
}

impl Disk {
    /// Whether a buffer is held, or a mark is to be kept.
    fn holds(&self) -> bool {
        self.spare.is_some() || self.owes
    }

    /// Waits until the lane rests. The mark, if it was asked to sync.
    async fn rest(&mut self) -> Result<Option<Mark>, Error> {
        let Some(working) = self.working.take() else {
            return Ok(None);
        };
        let done = working.done().await?;
        self.owes = false;
        self.resting = Some(done.lane);
        if done.buffer.is_some() {
            self.spare = done.buffer;
        }
        done.result.map_err(Error::Storage)
    }

    fn lane(&mut self) -> Result<Lane, Error> {
        self.resting
            .take()
            .ok_or_else(|| Error::Internal("the upload's queue to the disk is gone".to_owned()))
    }
}

/// What came of a body.
pub(crate) struct Received {
    /// At rest. None if the disk failed it.
    pub(crate) lane: Option<Lane>,
    /// Why the body ended.
    pub(crate) end: End,
    /// Of all that was received, where that is durable already.
    pub(crate) mark: Option<Mark>,
}

/// Receives a body.
///
/// `room_bytes` is what the upload may still take. `keep` makes a mark's progress durable in the
/// catalog; it is called at intervals.
pub(crate) async fn receive<S, K, F>(
    context: &Context<'_>,
    source: &mut S,
    lane: Lane,
    begun: Option<Filled>,
    room_bytes: Option<u64>,
    keep: K,
) -> Received
where
    S: Source,
    K: Fn(Mark) -> F,
    F: Future<Output = Result<(), Error>>,
{
    let now = Instant::now();
    let mut pump = Pump {
        context,
        offset: lane.absorbed,
        room: room_bytes,
        buffer_bytes: context.config.buffer_bytes_min,
        disk: Disk {
            resting: Some(lane),
            working: None,
            spare: None,
            owes: false,
        },
        is_slow: false,
        kept_at: now.checked_sub(context.checkpoint_sooner).unwrap_or(now),
        since_kept: 0,
        left_at: None,
    };
    if let Some(filled) = begun
        && let Err(error) = pump.submit(filled, &keep).await
    {
        return Received {
            lane: pump.disk.resting,
            end: End::Cut(error),
            mark: None,
        };
    }
    let mut end = loop {
        match pump.step(source, &keep).await {
            Ok(None) => {}
            Ok(Some(end)) => break end,
            Err(error) => break End::Cut(error),
        }
    };
    let mark = match pump.disk.rest().await {
        Ok(mark) => mark.filter(|mark| mark.offset == pump.offset),
        Err(error) => {
            end = End::Cut(error);
            None
        }
    };
    Received {
        lane: pump.disk.resting,
        end,
        mark,
    }
}

struct Pump<'a> {
    context: &'a Context<'a>,
    disk: Disk,
    offset: u64,
    room: Option<u64>,
    buffer_bytes: u64,
    /// The client sends little at a time: what it sends is gathered by the kernel, and written at
    /// once.
    is_slow: bool,
    kept_at: Instant,
    since_kept: u64,
    /// Where it stood when it was told to leave.
    left_at: Option<u64>,
}

impl Pump<'_> {
    /// One buffer: wait for bytes, lease, fill, hand to the disk.
    async fn step<S, K, F>(&mut self, source: &mut S, keep: &K) -> Result<Option<End>, Error>
    where
        S: Source,
        K: Fn(Mark) -> F,
        F: Future<Output = Result<(), Error>>,
    {
        if self.room == Some(0) {
            return Box::pin(self.expect_end(source)).await.map(Some);
        }
        if let Some(why) = self.context.stopped() {
            self.take_what_is_here(source, why).await?;
        }
        if !self.is_slow {
            match timeout(self.context.config.linger, source.ready()).await {
                Ok(ready) => ready.map_err(|_| Error::ClientGone)?,
                Err(_) => self.is_slow = true,
            }
        }
        if self.is_slow {
            self.wait_slowly(source, keep).await?;
        }
        let linger = if self.is_slow {
            Duration::ZERO
        } else {
            source.set_low_water(1);
            self.context.config.linger
        };
        let mut buffer = self.buffer().await?;
        let start = (self.offset % BLOCK_BYTES) as usize;
        let most = self.room.map_or(buffer.len(), |room| {
            buffer
                .len()
                .min(start.saturating_add(usize::try_from(room).unwrap_or(usize::MAX)))
        });
        let began = Instant::now();
        let (at, fill) = self
            .context
            .fill(source, &mut buffer, start..most, linger)
            .await;
        let count = (at - start) as u64;
        let dawdled = matches!(fill, Fill::Dawdled);
        self.is_slow = dawdled && count < self.context.config.buffer_bytes_min;
        self.adapt(&fill, buffer.len() as u64, count, began.elapsed());
        if count > 0 {
            self.submit(
                Filled {
                    buffer,
                    range: start..at,
                },
                keep,
            )
            .await?;
        } else {
            self.disk.spare = Some(buffer);
        }
        match fill {
            Fill::Full | Fill::Dawdled => Ok(None),
            Fill::Ended => Ok(Some(End::Whole)),
            Fill::Cut(error) => Ok(Some(End::Cut(error))),
        }
    }

    /// Waits for a client that sends slowly, with nothing held meanwhile.
    async fn wait_slowly<S, K, F>(&mut self, source: &mut S, keep: &K) -> Result<(), Error>
    where
        S: Source,
        K: Fn(Mark) -> F,
        F: Future<Output = Result<(), Error>>,
    {
        if self.disk.holds() {
            self.rest_and_keep(keep).await?;
            self.disk.spare = None;
        }
        let began = Instant::now();
        match self.context.ready_slowly(source).await {
            Err(why @ (Error::Superseded | Error::Closing)) => {
                self.take_what_is_here(source, why).await?;
            }
            ready => ready?,
        }
        self.is_slow = began.elapsed() >= self.context.config.linger;
        Ok(())
    }

    /// A request that has to leave keeps the bytes that have arrived, and waits for no more. Errs
    /// with `why` when there are none.
    async fn take_what_is_here<S: Source>(
        &mut self,
        source: &mut S,
        why: Error,
    ) -> Result<(), Error> {
        let left_at = *self.left_at.get_or_insert(self.offset);
        // However few they are.
        source.set_low_water(1);
        if self.offset - left_at < LAST_BYTES_MAX && source.has_arrived().await {
            Ok(())
        } else {
            Err(why)
        }
    }

    /// The length is reached: the body must end here.
    async fn expect_end<S: Source>(&mut self, source: &mut S) -> Result<End, Error> {
        let mut one = [0];
        loop {
            match source.take(&mut one) {
                Ok(Taken::End) => return Ok(End::Whole),
                Ok(Taken::Bytes(_)) => {
                    return Ok(End::Cut(Error::PastLength {
                        length_bytes: self.offset,
                    }));
                }
                Ok(Taken::Nothing) => self.context.ready(source).await?,
                Err(_) => return Ok(End::Cut(Error::ClientGone)),
            }
        }
    }

    /// The next buffer to fill: the spare one if its size fits, else a new one, else the one that
    /// the disk still holds.
    async fn buffer(&mut self) -> Result<Buffer, Error> {
        let wanted = self
            .buffer_bytes
            .min(self.context.ledger.buffer_bytes())
            .max(self.context.config.buffer_bytes_min);
        if let Some(spare) = self.disk.spare.take() {
            let asked_back = spare.lease().surplus_bytes() > 0;
            let fits =
                spare.len() as u64 >= wanted && (spare.len() as u64) < wanted.saturating_mul(2);
            if fits && !asked_back {
                return Ok(spare);
            }
        }
        if let Some(lease) = self.context.ledger.try_lease(self.context.holder, wanted) {
            return buffer_of(lease);
        }
        if self.disk.working.is_some() {
            self.disk.rest().await?;
            if let Some(spare) = self.disk.spare.take() {
                return Ok(spare);
            }
        }
        Box::pin(self.context.first_buffer(wanted)).await
    }

    /// Hands a filled buffer to the disk, which must be done with the one before.
    async fn submit<K, F>(&mut self, filled: Filled, keep: &K) -> Result<(), Error>
    where
        K: Fn(Mark) -> F,
        F: Future<Output = Result<(), Error>>,
    {
        let count = filled.range.len() as u64;
        self.rest_and_keep(keep).await?;
        self.since_kept += count;
        let settles = self.settles(count);
        if settles != Settles::No {
            self.kept_at = Instant::now();
            self.since_kept = 0;
        }
        let (stats, protocol) = (self.context.stats, self.context.protocol);
        stats.count(protocol.name, Counted::Bytes, count);
        let lane = self.disk.lane()?;
        // A slow client's buffer goes as soon as it is written, and nothing has to be woken for
        // that.
        let then = Then {
            settles,
            keeps_buffer: !self.is_slow,
        };
        self.disk.owes = settles != Settles::No || then.keeps_buffer;
        self.disk.working =
            Some(lane.write(self.context.surroundings, filled.buffer, filled.range, then));
        self.offset += count;
        if let Some(room) = &mut self.room {
            *room -= count;
        }
        Ok(())
    }

    fn settles(&self, count: u64) -> Settles {
        let config = self.context.config;
        let is_due = self.kept_at.elapsed() >= config.checkpoint_every
            || self.since_kept >= config.checkpoint_bytes;
        // The last bytes become durable in the same go.
        match self.room == Some(count) || (is_due && self.context.keeps) {
            true => Settles::Durable,
            // What can't be continued is made durable once, at its end.
            false if is_due => Settles::WrittenBack,
            false => Settles::No,
        }
    }

    async fn rest_and_keep<K, F>(&mut self, keep: &K) -> Result<(), Error>
    where
        K: Fn(Mark) -> F,
        F: Future<Output = Result<(), Error>>,
    {
        match self.disk.rest().await? {
            Some(mark) => Box::pin(keep(mark)).await,
            None => Ok(()),
        }
    }

    /// Larger buffers for who fills them quickly, smaller ones for who doesn't.
    fn adapt(&mut self, fill: &Fill, capacity: u64, count: u64, took: Duration) {
        let config = self.context.config;
        match fill {
            Fill::Full if took < config.buffer_fill_time => {
                self.buffer_bytes = capacity
                    .max(config.buffer_bytes_min)
                    .saturating_mul(4)
                    .min(config.buffer_bytes_max);
            }
            Fill::Dawdled if count < capacity / 4 => {
                self.buffer_bytes = (capacity / 4).max(config.buffer_bytes_min);
            }
            _ => {}
        }
    }
}
