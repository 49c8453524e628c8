//! The conformance suite on the file systems that matter: the machine's own disk, memory, and a
//! small ext4 of our own.

use ddx_memory::{Config, Ledger};
use ddx_storage::conformance::Subject;
use ddx_storage::{DirectIo, LocalDisk, LocalDiskConfig, Store, WriteMode};

fn ledger() -> Ledger {
    Ledger::on_this_machine(Config::default()).unwrap()
}

fn temporary(parent: &str) -> tempfile::TempDir {
    tempfile::tempdir_in(parent).unwrap()
}

/// A folder, and how it is to be opened.
struct Folder {
    folder: tempfile::TempDir,
    config: LocalDiskConfig,
}

impl Subject for Folder {
    fn open(&self) -> Box<dyn Store> {
        Box::new(LocalDisk::open(self.folder.path(), self.config.clone(), ledger()).unwrap())
    }

    fn has_own_disk(&self) -> bool {
        false
    }
}

/// Where the tests are built: on a disk.
fn on_disk(config: LocalDiskConfig) -> Folder {
    Folder {
        folder: temporary(env!("CARGO_TARGET_TMPDIR")),
        config,
    }
}

mod disk {
    use super::*;

    fn subject() -> Folder {
        let subject = on_disk(LocalDiskConfig::default());
        assert_eq!(
            subject.open().write_mode(),
            WriteMode::Direct,
            "the suite is meant to try direct I/O here"
        );
        subject
    }

    ddx_storage::conformance_tests!(subject());
}

mod disk_without_direct_io {
    use super::*;

    fn subject() -> Folder {
        on_disk(LocalDiskConfig {
            direct: DirectIo::Off,
            ..LocalDiskConfig::default()
        })
    }

    ddx_storage::conformance_tests!(subject());
}

/// Every step at its smallest, so that small tests take all turns.
mod disk_with_small_steps {
    use super::*;

    fn subject() -> Folder {
        on_disk(LocalDiskConfig {
            direct_bytes_min: 4096,
            window_bytes_min: 4096,
            window_bytes_max: 8192,
            drop_bytes_min: 0,
            growth_bytes_min: 1,
            growth_bytes_max: 5000,
            ..LocalDiskConfig::default()
        })
    }

    ddx_storage::conformance_tests!(subject());
}

mod memory {
    use super::*;

    fn subject() -> Folder {
        let subject = Folder {
            folder: temporary("/dev/shm"),
            config: LocalDiskConfig::default(),
        };
        assert!(matches!(
            subject.open().write_mode(),
            WriteMode::Windowed { .. }
        ));
        subject
    }

    ddx_storage::conformance_tests!(subject());
}

/// Names carry `exclusive`: loop devices are few.
mod exclusive_image {
    use super::*;

    struct Image(ddx_testkit::Image);

    impl Subject for Image {
        fn open(&self) -> Box<dyn Store> {
            let root = self.0.path().join("data");
            Box::new(LocalDisk::open(&root, LocalDiskConfig::default(), ledger()).unwrap())
        }

        fn has_own_disk(&self) -> bool {
            true
        }
    }

    fn subject() -> Image {
        Image(ddx_testkit::Image::new(96 << 20).unwrap())
    }

    ddx_storage::conformance_tests!(subject());
}
