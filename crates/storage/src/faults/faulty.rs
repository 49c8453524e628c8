//! Faults by plan, before any store.
//!
//! A plan is asked at every call and says what goes wrong; a closure that counts, rolls dice or
//! waits for a signal is one. So a test can fail the seventh sync, every hundredth write, or hold a
//! write until something else has happened, without a clock.

use std::sync::Arc;

use ddx_id::SegmentId;

use crate::{Error, ErrorKind, Reader, Space, Store, WriteMode, Writer};

/// A call that may fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// [`Store::create`].
    Create(SegmentId),
    /// [`Store::reserve`].
    Reserve(SegmentId),
    /// [`Store::open_writer`].
    OpenWriter(SegmentId),
    /// [`Store::open_reader`].
    OpenReader(SegmentId),
    /// [`Store::delete`].
    Delete(SegmentId),
    /// [`Writer::write`] of so many bytes.
    Write(SegmentId, usize),
    /// [`Writer::sync`].
    Sync(SegmentId),
    /// [`Reader::read_at`] of so many bytes.
    Read(SegmentId, usize),
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// An I/O error. A writer that had one only repeats it.
    Io,
    /// No descriptor, no kernel memory: the same call may succeed next time.
    Passing,
    /// The disk is full.
    Full,
    /// A write stops after so many bytes, because the disk is full; a read returns so few.
    Short(usize),
}

/// Says what goes wrong at a call. To make a disk slow it blocks.
pub trait FaultPlan: Send + Sync + 'static {
    /// What is to go wrong at this call; `None` lets it through.
    fn at(&self, call: Call) -> Option<Fault>;
}

impl<F: Fn(Call) -> Option<Fault> + Send + Sync + 'static> FaultPlan for F {
    fn at(&self, call: Call) -> Option<Fault> {
        self(call)
    }
}

/// A store whose calls fail as planned.
#[derive(Clone)]
pub struct FaultyStore<S> {
    store: S,
    plan: Arc<dyn FaultPlan>,
}

impl<S: Store> FaultyStore<S> {
    /// Puts the plan before the store.
    pub fn new(store: S, plan: impl FaultPlan) -> Self {
        Self {
            store,
            plan: Arc::new(plan),
        }
    }

    fn check(&self, call: Call) -> Result<(), Error> {
        self.plan
            .at(call)
            .map_or(Ok(()), |fault| Err(error(call, fault)))
    }
}

fn error(call: Call, fault: Fault) -> Error {
    let kind = match fault {
        Fault::Io => ErrorKind::Io { retryable: false },
        Fault::Passing => ErrorKind::Io { retryable: true },
        Fault::Full | Fault::Short(_) => {
            let needed_bytes = if let Call::Write(_, bytes) = call {
                bytes as u64
            } else {
                0
            };
            ErrorKind::NoSpace {
                needed_bytes,
                free_bytes: 0,
                floor_bytes: 0,
            }
        }
    };
    Error::new(kind, format!("planned fault at {call:?}: {fault:?}"))
}

impl<S: Store> Store for FaultyStore<S> {
    fn create(&self, id: SegmentId, length_bytes: Option<u64>) -> Result<(), Error> {
        self.check(Call::Create(id))?;
        self.store.create(id, length_bytes)
    }

    fn reserve(&self, id: SegmentId, length_bytes: u64) -> Result<(), Error> {
        self.check(Call::Reserve(id))?;
        self.store.reserve(id, length_bytes)
    }

    fn open_writer(&self, id: SegmentId, at: u64) -> Result<Box<dyn Writer>, Error> {
        self.check(Call::OpenWriter(id))?;
        let writer = self.store.open_writer(id, at)?;
        Ok(Box::new(FaultyWriter {
            writer,
            id,
            plan: self.plan.clone(),
            failed: false,
        }))
    }

    fn open_reader(&self, id: SegmentId) -> Result<Box<dyn Reader>, Error> {
        self.check(Call::OpenReader(id))?;
        Ok(Box::new(FaultyReader {
            reader: self.store.open_reader(id)?,
            id,
            plan: self.plan.clone(),
        }))
    }

    fn delete(&self, id: SegmentId) -> Result<(), Error> {
        self.check(Call::Delete(id))?;
        self.store.delete(id)
    }

    fn list(&self, after: Option<SegmentId>, limit: usize) -> Result<Vec<SegmentId>, Error> {
        self.store.list(after, limit)
    }

    fn length(&self, id: SegmentId) -> Result<u64, Error> {
        self.store.length(id)
    }

    fn space(&self) -> Result<Space, Error> {
        self.store.space()
    }

    fn write_mode(&self) -> WriteMode {
        self.store.write_mode()
    }
}

struct FaultyWriter {
    writer: Box<dyn Writer>,
    id: SegmentId,
    plan: Arc<dyn FaultPlan>,
    failed: bool,
}

impl FaultyWriter {
    fn check(&mut self, call: Call) -> Result<Option<usize>, Error> {
        let fault = if self.failed {
            Some(Fault::Io)
        } else {
            self.plan.at(call)
        };
        match (call, fault) {
            (_, None) => Ok(None),
            (Call::Write(..), Some(Fault::Short(bytes))) => Ok(Some(bytes)),
            (_, Some(fault)) => {
                self.failed = !matches!(fault, Fault::Full | Fault::Short(_));
                Err(error(call, fault))
            }
        }
    }
}

impl Writer for FaultyWriter {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let call = Call::Write(self.id, bytes.len());
        match self.check(call)? {
            Some(short) if short < bytes.len() => {
                self.writer.write(&bytes[..short])?;
                Err(error(call, Fault::Short(short)))
            }
            _ => self.writer.write(bytes),
        }
    }

    fn sync(&mut self) -> Result<(), Error> {
        self.check(Call::Sync(self.id))?;
        self.writer.sync()
    }

    fn write_back(&mut self) -> Result<(), Error> {
        self.writer.write_back()
    }

    fn offset(&self) -> u64 {
        self.writer.offset()
    }
}

struct FaultyReader {
    reader: Box<dyn Reader>,
    id: SegmentId,
    plan: Arc<dyn FaultPlan>,
}

impl Reader for FaultyReader {
    fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<usize, Error> {
        let call = Call::Read(self.id, into.len());
        let most = match self.plan.at(call) {
            None => into.len(),
            Some(Fault::Short(bytes)) => bytes.min(into.len()),
            Some(fault) => return Err(error(call, fault)),
        };
        self.reader.read_at(offset, &mut into[..most])
    }

    /// None: bytes that the kernel sends by itself meet no planned fault.
    fn file(&self) -> Option<&std::fs::File> {
        None
    }
}
