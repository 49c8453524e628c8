//! Sentences about space. Those that compare figures need a disk of their own.

use super::{Aligned, Subject, content, listed, segment};
use crate::{ErrorKind, Store};

/// What a file system may take for itself (tree blocks, folders) in a test of some MiB.
const OVERHEAD_BYTES: u64 = 256 << 10;

fn available(store: &dyn Store) -> u64 {
    store.space().expect("space").available_bytes()
}

/// A length that can't fit is refused at once, with the figures; nothing of it stays.
pub fn what_does_not_fit_is_refused_and_leaves_nothing(subject: &dyn Subject) {
    let store = subject.open();
    let space = store.space().expect("space");
    assert!(space.free_bytes <= space.total_bytes);
    assert!(space.floor_bytes < space.total_bytes);
    for length in [space.total_bytes, 1 << 60, u64::MAX / 2] {
        let refused = store
            .create(segment(1), Some(length))
            .expect_err("more than the disk");
        let ErrorKind::NoSpace {
            needed_bytes,
            free_bytes,
            floor_bytes,
        } = refused.kind()
        else {
            panic!("{refused}");
        };
        assert!(needed_bytes >= length);
        assert!(free_bytes <= space.total_bytes);
        assert_eq!(floor_bytes, space.floor_bytes);
        assert!(!refused.is_retryable());
        assert_eq!(listed(&*store), []);
    }
    store
        .create(segment(1), Some(1000))
        .expect("what fits is made, under the same name");
    let refused = store
        .reserve(segment(1), 1 << 60)
        .expect_err("nor can it grow to that");
    assert!(
        matches!(refused.kind(), ErrorKind::NoSpace { .. }),
        "{refused}"
    );
    let mut writer = store
        .open_writer(segment(1), 0)
        .expect("the refusal harmed nothing");
    writer.write(&[1; 1000]).expect("write");
}

/// A known length is taken from what is available at once, stays so however the segment is written,
/// cut and opened again, and comes back with its deletion.
pub fn a_reservation_is_kept_and_given_back(subject: &dyn Subject) {
    const LENGTH: u64 = 8 << 20;
    let near = |store: &dyn Store, expected: u64, when: &str| {
        if subject.has_own_disk() {
            let found = available(store);
            assert!(
                found.abs_diff(expected) <= OVERHEAD_BYTES,
                "{when}: {found} available, {expected} expected"
            );
        }
    };
    let bytes = Aligned::random(LENGTH as usize, 0, 6);
    let store = subject.open();
    let before = available(&*store);
    store.create(segment(1), Some(LENGTH)).expect("make");
    near(&*store, before - LENGTH, "made");
    store.reserve(segment(1), LENGTH).expect("reserve");
    store.reserve(segment(1), LENGTH / 2).expect("reserve less");
    near(&*store, before - LENGTH, "reserved again");
    for at in [0, 1 << 20, 4 << 20, 1_000_001] {
        let mut writer = store.open_writer(segment(1), at as u64).expect("open");
        near(&*store, before - LENGTH, "opened");
        writer.write(&bytes[at..5 << 20]).expect("write");
        near(&*store, before - LENGTH, "written");
        writer.sync().expect("sync");
        near(&*store, before - LENGTH, "synced");
        drop(writer);
        near(&*store, before - LENGTH, "closed");
    }
    drop(store);
    let store = subject.open();
    store
        .reserve(segment(1), LENGTH)
        .expect("reserve after reopening");
    near(&*store, before - LENGTH, "reopened");
    let mut writer = store.open_writer(segment(1), 5 << 20).expect("open");
    writer.write(&bytes[5 << 20..]).expect("write");
    writer.sync().expect("sync");
    assert!(content(&*store, segment(1)) == *bytes);
    near(&*store, before - LENGTH, "complete");
    drop(writer);
    store.delete(segment(1)).expect("delete");
    near(&*store, before, "deleted");
    // A deletion while it is written.
    store.create(segment(2), Some(LENGTH)).expect("make");
    let writer = store.open_writer(segment(2), 0).expect("open");
    store.delete(segment(2)).expect("delete");
    drop(writer);
    near(&*store, before, "deleted while open");
    assert_eq!(store.space().expect("space").reserved_bytes, 0);
}

/// A segment of unknown length grows by steps, takes a length when it is told, and leaves no claim
/// behind.
pub fn an_unknown_length_may_be_told_later(subject: &dyn Subject) {
    let bytes = Aligned::random(3 << 20, 0, 7);
    let store = subject.open();
    let before = available(&*store);
    store.create(segment(1), None).expect("make");
    let mut writer = store.open_writer(segment(1), 0).expect("open");
    for piece in bytes[..1 << 20].chunks(10_000) {
        writer.write(piece).expect("write");
    }
    drop(writer);
    assert_eq!(
        store.space().expect("space").reserved_bytes,
        0,
        "an idle segment claims nothing"
    );
    store
        .reserve(segment(1), bytes.len() as u64)
        .expect("the length is known now");
    if subject.has_own_disk() {
        assert!(available(&*store) <= before - bytes.len() as u64);
    }
    let mut writer = store.open_writer(segment(1), 1 << 20).expect("open");
    writer.write(&bytes[1 << 20..]).expect("write");
    writer
        .write(b"more than told")
        .expect("a store counts, it does not judge");
    writer.sync().expect("sync");
    drop(writer);
    assert!(content(&*store, segment(1)) == [&bytes[..], b"more than told"].concat());
    assert_eq!(store.space().expect("space").reserved_bytes, 0);
}
