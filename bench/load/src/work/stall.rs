//! Connections that begin something and then do nothing: what a server lets them hold, and when it
//! ends them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, timeout_at};

use crate::client::Client;
use crate::conn::Conn;
use crate::fault::Fault;
use crate::run::{Crowd, Run};

/// What a body announces, and what comes of it.
const ANNOUNCED_BYTES: u64 = 1 << 20;
const SENT_BYTES: usize = 1000;

/// Where a connection stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum At {
    /// Within the request's head.
    Head,
    /// Within the request's body.
    Body,
    /// Before its first byte.
    Idle,
}

/// Connections that do nothing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stall {
    pub(crate) connections: u64,
    pub(crate) hold: Duration,
    pub(crate) at: At,
}

#[derive(Debug, Default)]
struct Seen {
    ended: u64,
    open: u64,
    answers: BTreeMap<String, u64>,
}

/// All at once; counts those that the server ends. A connection that can't be brought to its stall
/// has failed; being ended is no failure.
pub(super) async fn stall(run: &Arc<Run>, work: Stall) {
    let seen = Arc::new(Mutex::new(Seen::default()));
    let mut crowd = Crowd::new(run);
    run.tally().start();
    for n in 0..work.connections {
        let (run, seen) = (Arc::clone(run), Arc::clone(&seen));
        crowd.add(async move {
            if let Err(fault) = one(&run, work, n, &seen).await {
                run.tally().failed(&fault);
            }
        });
    }
    crowd.finish(work.connections).await;
    let seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    let mut tally = run.tally();
    tally.figure("ended", json!(seen.ended));
    tally.figure("still_open", json!(seen.open));
    tally.figure("answers", json!(seen.answers));
}

async fn one(run: &Arc<Run>, work: Stall, n: u64, seen: &Mutex<Seen>) -> Result<(), Fault> {
    let mut conn = begin(run, work.at, n).await?;
    let began = Instant::now();
    let ended = timeout_at(began + work.hold, conn.ended()).await;
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    run.tally().done(0, began.elapsed());
    match ended {
        Err(_) => seen.open += 1,
        Ok(status) => {
            seen.ended += 1;
            let status = status.map_or_else(|| "none".to_owned(), |status| status.to_string());
            *seen.answers.entry(status).or_default() += 1;
            let noted = run.tally().note("ended_ms", began.elapsed());
            noted.map_err(|error| Fault::new("fault of the load generator", error.to_string()))?;
        }
    }
    Ok(())
}

/// A connection up to where it stops.
async fn begin(run: &Arc<Run>, at: At, n: u64) -> Result<Conn, Fault> {
    let mut client = Client::new(run, n);
    if at == At::Idle {
        return client.take_conn().await;
    }
    let prepared = client.prepare(n, ANNOUNCED_BYTES).await?;
    let head = client.head(&prepared.request, Some(ANNOUNCED_BYTES), "");
    let mut conn = client.take_conn().await?;
    if at == At::Head {
        let half = &head.as_bytes()[..head.len() - 5];
        conn.send(half, &[]).await?;
        return Ok(conn);
    }
    let [first, second] = run.pool.slices(n, 0, SENT_BYTES);
    let body = [prepared.request.before.as_slice(), first, second];
    conn.send(head.as_bytes(), &body).await?;
    Ok(conn)
}
