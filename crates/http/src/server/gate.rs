//! What hyper gets of the bytes that come, and when.
//!
//! A head is gathered here to its last byte and looked at. Only then does hyper get it, and not one
//! byte more until the request has been looked at: hyper never holds a body byte that the tap would
//! miss, and can be taken away and begun anew between any two requests. A head that is refused is
//! answered past hyper, which has seen nothing of it.
//!
//! The first 8 KiB of a head are part of what each connection is charged. What is longer is charged
//! here, while it is gathered and until its request is over.

use std::sync::Arc;

use ddx_memory::Ledger;

use super::chunks::ChunkScan;
use super::head::HeadScan;
use super::head_check::HeadLimits;
use super::quota::{Quota, QuotaCharge};
use crate::shared::problem::{Kind, Problem};

/// In such steps heads are charged; the first is part of what a connection is charged.
pub(super) const STEP_BYTES: usize = 8 << 10;

/// All long heads together get one part in so many of the ceiling: clients that send
/// heads and never end them must not keep others from connecting.
const PART: u64 = 4;

/// What heads are held to, and what long ones hold together.
#[derive(Debug)]
pub(super) struct Heads {
    pub(super) limits: HeadLimits,
    quota: Arc<Quota>,
}

impl Heads {
    pub(super) fn new(limits: HeadLimits, ledger: Ledger) -> Arc<Self> {
        let quota = Quota::new(ledger, PART);
        Arc::new(Self { limits, quota })
    }

    /// Charges one step more.
    fn lengthen(&self, held: &mut Option<QuotaCharge>) -> Result<(), Problem> {
        let step = STEP_BYTES as u64;
        let charged = match held {
            Some(held) => held.grow(step),
            None => self.quota.take(step).map(|share| *held = Some(share)),
        };
        charged.map_err(|retry_after| {
            Problem::new(Kind::NoMemory)
                .detail("The server has no free memory for request headers of this size.")
                .retry_after(retry_after)
        })
    }
}

/// Where in what a connection brings the gate stands.
#[derive(Debug)]
enum At {
    /// A request's head is gathered.
    Head(HeadScan),
    /// The head goes to hyper: what of it is left.
    Given { left: usize, is_begun: bool },
    /// Nothing goes on, until the handler has decided on the body.
    Held,
    /// This much of a body, then the next head.
    Body { left: u64 },
    /// A body in chunks, then the next head.
    Chunks(ChunkScan),
    /// Everything: HTTP/2.
    Open,
    /// Nothing: so much of a body is still to be read past hyper.
    Past { left: u64 },
    /// Nothing any more: a head was refused. None once it is known why.
    Refused(Option<Problem>),
}

/// How a body is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyWay {
    /// There is none.
    None,
    /// Through hyper, with this length.
    Known(u64),
    /// Through hyper, in chunks.
    Chunks,
}

/// What is to be done next for hyper to get something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// So much of what was read goes to it.
    Give(usize),
    /// So much may be read.
    Read(usize),
    /// Nothing: the gate is shut.
    Nothing,
}

#[derive(Debug)]
pub(super) struct Gate {
    heads: Arc<Heads>,
    at: At,
    /// Read, not yet given to anyone.
    early: Vec<u8>,
    /// So much of it has been looked at for the head's end.
    scanned: usize,
    /// Whether the head that was refused asks for an answer without content.
    refused_is_head: bool,
    gathered: Option<QuotaCharge>,
    /// Of the request that is under way.
    held: Option<QuotaCharge>,
    /// hyper takes no longer head.
    hyper_takes_bytes: usize,
}

impl Gate {
    pub(super) fn new(heads: Arc<Heads>) -> Self {
        Self {
            heads,
            at: At::Head(HeadScan::default()),
            early: Vec::new(),
            scanned: 0,
            refused_is_head: false,
            gathered: None,
            held: None,
            hyper_takes_bytes: STEP_BYTES,
        }
    }

    // ---- where it stands ----

    pub(super) fn is_open(&self) -> bool {
        matches!(self.at, At::Open)
    }

    /// Whether hyper has a head and waits for what is decided on its body.
    pub(super) fn is_held(&self) -> bool {
        matches!(self.at, At::Held)
    }

