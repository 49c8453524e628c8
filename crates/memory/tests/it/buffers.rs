//! Buffers are their leases: of the same length, mapped for as long, and given back with them, kept
//! ones at the first need.

use crate::support::{GIB, KIB, MIB, World, assert_adds_up, holder, millis, secs};
use ddx_memory::{Buffer, Config, PressureStep};

#[test]
fn a_buffer_is_as_long_as_its_lease_zeroed_and_aligned() {
    let world = World::new(GIB);
    let buffer = Buffer::new(world.lease(holder(1, 1), 5000)).unwrap();
    assert_eq!(buffer.len(), 8 * 1024);
    assert_eq!(buffer.lease().bytes(), 8 * KIB);
    assert_eq!(buffer.as_ptr() as usize % 4096, 0);
    assert!(buffer.iter().all(|byte| *byte == 0) && !buffer.is_empty());
}

#[test]
fn growing_keeps_the_contents_and_zeroes_the_rest_and_the_ledger_follows() {
    let world = World::new(GIB);
    let mut buffer = Buffer::new(world.lease(holder(1, 1), 64 * KIB)).unwrap();
    for (index, byte) in buffer.iter_mut().enumerate() {
        *byte = u8::try_from(index % 251).unwrap();
    }
    assert!(buffer.try_grow(8 * MIB));
    assert_eq!(buffer.len(), 8 << 20);
    let (old, new) = buffer.split_at(64 << 10);
    assert!(
        old.iter()
            .enumerate()
            .all(|(index, byte)| usize::from(*byte) == index % 251)
    );
    assert!(new.iter().all(|byte| *byte == 0));
    let snapshot = world.snapshot();
    assert_eq!(
        (snapshot.leased_bytes, snapshot.pool_mapped_bytes),
        (8 * MIB, 8 * MIB)
    );
    assert!(buffer.try_grow(MIB), "shorter is nothing to do");
    assert_eq!(buffer.len(), 8 << 20);
}

#[test]
fn growing_beyond_what_is_free_changes_nothing() {
    let world = World::new(GIB);
    let mut buffer = Buffer::new(world.lease(holder(1, 1), MIB)).unwrap();
    buffer.fill(7);
    assert!(!buffer.try_grow(2 * GIB));
    assert_eq!((buffer.len(), buffer.lease().bytes()), (1 << 20, MIB));
    assert!(buffer.iter().all(|byte| *byte == 7));
    assert_eq!(world.snapshot().leased_bytes, MIB);
}

#[test]
fn a_freed_buffer_is_kept_for_the_next_of_its_length_and_leaks_nothing_of_what_it_held() {
    let world = World::new(GIB);
    let mut buffer = Buffer::new(world.lease(holder(1, 1), MIB)).unwrap();
    buffer.fill(7);
    let address = buffer.as_ptr();
    drop(buffer);
    let snapshot = world.snapshot();
    assert_eq!((snapshot.leased_bytes, snapshot.pool_kept_bytes), (0, MIB));
    let other = Buffer::new(world.lease(holder(2, 1), 2 * MIB)).unwrap();
    assert_ne!(other.as_ptr(), address, "another length");
    let same = Buffer::new(world.lease(holder(3, 1), MIB)).unwrap();
    assert_eq!(same.as_ptr(), address);
    assert!(
        same.iter().all(|byte| *byte == 0),
        "what was another's must not show"
    );
    assert_eq!(world.snapshot().pool_kept_bytes, 0);
    drop(same);
    let stale = Buffer::with_stale_contents(world.lease(holder(3, 1), MIB)).unwrap();
    assert_eq!(stale.as_ptr(), address);
}

#[test]
fn kept_buffers_go_by_themselves_after_a_while() {
    let world = World::new(GIB);
    drop(Buffer::new(world.lease(holder(1, 1), MIB)).unwrap());
    world.sample_after(millis(900));
    assert_eq!(world.snapshot().pool_mapped_bytes, MIB);
    world.sample_after(millis(200));
    assert_eq!(world.snapshot().pool_mapped_bytes, 0);
}

#[test]
fn kept_buffers_go_at_the_first_step_of_pressure() {
    let world = World::new(GIB);
    drop(Buffer::new(world.lease(holder(1, 1), 4 * MIB)).unwrap());
    assert_eq!(world.snapshot().pool_kept_bytes, 4 * MIB);
    world
        .script
        .change(|facts| facts.others_bytes = GIB - 64 * MIB);
    world.sample_after(millis(100));
    assert_eq!(world.snapshot().pool_mapped_bytes, 0);
    drop(Buffer::new(world.lease(holder(1, 1), MIB)).unwrap());
    assert_eq!(
        world.snapshot().pool_kept_bytes,
        0,
        "none is kept under pressure"
    );
}

