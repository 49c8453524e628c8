//! Limits of connections.

use std::time::Duration;

use super::gate;
use super::head_check::HeadLimits;

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
    pub tap_bytes_min: u64,
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
            tap_bytes_min: 64 << 10,
            http2_streams_max: 64,
            http2_stream_window_bytes: 256 << 10,
            http2_window_bytes: 1 << 20,
        }
    }
}

impl Limits {
    pub(super) fn of_heads(&self) -> HeadLimits {
        HeadLimits {
            bytes_max: self.header_bytes_max.max(gate::STEP_BYTES),
            uri_bytes_max: self.uri_bytes_max,
            fields_max: self.headers_max,
        }
    }
}
