//! Every limit of the SQLite catalog.

use std::time::Duration;

/// Limits and sizes. The defaults are for a box of 32 MiB: the whole catalog stays within 3 MiB
/// resident.
#[derive(Debug, Clone)]
pub struct Config {
    /// Changes that may wait for the writer. More callers wait in order outside the queue. Default
    /// 1,024.
    pub write_queue_ops_max: usize,
    /// Bytes (inline bytes and texts) that waiting changes may hold together; the next one waits. A
    /// single change above it is let through alone. Default 4 MiB: bytes that wait here are in no
    /// lease once their request was cut, so the bound must not rest on callers.
    pub write_queue_bytes_max: u64,
    /// Changes in one transaction. Default 512: by then the one flush costs each next to nothing,
    /// and more would only make the first wait for the last.
    pub batch_ops_max: usize,
    /// Reads that may wait for a reader. Default 256.
    pub read_queue_ops_max: usize,
    /// Reader threads, each with a connection. Default 2.
    pub readers: usize,
    /// Page cache of the writer's connection. Default 1 MiB.
    pub writer_cache_bytes: u64,
    /// Page cache of each reader's connection. Default 256 KiB: the kernel's page cache is behind
    /// it.
    pub reader_cache_bytes: u64,
    /// Frames (pages of 4 KiB) in the write-ahead log from which on they are copied into the
    /// database; under load the log grows to at most four times that. Default 1,000: with 8,000, a
    /// tenth more small files were created per second, and the slowest in a hundred took twice as
    /// long.
    pub wal_frames_max: u32,
    /// What stays of the log file on disk after it was copied. Default 16 MiB: what is kept is room
    /// to delete in when the disk is full.
    pub wal_kept_bytes: u64,
    /// What is set aside on the disk for changes when it is full. Default 4 MiB; none where 0.
    pub ballast_bytes: u64,
    /// How long to wait for another process's lock (an operator's shell). Default 5 s.
    pub busy_timeout: Duration,
    /// Longest inline file. Default 256 KiB.
    pub inline_bytes_max: u64,
    /// Longest sum of a record's texts and digest state. Default 64 KiB.
    pub record_bytes_max: u64,
    /// Most segments, and most parts, of one file. Default 16,384.
    pub list_max: usize,
    /// Backups taken before migrations that are kept. Default 3.
    pub backups_kept: usize,
    /// Whether a catalog that is older than what its folder had last is opened all the same.
    /// Default no.
    pub accept_older: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            write_queue_ops_max: 1_024,
            write_queue_bytes_max: 4 << 20,
            batch_ops_max: 512,
            read_queue_ops_max: 256,
            readers: 2,
            writer_cache_bytes: 1 << 20,
            reader_cache_bytes: 256 << 10,
            wal_frames_max: 1_000,
            wal_kept_bytes: 16 << 20,
            ballast_bytes: 4 << 20,
            busy_timeout: Duration::from_secs(5),
            inline_bytes_max: 256 << 10,
            record_bytes_max: 64 << 10,
            list_max: 16_384,
            backups_kept: 3,
            accept_older: false,
        }
    }
}
