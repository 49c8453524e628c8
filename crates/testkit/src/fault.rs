//! A bad network between a client and the server.
//!
//! A proxy for TCP that can refuse, cut, reset, stall, trickle, and go half-open. It works on bytes
//! and knows nothing of HTTP, as real middle boxes and dead radio links do. Half-open is the one
//! that hurts servers most: the client is gone and the server was not told, which is what a phone
//! that leaves the Wi-Fi looks like from here.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// Closed to both sides, in order.
    Close,
    /// Reset to both sides.
    Reset,
    /// Closed to the client; the server is told nothing and sees silence.
    HalfOpen,
}

/// What the network does to bytes on one of their two ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing: all pass.
    None,
    /// New connections are closed at once.
    Refuse,
    /// After this many bytes the connection ends.
    CutAfter(u64, Cut),
    /// After this many bytes no more pass, and neither side is told.
    StallAfter(u64),
    /// At most this many bytes per second pass.
    Trickle(u64),
}

/// A way of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From the client to the server.
    Requests,
    /// From the server to the client.
    Answers,
}

#[derive(Debug, Clone, Copy)]
struct Order {
    requests: Fault,
    answers: Fault,
    /// Raised to end all connections that are open.
    generation: u64,
    cut: Cut,
}

impl Order {
    fn fault(&self, way: Way) -> Fault {
        match way {
            Way::Requests => self.requests,
            Way::Answers => self.answers,
        }
    }
}

/// A proxy with faults; gone when dropped, with its connections.
#[derive(Debug)]
pub struct FaultProxy {
    address: SocketAddr,
    order: watch::Sender<Order>,
    passed: Arc<AtomicU64>,
    opened: Arc<AtomicU64>,
    accepting: JoinHandle<()>,
}

impl FaultProxy {
    /// A proxy in front of `upstream` on a port of its own.
    pub async fn start(upstream: SocketAddr, fault: Fault) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (order, orders) = watch::channel(Order {
            requests: fault,
            answers: Fault::None,
            generation: 0,
            cut: Cut::Close,
        });
        let passed = Arc::new(AtomicU64::new(0));
        let opened = Arc::new(AtomicU64::new(0));
        let accepting = tokio::spawn(accept(
            listener,
            upstream,
            orders,
            Arc::clone(&passed),
            Arc::clone(&opened),
        ));
        Ok(Self {
            address,
            order,
            passed,
            opened,
            accepting,
        })
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes the fault of requests for connections opened from now on, and answers pass as they
    /// are. A trickle changes its rate for open ones, too.
    pub fn set(&self, fault: Fault) {
        self.set_on(Way::Requests, fault);
    }

    /// The same for one of the two ways; the other has no fault.
    pub fn set_on(&self, way: Way, fault: Fault) {
        self.order.send_modify(|order| {
            (order.requests, order.answers) = match way {
                Way::Requests => (fault, Fault::None),
                Way::Answers => (Fault::None, fault),
            };
        });
    }

    /// Ends all connections that are open now.
    pub fn end_all(&self, cut: Cut) {
        self.order.send_modify(|order| {
            order.generation += 1;
            order.cut = cut;
        });
    }

    /// Bytes that reached the server so far.
    pub fn passed_bytes(&self) -> u64 {
        self.passed.load(Ordering::Relaxed)
    }

    /// Connections opened so far.
    pub fn connections(&self) -> u64 {
        self.opened.load(Ordering::Relaxed)
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.end_all(Cut::Close);
    }
}

async fn accept(
    listener: TcpListener,
    upstream: SocketAddr,
    orders: watch::Receiver<Order>,
    passed: Arc<AtomicU64>,
    opened: Arc<AtomicU64>,
) {
    while let Ok((client, _)) = listener.accept().await {
        opened.fetch_add(1, Ordering::Relaxed);
        if orders.borrow().requests == Fault::Refuse {
            continue;
        }
        tokio::spawn(carry(client, upstream, orders.clone(), Arc::clone(&passed)));
    }
}

