//! The snapshot: the state of the ledger, told in accounts that add up.

use super::inner::{Inner, lock};
use super::state::LedgerState;
use crate::{Account, Snapshot};

/// Numbers copied under the lock; the snapshot is put together outside it.
struct Parts {
    accounts: [u64; Account::ALL.len()],
    overcommitted: u64,
    drift: i64,
}

impl Inner {
    pub(crate) fn snapshot(&self) -> Snapshot {
        let now = self.now();
        let state = lock(&self.state);
        let parts = state.parts();
        let measure = &state.measure;
        let free = state.free();
        let snapshot = Snapshot {
            epoch: measure.epoch,
            version: state.version,
            taken_at: measure.taken_at,
            age_ms: u64::try_from(now.saturating_sub(measure.taken).as_millis())
                .unwrap_or(u64::MAX),
            read_error: measure
                .error
                .as_ref()
                .map(|error| std::sync::Arc::from(&**error)),
            doubts: measure.doubts.clone(),
            total_bytes: measure.bounds.total,
            available_bytes: measure.available,
            used_bytes: measure.bounds.total - measure.available,
            tightest: measure.tightest.clone(),
            limits: measure.limits.clone(),
            host: measure.reading.host,
            process: measure.reading.process,
            reserve_bytes: measure.reserve,
            ceiling_bytes: measure.bounds.ceiling,
            floor_bytes: measure.bounds.floor,
            leased_bytes: state.leased,
            pool_resident_bytes: measure.pool_resident,
            pool_mapped_bytes: state.pool.mapped_bytes(),
            pool_kept_bytes: state.pool.kept_bytes(),
            free_to_lease_bytes: free,
            share_bytes: state.share(),
            overcommitted_bytes: parts.overcommitted,
            accounts: Vec::new(),
            pressure_level: state.pressure.level(),
            pressure_step: state.pressure.step(),
            stall: state.pressure.view(now),
            waiting: state.queue.waiting(),
            waiting_bytes: state.queue.waiting_bytes(),
            active_uploads: state.queue.active(),
            slots_available: state.slots_available(),
            drain_bytes_per_second: state.drain_per_second,
            drift_bytes: parts.drift,
            drift_alarm: parts.drift
                > i64::try_from(measure.bounds.drift_alarm).unwrap_or(i64::MAX),
            closing: state.closing,
        };
        drop(state);
        Snapshot {
            accounts: Account::ALL.into_iter().zip(parts.accounts).collect(),
            ..snapshot
        }
    }
}

impl LedgerState {
    /// How many more uploads could be admitted now, each with the least buffer and a connection's
    /// fixed charge.
    fn slots_available(&self) -> u64 {
        if self.closing {
            return 0;
        }
        let each = self.config.buffer_bytes_min + self.config.connection_bytes;
        let by_memory = self
            .free()
            .max(self.shared_floor().saturating_sub(self.leased))
            / each;
        let by_floor = u64::from(self.guaranteed.is_none() && self.queue.waiting() == 0);
        let most = self
            .config
            .uploads_max
            .map_or(u64::MAX, |max| max.saturating_sub(self.queue.active()));
        by_memory.max(by_floor).min(most)
    }

    /// The accounts. What is used and not ours is what the sample says less what of ours it saw;
    /// what is promised stands in full; what then is left is reserve, withheld and free, in this
    /// order.
    fn parts(&self) -> Parts {
        let measure = &self.measure;
        let total = measure.bounds.total;
        let foreign = total - measure.available - measure.pool_resident - measure.touched.sum();
        let baseline = measure.baseline.min(foreign);
        // Touched memory whose charge is gone since the sample stands nowhere until the next.
        let lingering = measure.touched.anon.saturating_sub(self.charged().anon);
        let drifted = measure
            .other_anon
            .saturating_sub(measure.touched.anon)
            .min(foreign - baseline);
        // What the kernel holds for our sockets beyond what was charged for them.
        let sockets = measure
            .sockets_beyond_charge()
            .min(foreign - baseline - drifted);
        let others = foreign - baseline - drifted - sockets;

        let fixed: u64 = Account::CHARGEABLE
            .iter()
            .map(|account| self.charge_of(*account))
            .sum();
        let promised = self.leased + fixed + lingering;
        let left = measure.base().saturating_sub(promised);
        let reserve = left.min(measure.reserve);
        let withheld = (measure.target - measure.budget).min(left - reserve);
        let accounts = Account::ALL.map(|account| match account {
            Account::Buffers => self.leased - self.leased_to_downloads,
            Account::Downloads => self.charge_of(account) + self.leased_to_downloads,
            Account::Baseline => baseline,
            Account::Drift => drifted + lingering,
            Account::Others => others,
            Account::SocketMemory => self.charge_of(account) + sockets,
            Account::Reserve => reserve,
            Account::Withheld => withheld,
            Account::Free => left - reserve - withheld,
            Account::Connections
            | Account::Answers
            | Account::Readers
            | Account::DirtyWindows
            | Account::Waiters => self.charge_of(account),
        });
        let signed = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        Parts {
            accounts,
            overcommitted: promised.saturating_sub(measure.base()),
            drift: signed(measure.other_anon) - signed(self.charged().anon),
        }
    }
}
