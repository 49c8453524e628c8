//! A full and a failing disk, on file systems made for the purpose. All of it needs root, and fails
//! without.
//!
//! Names carry `exclusive`: loop devices are few.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use ddx_id::SegmentId;
use ddx_memory::{Config, Ledger};
use ddx_storage::conformance::Aligned;
use ddx_storage::{
    DirectIo, Error, ErrorKind, LocalDisk, LocalDiskConfig, Store, WriteMode, Writer,
};
use ddx_testkit::Image;

const MIB: u64 = 1 << 20;

fn id(n: u8) -> SegmentId {
    SegmentId::from_bytes([n; 16])
}

fn open(root: &Path, config: LocalDiskConfig) -> LocalDisk {
    LocalDisk::open(
        root,
        config,
        Ledger::on_this_machine(Config::default()).unwrap(),
    )
    .unwrap()
}

fn content(store: &LocalDisk, id: SegmentId, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length + 1];
    let count = store
        .open_reader(id)
        .unwrap()
        .read_at(0, &mut bytes)
        .unwrap();
    bytes.truncate(count);
    bytes
}

/// Appends until the store refuses; returns the refusal.
fn fill(writer: &mut dyn Writer, buffer: &[u8]) -> Error {
    for _ in 0..10_000 {
        if let Err(error) = writer.write(buffer) {
            return error;
        }
    }
    panic!("the disk never got full");
}

/// A disk that is filled by uploads: the floor holds, reservations hold, and everything comes back
/// with a deletion.
fn the_floor_holds(config: LocalDiskConfig) {
    let image = Image::new(128 * MIB).unwrap();
    let store = open(&image.path(), config);
    let empty = store.space().unwrap();
    let buffer = Aligned::random(MIB as usize, 0, 1);
    store.create(id(1), Some(16 * MIB)).unwrap();
    let mut reserved = store.open_writer(id(1), 0).unwrap();
    reserved.write(&buffer).unwrap();
    // Four of unknown length take turns until nothing is left.
    let mut greedy: Vec<_> = (2..6)
        .map(|n| {
            store.create(id(n), None).unwrap();
            store.open_writer(id(n), 0).unwrap()
        })
        .collect();
    for writer in &mut greedy {
        let refused = fill(writer.as_mut(), &buffer);
        let ErrorKind::NoSpace {
            needed_bytes,
            free_bytes,
            floor_bytes,
        } = refused.kind()
        else {
            panic!("{refused}")
        };
        assert!(
            needed_bytes <= MIB && free_bytes < floor_bytes + needed_bytes,
            "{refused}"
        );
        // The writer is whole: what it took can be made durable.
        writer.sync().unwrap();
    }
    let full = store.space().unwrap();
    assert!(full.available_bytes() < MIB, "{full:?}");
    assert!(
        full.free_bytes >= full.floor_bytes,
        "the floor was broken: {full:?}"
    );
    assert!(matches!(
        store.create(id(9), Some(2 * MIB)).unwrap_err().kind(),
        ErrorKind::NoSpace { .. }
    ));
    // What was promised is there.
    for _ in 1..16 {
        reserved.write(&buffer).unwrap();
    }
    reserved.sync().unwrap();
    drop(reserved);
    assert!(content(&store, id(1), 16 << 20) == buffer.repeat(16));
    for (writer, n) in greedy.iter().zip(2..6) {
        let length = usize::try_from(writer.offset()).unwrap();
        let expected: Vec<u8> = buffer.iter().copied().cycle().take(length).collect();
        assert!(content(&store, id(n), length) == expected, "segment {n}");
    }
    // One goes, and the others can go on at once.
    drop(greedy.remove(0));
    store.delete(id(2)).unwrap();
    greedy[0].write(&buffer).unwrap();
    greedy[0].sync().unwrap();
    drop(greedy);
    for n in 1..6 {
        store.delete(id(n)).unwrap();
    }
    let after = store.space().unwrap();
    assert_eq!(after.reserved_bytes, 0);
    assert!(
        empty.free_bytes.abs_diff(after.free_bytes) <= 256 << 10,
        "{empty:?} {after:?}"
    );
}

