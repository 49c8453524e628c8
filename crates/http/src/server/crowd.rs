//! How many connections each client has, so that none has all that the machine can bear.
//!
//! Without a setting it may have half of what there is memory for, which ordinary people never
//! meet. Proxies speak for many, so those that are trusted are not counted, nor is, without a
//! setting, this machine itself.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ddx_memory::{Account, Ledger};

use super::limits::Limits;
use super::request_memory::HYPER_BYTES;
use crate::shared::origin::{Networks, client_of};

/// So many are not worth a look at the ledger.
const FEW: u64 = 64;

/// All clients with connections.
#[derive(Debug)]
pub(super) struct Crowd {
    per_client_max: Option<u64>,
    connections_max: u64,
    trusted: Networks,
    /// As many entries as connections at most.
    counts: Mutex<HashMap<IpAddr, u64>>,
}

/// One connection of a client, until it is dropped.
#[derive(Debug)]
pub(super) struct Member {
    crowd: Arc<Crowd>,
    client: IpAddr,
}

impl Crowd {
    pub(super) fn new(limits: &Limits, trusted: Networks) -> Arc<Self> {
        Arc::new(Self {
            per_client_max: limits.connections_per_client_max,
            connections_max: limits.connections_max as u64,
            trusted,
            counts: Mutex::default(),
        })
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<IpAddr, u64>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts one more connection from `peer`; none where it isn't counted. Errs with how many it
    /// may have.
    pub(super) fn enter(
        self: &Arc<Self>,
        peer: IpAddr,
        ledger: &Ledger,
    ) -> Result<Option<Member>, u64> {
        let address = peer.to_canonical();
        if self.trusted.contains(address)
            || (self.per_client_max.is_none() && address.is_loopback())
        {
            return Ok(None);
        }
        let client = client_of(address);
        let mut counts = self.counts();
        let own = counts.get(&client).copied().unwrap_or(0);
        let limit = match self.per_client_max {
            Some(limit) => limit,
            None if own < FEW => u64::MAX,
            None => self.half(ledger),
        };
        if own >= limit {
            return Err(limit);
        }
        counts.insert(client, own + 1);
        Ok(Some(Member {
            crowd: self.clone(),
            client,
        }))
    }

    /// Half of the connections that there may be, and that there is memory for.
    fn half(&self, ledger: &Ledger) -> u64 {
        let snapshot = ledger.snapshot();
        let bytes = snapshot.account(Account::Connections) + snapshot.free_to_lease_bytes;
        // Each may ask for something, and hold the most that a request does.
        let all = bytes / (ledger.config().connection_bytes + HYPER_BYTES);
        (all.min(self.connections_max) / 2).max(FEW)
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        if let Entry::Occupied(mut own) = self.crowd.counts().entry(self.client) {
            *own.get_mut() -= 1;
            if *own.get() == 0 {
                own.remove();
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn crowd(per_client_max: Option<u64>) -> Arc<Crowd> {
        let limits = Limits {
            connections_per_client_max: per_client_max,
            ..Limits::default()
        };
        let trusted: Vec<ipnet::IpNet> = vec!["198.51.100.7/32".parse().unwrap()];
        Crowd::new(&limits, trusted.into())
    }

    fn ledger() -> Ledger {
        Ledger::on_this_machine(ddx_memory::Config::default()).unwrap()
    }

    #[test]
    fn a_client_has_as_many_as_it_may_and_gives_them_back() {
        let ledger = ledger();
        let crowd = crowd(Some(2));
        let enter = |address: &str| crowd.enter(address.parse().unwrap(), &ledger);
        let own = [
            enter("192.0.2.1").unwrap(),
            enter("::ffff:192.0.2.1").unwrap(),
        ];
        assert_eq!(
            enter("192.0.2.1").err(),
            Some(2),
            "the same in IPv6 is the same"
        );
        let neighbour = enter("192.0.2.2").unwrap();
        assert!(neighbour.is_some());
        let network = [
            enter("2001:db8::1").unwrap(),
            enter("2001:db8::2:1").unwrap(),
        ];
        assert_eq!(
            enter("2001:db8::3").err(),
            Some(2),
            "one customer's network"
        );
        assert!(enter("2001:db8:0:1::1").is_ok(), "another customer's");
        drop((own, neighbour, network));
        assert!(crowd.counts().is_empty(), "what has gone is forgotten");
    }

    #[test]
    fn who_speaks_for_many_is_not_counted() {
        let ledger = ledger();
        let enter = |crowd: Arc<Crowd>, address: &str| {
            let entered = crowd.enter(address.parse().unwrap(), &ledger);
            entered.map(|member| member.is_some())
        };
        assert_eq!(enter(crowd(Some(0)), "198.51.100.7"), Ok(false));
        assert_eq!(enter(crowd(None), "127.0.0.1"), Ok(false));
        assert_eq!(
            enter(crowd(Some(0)), "127.0.0.1"),
            Err(0),
            "it is asked for"
        );
    }

    #[test]
    fn without_a_setting_it_is_half_of_what_there_is_memory_for() {
        let ledger = ledger();
        let crowd = crowd(None);
        let half = crowd.half(&ledger);
        crowd
            .counts()
            .insert("192.0.2.1".parse().unwrap(), half * 2);
        let enter = |address: &str| crowd.enter(address.parse().unwrap(), &ledger);
        assert!(enter("192.0.2.1").is_err());
        assert!(enter("192.0.2.2").is_ok());
    }
}
