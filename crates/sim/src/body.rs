//! Bodies as networks deliver them: in pieces, with pauses, cut, stalled, or with a byte that is
//! not the one that was sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use ddx_engine::{Algorithm, Cut, Source, Taken};
use tokio::time::Instant;

use crate::world::World;

/// How a body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Last {
    /// Whole.
    End,
    /// Cut.
    Cut,
    /// Nothing comes any more.
    Stall,
}

/// What a client can see of its body while it is sent.
#[derive(Debug, Default)]
pub struct Sent {
    /// The server waits for this body's bytes or has taken some.
    pub is_wanted: AtomicBool,
    /// Bytes taken.
    pub taken_bytes: AtomicU64,
    /// The first of them was taken while the upload could not have expired by any clock: it must
    /// not expire under this body.
    pub is_in_time: AtomicBool,
}

/// A request's body.
pub struct Body {
    pub(crate) world: World,
    pub(crate) number: u64,
    pub(crate) bytes: Vec<u8>,
    pub(crate) at: usize,
    pub(crate) here: usize,
    /// So many bytes are waited for.
    pub(crate) low_water: usize,
    pub(crate) chunk: usize,
    pub(crate) pause: Duration,
    pub(crate) gone_after: Option<Duration>,
    pub(crate) began: Instant,
    pub(crate) next: Option<Instant>,
    pub(crate) last: Last,
    pub(crate) trailer: Option<(Algorithm, Vec<u8>)>,
    pub(crate) sent: Arc<Sent>,
    /// When its upload was to expire, as it was last told.
    pub(crate) expires_at: Option<i64>,
}

impl Body {
    fn is_cut(&self) -> bool {
        self.gone_after
            .is_some_and(|after| self.began.elapsed() >= after)
    }

    /// Whether `take` has something to say.
    fn has_news(&self) -> bool {
        let wanted = self.low_water.min(self.bytes.len() - self.at).max(1);
        self.here >= wanted
            || self.is_cut()
            || (self.at == self.bytes.len() && self.last != Last::Stall)
    }

    async fn arrive(&mut self) {
        if self.at + self.here == self.bytes.len() {
            return std::future::pending().await;
        }
        let next = *self.next.get_or_insert(Instant::now() + self.pause);
        if self.pause.is_zero() {
            tokio::task::yield_now().await;
        } else {
            tokio::time::sleep_until(next).await;
        }
        self.next = None;
        self.here = (self.here + self.chunk).min(self.bytes.len() - self.at);
    }
}

impl Source for Body {
    async fn ready(&mut self) -> Result<(), Cut> {
        self.sent.is_wanted.store(true, Ordering::Relaxed);
        while !self.has_news() {
            match self.gone_after {
                None => self.arrive().await,
                Some(after) => {
                    // Before the end of its connection what was sent arrives, after it nothing.
                    let _ = tokio::time::timeout_at(self.began + after, self.arrive()).await;
                }
            }
        }
        Ok(())
    }

    fn set_low_water(&mut self, bytes: u64) {
        self.low_water = usize::try_from(bytes).unwrap_or(usize::MAX);
    }

    fn take(&mut self, into: &mut [u8]) -> Result<Taken, Cut> {
        self.sent.is_wanted.store(true, Ordering::Relaxed);
        if self.here > 0 {
            let count = self.here.min(into.len());
            into[..count].copy_from_slice(&self.bytes[self.at..self.at + count]);
            self.at += count;
            self.here -= count;
            let before = self
                .sent
                .taken_bytes
                .fetch_add(count as u64, Ordering::Relaxed);
            if before == 0 && !self.world.is_over(self.expires_at) {
                self.sent.is_in_time.store(true, Ordering::Relaxed);
            }
            self.world.event("bytes", self.number, count as u64);
            return Ok(Taken::Bytes(count));
        }
        if self.is_cut() {
            return Err(Cut);
        }
        match self.last {
            _ if self.at < self.bytes.len() => Ok(Taken::Nothing),
            Last::End => Ok(Taken::End),
            Last::Cut => Err(Cut),
            Last::Stall => Ok(Taken::Nothing),
        }
    }

    fn trailing_digest(&mut self) -> Option<(Algorithm, Vec<u8>)> {
        self.trailer.take()
    }
}