#[test]
fn exclusive_a_full_disk_keeps_its_floor() {
    the_floor_holds(LocalDiskConfig::default());
}

#[test]
fn exclusive_a_full_disk_keeps_its_floor_through_the_cache() {
    the_floor_holds(LocalDiskConfig {
        direct: DirectIo::Off,
        ..LocalDiskConfig::default()
    });
}

/// Another program fills the disk to the last block, floor and all: clear answers, nothing lost,
/// and on again afterwards.
fn the_last_block(config: LocalDiskConfig) {
    let image = Image::new(64 * MIB).unwrap();
    let store = open(&image.path(), config);
    let buffer = Aligned::random(MIB as usize, 0, 2);
    store.create(id(1), Some(8 * MIB)).unwrap();
    store.create(id(2), None).unwrap();
    let mut reserved = store.open_writer(id(1), 0).unwrap();
    let mut growing = store.open_writer(id(2), 0).unwrap();
    for _ in 0..4 {
        growing.write(&buffer[..100_001]).unwrap();
    }
    let other = image.path().join("other");
    let taken = Command::new("dd")
        .arg("if=/dev/zero")
        .arg("bs=64k")
        .arg(format!("of={}", other.display()))
        .output()
        .unwrap();
    assert!(
        !taken.status.success(),
        "the other program was to fill the disk"
    );
    assert!(image.free_bytes().unwrap() < 64 << 10);
    let refused = fill(growing.as_mut(), &buffer);
    assert!(
        matches!(refused.kind(), ErrorKind::NoSpace { .. }),
        "{refused}"
    );
    growing.sync().unwrap();
    let at = growing.offset();
    assert!(at >= 400_004);
    for n in [3, 4] {
        let refused = store.create(id(n), None).unwrap_err();
        assert!(
            matches!(
                refused.kind(),
                ErrorKind::NoSpace {
                    free_bytes: ..65_536,
                    ..
                }
            ),
            "{refused}"
        );
    }
    for _ in 0..8 {
        reserved.write(&buffer).unwrap();
    }
    reserved.sync().unwrap();
    assert!(content(&store, id(1), 8 << 20) == buffer.repeat(8));
    std::fs::remove_file(other).unwrap();
    growing.write(&buffer).unwrap();
    growing.sync().unwrap();
    assert_eq!(growing.offset(), at + MIB);
    let found = content(&store, id(2), usize::try_from(at + MIB).unwrap());
    assert!(found[usize::try_from(at).unwrap()..] == *buffer);
    assert!(found[..100_001] == buffer[..100_001]);
}

#[test]
fn exclusive_another_program_takes_the_last_block() {
    the_last_block(LocalDiskConfig::default());
}

#[test]
fn exclusive_another_program_takes_the_last_block_through_the_cache() {
    the_last_block(LocalDiskConfig {
        direct: DirectIo::Off,
        ..LocalDiskConfig::default()
    });
}

/// A disk that begins to fail: an image in a memory file system that is full, so that writing
/// blocks that the image does not hold yet is an error of the device.
///
/// A loop device takes a write that did only partly fit beneath for one that did. So no write may
/// end in the midst of what fits: the image holds all its blocks until
/// [`fails_where_nothing_is`](Self::fails_where_nothing_is) takes those away that no file has.
struct FailingDisk(tempfile::TempDir);

