//! Takes connections in, each with its place and its memory.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ddx_memory::{Account, Charge, Ledger};
use http::{HeaderValue, header};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connection::set_options;
use super::crowd::Crowd;
use super::gate::Heads;
use super::idle::IdleConnections;
use super::limits::Limits;
use super::linger::REFUSED;
use super::peer::Connections;
use super::request_memory::{REQUEST_BYTES, RequestMemory};
use super::served::Served;
use super::shared::Shared;
use super::wire::Wire;
use super::{http2, late, linger};
use crate::shared::origin::Networks;
use crate::shared::problem::{Kind, Problem};
use crate::shared::request_id::RequestId;

/// A listener with what it serves.
pub struct Server {
    /// Where it listens.
    pub listener: TcpListener,
    /// Its limits.
    pub limits: Limits,
    /// TLS, where it is configured.
    pub tls: Option<tokio_rustls::TlsAcceptor>,
    /// What it serves.
    pub app: Arc<Served>,
    /// What connections are charged to.
    pub ledger: Ledger,
    /// Who speaks for many, and is not counted as one client.
    pub trusted_proxies: Networks,
    /// Where they are counted.
    pub connections: Arc<Connections>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server")
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// So many clients at once are told that they have too many connections; others find theirs closed.
const REFUSALS_MAX: usize = 32;

/// When another try is worth it.
const REFUSED_FOR: Duration = Duration::from_secs(10);

/// How long the listener waits after it could not take a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How long it waits for one that was asked to give its place.
const GIVE_PAUSE: Duration = Duration::from_millis(2);

impl Server {
    /// Serves until `closing`, then lets connections finish the request they are in.
    pub async fn run(self, closing: CancellationToken) {
        let places = Arc::new(Semaphore::new(self.limits.connections_max));
        let crowd = Crowd::new(&self.limits, self.trusted_proxies);
        let refusals = Arc::new(Semaphore::new(REFUSALS_MAX));
        let tasks = TaskTracker::new();
        let heads = Heads::new(self.limits.of_heads(), self.ledger.clone());
        let idle = Arc::<IdleConnections>::default();
        // Once for all connections. Where it fails each one tries for itself.
        let _ = set_options(&self.listener, &self.limits);
        let shared = Arc::new(Shared {
            limits: self.limits,
            heads,
            http2_quota: http2::quota(self.ledger.clone()),
            request_memory: RequestMemory::new(self.ledger.clone(), idle.clone()),
            tls: self.tls,
            app: self.app,
            ledger: self.ledger,
            idle,
            closing: closing.clone(),
        });
        loop {
            let accepted = tokio::select! {
                biased;
                () = closing.cancelled() => break,
                accepted = self.listener.accept() => accepted,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection can't be accepted now; it is tried again, and clients wait; if this repeats, raise the limit of open files");
                    // Descriptors may be what is missing.
                    shared.idle.ask_longest();
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let held = tokio::select! {
                biased;
                () = closing.cancelled() => break,
                held = shared.place(&places) => held,
            };
            let shared = shared.clone();
            let member = match crowd.enter(peer.ip(), &shared.ledger) {
                Ok(member) => member,
                Err(limit) => {
                    tracing::debug!(%peer, limit, "a client has too many connections");
                    if let Ok(refusal) = refusals.clone().try_acquire_owned() {
                        tasks.spawn(async move {
                            shared.refuse(stream, limit).await;
                            drop((held, refusal));
                        });
                    }
                    continue;
                }
            };
            let connections = self.connections.clone();
            connections.count_accepted();
            tasks.spawn(async move {
                shared.connection(stream, peer).await;
                drop((held, member));
                connections.count_closed();
            });
        }
        drop(self.listener);
        tasks.close();
        tasks.wait().await;
    }
}

type Held = (tokio::sync::OwnedSemaphorePermit, Charge);

impl Shared {
    /// What a connection is charged that asks for nothing. Requests over TLS are not charged apart.
    fn idle_bytes(&self) -> u64 {
        let bytes = self.ledger.config().connection_bytes;
        match self.tls {
            Some(_) => bytes,
            None => bytes.saturating_sub(REQUEST_BYTES),
        }
    }

    /// A place for one more connection, and its memory. Others wait in the kernel's backlog
    /// meanwhile.
    async fn place(&self, places: &Arc<Semaphore>) -> Held {
        let mut asked_at = None;
        loop {
            // Those that are here come first.
            if !self.request_memory.is_short()
                && let Ok(place) = places.clone().try_acquire_owned()
            {
                let bytes = self.idle_bytes();
                match self.ledger.charge(Account::Connections, bytes) {
                    Ok(charge) => return (place, charge),
                    Err(refusal) => tracing::debug!(%refusal, "no memory for another connection"),
                }
            }
            // One at a time: where others have the memory, it does not help that all idle ones go.
            let is_asked = asked_at.is_some_and(|at: Instant| at.elapsed() < ACCEPT_PAUSE);
            let pause = if is_asked {
                GIVE_PAUSE
            } else if self.idle.ask_longest() {
                asked_at = Some(Instant::now());
                GIVE_PAUSE
            } else {
                ACCEPT_PAUSE
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// Tells a client that has too many connections so. One that speaks TLS or HTTP/2 finds its
    /// connection closed.
    async fn refuse(&self, stream: TcpStream, limit: u64) {
        if self.tls.is_some() {
            return;
        }
        let problem = Problem::new(Kind::TooManyOfOne)
            .detail(format!(
                "Too many connections from your address (limit {limit})."
            ))
            .limit(limit)
            .retry_after(REFUSED_FOR);
        let mut answer = RequestId::new().refuse(problem);
        let close = HeaderValue::from_static("close");
        answer.headers_mut().insert(header::CONNECTION, close);
        let (wire, timeouts) = (Wire::new(stream, self.heads.clone()), self.timeouts());
        if late::write(&wire, answer, &timeouts, None).await.is_ok() {
            linger::close(wire.stream(), true, REFUSED).await;
        }
    }
}
