//! Sentences about bytes.

use super::{Aligned, Random, Subject, content, segment};
use crate::{ErrorKind, Store};

/// The bytes come back as they were, before and after `sync`.
pub fn what_was_written_is_read(subject: &dyn Subject) {
    let store = subject.open();
    let bytes = Aligned::random(2_500_001, 0, 3);
    for (n, length) in [1, 4095, 4096, 4097, 65_536, 1 << 20, bytes.len()]
        .into_iter()
        .enumerate()
    {
        let id = segment(n as u8);
        store.create(id, Some(length as u64)).expect("make");
        let mut writer = store.open_writer(id, 0).expect("open");
        writer.write(&bytes[..length]).expect("write");
        assert_eq!(writer.offset(), length as u64);
        assert!(
            content(&*store, id) == bytes[..length],
            "{length} bytes before sync"
        );
        writer.sync().expect("sync");
        writer.sync().expect("sync again");
        assert!(
            content(&*store, id) == bytes[..length],
            "{length} bytes after sync"
        );
    }
}

/// Pieces from one byte to a buffer, from memory aligned like the file, aligned otherwise and not
/// at all, with syncs between.
pub fn pieces_of_any_size_and_alignment(subject: &dyn Subject) {
    let store = subject.open();
    let sizes = [1, 100, 4096, 5000, 16 << 10, 100_000, 512 << 10, 1 << 20];
    for (seed, skew) in [0, 0, 1, 512, 4095].into_iter().enumerate() {
        let bytes = Aligned::random(4 << 20, skew, seed as u64);
        let mut random = Random::new(seed as u64);
        let id = segment(seed as u8);
        store
            .create(id, random.once_in(2).then_some(bytes.len() as u64))
            .expect("make");
        let mut writer = store.open_writer(id, 0).expect("open");
        let mut at = 0;
        while at < bytes.len() {
            let size = sizes[random.below(sizes.len() as u64) as usize];
            let piece = &bytes[at..(at + size).min(bytes.len())];
            writer.write(piece).expect("write");
            at += piece.len();
            assert_eq!(writer.offset(), at as u64);
            if random.once_in(4) {
                writer.sync().expect("sync");
            }
        }
        writer.sync().expect("sync");
        assert!(content(&*store, id) == *bytes, "skew {skew}");
    }
}

/// A writer opened at an offset finds nothing beyond it, and what it writes follows seamlessly.
pub fn going_on_cuts_what_lies_beyond(subject: &dyn Subject) {
    let store = subject.open();
    let (old, new) = (
        Aligned::random(500_000, 0, 4),
        Aligned::random(500_000, 0, 5),
    );
    let cuts = [0, 1, 4095, 4096, 4097, 131_072, 300_001, 499_999, 500_000];
    for (n, at) in cuts.into_iter().enumerate() {
        let id = segment(n as u8);
        store
            .create(id, (n % 2 == 0).then_some(700_000))
            .expect("make");
        let mut writer = store.open_writer(id, 0).expect("open");
        writer.write(&old).expect("write");
        if n % 3 == 0 {
            writer.sync().expect("sync");
        }
        drop(writer);
        let mut writer = store
            .open_writer(id, at as u64)
            .expect("open in the middle");
        assert_eq!(writer.offset(), at as u64);
        assert!(content(&*store, id) == old[..at], "cut at {at}");
        // Congruent to the offset, as a buffer would be.
        writer.write(&new[at % 4096..]).expect("write");
        writer.sync().expect("sync");
        assert!(
            content(&*store, id) == [&old[..at], &new[at % 4096..]].concat(),
            "went on at {at}"
        );
    }
}

/// A store never pretends to have bytes that it has not.
pub fn a_segment_shorter_than_told_is_corrupt(subject: &dyn Subject) {
    let store = subject.open();
    store.create(segment(1), Some(1 << 20)).expect("make");
    let mut writer = store.open_writer(segment(1), 0).expect("open");
    writer.write(&[1; 5000]).expect("write");
    writer.sync().expect("sync");
    drop(writer);
    for at in [5001, 8192, 1 << 20, 1 << 50] {
        let refused = store
            .open_writer(segment(1), at)
            .err()
            .expect("not so long");
        assert_eq!(refused.kind(), ErrorKind::Corrupt, "at {at}");
        assert!(!refused.is_retryable());
    }
    assert_eq!(
        content(&*store, segment(1)),
        [1; 5000],
        "a refusal changes nothing"
    );
}

/// Many segments written at once, each in its own thread.
pub fn writers_do_not_disturb_each_other(subject: &dyn Subject) {
    let store = subject.open();
    let store: &dyn Store = &*store;
    std::thread::scope(|scope| {
        for n in 0..8u8 {
            scope.spawn(move || {
                let mut random = Random::new(n.into());
                let bytes = Aligned::random(1 << 20, usize::from(n % 2) * 8, n.into());
                store
                    .create(segment(n), Some(bytes.len() as u64))
                    .expect("make");
                let mut at = 0;
                while at < bytes.len() {
                    let mut writer = store.open_writer(segment(n), at as u64).expect("open");
                    for _ in 0..3 {
                        let end = (at + random.below(200_000) as usize).min(bytes.len());
                        writer.write(&bytes[at..end]).expect("write");
                        at = end;
                    }
                    writer.sync().expect("sync");
                }
                assert!(content(store, segment(n)) == *bytes, "segment {n}");
                if n % 2 == 0 {
                    store.delete(segment(n)).expect("delete");
                }
            });
        }
    });
    assert_eq!(super::listed(store).len(), 4);
}
