//! The way of the bytes: socket → leased buffer → digests and disk.
//!
//! Memory follows bytes in flight. A connection that has nothing to say is waited for without a
//! buffer; when bytes are there, one small buffer is leased, in the fair queue if need be; a client
//! that fills its buffers at once gets larger ones, as far as its share allows, and a second one,
//! so that socket and disk work at the same time. A client that pauses has its buffer written and
//! taken away. So ten thousand slow uploads hold next to nothing, and one fast one gets all that
//! makes it faster.
//!
//! The one blocking request for memory is made while nothing is held. Everything beyond it is tried
//! and done without where it can't be had: no hold-and-wait, so no deadlock.

use std::time::Duration;

use ddx_memory::Buffer;
use tokio::time::{Instant, timeout};

use crate::error::Error;
use crate::source::{Source, Taken};
use crate::stats::Counted;
use crate::surroundings::Begun;
use crate::upload::body::{BLOCK_BYTES, BodyContext, Fill, Filled, buffer_of};
use crate::upload::digests::Mark;
use crate::upload::segment_writer::{AfterWrite, Durability, SegmentWriter, Written};

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

/// The disk's side of one upload: its segment writer, idle or writing, and the buffer that
/// came back last.
struct WriteBehind {
    idle: Option<SegmentWriter>,
    writing: Option<Begun<Written>>,
    spare: Option<Buffer>,
    /// What it works on brings back a buffer, or a mark that is to be kept.
    has_result: bool,
}

impl WriteBehind {
    /// Whether a buffer is held, or a mark is to be kept.
    fn holds(&self) -> bool {
        self.spare.is_some() || self.has_result
    }

    /// Waits until nothing is written. The mark, if it was asked to sync.
    async fn finish(&mut self) -> Result<Option<Mark>, Error> {
        let Some(writing) = self.writing.take() else {
            return Ok(None);
        };
        let done = writing.done().await?;
        self.has_result = false;
        self.idle = Some(done.writer);
        if done.buffer.is_some() {
            self.spare = done.buffer;
        }
        done.result.map_err(Error::Storage)
    }

    fn writer(&mut self) -> Result<SegmentWriter, Error> {
        self.idle
            .take()
            .ok_or_else(|| Error::Internal("the upload's queue to the disk is gone".to_owned()))
    }
}

/// What came of a body.
pub(crate) struct Received {
    /// At rest. None if the disk failed it.
    pub(crate) writer: Option<SegmentWriter>,
    /// Why the body ended.
    pub(crate) end: End,
    /// Of all that was received, where that is durable already.
    pub(crate) mark: Option<Mark>,
}

/// Receives a body.
///
/// `remaining_bytes` is what the upload may still take. `on_checkpoint` makes a mark's
/// progress durable in the catalog; it is called at intervals.
pub(crate) async fn receive<S, K, F>(
    context: &BodyContext<'_>,
    source: &mut S,
    writer: SegmentWriter,
    begun: Option<Filled>,
    remaining_bytes: Option<u64>,
    on_checkpoint: K,
) -> Received
where
    S: Source,
    K: Fn(Mark) -> F,
    F: Future<Output = Result<(), Error>>,
{
    let now = Instant::now();
    let mut receiver = Receiver {
        context,
        offset: writer.written_bytes,
        remaining_bytes,
        buffer_bytes: context.config.buffer_bytes_min,
        write_behind: WriteBehind {
            idle: Some(writer),
            writing: None,
            spare: None,
            has_result: false,
        },
        is_slow: false,
        checkpoint_at: now.checked_sub(context.checkpoint_sooner).unwrap_or(now),
        since_checkpoint_bytes: 0,
        left_at: None,
    };
    if let Some(filled) = begun
        && let Err(error) = receiver.submit(filled, &on_checkpoint).await
    {
        return Received {
            writer: receiver.write_behind.idle,
            end: End::Cut(error),
            mark: None,
        };
    }
    let mut end = loop {
        match receiver.step(source, &on_checkpoint).await {
            Ok(None) => {}
            Ok(Some(end)) => break end,
            Err(error) => break End::Cut(error),
        }
    };
    let mark = match receiver.write_behind.finish().await {
        Ok(mark) => mark.filter(|mark| mark.offset == receiver.offset),
        Err(error) => {
            end = End::Cut(error);
            None
        }
    };
    Received {
        writer: receiver.write_behind.idle,
        end,
        mark,
    }
}

struct Receiver<'a> {
    context: &'a BodyContext<'a>,
    write_behind: WriteBehind,
    offset: u64,
    remaining_bytes: Option<u64>,
    buffer_bytes: u64,
    /// The client sends little at a time: what it sends is gathered by the kernel, and written at
    /// once.
    is_slow: bool,
    checkpoint_at: Instant,
    since_checkpoint_bytes: u64,
    /// Where it stood when it was told to leave.
    left_at: Option<u64>,
}

