//! How much of the page cache a writer takes, and what the ledger knows of it.
#![allow(unsafe_code, reason = "mincore(2) is the only way to ask")]

use std::fs::File;
use std::os::fd::AsRawFd as _;

use ddx_id::SegmentId;
use ddx_memory::{Account, Config, Ledger};
use ddx_storage::conformance::Aligned;
use ddx_storage::{DirectIo, LocalDisk, LocalDiskConfig, Store};

const MIB: u64 = 1 << 20;
const PAGE: u64 = 4096;

/// How many bytes of the file are in the page cache.
fn cached_bytes(file: &File) -> u64 {
    let length = usize::try_from(file.metadata().unwrap().len()).unwrap();
    let mut pages = vec![0u8; length.div_ceil(PAGE as usize)];
    // SAFETY: a fresh mapping of `length` bytes of an open file; its memory is never touched, only
    // asked about, and it is unmapped below; `pages` has one byte for each of its pages, as
    // mincore(2) demands.
    unsafe {
        let address = libc::mmap(
            std::ptr::null_mut(),
            length,
            libc::PROT_READ,
            libc::MAP_SHARED,
            file.as_raw_fd(),
            0,
        );
        assert_ne!(address, libc::MAP_FAILED);
        assert_eq!(libc::mincore(address, length, pages.as_mut_ptr()), 0);
        assert_eq!(libc::munmap(address, length), 0);
    }
    pages.iter().filter(|page| **page & 1 == 1).count() as u64 * PAGE
}

struct Setting {
    _folder: tempfile::TempDir,
    ledger: Ledger,
    store: LocalDisk,
}

fn setting(direct: DirectIo) -> Setting {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let ledger = Ledger::on_this_machine(Config::default()).unwrap();
    let config = LocalDiskConfig {
        direct,
        ..LocalDiskConfig::default()
    };
    let store = LocalDisk::open(folder.path(), config, ledger.clone()).unwrap();
    Setting {
        _folder: folder,
        ledger,
        store,
    }
}

impl Setting {
    fn charged(&self) -> u64 {
        self.ledger
            .snapshot()
            .accounts
            .iter()
            .filter(|(account, _)| *account == Account::DirtyWindows)
            .map(|(_, bytes)| *bytes)
            .sum()
    }

    fn cached(&self, id: SegmentId) -> u64 {
        cached_bytes(self.store.open_reader(id).unwrap().file().unwrap())
    }
}

fn id(n: u8) -> SegmentId {
    SegmentId::from_bytes([n; 16])
}

#[test]
fn a_fast_writer_through_the_cache_holds_two_windows_and_none_after_sync() {
    let setting = setting(DirectIo::Off);
    let bytes = Aligned::random(100_001, 0, 1);
    setting.store.create(id(1), Some(40 * MIB)).unwrap();
    let mut writer = setting.store.open_writer(id(1), 0).unwrap();
    let (mut most_cached, mut most_charged) = (0, 0);
    while writer.offset() < 32 * MIB {
        writer.write(&bytes).unwrap();
        most_charged = most_charged.max(setting.charged());
        most_cached = most_cached.max(setting.cached(id(1)));
    }
    assert!(
        (MIB..=2 * MIB).contains(&most_charged),
        "{most_charged} charged"
    );
    // Pages of the window that was just dropped may stay for a moment if another processor holds
    // them.
    assert!(most_cached <= 3 * MIB, "{most_cached} cached");
    writer.sync().unwrap();
    assert_eq!(setting.charged(), 0);
    let left = setting.cached(id(1));
    assert!(left <= 64 << 10, "{left} bytes cached after sync");
}

#[test]
fn direct_writing_leaves_nothing_in_the_cache_and_is_charged_nothing() {
    let setting = setting(DirectIo::Auto);
    let bytes = Aligned::random(MIB as usize, 0, 2);
    setting.store.create(id(1), None).unwrap();
    let mut writer = setting.store.open_writer(id(1), 0).unwrap();
    for _ in 0..16 {
        writer.write(&bytes).unwrap();
        assert_eq!(setting.charged(), 0);
    }
    assert_eq!(setting.cached(id(1)), 0);
    writer.write(&bytes[..10_000]).unwrap();
    assert!((10_000..=16 << 10).contains(&setting.charged()));
    writer.sync().unwrap();
    assert_eq!(setting.charged(), 0);
}

