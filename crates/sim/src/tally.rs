//! What a run of many lives went through, in numbers.

use std::fmt;

macro_rules! tally {
    ($($field:ident: $words:literal),* $(,)?) => {
        /// Sums over lives.
        #[derive(Debug, Clone, Default, PartialEq, Eq)]
        pub struct Tally {
            $(#[doc = $words] pub $field: u64,)*
        }

        impl Tally {
            /// Adds another's numbers.
            pub fn add(&mut self, other: &Self) {
                $(self.$field += other.$field;)*
            }
        }

        impl fmt::Display for Tally {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                $(writeln!(f, "{:>14}  {}", self.$field, $words)?;)*
                Ok(())
            }
        }
    };
}

tally! {
    lives: "lives",
    events: "events",
    simulated_seconds: "simulated seconds",
    processes: "processes",
    power_cuts: "power cuts",
    kills: "kills",
    stops: "orderly stops",
    crashed_starts: "starts that a crash or a fault ended",
    uploads: "uploads that clients began",
    files: "files whole and read back to the last byte",
    inline_files: "of these in the catalog",
    joined_files: "of these joined from parts",
    requests: "requests with bytes",
    cut_bodies: "bodies that were cut",
    stalled_bodies: "bodies that stalled",
    gone_clients: "clients that went away",
    twins: "second writers at the same time",
    superseded: "requests that gave way to a newer one",
    wrong_digests: "bodies with a wrong digest",
    resumed: "uploads resumed after a crash",
    acknowledged_bytes: "bytes acknowledged",
    compared_bytes: "bytes read back and compared",
    followed_bytes: "bytes downloaded while their file arrived",
    lost_bytes: "acknowledged bytes lost",
    deleted: "files deleted and uploads cancelled",
    expired: "uploads that expired under their client",
    waits: "waits for memory",
    disk_io_errors: "disk calls that failed with an I/O error",
    disk_passing_errors: "disk calls that failed for the moment",
    disk_full_errors: "disk calls that found the disk full",
    disk_short: "writes and reads that stopped half-way",
    disk_stalls: "disk calls that stalled",
    catalog_errors: "transactions of the catalog that failed",
    neighbours: "neighbours that took memory",
    blind_times: "times without a reading of memory",
    disk_neighbours: "neighbours that took disk space",
    clock_jumps: "jumps of the clock",
    no_space: "requests refused for want of space",
}