#[test]
fn kept_buffers_make_room_for_leases_charges_and_waiters() {
    let config = || Config {
        cache_idle_after: secs(3600),
        ..Config::default()
    };
    let world = World::with(GIB, config());
    let keep = || drop(Buffer::new(world.lease(holder(1, 1), 4 * MIB)).unwrap());
    keep();
    let lease = world.lease(holder(2, 1), world.free() - 1024);
    assert_eq!(world.snapshot().pool_kept_bytes, 0, "a lease took its room");
    drop(lease);

    let world = World::with(128 * MIB, config());
    drop(Buffer::new(world.lease(holder(1, 1), MIB)).unwrap());
    let held = world.lease(holder(2, 1), world.free() - MIB);
    assert_eq!(world.snapshot().pool_kept_bytes, MIB);
    let charge = world
        .ledger
        .charge(ddx_memory::Account::Connections, 40 * MIB);
    assert_eq!(
        world.snapshot().pool_kept_bytes,
        0,
        "a charge took its room"
    );
    drop((charge, held));

    let world = World::with(GIB, config());
    let mut held = world.fill();
    let waiting = world.wait_for(holder(3, 1), MIB);
    let part = held[0].split(4 * MIB).unwrap();
    drop(Buffer::new(part).unwrap());
    assert_eq!(
        world.snapshot().pool_kept_bytes,
        0,
        "none is kept while somebody waits"
    );
    drop(waiting);
}

#[test]
fn none_is_kept_on_a_step_of_pressure_or_while_somebody_waits_though_there_be_room() {
    let world = World::new(GIB);
    let buffer = Buffer::new(world.lease(holder(1, 1), MIB)).unwrap();
    let most = world.lease(holder(2, 1), world.snapshot().ceiling_bytes / 100 * 82);
    world.sample_after(millis(100));
    assert_eq!(world.snapshot().pressure_step, PressureStep::CacheBack);
    drop(buffer);
    assert_eq!(world.snapshot().pool_kept_bytes, 0, "on a step");
    drop(most);

    let world = World::with(
        GIB,
        Config {
            uploads_max: Some(1),
            ..Config::default()
        },
    );
    let buffer = Buffer::new(world.lease(holder(1, 1), MIB)).unwrap();
    let rest = world.lease(holder(1, 1), MIB);
    let waiting = world.wait_for(holder(2, 1), MIB);
    drop(buffer);
    assert_eq!(world.snapshot().pool_kept_bytes, 0, "while somebody waits");
    drop((waiting, rest));
}

#[test]
fn no_more_is_kept_than_the_settings_say() {
    let world = World::with(
        GIB,
        Config {
            cache_bytes_max: 2 * MIB,
            ..Config::default()
        },
    );
    let buffers: Vec<_> = (0..8)
        .map(|user| Buffer::new(world.lease(holder(user, 1), MIB)).unwrap())
        .collect();
    drop(buffers);
    let snapshot = world.snapshot();
    assert_eq!(
        (snapshot.pool_kept_bytes, snapshot.pool_mapped_bytes),
        (2 * MIB, 2 * MIB)
    );
}

#[test]
fn a_buffer_gives_its_memory_back_and_keeps_the_right_to_it() {
    let world = World::new(GIB);
    let buffer = Buffer::new(world.lease(holder(1, 1), MIB)).unwrap();
    let lease = buffer.into_lease();
    let snapshot = world.snapshot();
    assert_eq!((lease.bytes(), snapshot.leased_bytes), (MIB, MIB));
    assert_eq!(
        (snapshot.pool_mapped_bytes, snapshot.pool_kept_bytes),
        (0, 0)
    );
    drop(lease);
    assert_eq!(world.snapshot().leased_bytes, 0);
}

#[test]
fn after_many_buffers_of_every_size_nothing_is_mapped_or_leased() {
    let world = World::new(GIB);
    for round in 0..50u64 {
        let mut buffers: Vec<_> = (1..=10)
            .map(|user| Buffer::new(world.lease(holder(user, round), user * 100 * KIB)).unwrap())
            .collect();
        for buffer in &mut buffers {
            buffer.fill(1);
            assert!(buffer.try_grow(2 * MIB));
        }
        world.sample_after(millis(50));
        assert_adds_up(&world.snapshot());
    }
    world.sample_after(secs(2));
    let snapshot = world.snapshot();
    assert_eq!(
        (
            snapshot.leased_bytes,
            snapshot.pool_mapped_bytes,
            snapshot.pool_resident_bytes
        ),
        (0, 0, 0)
    );
}