impl FailingDisk {
    fn new() -> Self {
        let disk = Self(tempfile::tempdir().unwrap());
        for folder in ["small", "mounted"] {
            std::fs::create_dir(disk.0.path().join(folder)).unwrap();
        }
        call(
            Command::new("mount")
                .args(["-t", "tmpfs", "-o", "size=100m", "none"])
                .arg(disk.small()),
        );
        let image = disk.small().join("disk.img");
        let file = std::fs::File::create(&image).unwrap();
        file.set_len(96 * MIB).unwrap();
        // Else tables are made while the test runs.
        let at_once = "nodiscard,lazy_itable_init=0,lazy_journal_init=0";
        call(
            Command::new("mkfs.ext4")
                .args(["-q", "-F", "-m", "0", "-E", at_once])
                .arg(&image),
        );
        rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, 96 * MIB).unwrap();
        call(
            Command::new("mount")
                .args(["-o", "loop"])
                .arg(&image)
                .arg(disk.path()),
        );
        disk
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("mounted")
    }

    fn small(&self) -> PathBuf {
        self.0.path().join("small")
    }

    /// From now on only blocks can be written that are the file system's own or a file's.
    fn fails_where_nothing_is(&self) {
        call(Command::new("fstrim").arg(self.path()));
        let filled = Command::new("dd")
            .args(["if=/dev/zero", "bs=64k"])
            .arg(format!("of={}", self.small().join("rest").display()))
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&filled.stderr);
        assert!(told.contains("No space left"), "{told}");
    }
}

impl Drop for FailingDisk {
    fn drop(&mut self) {
        for folder in [self.path(), self.small()] {
            let _ = Command::new("umount").arg("-l").arg(folder).status();
        }
    }
}

