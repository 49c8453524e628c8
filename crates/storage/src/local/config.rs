//! Settings of the local disk. The defaults suit a disk from 4 GB to many TB, spinning or not.

use std::time::Duration;

use crate::{Error, ErrorKind};

/// Bytes of a block: what direct I/O is aligned to, in memory and on disk. 4096 suits every disk
/// with 512-byte or 4 KiB sectors and is the page size of the machines we know.
pub(crate) const BLOCK_BYTES: u64 = 4096;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// Whether whole blocks may go past the page cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DirectIo {
    /// Where the file system does it, as tried when the store is opened.
    #[default]
    Auto,
    /// Never.
    Off,
}

/// Settings of a [`LocalDisk`](crate::LocalDisk). All sizes in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalDiskConfig {
    /// Direct I/O. Default: where the file system does it.
    pub direct: DirectIo,
    /// How long to wait for the folder if another server has it. Default 2 s: one that is being
    /// stopped, or a child of its that has not called `exec` yet, holds the lock a moment longer.
    pub lock_wait: Duration,
    /// The shortest run of whole blocks that is worth a write past the cache. Default 64 KiB: below
    /// it the disk's own delay per write costs more than the copy saves.
    pub direct_bytes_min: u64,
    /// What has to stay free on the disk. Default: 1 % of it, at least 64 MiB, but never more than
    /// a tenth of it.
    pub free_floor_bytes: Option<u64>,
    /// The least dirty page cache that a slow writer holds before it is written back. Default 16
    /// KiB.
    pub window_bytes_min: u64,
    /// The most a fast one does (twice that: one window fills while the one before is written).
    /// Default 1 MiB.
    pub window_bytes_max: u64,
    /// Written pages are dropped from the page cache when so many have gathered. Default 16 KiB.
    pub drop_bytes_min: u64,
    /// A segment of unknown length claims space in steps as large as what it holds already, from
    /// this on. Default 256 KiB.
    pub growth_bytes_min: u64,
    /// Up to this. Default 64 MiB.
    pub growth_bytes_max: u64,
}

impl Default for LocalDiskConfig {
    fn default() -> Self {
        Self {
            direct: DirectIo::Auto,
            lock_wait: Duration::from_secs(2),
            direct_bytes_min: 64 * KIB,
            free_floor_bytes: None,
            window_bytes_min: 16 * KIB,
            window_bytes_max: MIB,
            drop_bytes_min: 16 * KIB,
            growth_bytes_min: 256 * KIB,
            growth_bytes_max: 64 * MIB,
        }
    }
}

impl LocalDiskConfig {
    pub(super) fn check(&self) -> Result<(), Error> {
        let refuse = |name, value, why| {
            Err(Error::new(
                ErrorKind::Setting,
                format!("{name} is {value}, which is {why}"),
            ))
        };
        if self.direct_bytes_min < BLOCK_BYTES {
            return refuse(
                "direct_bytes_min",
                self.direct_bytes_min,
                "less than a block of 4096 bytes",
            );
        }
        if self.window_bytes_min < BLOCK_BYTES {
            return refuse(
                "window_bytes_min",
                self.window_bytes_min,
                "less than a page of 4096 bytes",
            );
        }
        if self.window_bytes_max < self.window_bytes_min {
            return refuse(
                "window_bytes_max",
                self.window_bytes_max,
                "less than window_bytes_min",
            );
        }
        if self.growth_bytes_min == 0 {
            return refuse("growth_bytes_min", 0, "no step at all");
        }
        if self.growth_bytes_max < self.growth_bytes_min {
            return refuse(
                "growth_bytes_max",
                self.growth_bytes_max,
                "less than growth_bytes_min",
            );
        }
        Ok(())
    }

    /// What has to stay free on a disk of this size.
    pub(super) fn floor_bytes(&self, total_bytes: u64) -> u64 {
        self.free_floor_bytes
            .unwrap_or_else(|| (total_bytes / 100).max((64 * MIB).min(total_bytes / 10)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_floor_follows_the_disk() {
        let config = LocalDiskConfig::default();
        assert_eq!(config.floor_bytes(1 << 40), (1 << 40) / 100);
        assert_eq!(config.floor_bytes(4 << 30), 64 * MIB);
        assert_eq!(config.floor_bytes(100 * MIB), 10 * MIB);
        let given = LocalDiskConfig {
            free_floor_bytes: Some(7),
            ..config
        };
        assert_eq!(given.floor_bytes(1 << 40), 7);
    }

    #[test]
    fn settings_that_cannot_work_are_refused_by_name() {
        LocalDiskConfig::default().check().unwrap();
        let default = LocalDiskConfig::default;
        for (config, name) in [
            (
                LocalDiskConfig {
                    direct_bytes_min: 512,
                    ..default()
                },
                "direct_bytes_min",
            ),
            (
                LocalDiskConfig {
                    window_bytes_min: 0,
                    ..default()
                },
                "window_bytes_min",
            ),
            (
                LocalDiskConfig {
                    window_bytes_max: 4096,
                    ..default()
                },
                "window_bytes_max",
            ),
            (
                LocalDiskConfig {
                    growth_bytes_min: 0,
                    ..default()
                },
                "growth_bytes_min",
            ),
            (
                LocalDiskConfig {
                    growth_bytes_max: 1,
                    ..default()
                },
                "growth_bytes_max",
            ),
        ] {
            let error = config.check().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Setting);
            assert!(error.to_string().starts_with(name), "{error}");
        }
    }
}
