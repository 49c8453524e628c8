//! The kinds of work, each in a function that ends when all of its clients have, or the time is
//! over.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;

use crate::run::Run;

mod download;
mod large;
pub(crate) mod mixed;
mod slow;
mod small;
pub(crate) mod stall;

pub(crate) use download::SCRATCH_BYTES;

/// Large files, all at once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Large {
    pub(crate) clients: u64,
    pub(crate) bytes: u64,
    pub(crate) request_bytes: Option<u64>,
}

/// One file in parts that are joined.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parts {
    pub(crate) parts: u64,
    pub(crate) bytes: u64,
}

/// Many slow clients.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slow {
    pub(crate) clients: u64,
    pub(crate) bytes: u64,
    pub(crate) over: Duration,
    pub(crate) arrive: Duration,
    pub(crate) step: Duration,
}

/// Many small files.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Small {
    pub(crate) files: u64,
    pub(crate) bytes: u64,
    pub(crate) connections: u64,
    pub(crate) rate: Option<u64>,
}

/// tus creations.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Create {
    pub(crate) count: u64,
    pub(crate) bytes: u64,
    pub(crate) connections: u64,
    pub(crate) rate: Option<u64>,
}

/// Downloads.
#[derive(Debug, Clone)]
pub(crate) struct Get {
    pub(crate) paths: Vec<String>,
    pub(crate) clients: u64,
    pub(crate) bytes: Option<u64>,
    /// The first path is this file, the next one the next.
    pub(crate) file: Option<u64>,
}

/// What a run does.
#[derive(Debug, Clone)]
pub(crate) enum Work {
    Large(Large),
    Parts(Parts),
    Slow(Slow),
    Small(Small),
    Create(Create),
    Get(Get),
    Stall(stall::Stall),
    Mixed(mixed::Mixed),
}

impl Work {
    /// Connections that are open at once, at most.
    pub(crate) fn connections(&self) -> u64 {
        match self {
            Self::Large(large) => large.clients,
            Self::Parts(parts) => parts.parts,
            Self::Slow(slow) => slow.clients,
            Self::Small(small) => small.connections.min(small.files),
            Self::Create(create) => create.connections.min(create.count),
            Self::Get(get) => get.clients,
            Self::Stall(stall) => stall.connections,
            Self::Mixed(mixed) => mixed.connections(),
        }
    }

    /// Does it.
    pub(crate) async fn run(&self, run: &Arc<Run>) -> Result<()> {
        match self {
            Self::Large(large) => large::large(run, *large).await,
            Self::Parts(parts) => large::parts(run, *parts).await,
            Self::Slow(slow) => slow::slow(run, *slow).await,
            Self::Small(small) => small::small(run, *small).await,
            Self::Create(create) => small::create(run, *create).await,
            Self::Get(get) => return download::get(run, get).await,
            Self::Stall(stall) => stall::stall(run, *stall).await,
            Self::Mixed(mixed) => mixed::mixed(run, mixed).await,
        }
        Ok(())
    }
}
