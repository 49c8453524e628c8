//! How often one client may do something: so much at once, and then so much in a second.
//!
//! The generic cell rate algorithm (ITU-T I.371): of each client it is remembered until when what
//! it did is paid off, and a client that has paid is forgotten. A crate for this keeps every key
//! until it is told to forget, without a bound.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::shared::origin::client_of;
use crate::shared::problem::{Kind, Problem};

/// Clients that are remembered at once. Where there are more that owe something, those that come
/// next are not counted: many addresses are not held up by this.
const CLIENTS_MAX: usize = 16_384;

/// What clients have done lately.
#[derive(Debug)]
pub(crate) struct Pace {
    /// What each costs.
    each: Duration,
    /// What a client may owe.
    owed_max: Duration,
    paid_at: Mutex<HashMap<IpAddr, Instant>>,
}

impl Pace {
    /// `per_second` for as long as one likes, `burst` at once.
    pub(crate) fn new(per_second: f64, burst: u64) -> Self {
        Self {
            each: Duration::from_secs_f64(1.0 / per_second),
            owed_max: Duration::from_secs_f64(burst as f64 / per_second),
            paid_at: Mutex::default(),
        }
    }

    /// Counts one more of a client. Errs with the time after which it may be tried again.
    pub(crate) fn count(&self, client: IpAddr) -> Result<(), Duration> {
        let now = Instant::now();
        let mut clients = self.paid_at.lock().unwrap_or_else(PoisonError::into_inner);
        if clients.len() >= CLIENTS_MAX && !clients.contains_key(&client) {
            clients.retain(|_, paid_at| *paid_at > now);
            if clients.len() >= CLIENTS_MAX {
                return Ok(());
            }
        }
        let paid_at = clients.entry(client).or_insert(now);
        let will_be_paid_at = (*paid_at).max(now) + self.each;
        let owed = will_be_paid_at - now;
        if owed > self.owed_max {
            return Err(owed - self.owed_max);
        }
        *paid_at = will_be_paid_at;
        Ok(())
    }
}

/// Requests in a second, where nothing is set.
const REQUESTS_MAX: u64 = 2_000;
/// So many seconds' requests may come at once.
const REQUESTS_BURST_SECONDS: u64 = 10;
/// Uploads and shares in a day, where nothing is set.
const CREATIONS_MAX: u64 = 1_000_000;
const DAY_SECONDS: u64 = 24 * 3600;

/// The limits that clients are held to.
#[derive(Debug)]
pub(crate) struct RateLimits {
    requests: Limit,
    creations: Limit,
}

#[derive(Debug)]
struct Limit {
    max: u64,
    /// This machine itself is not held to what is not set.
    is_set: bool,
    pace: Pace,
}

impl Limit {
    fn count(&self, client: IpAddr, what: &str) -> Result<(), (Problem, Duration)> {
        if !self.is_set && client.to_canonical().is_loopback() {
            return Ok(());
        }
        self.pace.count(client_of(client)).map_err(|retry_after| {
            let problem = Problem::new(Kind::TooManyOfOne)
                .detail(format!(
                    "Your address made too many {what} (limit {}).",
                    self.max
                ))
                .limit(self.max)
                .retry_after(retry_after);
            (problem, retry_after)
        })
    }
}

impl RateLimits {
    /// With the figures that are set.
    pub(crate) fn new(requests_max: Option<u64>, creations_max: Option<u64>) -> Self {
        let limit = |set: Option<u64>, default, seconds: u64, burst_seconds: u64| {
            let max = set.unwrap_or(default);
            let burst = (max.saturating_mul(burst_seconds) / seconds).max(1);
            Limit {
                max,
                is_set: set.is_some(),
                pace: Pace::new(max as f64 / seconds as f64, burst),
            }
        };
        Self {
            requests: limit(requests_max, REQUESTS_MAX, 1, REQUESTS_BURST_SECONDS),
            creations: limit(creations_max, CREATIONS_MAX, DAY_SECONDS, DAY_SECONDS),
        }
    }

    /// Counts a request. Errs with the refusal, and the time after which it may be tried again.
    pub(crate) fn count_request(&self, client: IpAddr) -> Result<(), (Problem, Duration)> {
        self.requests.count(client, "requests per second")
    }

    /// Counts an upload or a share that is about to be made.
    pub(crate) fn count_creation(&self, client: IpAddr) -> Result<(), Problem> {
        self.creations
            .count(client, "uploads and shares in a day")
            .map_err(|(problem, _)| problem)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn client(number: u32) -> IpAddr {
        IpAddr::V4(Ipv4Addr::from_bits(number))
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_and_then_a_rate() {
        let pace = Pace::new(10.0, 5);
        for _ in 0..5 {
            assert_eq!(pace.count(client(1)), Ok(()));
        }
        assert_eq!(pace.count(client(1)), Err(Duration::from_millis(100)));
        assert_eq!(pace.count(client(2)), Ok(()), "each has its own");
        tokio::time::advance(Duration::from_millis(100)).await;
        assert_eq!(pace.count(client(1)), Ok(()));
        assert!(pace.count(client(1)).is_err());
        tokio::time::advance(Duration::from_secs(60)).await;
        let done = (0..100).filter(|_| pace.count(client(1)).is_ok()).count();
        assert_eq!(done, 5, "rest is not saved up");
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_clients_are_remembered_than_there_may_be() {
        let pace = Pace::new(1.0, 1);
        let most = u32::try_from(CLIENTS_MAX).expect("it fits");
        for number in 0..most + 1_000 {
            assert_eq!(pace.count(client(number)), Ok(()));
        }
        let remembered = || pace.paid_at.lock().expect("not poisoned").len();
        assert_eq!(remembered(), CLIENTS_MAX);
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(pace.count(client(most)), Ok(()));
        assert_eq!(remembered(), 1, "who has paid is forgotten");
    }
}