#[test]
fn slow_writers_are_charged_only_until_they_sync() {
    let setting = setting(DirectIo::Auto);
    let bytes = Aligned::random(5000, 0, 3);
    let mut writers: Vec<_> = (0..100)
        .map(|n| {
            setting.store.create(id(n), None).unwrap();
            setting.store.open_writer(id(n), 0).unwrap()
        })
        .collect();
    for _ in 0..4 {
        for writer in &mut writers {
            writer.write(&bytes).unwrap();
        }
        assert_eq!(setting.charged(), 100 * (16 << 10));
        for writer in &mut writers {
            writer.sync().unwrap();
        }
        assert_eq!(setting.charged(), 0);
    }
    // A connection that breaks before its sync gives its charge back too.
    writers[0].write(&bytes).unwrap();
    assert_eq!(setting.charged(), 16 << 10);
    drop(writers);
    assert_eq!(setting.charged(), 0);
}

#[test]
fn without_any_memory_bytes_go_straight_through() {
    let setting = setting(DirectIo::Off);
    let mut charges = Vec::new();
    let mut step = 1 << 40;
    while step >= PAGE {
        match setting.ledger.charge(Account::DirtyWindows, step) {
            Ok(charge) => charges.push(charge),
            Err(_) => step /= 2,
        }
    }
    let all = setting.charged();
    let bytes = Aligned::random(100_001, 0, 4);
    setting.store.create(id(1), None).unwrap();
    let mut writer = setting.store.open_writer(id(1), 0).unwrap();
    for _ in 0..30 {
        writer.write(&bytes).unwrap();
        let cached = setting.cached(id(1));
        assert!(cached <= 128 << 10, "{cached} bytes cached");
    }
    assert_eq!(setting.charged(), all, "nothing was charged");
    writer.sync().unwrap();
    drop(writer);
    let mut found = vec![0; 30 * bytes.len()];
    assert_eq!(
        setting
            .store
            .open_reader(id(1))
            .unwrap()
            .read_at(0, &mut found)
            .unwrap(),
        found.len()
    );
    assert!(found == bytes.repeat(30));
}

#[test]
fn what_is_written_back_is_not_charged_and_not_lost() {
    let setting = setting(DirectIo::Off);
    let bytes = Aligned::random(10_000, 0, 1);
    setting.store.create(id(1), None).unwrap();
    let mut writer = setting.store.open_writer(id(1), 0).unwrap();
    for piece in bytes[..].chunks(5_000) {
        writer.write(piece).unwrap();
        assert_ne!(setting.charged(), 0);
        writer.write_back().unwrap();
        assert_eq!(setting.charged(), 0);
    }
    writer.sync().unwrap();
    let mut read = vec![0; 10_000];
    let reader = setting.store.open_reader(id(1)).unwrap();
    assert_eq!(reader.read_at(0, &mut read).unwrap(), 10_000);
    assert_eq!(read, bytes[..]);
}

#[test]
fn a_slow_file_leaves_no_more_in_the_cache_than_the_page_that_goes_on() {
    let setting = setting(DirectIo::Off);
    let bytes = Aligned::random(6_000, 0, 1);
    // What is written back before its end is slow, also the first time.
    setting.store.create(id(2), None).unwrap();
    let mut writer = setting.store.open_writer(id(2), 0).unwrap();
    writer.write(&bytes[..]).unwrap();
    writer.write_back().unwrap();
    let cached = setting.cached(id(2));
    assert!(cached <= PAGE, "{cached} bytes cached");
    drop(writer);
    setting.store.create(id(1), None).unwrap();
    let mut writer = setting.store.open_writer(id(1), 0).unwrap();
    writer.write(&bytes[..]).unwrap();
    writer.sync().unwrap();
    assert!(
        setting.cached(id(1)) > 0,
        "a short file may be fetched at once"
    );
    for step in 0..4 {
        writer.write(&bytes[..]).unwrap();
        match step % 2 {
            0 => writer.sync().unwrap(),
            _ => writer.write_back().unwrap(),
        }
        let cached = setting.cached(id(1));
        assert!(cached <= PAGE, "{cached} bytes cached after {step}");
    }
}