fn call(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {} (it needs root)",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Writes to a disk that fails after 16 MiB: what the writer was told, and the writer.
fn until_it_fails(
    disk: &FailingDisk,
    store: &LocalDisk,
    buffer: &[u8],
) -> (Error, Box<dyn Writer>) {
    store.create(id(1), None).unwrap();
    store.reserve(id(1), WELL_BYTES).unwrap();
    disk.fails_where_nothing_is();
    let mut writer = store.open_writer(id(1), 0).unwrap();
    while writer.offset() < WELL_BYTES {
        writer.write(buffer).unwrap();
        writer.sync().unwrap();
    }
    // The file system has room; what is beneath has none.
    assert!(store.space().unwrap().available_bytes() > 8 * MIB);
    let failure = writer.write(buffer).and_then(|()| writer.sync());
    (failure.unwrap_err(), writer)
}

/// So much can be written before the disk fails.
const WELL_BYTES: u64 = 16 * MIB;

fn is_intact(store: &LocalDisk, buffer: &[u8], length: u64) -> bool {
    let length = usize::try_from(length).unwrap();
    let expected: Vec<u8> = buffer.iter().copied().cycle().take(length).collect();
    content(store, id(1), length)[..length] == expected
}

/// When the kernel could not write pages back, the writer repeats that it failed, and no other
/// builds on what was not synced.
#[test]
fn exclusive_a_failed_write_back_is_not_forgotten() {
    let disk = FailingDisk::new();
    let store = open(
        &disk.path(),
        LocalDiskConfig {
            direct: DirectIo::Off,
            ..LocalDiskConfig::default()
        },
    );
    let buffer = Aligned::random(MIB as usize, 0, 3);
    let (failure, mut writer) = until_it_fails(&disk, &store, &buffer);
    assert_eq!(
        failure.kind(),
        ErrorKind::Io { retryable: false },
        "{failure}"
    );
    for _ in 0..2 {
        assert_eq!(
            writer.sync().unwrap_err().kind(),
            ErrorKind::Io { retryable: false }
        );
        assert_eq!(
            writer.write(b"x").unwrap_err().kind(),
            ErrorKind::Io { retryable: false }
        );
    }
    drop(writer);
    let refused = store.open_writer(id(1), WELL_BYTES + 1).err().unwrap();
    assert_eq!(refused.kind(), ErrorKind::Corrupt, "{refused}");
    assert!(is_intact(&store, &buffer, WELL_BYTES));
}

/// A direct write hears at once that the device beneath is full (as thinly provisioned ones get),
/// and nothing is in doubt.
#[test]
fn exclusive_a_device_that_is_full_beneath_is_told() {
    let disk = FailingDisk::new();
    let store = open(&disk.path(), LocalDiskConfig::default());
    let buffer = Aligned::random(MIB as usize, 0, 4);
    let (failure, writer) = until_it_fails(&disk, &store, &buffer);
    assert!(
        matches!(failure.kind(), ErrorKind::NoSpace { .. }),
        "{failure}"
    );
    assert!(is_intact(&store, &buffer, WELL_BYTES));
    drop(writer);
    assert!(is_intact(&store, &buffer, WELL_BYTES));
}

/// A folder on a disk that takes no changes is read from, and every change is refused for that
/// reason.
#[test]
fn exclusive_a_folder_that_takes_no_changes_can_be_read() {
    let image = Image::new(32 * MIB).unwrap();
    let config = LocalDiskConfig::default;
    let store = open(&image.path(), config());
    assert_ne!(store.write_mode(), WriteMode::ReadOnly);
    store.create(id(1), None).unwrap();
    let mut writer = store.open_writer(id(1), 0).unwrap();
    writer.write(&[7; 5000]).unwrap();
    writer.sync().unwrap();
    drop((writer, store));
    std::fs::remove_file(image.path().join("lock")).unwrap();
    image.remount("ro").unwrap();

    let store = open(&image.path(), config());
    assert_eq!(store.write_mode(), WriteMode::ReadOnly);
    assert_eq!(content(&store, id(1), 5000), [7; 5000]);
    assert_eq!(store.list(None, 9).unwrap(), [id(1)]);
    assert!(store.space().unwrap().total_bytes > 0);
    let refused = [
        store.create(id(2), Some(100)).unwrap_err(),
        store.reserve(id(1), MIB).unwrap_err(),
        store.open_writer(id(1), 5000).map(drop).unwrap_err(),
        store.delete(id(1)).unwrap_err(),
        store.try_change().unwrap_err(),
    ];
    for error in refused {
        assert_eq!(error.kind(), ErrorKind::ReadOnly, "{error}");
    }
    let impatient = LocalDiskConfig {
        lock_wait: Duration::ZERO,
        ..config()
    };
    let ledger = Ledger::on_this_machine(Config::default()).unwrap();
    let second = LocalDisk::open(&image.path(), impatient, ledger).unwrap_err();
    assert_eq!(second.kind(), ErrorKind::Busy, "{second}");
    drop(store);

    image.remount("rw").unwrap();
    let store = open(&image.path(), config());
    store.try_change().unwrap();
    store.delete(id(1)).unwrap();
}

/// Two servers never share a folder, and the second one learns who has it.
#[test]
fn a_folder_belongs_to_one_server() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let impatient = || LocalDiskConfig {
        lock_wait: Duration::ZERO,
        ..LocalDiskConfig::default()
    };
    let ledger = Ledger::on_this_machine(Config::default()).unwrap();
    let first = open(folder.path(), impatient());
    let refused = LocalDisk::open(folder.path(), impatient(), ledger.clone()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Busy);
    assert!(
        refused
            .to_string()
            .contains(&format!("process {}", std::process::id())),
        "{refused}"
    );
    // A patient one gets it when the first one ends, its last writer included.
    first.create(id(1), None).unwrap();
    let writer = first.open_writer(id(1), 0).unwrap();
    drop(first);
    assert_eq!(
        LocalDisk::open(folder.path(), impatient(), ledger.clone())
            .unwrap_err()
            .kind(),
        ErrorKind::Busy
    );
    let patient = LocalDiskConfig {
        lock_wait: Duration::from_secs(60),
        ..LocalDiskConfig::default()
    };
    let path = folder.path().to_owned();
    let waiting = std::thread::spawn(move || LocalDisk::open(&path, patient, ledger).map(drop));
    drop(writer);
    waiting.join().unwrap().unwrap();
}
