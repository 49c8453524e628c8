//! What an operator may set of the life of an upload.

use std::time::Duration;

use ddx_catalog::FileRecord;

use crate::protocol::Protocol;

/// Limits and intervals. Each is a setting of the server.
#[derive(Debug, Clone)]
pub struct Config {
    /// The protocols by which uploads come. Default none: a record of a protocol that is not among
    /// them is kept as one that can be resumed.
    pub protocols: Vec<Protocol>,
    /// Files of at most this size live in the catalog itself.
    pub inline_bytes_max: u64,
    /// The smallest buffer, and what is waited for in the queue.
    pub buffer_bytes_min: u64,
    /// The largest buffer.
    pub buffer_bytes_max: u64,
    /// A buffer that fills in less than this is followed by a larger one.
    pub buffer_fill_time: Duration,
    /// How long a partly filled buffer waits for more bytes before it is written and given back.
    pub linger: Duration,
    /// A client that sends slowly is read when so many of its bytes have gathered in the kernel,
    pub slow_read_bytes: u64,
    /// and after this at the latest.
    pub slow_read_every: Duration,
    /// How often an upload in progress is made durable.
    pub checkpoint_every: Duration,
    /// After how many bytes it is made durable, if that comes first.
    pub checkpoint_bytes: u64,
    /// A body may pause for this long.
    pub body_idle: Duration,
    /// One that can't be resumed may pause for this long, as long as no other client wants its
    /// connection's place.
    pub body_pause: Duration,
    /// An upload on which nothing happened for this long is given up.
    pub upload_expires: Duration,
    /// So long space stays reserved for an upload to which no byte has come.
    pub reservation_expires: Duration,
    /// A file goes this long after it was completed; never where None.
    pub file_expires: Option<Duration>,
    /// The largest file; as the disk allows where None.
    pub file_bytes_max: Option<u64>,
    /// So long a reader may continue a download of a file whose downloads are counted.
    pub download_lease: Duration,
    /// Who has had no more than this of such a file keeps no one else from it.
    pub preview_bytes: u64,
    /// Readers of such files that are remembered at once.
    pub readers_max: usize,
    /// How many of these may be one client's.
    pub readers_per_client_max: usize,
    /// Of how many parts a file may be joined.
    pub parts_max: usize,
    /// Whether SHA-256 is computed for every file.
    pub sha256_always: bool,
    /// How fast files are read for digests that were left for later.
    pub late_digest_bytes_per_second: u64,
    /// How often expired files and freed space are seen to.
    pub housekeeping_every: Duration,
    /// Buffer of a download, and of reading back.
    pub download_bytes: u64,
    /// Threads on which the kernel sends files at once. Each waits for the disk, so that all of
    /// them would keep everybody waiting.
    pub download_threads: usize,
    /// What a connection's send queue may hold before it takes no more.
    pub send_queue_bytes: u64,
    /// Threads that hash and write at once.
    pub writer_threads: usize,
}

impl Config {
    /// The protocol of a record.
    pub(crate) fn protocol_of(&self, record: &FileRecord) -> Protocol {
        let mut protocols = self.protocols.iter();
        let known = protocols.find(|protocol| protocol.name == record.protocol);
        known.copied().unwrap_or(Protocol::OTHER)
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            protocols: Vec::new(),
            inline_bytes_max: 16 << 10,
            buffer_bytes_min: 16 << 10,
            buffer_bytes_max: 4 << 20,
            buffer_fill_time: Duration::from_millis(50),
            linger: Duration::from_millis(25),
            slow_read_bytes: 8 << 10,
            slow_read_every: Duration::from_secs(5),
            checkpoint_every: Duration::from_secs(5),
            checkpoint_bytes: 256 << 20,
            body_idle: Duration::from_secs(60),
            body_pause: Duration::from_secs(6 * 3600),
            upload_expires: Duration::from_secs(24 * 3600),
            reservation_expires: Duration::from_secs(600),
            file_expires: None,
            file_bytes_max: None,
            download_lease: Duration::from_secs(6 * 3600),
            preview_bytes: 64 << 10,
            readers_max: 16_384,
            readers_per_client_max: 1_024,
            parts_max: 1_000,
            sha256_always: false,
            late_digest_bytes_per_second: 100 << 20,
            housekeeping_every: Duration::from_secs(10),
            download_bytes: 256 << 10,
            download_threads: 4,
            send_queue_bytes: 16 << 10,
            writer_threads: 8,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_by_a_protocol_that_is_not_spoken_any_more_is_kept() {
        let whole = Protocol {
            name: "whole",
            is_resumable: false,
        };
        let config = Config {
            protocols: vec![whole],
            ..Config::default()
        };
        let of = |protocol: &str| {
            config.protocol_of(&FileRecord {
                protocol: protocol.to_owned(),
                ..FileRecord::default()
            })
        };
        assert_eq!(of("whole"), whole);
        assert_eq!(of("gone"), Protocol::OTHER);
        assert!(of("gone").is_resumable);
    }
}
