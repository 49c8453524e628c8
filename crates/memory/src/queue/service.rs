//! What a user or an upload has had, in byte·microseconds.
//!
//! Service is counted only while others wait: a user who had an idle machine for an hour took
//! nothing from others and owes nothing. Each spell in which an upload waits is a *round*; a new
//! round begins from zero.

use std::time::Duration;

/// What is charged at once when memory is granted, as if it were held for so long: without it, all
/// that comes free in one moment would go to one user, since no one's held time has moved yet.
pub(crate) const CHARGED_AHEAD_US: u128 = 100_000;

/// The state of contention, one for the whole queue.
#[derive(Debug, Default)]
pub(crate) struct Round {
    /// Which spell of waiting this is; 0 before the first.
    pub(crate) number: u64,
    /// Whether any upload waits now.
    pub(crate) contended: bool,
    /// When it began.
    pub(crate) started: Duration,
    /// How far one may fall behind, in byte·microseconds: past debts must not starve.
    pub(crate) debt_max: u128,
}

/// Service had by a user, or by an upload among its user's.
#[derive(Debug, Default)]
pub(crate) struct Service {
    /// Byte·microseconds had in `round`.
    pub(crate) received: u128,
    /// Bytes held now.
    pub(crate) held: u64,
    /// Service of the one served last among those below this one: newcomers start there.
    pub(crate) least_below: u128,
    since: Duration,
    round: u64,
}

impl Service {
    /// Brings it up to `now`. To be called before `held` changes and before `received` is
    /// compared.
    pub(crate) fn accrue(&mut self, round: &Round, now: Duration, least: u128) {
        if !round.contended {
            return;
        }
        if self.round != round.number {
            self.round = round.number;
            self.received = 0;
            self.least_below = 0;
            self.since = round.started;
        }
        let micros = now.saturating_sub(self.since).as_micros();
        self.since = self.since.max(now);
        let had = self
            .received
            .saturating_add(u128::from(self.held).saturating_mul(micros));
        // The cap never takes away what is already counted, so that service does not go back
        // within a round.
        self.received = had
            .min(least.saturating_add(round.debt_max))
            .max(self.received);
    }

    /// An idle user keeps no credit: who comes (back) starts level with those who are being served.
    pub(crate) fn no_credit(&mut self, least: u128) {
        self.received = self.received.max(least);
    }

    /// Charges a grant ahead of its time.
    pub(crate) fn charge_ahead(&mut self, bytes: u64) {
        self.received = self
            .received
            .saturating_add(u128::from(bytes) * CHARGED_AHEAD_US);
    }
}
