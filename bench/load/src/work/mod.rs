//! The kinds of work, each in a function that ends when all of its clients have, or the time is
//! over.

use std::sync::Arc;

use anyhow::Result;

use crate::run::Run;

mod download;
mod large;
pub(crate) mod mixed;
mod slow;
mod small;
pub(crate) mod stall;

pub(crate) use download::Get;
pub(crate) use large::{Large, Parts};
pub(crate) use slow::Slow;
pub(crate) use small::{Create, Small};

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
