//! The server under the ways in: connections, their limits, and the road of a body.
//!
//! hyper is driven directly, one protocol chosen before it starts. Its own detection costs several
//! KiB more per idle connection and waits for the first bytes without a time-out. Each connection
//! is charged to the ledger before it is served; where the charge is refused, the one idle longest
//! gives its place, and the kernel's backlog is the queue. What hyper doesn't limit is limited
//! here: the time for a head, between requests, and for a client to take its answer.

mod body;
mod carrier;
mod chunks;
mod connection;
mod crowd;
mod file_body;
mod frames;
mod gate;
mod head;
mod head_check;
mod http1;
mod http2;
mod idle;
mod inflow;
mod late;
mod limits;
mod linger;
mod listener;
mod peer;
mod quota;
mod request_memory;
mod resting;
mod secure;
mod secure_gate;
mod served;
mod shared;
mod socket;
mod streams;
mod timeouts;
mod tls;
mod unread;
mod wire;

pub(crate) use body::RequestBody;
pub(crate) use file_body::{FileBody, Pieces, SendsFiles};
pub use file_body::{Piece, Span};
pub use limits::Limits;
pub use listener::Server;
pub use peer::{Connection, Connections};
pub use served::Served;
pub use tls::{TlsError, acceptor};
