//! The end of a connection that still has bytes under way.
//!
//! A server that answers early (507, 413) and closes at once loses its answer: the kernel meets the
//! unread bytes with a reset, and the client sees "connection reset" in place of the reason. So we
//! say that we are done writing, then read and drop what comes, for a bounded time and a bounded
//! number of bytes, and close when the client has understood.

use std::io;
use std::time::Duration;

use rustix::net::{Shutdown, shutdown};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

/// What is dropped at most before the connection is closed on a client that won't stop.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Linger {
    pub(crate) time: Duration,
    pub(crate) bytes_max: u64,
}

/// What is read of a request that is refused unseen.
pub(super) const REFUSED: Linger = Linger {
    time: Duration::from_secs(1),
    bytes_max: 64 << 10,
};

/// Ends the connection so that the client can read our last answer.
pub(super) async fn close(stream: &TcpStream, has_unread: bool, limits: Linger) {
    if shutdown(stream, Shutdown::Write).is_err() || !has_unread {
        return;
    }
    let deadline = Instant::now() + limits.time;
    let mut dropped = 0;
    while dropped < limits.bytes_max {
        match timeout_at(deadline, stream.readable()).await {
            Ok(Ok(())) => {}
            _ => return,
        }
        match drop_some(stream) {
            Ok(0) => return,
            Ok(count) => dropped += count as u64,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}

/// Reads and drops what is here. Not inside the future, which would hold the buffer for as long as
/// the connection lives.
fn drop_some(stream: &TcpStream) -> io::Result<usize> {
    stream.try_read(&mut [0; 16 * 1024])
}