impl Receiver<'_> {
    /// One buffer: wait for bytes, lease, fill, hand to the disk.
    async fn step<S, K, F>(
        &mut self,
        source: &mut S,
        on_checkpoint: &K,
    ) -> Result<Option<End>, Error>
    where
        S: Source,
        K: Fn(Mark) -> F,
        F: Future<Output = Result<(), Error>>,
    {
        if self.remaining_bytes == Some(0) {
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
            self.wait_slowly(source, on_checkpoint).await?;
        }
        let linger = if self.is_slow {
            Duration::ZERO
        } else {
            source.set_low_water(1);
            self.context.config.linger
        };
        let mut buffer = self.buffer().await?;
        let start = (self.offset % BLOCK_BYTES) as usize;
        let most = self
            .remaining_bytes
            .map_or(buffer.len(), |remaining_bytes| {
                buffer.len().min(
                    start.saturating_add(usize::try_from(remaining_bytes).unwrap_or(usize::MAX)),
                )
            });
        let began = Instant::now();
        let (at, fill) = self
            .context
            .fill(source, &mut buffer, start..most, linger)
            .await;
        let count = (at - start) as u64;
        let has_paused = matches!(fill, Fill::Paused);
        self.is_slow = has_paused && count < self.context.config.buffer_bytes_min;
        self.adapt(&fill, buffer.len() as u64, count, began.elapsed());
        if count > 0 {
            self.submit(
                Filled {
                    buffer,
                    range: start..at,
                },
                on_checkpoint,
            )
            .await?;
        } else {
            self.write_behind.spare = Some(buffer);
        }
        match fill {
            Fill::Full | Fill::Paused => Ok(None),
            Fill::Ended => Ok(Some(End::Whole)),
            Fill::Cut(error) => Ok(Some(End::Cut(error))),
        }
    }

    /// Waits for a client that sends slowly, with nothing held meanwhile.
    async fn wait_slowly<S, K, F>(&mut self, source: &mut S, on_checkpoint: &K) -> Result<(), Error>
    where
        S: Source,
        K: Fn(Mark) -> F,
        F: Future<Output = Result<(), Error>>,
    {
        if self.write_behind.holds() {
            self.finish_and_checkpoint(on_checkpoint).await?;
            self.write_behind.spare = None;
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
        if let Some(spare) = self.write_behind.spare.take() {
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
        if self.write_behind.writing.is_some() {
            self.write_behind.finish().await?;
            if let Some(spare) = self.write_behind.spare.take() {
                return Ok(spare);
            }
        }
        Box::pin(self.context.first_buffer(wanted)).await
    }

    /// Hands a filled buffer to the disk, which must be done with the one before.
    async fn submit<K, F>(&mut self, filled: Filled, on_checkpoint: &K) -> Result<(), Error>
    where
        K: Fn(Mark) -> F,
        F: Future<Output = Result<(), Error>>,
    {
        let count = filled.range.len() as u64;
        self.finish_and_checkpoint(on_checkpoint).await?;
        self.since_checkpoint_bytes += count;
        let durability = self.durability(count);
        if durability != Durability::None {
            self.checkpoint_at = Instant::now();
            self.since_checkpoint_bytes = 0;
        }
        let (stats, protocol) = (self.context.stats, self.context.protocol);
        stats.count(protocol.name, Counted::Bytes, count);
        let writer = self.write_behind.writer()?;
        // A slow client's buffer goes as soon as it is written, and nothing has to be woken for
        // that.
        let then = AfterWrite {
            durability,
            keeps_buffer: !self.is_slow,
        };
        self.write_behind.has_result = durability != Durability::None || then.keeps_buffer;
        self.write_behind.writing =
            Some(writer.write(self.context.surroundings, filled.buffer, filled.range, then));
        self.offset += count;
        if let Some(remaining_bytes) = &mut self.remaining_bytes {
            *remaining_bytes -= count;
        }
        Ok(())
    }

    fn durability(&self, count: u64) -> Durability {
        let config = self.context.config;
        let is_due = self.checkpoint_at.elapsed() >= config.checkpoint_every
            || self.since_checkpoint_bytes >= config.checkpoint_bytes;
        // The last bytes become durable in the same go.
        match self.remaining_bytes == Some(count) || (is_due && self.context.can_resume) {
            true => Durability::Synced,
            // What can't be continued is made durable once, at its end.
            false if is_due => Durability::WrittenBack,
            false => Durability::None,
        }
    }

    async fn finish_and_checkpoint<K, F>(&mut self, on_checkpoint: &K) -> Result<(), Error>
    where
        K: Fn(Mark) -> F,
        F: Future<Output = Result<(), Error>>,
    {
        match self.write_behind.finish().await? {
            Some(mark) => Box::pin(on_checkpoint(mark)).await,
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
            Fill::Paused if count < capacity / 4 => {
                self.buffer_bytes = (capacity / 4).max(config.buffer_bytes_min);
            }
            _ => {}
        }
    }
}
