//! Many clients that send little, slowly: what each connection costs, and how soon each is let in.
//!
//! Clients come on a schedule, whatever the server does, and the time until a request is open
//! counts from when the client was due, so that a server which stops accepting can't hide it by
//! keeping the load back (coordinated omission).

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::client::Client;
use crate::conn::{Conn, Sent};
use crate::fault::Fault;
use crate::run::{Crowd, Run};
use crate::tally::Stored;

/// Many slow clients.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slow {
    pub(crate) clients: u64,
    pub(crate) bytes: u64,
    pub(crate) over: Duration,
    pub(crate) arrive: Duration,
    pub(crate) step: Duration,
}

/// Clients that come evenly and trickle evenly.
pub(super) async fn slow(run: &Arc<Run>, work: Slow) {
    let mut crowd = Crowd::new(run);
    let started = run.tally().start();
    let pace = Pace::new(work.over, work.step);
    for k in 0..work.clients {
        let run = Arc::clone(run);
        let due = started + share(work.arrive, k, work.clients);
        crowd.add(async move {
            sleep_until(due).await;
            let late = due.elapsed();
            let noted = run.tally().note("late_ms", late);
            let ended = match noted {
                Ok(()) => one(&run, k, work.bytes, pace, due).await,
                Err(error) => Err(Fault::new("fault of the load generator", error.to_string())),
            };
            run.book(ended.map(|(stored, took)| (Some(stored), took)));
        });
    }
    crowd.finish(work.clients).await;
}

/// The part `k` of `n` of a time.
fn share(time: Duration, k: u64, n: u64) -> Duration {
    let ns = time.as_nanos() * u128::from(k) / u128::from(n.max(1));
    Duration::from_nanos(u64::try_from(ns).unwrap_or(u64::MAX))
}

/// How a body is spread over a time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    over: Duration,
    steps: u64,
}

impl Pace {
    /// Pieces from the request's opening on until `over` has gone, one after each `step`.
    pub(super) fn new(over: Duration, step: Duration) -> Self {
        let steps = over.as_nanos() / step.as_nanos().max(1);
        Self {
            over,
            steps: u64::try_from(steps).unwrap_or(1).max(1),
        }
    }

    /// When piece `n` is due after the opening, and where it ends.
    fn piece(self, n: u64, bytes: u64) -> (Duration, u64) {
        let end = u128::from(bytes) * u128::from(n + 1) / u128::from(self.steps + 1);
        (
            share(self.over, n, self.steps),
            u64::try_from(end).unwrap_or(bytes),
        )
    }
}

/// One client: opens its request, waits to be let in, trickles, and waits for the answer. Gives the
/// time from the last byte to the answer.
pub(super) async fn one(
    run: &Arc<Run>,
    k: u64,
    bytes: u64,
    pace: Pace,
    due: Instant,
) -> Result<(Stored, Duration), Fault> {
    let mut client = Client::new(run, k);
    let prepared = client.prepare(k, bytes).await?;
    let request = &prepared.request;
    let head = client.head(request, Some(bytes), "Expect: 100-continue\r\n");
    let mut conn = client.take_conn().await?;
    let mut sent = conn.send(head.as_bytes(), &[]).await?;
    let opened = sent == Sent::Whole && await_continue(&mut conn).await?;
    if opened {
        let noted = run.tally().note("open_ms", due.elapsed());
        noted.map_err(|error| Fault::new("fault of the load generator", error.to_string()))?;
        sent = conn.send(&request.before, &[]).await?;
        if sent == Sent::Whole {
            sent = trickle(run, &mut conn, k, bytes, pace).await?;
        }
        if sent == Sent::Whole {
            sent = conn.send(&request.after, &[]).await?;
        }
    }
    let last_byte = Instant::now();
    let answer = client.answer(conn, sent).await?;
    if !opened || sent == Sent::Stopped {
        return Err(Fault::new(
            "answered before the body",
            format!("status {}", answer.head.status),
        ));
    }
    let stored = client.stored(k, bytes, &prepared, &answer)?;
    Ok((stored, last_byte.elapsed()))
}

/// Waits for `100 Continue`. `false` is a final answer instead, which is left to be read.
async fn await_continue(conn: &mut Conn) -> Result<bool, Fault> {
    loop {
        match conn.next_interim().await? {
            Some(100) => return Ok(true),
            Some(_) => {}
            None => return Ok(false),
        }
    }
}

async fn trickle(
    run: &Run,
    conn: &mut Conn,
    k: u64,
    bytes: u64,
    pace: Pace,
) -> Result<Sent, Fault> {
    let opened = Instant::now();
    let mut at = 0;
    for n in 0..=pace.steps {
        let (due, end) = pace.piece(n, bytes);
        sleep_until(opened + due).await;
        if conn.is_answered()? {
            return Ok(Sent::Stopped);
        }
        let bytes = usize::try_from(end - at).unwrap_or(usize::MAX);
        let [first, second] = run.pool.slices(k, at, bytes);
        if conn.send(first, &[second]).await? == Sent::Stopped {
            return Ok(Sent::Stopped);
        }
        at = end;
    }
    Ok(Sent::Whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_spread_evenly_and_are_the_whole() {
        let pace = Pace::new(Duration::from_secs(20), Duration::from_secs(1));
        assert_eq!(pace.piece(0, 65_536), (Duration::ZERO, 3_120));
        assert_eq!(pace.piece(10, 65_536).0, Duration::from_secs(10));
        assert_eq!(pace.piece(20, 65_536), (Duration::from_secs(20), 65_536));
        let short = Pace::new(Duration::from_millis(1), Duration::from_secs(1));
        assert_eq!(short.piece(1, 9), (Duration::from_millis(1), 9));
    }

    #[test]
    fn clients_come_evenly() {
        let arrive = Duration::from_secs(2);
        assert_eq!(share(arrive, 0, 4), Duration::ZERO);
        assert_eq!(share(arrive, 3, 4), Duration::from_millis(1500));
    }
}
