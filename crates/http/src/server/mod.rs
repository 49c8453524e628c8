//! The server under the ways in: connections, their limits, and the road of a body.
//!
//! hyper is driven directly, one protocol chosen before it starts. Its own detection costs several
//! KiB more per idle connection and waits for the first bytes without a time-out. Each connection
//! is charged to the ledger before it is served; where the charge is refused, the one idle longest
//! gives its place, and the kernel's backlog is the queue. What hyper doesn't limit is limited
//! here: the time for a head, between requests, and for a client to take its answer.

mod chunks;
mod crowd;
mod frames;
mod gate;
mod head;
mod head_check;
mod http1;
mod http2;
mod idle;
mod inflow;
mod late;
mod linger;
mod quota;
mod request_memory;
mod resting;
mod secure;
mod streams;
mod tls;
mod unread;
mod wire;

use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ddx_memory::{Charge, Ledger, Row};
use http::{HeaderValue, header};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) use self::idle::Pauses;
pub(crate) use self::wire::{Carrier, Wire};
use crate::origin::Networks;
use crate::problem::{Kind, Problem};
use crate::request_id::RequestId;
use crate::socket;
use crate::starting::Served;
use crowd::Crowd;
use gate::Heads;
use head_check::HeadLimits;
use idle::IdleConnections;
use quota::Quota;
use request_memory::{REQUEST_BYTES, RequestMemory};
pub use tls::{TlsError, acceptor};

/// Limits of connections. Each is a setting of the server.
#[derive(Debug, Clone)]
pub struct Limits {
    /// From the first byte of a request's head to its last; also for a TLS handshake.
    pub header_timeout: Duration,
    /// Between requests.
    pub idle_timeout: Duration,
    /// While a client takes nothing of an answer.
    pub write_timeout: Duration,
    /// For how long a file may rest beyond that, while the connection lives and no other client
    /// needs its place or its memory.
    pub write_pause_max: Duration,
    /// While a client takes nothing of a file and others wait for the memory that it holds.
    pub write_timeout_crowded: Duration,
    /// What a connection's send queue may hold before it takes no more.
    pub send_queue_bytes: u64,
    /// The longest head, 8 KiB at least.
    pub header_bytes_max: usize,
    /// The longest address of a request.
    pub uri_bytes_max: usize,
    /// Header fields in a head.
    pub headers_max: usize,
    /// Connections at once, whatever memory there is.
    pub connections_max: usize,
    /// Connections of one client at once; half of what there is room for where None.
    pub connections_per_client_max: Option<u64>,
    /// How long an early answer waits for the client to stop sending.
    pub linger: Duration,
    /// What is read and dropped meanwhile, at most.
    pub linger_bytes_max: u64,
    /// Bodies from this length on are read past hyper.
    pub tap_min_bytes: u64,
    /// Streams at once on one HTTP/2 connection.
    pub http2_streams_max: u32,
    /// What one HTTP/2 stream may have under way towards us.
    pub http2_stream_window_bytes: u32,
    /// What one HTTP/2 connection may have under way towards us.
    pub http2_window_bytes: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(75),
            write_timeout: Duration::from_secs(60),
            write_pause_max: Duration::from_secs(6 * 60 * 60),
            write_timeout_crowded: Duration::from_secs(5),
            send_queue_bytes: 16 << 10,
            header_bytes_max: 32 << 10,
            uri_bytes_max: 8 << 10,
            headers_max: 100,
            connections_max: 100_000,
            connections_per_client_max: None,
            linger: Duration::from_secs(10),
            linger_bytes_max: 256 << 20,
            tap_min_bytes: 64 << 10,
            http2_streams_max: 64,
            http2_stream_window_bytes: 256 << 10,
            http2_window_bytes: 1 << 20,
        }
    }
}

impl Limits {
    fn of_heads(&self) -> HeadLimits {
        HeadLimits {
            bytes_max: self.header_bytes_max.max(gate::STEP_BYTES),
            uri_bytes_max: self.uri_bytes_max,
            fields_max: self.headers_max,
        }
    }
}

/// What is known of a connection, in each request's extensions.
#[derive(Debug, Clone, Copy)]
pub struct Connection {
    /// The other end, which may be a proxy.
    pub peer: SocketAddr,
    /// Whether it came by TLS.
    pub is_tls: bool,
}

/// How many connections there are and were.
#[derive(Debug, Default)]
pub struct Connections {
    accepted: AtomicU64,
    closed: AtomicU64,
}

impl Connections {
    /// Open now.
    #[must_use]
    pub fn open(&self) -> u64 {
        let closed = self.closed.load(Ordering::Relaxed);
        self.accepted().saturating_sub(closed)
    }

    /// Accepted since the start.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }
}

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