    /// Whether a head is gathered, or none has begun.
    pub(super) fn is_at_head(&self) -> bool {
        matches!(self.at, At::Head(_))
    }

    /// Whether a byte of the head that is gathered is there.
    pub(super) fn has_begun(&self) -> bool {
        matches!(&self.at, At::Head(scan) if scan.has_begun())
    }

    pub(super) fn is_refused(&self) -> bool {
        matches!(self.at, At::Refused(_))
    }

    /// Why a head was refused, once; and whether the answer has no content.
    pub(super) fn take_refusal(&mut self) -> Option<(Problem, bool)> {
        match &mut self.at {
            At::Refused(problem) => problem.take().map(|why| (why, self.refused_is_head)),
            _ => None,
        }
    }

    /// Whether the present hyper is the wrong one for what comes next, given that it holds nothing:
    /// one with large buffers that have served, or one whose buffers are too small.
    pub(super) fn wants_another_hyper(&self) -> bool {
        match self.at {
            At::Head(_) => self.hyper_takes_bytes > STEP_BYTES,
            At::Given { left, is_begun } => !is_begun && left > self.hyper_takes_bytes,
            _ => false,
        }
    }

    /// The longest head that the next hyper is to take. One with larger buffers than usual is only
    /// for a head that needs them.
    pub(super) fn size_hyper(&mut self) -> usize {
        self.hyper_takes_bytes = match self.at {
            At::Given { left, .. } if left > STEP_BYTES => self.heads.limits.bytes_max,
            _ => STEP_BYTES,
        };
        self.hyper_takes_bytes
    }

    pub(super) fn has_early(&self) -> bool {
        !self.early.is_empty()
    }

    // ---- what comes ----

    /// Everything goes to hyper from now on.
    pub(super) fn open(&mut self) {
        self.at = At::Open;
    }

    /// Keeps bytes that were read.
    pub(super) fn keep(&mut self, bytes: &[u8]) {
        let needed = self.early.len() + bytes.len();
        if needed > self.early.capacity() {
            // By doubling within a step, and no further: what is held is what is charged.
            let steps = needed.next_multiple_of(STEP_BYTES);
            let capacity = (self.early.capacity() * 2).clamp(needed, steps);
            self.early.reserve_exact(capacity - self.early.len());
        }
        self.early.extend_from_slice(bytes);
    }

    /// Looks at what was read of a head. Whether its first byte was among it.
    pub(super) fn look(&mut self) -> bool {
        let At::Head(scan) = &mut self.at else {
            return false;
        };
        let had_begun = scan.has_begun();
        let end = scan.end_in(&self.early[self.scanned..]);
        let end = end.map(|end| self.scanned + end);
        self.scanned = self.early.len();
        let begins = !had_begun && scan.has_begun();
        let limits = &self.heads.limits;
        let borne = match end {
            Some(end) => limits.check(&self.early[..end]),
            None => limits.bear(scan, self.early.len()),
        };
        match (borne, end) {
            (Err(problem), _) => self.refuse(problem),
            (Ok(()), Some(left)) => {
                let is_begun = false;
                self.at = At::Given { left, is_begun };
            }
            (Ok(()), None) => {}
        }
        begins
    }

    fn refuse(&mut self, problem: Problem) {
        let start = self.early.iter().position(|byte| !b"\r\n".contains(byte));
        let head = &self.early[start.unwrap_or(0)..];
        self.refused_is_head = head.starts_with(b"HEAD ");
        self.at = At::Refused(Some(problem));
        self.early = Vec::new();
        self.gathered = None;
    }

    /// What is to be done for hyper, which has room for `room` bytes. To be asked again after a
    /// [`Gate::look`].
    pub(super) fn next(&mut self, room: usize) -> Next {
        if self.is_at_head() {
            return match self.room_for_head() {
                0 => Next::Nothing,
                most => Next::Read(most),
            };
        }
        let early = self.early.len();
        let of = |left: u64| usize::try_from(left).unwrap_or(usize::MAX).min(room);
        match self.at {
            At::Given { left, is_begun } if is_begun || left <= self.hyper_takes_bytes => {
                Next::Give(left.min(room))
            }
            At::Body { left } if early > 0 => Next::Give(of(left).min(early)),
            At::Body { left } => Next::Read(of(left)),
            At::Chunks(_) | At::Open if early > 0 => Next::Give(room.min(early)),
            At::Chunks(_) | At::Open => Next::Read(room),
            _ => Next::Nothing,
        }
    }