async fn carry(
    client: TcpStream,
    upstream: SocketAddr,
    mut orders: watch::Receiver<Order>,
    passed: Arc<AtomicU64>,
) {
    let Ok(server) = TcpStream::connect(upstream).await else {
        return;
    };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (start, faults) = {
        let order = orders.borrow_and_update();
        (order.generation, (order.requests, order.answers))
    };
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let rates = (orders.clone(), orders.clone());
    let unseen = AtomicU64::new(0);
    let up = async {
        let way = (Way::Requests, faults.0, rates.0, passed.as_ref());
        match pass(&mut from_client, &mut to_server, way).await {
            Some(cut) => cut,
            None => {
                let _ = to_server.shutdown().await;
                std::future::pending().await // the answer may still come
            }
        }
    };
    let down = async {
        let way = (Way::Answers, faults.1, rates.1, &unseen);
        pass(&mut from_server, &mut to_client, way)
            .await
            .unwrap_or(Cut::Close)
    };
    let told = async {
        loop {
            if orders.changed().await.is_err() {
                return Cut::Close;
            }
            let order = *orders.borrow_and_update();
            if order.generation != start {
                return order.cut;
            }
        }
    };
    let cut = tokio::select! { cut = up => cut, cut = down => cut, cut = told => cut };
    let client = from_client.reunite(to_client).ok();
    let server = from_server.reunite(to_server).ok();
    match cut {
        Cut::Close => {}
        Cut::Reset => {
            for stream in client.iter().chain(server.iter()) {
                let _ = rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO));
            }
        }
        Cut::HalfOpen => {
            drop(client);
            while orders.changed().await.is_ok() {} // holds the server's side until the proxy goes
        }
    }
}

/// Carries bytes one way until that ends: `None` where their sender says that it was all.
async fn pass(
    from: &mut OwnedReadHalf,
    to: &mut OwnedWriteHalf,
    (way, fault, mut rates, passed): (Way, Fault, watch::Receiver<Order>, &AtomicU64),
) -> Option<Cut> {
    let mut carried = 0;
    let mut bytes = vec![0_u8; 64 * 1024];
    loop {
        let (most, pause) = step((way, fault), &mut rates, carried, bytes.len());
        if most == 0 {
            return match fault {
                Fault::CutAfter(_, cut) => Some(cut),
                _ => std::future::pending().await,
            };
        }
        match from.read(&mut bytes[..most]).await {
            Ok(0) => return None,
            Ok(read) => {
                if to.write_all(&bytes[..read]).await.is_err() {
                    return Some(Cut::Close);
                }
                carried += read as u64;
                passed.fetch_add(read as u64, Ordering::Relaxed);
            }
            Err(_) => return Some(Cut::Reset),
        }
        tokio::time::sleep(pause).await;
    }
}

/// How many bytes may be read next, and the pause after them.
fn step(
    (way, fault): (Way, Fault),
    orders: &mut watch::Receiver<Order>,
    carried: u64,
    most: usize,
) -> (usize, Duration) {
    let left = |limit: u64| {
        usize::try_from(limit.saturating_sub(carried))
            .unwrap_or(most)
            .min(most)
    };
    match fault {
        Fault::None | Fault::Refuse => (most, Duration::ZERO),
        Fault::CutAfter(limit, _) | Fault::StallAfter(limit) => (left(limit), Duration::ZERO),
        Fault::Trickle(first) => {
            let per_second = match orders.borrow().fault(way) {
                Fault::Trickle(rate) => rate,
                Fault::None => return (most, Duration::ZERO),
                _ => first,
            };
            let bytes = (per_second / 20).max(1);
            (
                usize::try_from(bytes).unwrap_or(most).min(most),
                Duration::from_millis(50),
            )
        }
    }
}
