//! Sentences about segments coming and going.

use ddx_id::SegmentId;

use super::{Aligned, Random, Subject, content, listed, segment};
use crate::{ErrorKind, Store};

fn kind<T>(result: Result<T, crate::Error>) -> Option<ErrorKind> {
    result.err().map(|error| error.kind())
}

/// A segment that was just made has no bytes and is in the list.
pub fn a_new_segment_is_empty_and_listed(subject: &dyn Subject) {
    let store = subject.open();
    assert_eq!(listed(&*store), []);
    store
        .create(segment(1), None)
        .expect("a segment of unknown length");
    store
        .create(segment(2), Some(100_000))
        .expect("a segment of known length");
    store
        .create(segment(3), Some(0))
        .expect("a segment that will stay empty");
    let mut expected = vec![(segment(1), 0), (segment(2), 0), (segment(3), 0)];
    expected.sort_unstable();
    assert_eq!(listed(&*store), expected, "a reservation is no content");
    for n in 1..=3 {
        assert_eq!(content(&*store, segment(n)), b"");
        let mut writer = store.open_writer(segment(n), 0).expect("it can be written");
        writer.write(b"").expect("nothing can be written");
        writer.sync().expect("an empty segment can be made durable");
        assert_eq!(writer.offset(), 0);
    }
}

/// What is not there is told as such, and deleting it is no error.
pub fn an_absent_segment_is_not_found(subject: &dyn Subject) {
    let store = subject.open();
    let absent = |store: &dyn Store, id: SegmentId| {
        assert_eq!(kind(store.open_writer(id, 0)), Some(ErrorKind::NotFound));
        assert_eq!(kind(store.open_reader(id)), Some(ErrorKind::NotFound));
        assert_eq!(kind(store.reserve(id, 5)), Some(ErrorKind::NotFound));
        store.delete(id).expect("deleting what is not there");
    };
    absent(&*store, segment(1));
    store.create(segment(1), Some(5)).expect("make");
    store.delete(segment(1)).expect("delete");
    absent(&*store, segment(1));
    assert_eq!(listed(&*store), []);
    store
        .create(segment(1), None)
        .expect("a name that is free again");
}

/// Making a segment twice is refused and harms the first one in nothing.
pub fn a_name_is_used_once(subject: &dyn Subject) {
    let store = subject.open();
    store.create(segment(1), None).expect("make");
    let mut writer = store.open_writer(segment(1), 0).expect("open");
    writer.write(b"first").expect("write");
    for length in [None, Some(0), Some(5), Some(1 << 20)] {
        assert_eq!(
            kind(store.create(segment(1), length)),
            Some(ErrorKind::Exists)
        );
    }
    writer.write(b" and only").expect("write");
    writer.sync().expect("sync");
    assert_eq!(content(&*store, segment(1)), b"first and only");
}

/// A reader sees what is appended after it was opened, and stays usable when the segment was
/// deleted.
pub fn a_reader_sees_growth_and_outlives_deletion(subject: &dyn Subject) {
    let store = subject.open();
    store.create(segment(1), None).expect("make");
    let reader = store.open_reader(segment(1)).expect("open");
    let mut writer = store.open_writer(segment(1), 0).expect("open");
    let mut into = [0; 10];
    assert_eq!(reader.read_at(0, &mut into).expect("read"), 0);
    writer.write(b"seven b").expect("write");
    assert_eq!(reader.read_at(0, &mut into).expect("read"), 7);
    assert_eq!(&into[..7], b"seven b");
    assert_eq!(
        reader.read_at(6, &mut into).expect("read"),
        1,
        "short only at the end"
    );
    for at in [7, 8, 1 << 40] {
        assert_eq!(reader.read_at(at, &mut into).expect("read"), 0, "at {at}");
    }
    drop(writer);
    store.delete(segment(1)).expect("delete");
    assert_eq!(
        reader.read_at(0, &mut into).expect("read after deletion"),
        7
    );
}