    /// How much more of a head may be read, once it is charged; 0 where it is refused.
    fn room_for_head(&mut self) -> usize {
        let step_end = (self.early.len() / STEP_BYTES + 1) * STEP_BYTES;
        loop {
            let charged = self.gathered.as_ref().map_or(0, QuotaCharge::bytes);
            if (step_end - STEP_BYTES) as u64 <= charged {
                break;
            }
            let heads = self.heads.clone();
            if let Err(problem) = heads.lengthen(&mut self.gathered) {
                self.refuse(problem);
                return 0;
            }
        }
        let end = step_end.min(self.heads.limits.bytes_max);
        end.saturating_sub(self.early.len())
    }

    /// Of these bytes that were read for hyper, how many go to it; the rest is kept.
    pub(super) fn pass(&mut self, bytes: &[u8]) -> usize {
        let passed = match self.at {
            At::Head(_) => 0,
            _ => self.went(bytes),
        };
        self.keep(&bytes[passed..]);
        passed
    }

    /// The first `most` of what is kept go to hyper by `give`.
    pub(super) fn give(&mut self, most: usize, give: impl FnOnce(&[u8])) {
        let mut early = std::mem::take(&mut self.early);
        let passed = self.went(&early[..most]);
        give(&early[..passed]);
        early.drain(..passed);
        if !early.is_empty() {
            self.early = early;
        }
    }

    /// These are about to go to hyper; how many of them, and the gate moves on.
    fn went(&mut self, bytes: &[u8]) -> usize {
        let mut passed = bytes.len();
        let next = match &mut self.at {
            At::Given { left, is_begun } => {
                *left -= passed;
                *is_begun = true;
                (*left == 0).then_some(At::Held)
            }
            At::Body { left } => {
                *left -= passed as u64;
                (*left == 0).then(At::head)
            }
            At::Chunks(scan) => scan.end_in(bytes).map(|end| {
                passed = end;
                At::head()
            }),
            _ => None,
        };
        if let Some(next) = next {
            self.at = next;
            self.scanned = 0;
        }
        passed
    }

    // ---- what is decided ----

    /// hyper has parsed a head, and its request stays with it.
    pub(super) fn decide(&mut self, way: BodyWay) {
        if self.is_open() {
            return;
        }
        self.held = self.gathered.take();
        self.at = match way {
            BodyWay::None | BodyWay::Known(0) => At::head(),
            BodyWay::Known(left) => At::Body { left },
            BodyWay::Chunks => At::Chunks(ChunkScan::default()),
        };
        self.scanned = 0;
    }

    /// The body, of this length, is read past hyper.
    pub(super) fn go_past(&mut self, left: u64) {
        self.held = self.gathered.take();
        self.at = At::Past { left };
    }

    /// The request is over.
    pub(super) fn is_over(&mut self) {
        self.held = None;
    }

    /// After a body that was read past hyper: whether the next head may come.
    pub(super) fn begin_anew(&mut self) -> bool {
        let is_over = matches!(self.at, At::Past { left: 0 });
        if is_over {
            self.at = At::head();
            self.scanned = 0;
        }
        is_over
    }

    /// How much of a body that goes past hyper has not been read yet.
    pub(super) fn past_left(&self) -> u64 {
        match self.at {
            At::Past { left } => left,
            _ => 0,
        }
    }

    /// Takes of it what was read together with the head.
    pub(super) fn take_early(&mut self, into: &mut [u8]) -> usize {
        let count = self.early.len().min(into.len());
        into[..count].copy_from_slice(&self.early[..count]);
        self.early.drain(..count);
        if self.early.is_empty() {
            self.early = Vec::new();
        }
        count
    }

    /// So much of it was taken.
    pub(super) fn took_past(&mut self, count: usize) {
        if let At::Past { left } = &mut self.at {
            *left -= count as u64;
        }
    }
}

impl At {
    fn head() -> Self {
        Self::Head(HeadScan::default())
    }
}
