//! The failing disks themselves: a simulation is worth what its disk is worth.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use ddx_id::SegmentId;
use ddx_storage::conformance::{Random, Subject};
use ddx_storage::faults::{Call, Fault, FaultyStore, SimulatedDisk};
use ddx_storage::{ErrorKind, Store};

fn id(n: u8) -> SegmentId {
    SegmentId::from_bytes([n; 16])
}

mod simulated_disk_conforms {
    use super::*;

    struct Simulated(SimulatedDisk);

    impl Subject for Simulated {
        fn open(&self) -> Box<dyn Store> {
            Box::new(self.0.open())
        }

        fn has_own_disk(&self) -> bool {
            true
        }
    }

    ddx_storage::conformance_tests!(Simulated(SimulatedDisk::new(96 << 20, 1 << 20)));
}

mod faulty_store_without_faults_conforms {
    use super::*;

    struct Faultless(SimulatedDisk);

    impl Subject for Faultless {
        fn open(&self) -> Box<dyn Store> {
            Box::new(FaultyStore::new(self.0.open(), |_| None))
        }

        fn has_own_disk(&self) -> bool {
            true
        }
    }

    ddx_storage::conformance_tests!(Faultless(SimulatedDisk::new(96 << 20, 1 << 20)));
}

/// What a careful user of the store may rely on after any power cut, and that a careless one would
/// be found out.
#[test]
fn power_cuts_take_what_was_not_synced_and_nothing_else() {
    let (mut lost_bytes, mut lost_segments, mut returned) = (0, 0, 0);
    for seed in 0..300 {
        let mut random = Random::new(seed);
        let disk = SimulatedDisk::new(1 << 30, 0);
        let mut synced: BTreeMap<SegmentId, u64> = BTreeMap::new();
        for _ in 0..5 {
            let store = disk.open();
            let mut written: BTreeMap<SegmentId, u64> = BTreeMap::new();
            for n in 0..4 {
                let _ = store.create(id(n), None);
                let at = synced.get(&id(n)).copied().unwrap_or(0);
                let mut writer = store.open_writer(id(n), at).unwrap();
                for _ in 0..random.below(4) {
                    writer
                        .write(&vec![n + 1; random.below(20_000) as usize])
                        .unwrap();
                    if random.once_in(3) {
                        writer.sync().unwrap();
                        synced.insert(id(n), writer.offset());
                    }
                }
                written.insert(id(n), writer.offset());
            }
            let gone = random.once_in(2).then(|| id(random.below(4) as u8));
            if let Some(gone) = gone {
                store.delete(gone).unwrap();
                synced.remove(&gone);
            }
            disk.power_cut(&mut random);
            assert_eq!(
                store.space().unwrap_err().kind(),
                ErrorKind::Io { retryable: false },
                "the old process is dead"
            );
            let store = disk.open();
            let found: BTreeMap<_, _> = store
                .list(None, usize::MAX)
                .unwrap()
                .into_iter()
                .map(|id| (id, store.length(id).unwrap()))
                .collect();
            if let Some(gone) = gone.filter(|gone| found.contains_key(gone)) {
                returned += 1;
                store.delete(gone).unwrap();
            }
            for (id, length) in &synced {
                let mut bytes = vec![0; *length as usize];
                assert_eq!(
                    store
                        .open_reader(*id)
                        .unwrap()
                        .read_at(0, &mut bytes)
                        .unwrap(),
                    bytes.len()
                );
                assert!(
                    bytes.iter().all(|byte| *byte == id.as_bytes()[0] + 1),
                    "seed {seed}"
                );
            }
            for (id, length) in written {
                match found.get(&id) {
                    None => lost_segments += 1,
                    Some(kept) if *kept < length => lost_bytes += 1,
                    Some(_) => {}
                }
            }
        }
    }
    assert!(
        lost_bytes > 100 && lost_segments > 100 && returned > 50,
        "{lost_bytes} {lost_segments} {returned}"
    );
}

#[test]
fn a_killed_process_loses_nothing_that_it_wrote() {
    let disk = SimulatedDisk::new(1 << 20, 0);
    let store = disk.open();
    store.create(id(1), None).unwrap();
    let mut writer = store.open_writer(id(1), 0).unwrap();
    writer.write(b"written, not synced").unwrap();
    disk.kill();
    assert!(writer.sync().is_err());
    let store = disk.open();
    assert_eq!(store.open_writer(id(1), 19).unwrap().offset(), 19);
}

#[test]
fn faults_come_as_planned() {
    let syncs = AtomicUsize::new(0);
    let plan = move |call| match call {
        Call::Write(_, 10) => Some(Fault::Short(4)),
        Call::Write(_, 11) => Some(Fault::Full),
        Call::Sync(_) if syncs.fetch_add(1, Ordering::Relaxed) == 1 => Some(Fault::Io),
        Call::Read(_, 100) => Some(Fault::Short(2)),
        Call::Delete(_) => Some(Fault::Passing),
        _ => None,
    };
    let store = FaultyStore::new(SimulatedDisk::new(1 << 20, 0).open(), plan);
    store.create(id(1), None).unwrap();
    let mut writer = store.open_writer(id(1), 0).unwrap();
    writer.write(b"before").unwrap();
    for (bytes, offset) in [(&b"0123456789"[..], 10), (b"0123456789a", 10)] {
        assert!(matches!(
            writer.write(bytes).unwrap_err().kind(),
            ErrorKind::NoSpace { .. }
        ));
        assert_eq!(writer.offset(), offset);
    }
    writer.sync().unwrap();
    assert_eq!(
        writer.sync().unwrap_err().kind(),
        ErrorKind::Io { retryable: false }
    );
    assert_eq!(
        writer.write(b"x").unwrap_err().kind(),
        ErrorKind::Io { retryable: false },
        "failed for good"
    );
    drop(writer);
    let mut into = [0; 100];
    assert_eq!(
        store
            .open_reader(id(1))
            .unwrap()
            .read_at(0, &mut into)
            .unwrap(),
        2
    );
    assert_eq!(
        store
            .open_reader(id(1))
            .unwrap()
            .read_at(0, &mut into[..99])
            .unwrap(),
        10
    );
    assert_eq!(&into[..10], b"before0123");
    assert!(store.delete(id(1)).unwrap_err().is_retryable());
}