/// A second writer is refused, for now, until the first one is gone, whatever became of the
/// segment.
pub fn there_is_one_writer_at_a_time(subject: &dyn Subject) {
    let store = subject.open();
    store.create(segment(1), None).expect("make");
    let mut first = store.open_writer(segment(1), 0).expect("open");
    let refused = store
        .open_writer(segment(1), 0)
        .err()
        .expect("a second writer");
    assert_eq!(refused.kind(), ErrorKind::WriterOpen);
    assert!(refused.is_retryable());
    first.write(b"mine").expect("the first one goes on");
    drop(first);
    assert!(store.open_writer(segment(1), 4).is_ok());
    assert_eq!(
        kind(store.open_writer(segment(1), 5)),
        Some(ErrorKind::Corrupt)
    );
    assert!(
        store.open_writer(segment(1), 4).is_ok(),
        "a writer that could not be opened is not open"
    );
}

/// Closing and opening the store changes nothing: names, lengths, bytes, and where they go on.
pub fn synced_bytes_are_there_after_reopening(subject: &dyn Subject) {
    let bytes = Aligned::random(300_000, 0, 1);
    let store = subject.open();
    for n in 0..40 {
        store.create(segment(n), Some(600_000)).expect("make");
        let mut writer = store.open_writer(segment(n), 0).expect("open");
        writer
            .write(&bytes[..usize::from(n) * 7000])
            .expect("write");
        writer.sync().expect("sync");
    }
    store.delete(segment(39)).expect("delete");
    drop(store);
    let store = subject.open();
    let mut expected: Vec<_> = (0..39).map(|n| (segment(n), u64::from(n) * 7000)).collect();
    expected.sort_unstable();
    assert_eq!(listed(&*store), expected);
    for n in 0..39 {
        let at = usize::from(n) * 7000;
        store.reserve(segment(n), 600_000).expect("reserve again");
        let mut writer = store.open_writer(segment(n), at as u64).expect("open");
        assert_eq!(writer.offset(), at as u64);
        writer.write(&bytes[at..]).expect("write");
        writer.sync().expect("sync");
        assert!(content(&*store, segment(n)) == *bytes, "segment {n}");
    }
}

/// Any order of calls, against a model that keeps the bytes in memory.
pub fn a_walk_through_all_calls(subject: &dyn Subject) {
    let bytes = Aligned::random(3 << 20, 0, 2);
    for seed in 0..6 {
        let mut random = Random::new(seed);
        let mut store = subject.open();
        let mut model: Vec<Option<Vec<u8>>> = vec![None; 4];
        for step in 0..60 {
            let n = random.below(4) as usize;
            let id = segment(n as u8);
            let Some(kept) = &mut model[n] else {
                let length = random.once_in(2).then(|| random.below(1 << 20));
                store.create(id, length).expect("make");
                model[n] = Some(Vec::new());
                continue;
            };
            match random.below(8) {
                0 => {
                    store.delete(id).expect("delete");
                    model[n] = None;
                }
                1 => {
                    drop(store);
                    store = subject.open();
                }
                2 => store.reserve(id, random.below(1 << 20)).expect("reserve"),
                _ => {
                    let at = if random.once_in(3) {
                        random.below(kept.len() as u64 + 1)
                    } else {
                        kept.len() as u64
                    };
                    kept.truncate(at as usize);
                    let mut writer = store.open_writer(id, at).expect("open");
                    for _ in 0..random.below(4) {
                        let from = if random.once_in(2) {
                            kept.len() % 4096
                        } else {
                            random.below(5000) as usize
                        };
                        let limit = if random.once_in(3) { 1 << 20 } else { 20_000 };
                        let piece = &bytes[from..][..random.below(limit) as usize];
                        writer.write(piece).expect("write");
                        kept.extend_from_slice(piece);
                    }
                    writer.sync().expect("sync");
                    assert_eq!(writer.offset(), kept.len() as u64);
                }
            }
            if let Some(kept) = &model[n] {
                assert!(content(&*store, id) == *kept, "seed {seed}, step {step}");
            }
        }
        for n in 0..4 {
            store.delete(segment(n)).expect("delete");
        }
        assert_eq!(listed(&*store), []);
    }
}
