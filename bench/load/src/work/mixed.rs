//! All kinds of clients at random, at a rate: what people are together.
//!
//! Arrivals are on a schedule and each is a client of its own with a new connection, so that a
//! server which falls behind meets more and more of them at once, as it would.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::slow::{self, Pace};
use super::small::Each;
use crate::client::{Client, SCRATCH_BYTES};
use crate::fault::Fault;
use crate::pool::random;
use crate::run::{Crowd, Run};
use crate::tally::Stored;

/// Connections that are prepared for; more may come, until the system refuses them.
const CONNECTIONS_EXPECTED_MAX: u64 = 20_000;

/// What one client does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Large,
    Small,
    Slow,
    Create,
    Get,
}

impl Kind {
    pub(crate) const ALL: [Self; 5] = [
        Self::Large,
        Self::Small,
        Self::Slow,
        Self::Create,
        Self::Get,
    ];

    /// As it is written in weights and keys.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Large => "large",
            Self::Small => "small",
            Self::Slow => "slow",
            Self::Create => "create",
            Self::Get => "get",
        }
    }
}

/// A mixture.
#[derive(Debug, Clone)]
pub(crate) struct Mixed {
    pub(crate) hold: Duration,
    pub(crate) rate: u64,
    pub(crate) weights: Vec<(Kind, u64)>,
    pub(crate) large_bytes: u64,
    pub(crate) small_bytes: u64,
    pub(crate) slow_bytes: u64,
    pub(crate) slow_over: Duration,
}

impl Mixed {
    fn clients(&self) -> u64 {
        let clients = self.hold.as_millis() * u128::from(self.rate) / 1000;
        u64::try_from(clients).unwrap_or(u64::MAX)
    }

    /// Connections that are open at once, if all last to the end.
    pub(crate) fn connections(&self) -> u64 {
        self.clients().min(CONNECTIONS_EXPECTED_MAX)
    }

    fn pick(&self, state: &mut u64) -> Kind {
        let sum: u64 = self.weights.iter().map(|(_, weight)| weight).sum();
        let mut at = random(state) % sum.max(1);
        for (kind, weight) in &self.weights {
            if at < *weight {
                return *kind;
            }
            at -= weight;
        }
        Kind::Small
    }
}

/// Clients of all kinds. A first small file is sent before the clock starts, so that there is
/// something to fetch.
pub(super) async fn mixed(run: &Arc<Run>, work: &Mixed) {
    let clients = work.clients();
    let first = Each::File(work.small_bytes)
        .once(&mut Client::new(run, 0), clients)
        .await;
    match first {
        Ok(Some(stored)) => run.tally().stored(stored),
        Ok(None) => {}
        Err(fault) => return run.tally().failed(&fault),
    }
    let mut crowd = Crowd::new(run);
    let mut state = run.seed;
    let started = run.tally().start();
    let task = (Arc::clone(run), work.clone());
    for k in 0..clients {
        let (run, work) = (Arc::clone(&task.0), task.1.clone());
        let kind = work.pick(&mut state);
        let luck = random(&mut state);
        let due = started + Duration::from_nanos(k.saturating_mul(1_000_000_000) / work.rate);
        crowd.add(async move {
            sleep_until(due).await;
            let ended = one(&run, &work, kind, k, (due, luck)).await;
            let took = due.elapsed();
            let ended = ended.and_then(|done| {
                let noted = run.tally().note(&format!("{}_ms", kind.name()), took);
                let lost = |error: anyhow::Error| {
                    Fault::new("fault of the load generator", error.to_string())
                };
                noted.map_err(lost).map(|()| done)
            });
            match ended {
                Ok(Done::Sent(stored)) => run.book(Ok((stored, took))),
                Ok(Done::Read(bytes)) => run.tally().done(bytes, took),
                Err(fault) => run.tally().failed(&fault),
            }
        });
    }
    crowd.finish(clients).await;
}

enum Done {
    Sent(Option<Stored>),
    Read(u64),
}

async fn one(
    run: &Arc<Run>,
    work: &Mixed,
    kind: Kind,
    k: u64,
    (due, luck): (Instant, u64),
) -> Result<Done, Fault> {
    let mut client = Client::new(run, k);
    let each = match kind {
        Kind::Large => Each::File(work.large_bytes),
        Kind::Small => Each::File(work.small_bytes),
        Kind::Create => Each::Creation(work.small_bytes),
        Kind::Slow => {
            let pace = Pace::new(work.slow_over, Duration::from_secs(1));
            let ended = slow::one(run, k, work.slow_bytes, pace, due).await;
            return ended.map(|(stored, _)| Done::Sent(Some(stored)));
        }
        Kind::Get => {
            let stored = any_stored(run, luck)?;
            let is_same =
                crate::verify::fetch(&mut client, &stored, &mut vec![0; SCRATCH_BYTES]).await?;
            run.tally().verified(is_same);
            return Ok(Done::Read(stored.bytes));
        }
    };
    each.once(&mut client, k).await.map(Done::Sent)
}

/// One of the files that arrived and can be fetched.
fn any_stored(run: &Run, luck: u64) -> Result<Stored, Fault> {
    let tally = run.tally();
    let can_be = || {
        tally
            .all_stored()
            .iter()
            .filter(|stored| stored.path.is_some())
    };
    let count = can_be().count();
    let nth = usize::try_from(luck).unwrap_or(0).checked_rem(count);
    let stored = nth.and_then(|nth| can_be().nth(nth)).cloned();
    stored.ok_or_else(|| Fault::new("no link to fetch", "see --fetch"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_come_as_often_as_they_weigh() {
        let mixed = Mixed {
            hold: Duration::from_millis(2500),
            rate: 10,
            weights: vec![(Kind::Large, 1), (Kind::Get, 0), (Kind::Small, 3)],
            large_bytes: 1,
            small_bytes: 1,
            slow_bytes: 1,
            slow_over: Duration::ZERO,
        };
        assert_eq!(mixed.clients(), 25);
        let mut state = 1;
        let picked: Vec<Kind> = (0..4000).map(|_| mixed.pick(&mut state)).collect();
        let count = |kind| picked.iter().filter(|&&picked| picked == kind).count();
        assert!(
            (900..1100).contains(&count(Kind::Large)),
            "{}",
            count(Kind::Large)
        );
        assert_eq!(count(Kind::Get), 0);
    }
}
