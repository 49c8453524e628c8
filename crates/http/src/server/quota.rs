//! A part of the ceiling, for one kind of thing that clients can ask for at will.
//!
//! The ledger knows what there is, but not who should have it. Connections are accepted before
//! anything is known of them, so what one kind of them holds beside that must leave room for others
//! to connect.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ddx_memory::{Account, Charge, Ledger, Refusal};
use tokio::sync::Notify;

/// The least that a quota is, however low the ceiling. The ledger may still refuse.
const BYTES_MIN: u64 = 256 << 10;

/// The least wait before another try is worth it.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What one kind of thing holds in all.
#[derive(Debug)]
pub(super) struct Quota {
    ledger: Ledger,
    /// The quota is the ledger's ceiling divided by this.
    divisor: u64,
    held_bytes: AtomicU64,
    /// Told when [`Quota::take`] is refused.
    refused: Notify,
}

/// What one of them holds, until it is dropped.
#[derive(Debug)]
pub(crate) struct QuotaCharge {
    quota: Arc<Quota>,
    charge: Charge,
}

impl Quota {
    pub(super) fn new(ledger: Ledger, divisor: u64) -> Arc<Self> {
        Arc::new(Self {
            ledger,
            divisor,
            held_bytes: AtomicU64::new(0),
            refused: Notify::new(),
        })
    }

    /// Charges so much. Errs with the time after which another try is worth it.
    pub(super) fn take(self: &Arc<Self>, bytes: u64) -> Result<QuotaCharge, Duration> {
        let charge = self.check_room_for(bytes).and_then(|()| {
            let charge = self.ledger.charge(Account::Connections, bytes);
            charge.map_err(|refusal| retry_after(&refusal))
        });
        let charge = charge.inspect_err(|_| self.refused.notify_waiters())?;
        self.held_bytes.fetch_add(bytes, Ordering::Relaxed);
        let quota = self.clone();
        Ok(QuotaCharge { quota, charge })
    }

    /// Returns when [`Quota::take`] is next refused.
    pub(super) async fn used_up(&self) {
        self.refused.notified().await;
    }

    fn check_room_for(&self, bytes: u64) -> Result<(), Duration> {
        // A part of the ceiling, not of what is free: connections must come and go while uploads
        // hold all that is free.
        let bytes_max = (self.ledger.snapshot().ceiling_bytes / self.divisor).max(BYTES_MIN);
        match self.held_bytes.load(Ordering::Relaxed) + bytes <= bytes_max {
            true => Ok(()),
            false => Err(RETRY_AFTER),
        }
    }
}

impl QuotaCharge {
    pub(super) fn bytes(&self) -> u64 {
        self.charge.bytes()
    }

    /// Charges so much more. Where that is refused, what was charged stays.
    pub(super) fn grow(&mut self, by: u64) -> Result<(), Duration> {
        self.quota.check_room_for(by)?;
        let grown = self.charge.grow(by);
        grown.map_err(|refusal| retry_after(&refusal))?;
        self.quota.held_bytes.fetch_add(by, Ordering::Relaxed);
        Ok(())
    }
}

impl Drop for QuotaCharge {
    fn drop(&mut self) {
        let bytes = self.charge.bytes();
        self.quota.held_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

fn retry_after(refusal: &Refusal) -> Duration {
    match refusal {
        Refusal::NoMemory { retry_after, .. } => (*retry_after).max(RETRY_AFTER),
        _ => RETRY_AFTER,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_given_back_whole() {
        let ledger = Ledger::on_this_machine(ddx_memory::Config::default()).unwrap();
        let quota = Quota::new(ledger.clone(), 4);
        let account = || ledger.snapshot().account(Account::Connections);
        let mut share = quota.take(100).unwrap();
        share.grow(50).unwrap();
        assert_eq!((share.bytes(), account()), (150, 150));
        assert!(share.grow(u64::MAX / 2).is_err());
        assert_eq!((share.bytes(), account()), (150, 150));
        drop(share);
        assert_eq!(
            (quota.held_bytes.load(Ordering::Relaxed), account()),
            (0, 0)
        );
    }
}