struct Shared {
    limits: Limits,
    tls: Option<tokio_rustls::TlsAcceptor>,
    app: Arc<Served>,
    ledger: Ledger,
    heads: Arc<Heads>,
    http2_quota: Arc<Quota>,
    request_memory: RequestMemory,
    idle: Arc<IdleConnections>,
    closing: CancellationToken,
}

/// A connection on which nothing moves is asked for a sign of life after this, then this often, so
/// many times: a client that has gone without a word is known to have gone within two minutes.
const KEEP_ALIVE: TcpKeepalive = TcpKeepalive::new()
    .with_time(Duration::from_secs(60))
    .with_interval(Duration::from_secs(15))
    .with_retries(4);

/// So many clients at once are told that they have too many connections; others find theirs closed.
const REFUSALS_MAX: usize = 32;

/// When another try is worth it.
const REFUSED_FOR: Duration = Duration::from_secs(10);

/// What is read of a request that is refused unseen.
const REFUSED: linger::Linger = linger::Linger {
    time: Duration::from_secs(1),
    bytes_max: 64 << 10,
};

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
            connections.accepted.fetch_add(1, Ordering::Relaxed);
            tasks.spawn(async move {
                shared.connection(stream, peer).await;
                drop((held, member));
                connections.closed.fetch_add(1, Ordering::Relaxed);
            });
        }
        drop(self.listener);
        tasks.close();
        tasks.wait().await;
    }
}

/// Sets what a connection needs of its socket.
///
/// The kernel ends one whose client has taken nothing for so long; it is told otherwise where a
/// file may rest (`resting`). It asks clients that are silent for a sign of life. And it takes no
/// more than the client is about to get: left alone, a send queue grows to megabytes that may never
/// be taken.
fn set_options(socket: &impl AsFd, limits: &Limits) -> std::io::Result<()> {
    let queue = u32::try_from(limits.send_queue_bytes).unwrap_or(u32::MAX);
    let reference = SockRef::from(socket);
    reference.set_tcp_keepalive(&KEEP_ALIVE)?;
    reference.set_tcp_notsent_lowat(queue)?;
    socket::set_user_timeout(socket, limits.write_timeout)?;
    // Answers are small and written whole: waiting to fill a packet only adds latency.
    reference.set_tcp_nodelay(true)
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
                match self.ledger.charge(Row::Connections, bytes) {
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
        let (wire, patience) = (Wire::new(stream, self.heads.clone()), self.patience());
        if late::write(&wire, answer, &patience, None).await.is_ok() {
            linger::close(wire.stream(), true, REFUSED).await;
        }
    }

    async fn connection(&self, stream: TcpStream, peer: SocketAddr) {
        // Linux gives a connection its listener's options. Other kernels that speak its calls may
        // not.
        let is_set = stream.nodelay().is_ok_and(|is_set| is_set);
        if !is_set && set_options(&stream, &self.limits).is_err() {
            return;
        }
        match &self.tls {
            // Boxed, so that a plain connection is not as large as an encrypted one.
            Some(tls) => Box::pin(self.encrypted(tls, stream, peer)).await,
            None => self.plain(stream, peer).await,
        }
    }

    async fn plain(&self, stream: TcpStream, peer: SocketAddr) {
        let wire = Wire::new(stream, self.heads.clone());
        let idle = self.idle.enter();
        let gives_place = async {
            idle.gives_place().await;
            // Unless its first request is here.
            if wire.has_arrived() {
                std::future::pending().await
            }
        };
        let http2 = tokio::select! {
            () = self.closing.cancelled() => return,
            () = gives_place => return,
            http2 = tokio::time::timeout(self.limits.idle_timeout, wire.speaks_http2()) => http2,
        };
        drop(idle);
        match http2 {
            Ok(Ok(false)) => self.http1(wire, peer).await,
            Ok(Ok(true)) => {
                let from = Connection {
                    peer,
                    is_tls: false,
                };
                Box::pin(self.http2_plain(wire, from)).await;
            }
            Ok(Err(_)) | Err(_) => {}
        }
    }

    async fn encrypted(
        &self,
        tls: &tokio_rustls::TlsAcceptor,
        stream: TcpStream,
        peer: SocketAddr,
    ) {
        let from = Connection { peer, is_tls: true };
        // Until it is over nothing is asked.
        let idle = self.idle.enter();
        let handshake = tokio::time::timeout(self.limits.header_timeout, tls.accept(stream));
        let stream = tokio::select! {
            () = idle.gives_place() => return,
            stream = handshake => stream,
        };
        drop(idle);
        let Ok(Ok(stream)) = stream else {
            return;
        };
        if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
            return self.http2_over_tls(stream, from).await;
        }
        self.http1_over_tls(stream, from).await;
    }
}
