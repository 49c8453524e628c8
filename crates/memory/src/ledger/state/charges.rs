//! Fixed charges: what each account holds, and what it may still be charged.

use super::LedgerState;
use crate::ledger::measure::Charged;
use crate::{Account, PressureStep, Refusal};

/// So much listings and event streams may have together however low the ceiling is, if it is there.
const ANSWERS_BYTES_MIN: u64 = 1 << 20;

/// So much readers that are remembered may have together however low the ceiling is, if it is free.
const READERS_BYTES_MIN: u64 = 64 << 10;

impl LedgerState {
    pub(crate) fn charge_of(&self, account: Account) -> u64 {
        let fixed = Account::CHARGEABLE
            .iter()
            .position(|other| *other == account)
            .map_or(0, |index| self.charges[index]);
        let waiters = if account == Account::Waiters {
            self.queue.waiting() * self.config.waiter_bytes
        } else {
            0
        };
        fixed + waiters
    }

    pub(crate) fn charged(&self) -> Charged {
        Charged {
            anon: self.charge_of(Account::Connections)
                + self.charge_of(Account::Answers)
                + self.charge_of(Account::Readers)
                + self.charge_of(Account::Waiters)
                + self.charge_of(Account::Downloads),
            socket: self.charge_of(Account::SocketMemory),
            dirty: self.charge_of(Account::DirtyWindows),
        }
    }

    /// What the fixed charges take from the budget. Anonymous memory that a sample saw touched
    /// stays counted until the next one, though its charge be gone: the allocator has it, not the
    /// machine.
    pub(super) fn charges_held(&self) -> u64 {
        let charged = self.charged();
        charged.anon.max(self.measure.touched.anon) + charged.socket + charged.dirty
    }

    /// What an account may still be charged. Connections and what goes with them may use the
    /// reserve down to the floor: they are accepted already, and refusing them would fail a client
    /// that asks for little. Windows and downloads may not.
    ///
    /// Listings and event streams may, too, since pages have to work while uploads hold all the
    /// rest; but all of them together get a quarter of the ceiling, as anyone can ask for them, and
    /// some where there is hardly one.
    pub(crate) fn room_for(&self, account: Account) -> u64 {
        let down_to_floor = (self.measure.budget + self.measure.reserve.min(self.measure.base()))
            .saturating_sub(self.charges_held() + self.leased + self.measure.bounds.floor);
        match account {
            Account::DirtyWindows => {
                let part = if self.pressure.step() >= PressureStep::ShrinkDirty {
                    64
                } else {
                    4
                };
                let most = (self.measure.bounds.ceiling / part).max(self.config.buffer_bytes_min);
                self.free()
                    .min(most.saturating_sub(self.charge_of(account)))
            }
            Account::Downloads => self.free(),
            Account::Answers => {
                let most = (self.measure.bounds.ceiling / 4).max(ANSWERS_BYTES_MIN);
                down_to_floor.min(most.saturating_sub(self.charge_of(account)))
            }
            // They last for hours.
            Account::Readers => {
                let most = (self.measure.bounds.ceiling / 16).max(READERS_BYTES_MIN);
                self.free()
                    .min(most.saturating_sub(self.charge_of(account)))
            }
            _ => down_to_floor,
        }
    }

    pub(crate) fn charge(&mut self, account: Account, bytes: u64) -> Result<(), Refusal> {
        let Some(index) = Account::CHARGEABLE
            .iter()
            .position(|other| *other == account)
        else {
            return Err(Refusal::NotChargeable(account));
        };
        let room = self.room_for(account);
        if bytes > room {
            let retry_after = self.drain_time(bytes - room);
            return Err(Refusal::NoMemory {
                account,
                needed_bytes: bytes,
                free_bytes: room,
                retry_after,
            });
        }
        self.charges[index] += bytes;
        self.version += 1;
        Ok(())
    }

    pub(crate) fn discharge(&mut self, account: Account, bytes: u64) {
        if let Some(index) = Account::CHARGEABLE
            .iter()
            .position(|other| *other == account)
        {
            debug_assert!(
                self.charges[index] >= bytes,
                "more is discharged than was charged"
            );
            self.charges[index] -= bytes;
            self.version += 1;
        }
    }
}
