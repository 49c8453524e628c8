//! Who gets what and who waits: one sentence each, on a machine and a clock that the test moves.

use std::time::Duration;

use crate::support::{GIB, KIB, MIB, World, answer, granted, holder, millis, secs};
use ddx_memory::{Account, Config, Ledger, PressureStep, Refusal};

#[test]
fn a_grant_beyond_what_is_free_waits_and_one_within_does_not() {
    let world = World::new(GIB);
    let free = world.free();
    // Half of the limit, capped by the class.
    assert_eq!(free, 432 * MIB);
    let most = world.lease(holder(1, 1), free - MIB);
    assert!(world.ledger.try_lease(holder(2, 1), 64 * MIB).is_none());
    let rest = world.lease(holder(2, 1), MIB);
    assert_eq!(world.free(), 0);
    drop((most, rest));
    assert_eq!(world.free(), free);
}

#[test]
fn one_upload_may_hold_the_floor_at_any_pressure_and_no_second_one_may() {
    let world = World::new(GIB);
    world.script.change(|facts| facts.others_bytes = GIB);
    world.sample_after(millis(200));
    assert_eq!(world.free(), 0);
    let floor = world.snapshot().floor_bytes;
    let mut guaranteed = world.lease(holder(1, 1), floor / 2);
    assert!(world.ledger.try_lease(holder(2, 1), 64 * KIB).is_none());
    assert!(guaranteed.try_grow(floor / 2));
    assert!(!guaranteed.try_grow(4 * KIB), "beyond the floor");
    drop(guaranteed);
    assert!(world.ledger.try_lease(holder(2, 1), 64 * KIB).is_some());
}

#[test]
fn the_floor_is_free_for_another_once_there_was_plenty() {
    let world = World::new(GIB);
    let others = |bytes| world.script.change(|facts| facts.others_bytes = bytes);
    others(GIB);
    world.sample_after(millis(200));
    let guaranteed = world.lease(holder(1, 1), MIB);
    others(0);
    world.sample_after(millis(10_000));
    others(GIB);
    world.sample_after(millis(200));
    assert!(world.ledger.try_lease(holder(2, 1), 64 * KIB).is_some());
    drop(guaranteed);
}

#[test]
fn the_floor_goes_to_a_waiter_once_the_guaranteed_one_is_done() {
    let world = World::new(GIB);
    world.script.change(|facts| facts.others_bytes = GIB);
    world.sample_after(millis(200));
    let guaranteed = world.lease(holder(1, 1), world.snapshot().floor_bytes);
    let mut waiting = world.wait_for(holder(2, 1), MIB);
    drop(guaranteed);
    assert_eq!(granted(&mut waiting).unwrap().bytes(), MIB);
}

#[test]
fn beside_the_guaranteed_one_all_others_share_a_buffer() {
    let world = World::new(GIB);
    world.script.change(|facts| facts.others_bytes = GIB);
    world.sample_after(millis(200));
    let snapshot = world.snapshot();
    let shared = snapshot.floor_bytes / 2;
    assert_eq!((snapshot.free_to_lease_bytes, shared), (0, 4 * MIB));
    // One that does not move keeps the floor, and no other from moving.
    let stuck = world.lease(holder(1, 1), 64 * KIB);
    let mut others = Vec::new();
    while let Some(lease) = world
        .ledger
        .try_lease(holder(2, others.len() as u64), 64 * KIB)
    {
        others.push(lease);
        assert!(world.snapshot().leased_bytes <= shared);
    }
    assert_eq!(others.len(), 63);
    assert_eq!(world.snapshot().slots_available, 0);
    // Each has its part of it, and no more while others are there.
    others.truncate(3);
    assert!(!others[0].try_grow(shared / 4));
    assert!(others[0].try_grow(64 * KIB));
    let mut waiting = world.wait_for(holder(3, 1), shared);
    drop(stuck);
    // It fits nowhere beside them, and is the next to have the guarantee.
    assert_eq!(granted(&mut waiting).unwrap().bytes(), shared);
    drop(others);
}

#[test]
fn what_is_shared_at_any_pressure_stays_below_a_ceiling_that_was_set() {
    let world = World::with(
        GIB,
        Config {
            ceiling_bytes: Some(128 * KIB),
            ..Config::default()
        },
    );
    let first = world.lease(holder(1, 1), 64 * KIB);
    let second = world.lease(holder(2, 1), 64 * KIB);
    // The floor is for one, and is that one's whatever the ceiling.
    let guaranteed = world.lease(holder(3, 1), 64 * KIB);
    assert!(world.ledger.try_lease(holder(4, 1), 64 * KIB).is_none());
    drop((first, second, guaranteed));
}

#[test]
fn a_lease_grows_shrinks_and_splits_and_the_ledger_follows() {
    let world = World::new(GIB);
    let leased = || world.snapshot().leased_bytes;
    let mut lease = world.lease(holder(1, 1), 1);
    assert_eq!((lease.bytes(), leased()), (4 * KIB, 4 * KIB));
    assert!(lease.try_grow(4 * KIB + 1));
    assert_eq!((lease.bytes(), leased()), (12 * KIB, 12 * KIB));
    assert!(lease.split(12 * KIB).is_none(), "nothing would be left");
    let part = lease.split(1).unwrap();
    assert_eq!(
        (part.bytes(), lease.bytes(), leased()),
        (4 * KIB, 8 * KIB, 12 * KIB)
    );
    lease.shrink_to(0);
    assert_eq!((lease.bytes(), leased()), (4 * KIB, 8 * KIB));
    assert_eq!(
        world.snapshot().active_uploads,
        1,
        "two leases of one upload"
    );
    drop(lease);
    assert_eq!(leased(), 4 * KIB);
    drop(part);
    assert_eq!((leased(), world.snapshot().active_uploads), (0, 0));
}

#[test]
fn who_comes_while_others_wait_does_not_overtake() {
    let world = World::new(GIB);
    let mut all = world.fill();
    let mut waiting = world.wait_for(holder(1, 1), 4 * MIB);
    let keep = all[0].bytes() - world.snapshot().floor_bytes - MIB;
    all[0].shrink_to(keep);
    assert!(
        answer(&mut waiting).is_none(),
        "a megabyte is not enough for it"
    );
    assert!(
        world.ledger.try_lease(holder(2, 1), 64 * KIB).is_none(),
        "it would fit, and overtake"
    );
    assert!(!all[0].try_grow(64 * KIB), "growth would overtake as well");
    drop(all);
    assert_eq!(granted(&mut waiting).unwrap().bytes(), 4 * MIB);
}

#[test]
fn the_floor_is_no_way_to_overtake_either() {
    let world = World::new(GIB);
    let first = world.lease(holder(1, 1), world.free() / 2);
    let second = world.lease(holder(2, 1), world.free());
    // It holds too much for the floor, and waits for what the first holds.
    let mut waiting = world.wait_for(holder(2, 1), MIB);
    assert!(world.ledger.try_lease(holder(3, 1), 64 * KIB).is_none());
    drop(first);
    assert!(granted(&mut waiting).is_some());
    drop(second);
}

#[test]
fn a_waiter_is_promised_no_more_than_the_largest_piece() {
    let world = World::new(GIB);
    let all = world.fill();
    let mut waiting = world.wait_for(holder(1, 1), 64 * MIB);
    drop(all);
    assert_eq!(granted(&mut waiting).unwrap().bytes(), 4 * MIB);
}

#[test]
fn a_waiter_that_goes_away_leaves_nothing_behind_before_or_after_its_grant() {
    let world = World::new(GIB);
    let all = world.fill();
    let before = world.wait_for(holder(1, 1), MIB);
    drop(before);
    assert_eq!(world.snapshot().waiting, 0);
    let after = world.wait_for(holder(2, 1), MIB);
    drop(all);
    assert_eq!(
        world.snapshot().leased_bytes,
        MIB,
        "granted and not yet fetched"
    );
    drop(after);
    assert_eq!(world.snapshot().leased_bytes, 0);
}

#[test]
fn a_request_that_waits_for_its_own_holdings_holds_up_nobody_else() {
    let world = World::new(GIB);
    // Holds nearly all, and asks for more than the share of one: it waits for itself.
    let mut lease = world.lease(holder(1, 1), world.free() - 8 * MIB);
    world.sample_after(millis(200));
    assert_eq!(world.snapshot().pressure_step, PressureStep::OneBuffer);
    let mut own = world.wait_for(holder(1, 1), 4 * MIB);
    let mut other = world.ledger.admit(holder(2, 1), MIB).unwrap();
    let other = granted(&mut other).expect("there are eight megabytes");
    assert!(answer(&mut own).is_none());
    lease.shrink_to(MIB);
    world.sample_after(millis(200));
    assert!(granted(&mut own).is_some());
    drop(other);
}

#[test]
fn uploads_max_holds_and_an_upload_that_counts_already_is_not_held_up_by_it() {
    let config = Config {
        uploads_max: Some(2),
        ..Config::default()
    };
    let world = World::with(GIB, config);
    let first = world.lease(holder(1, 1), MIB);
    let second = world.lease(holder(2, 1), MIB);
    assert_eq!(world.snapshot().slots_available, 0);
    let mut third = world.wait_for(holder(3, 1), MIB);
    let mut more = world.ledger.admit(holder(1, 1), MIB).unwrap();
    let more = granted(&mut more).expect("one of the two may go on");
    drop((first, more));
    assert!(granted(&mut third).is_some());
    drop(second);
}

#[test]
fn only_so_many_may_wait_and_the_refusal_says_when_to_come_back() {
    let config = Config {
        waiters_max: 2,
        ..Config::default()
    };
    let world = World::with(GIB, config);
    let all = world.fill();
    let waiting = [1, 2].map(|user| world.wait_for(holder(user, 1), MIB));
    let refusal = world.ledger.admit(holder(3, 1), MIB).unwrap_err();
    let Refusal::TooManyWaiters {
        waiting: count,
        limit,
        retry_after,
    } = refusal
    else {
        panic!("{refusal}")
    };
    assert_eq!((count, limit), (2, 2));
    assert!(
        retry_after >= secs(1) && retry_after <= secs(150),
        "{retry_after:?}"
    );
    drop(waiting);
    drop(all);
}

#[test]
fn closing_refuses_those_who_wait_and_lets_those_who_hold_go_on() {
    let world = World::new(GIB);
    let mut all = world.fill();
    let mut waiting = world.wait_for(holder(1, 1), MIB);
    world.ledger.close();
    assert_eq!(answer(&mut waiting).unwrap().unwrap_err(), Refusal::Closing);
    assert_eq!(
        world.ledger.admit(holder(1, 1), MIB).unwrap_err(),
        Refusal::Closing
    );
    all[0].shrink_to(MIB);
    assert!(world.ledger.try_lease(holder(1, 1), MIB).is_none());
    assert!(all[0].try_grow(MIB), "who holds may grow");
    assert_eq!(world.snapshot().slots_available, 0);
}

#[test]
fn a_place_tells_who_is_ahead_and_for_how_long() {
    let world = World::new(GIB);
    let all = world.fill();
    let waiting: Vec<_> = (0..4)
        .map(|user| world.wait_for(holder(user, 1), MIB))
        .collect();
    world.sample_after(millis(200));
    let ahead: Vec<_> = waiting
        .iter()
        .map(|admission| admission.place().unwrap())
        .map(|place| (place.ahead, place.bytes_ahead, place.waiting))
        .collect();
    assert_eq!(
        ahead,
        [(0, 0, 4), (1, MIB, 4), (2, 2 * MIB, 4), (3, 3 * MIB, 4)]
    );
    let estimates: Vec<_> = waiting
        .iter()
        .map(|admission| admission.place().unwrap().estimate)
        .collect();
    assert!(
        estimates.is_sorted() && estimates[0] > millis(0),
        "{estimates:?}"
    );
    drop(all);
}

#[test]
fn who_holds_more_than_his_share_is_asked_for_it_only_while_others_wait() {
    let world = World::new(GIB);
    let mut all = world.fill();
    assert_eq!(all[0].surplus_bytes(), 0);
    let waiting = world.wait_for(holder(1, 1), MIB);
    assert!(all[0].surplus_bytes() >= all[0].bytes() - world.ledger.share_bytes());
    drop(waiting);
    assert_eq!(all[0].surplus_bytes(), 0);
    all.clear();
}

#[test]
fn shares_and_buffers_get_smaller_as_more_come_long_before_anybody_waits() {
    let world = World::new(GIB);
    let mut leases = Vec::new();
    let mut before = (world.ledger.share_bytes(), world.ledger.buffer_bytes());
    assert_eq!(before, (16 * MIB, 4 * MIB));
    for user in 0..500 {
        leases.push(world.lease(holder(user, 1), 64 * KIB));
        let now = (world.ledger.share_bytes(), world.ledger.buffer_bytes());
        assert!(now.0 <= before.0 && now.1 <= before.1);
        assert!(now.1.is_power_of_two() && now.1 >= 64 * KIB);
        before = now;
    }
    assert!(before.0 < MIB, "{before:?}");
    assert_eq!(world.snapshot().waiting, 0);
}

#[test]
fn a_thread_may_wait_and_be_woken_or_told_that_its_time_is_up() {
    let ledger = Ledger::on_this_machine(Config {
        ceiling_bytes: Some(2 * MIB),
        ..Config::default()
    })
    .unwrap();
    let all = ledger.try_lease(holder(1, 1), 2 * MIB).unwrap();
    let floor = ledger
        .try_lease(holder(1, 2), ledger.snapshot().floor_bytes)
        .unwrap();
    let timed_out = ledger.admit(holder(2, 1), MIB).unwrap().wait(millis(1));
    assert_eq!(timed_out.unwrap_err(), Refusal::TimedOut);
    let waiting = ledger.admit(holder(2, 1), MIB).unwrap();
    let thread = std::thread::spawn(move || waiting.wait(secs(60)));
    drop((all, floor));
    assert_eq!(thread.join().unwrap().unwrap().bytes(), MIB);
    assert_eq!(ledger.snapshot().leased_bytes, 0);
}

#[test]
fn many_small_grants_are_not_given_on_an_old_figure() {
    let world = World::new(128 * MIB);
    world.sample_after(millis(200));
    // Another program takes half of the machine, and no sample was taken since.
    world.script.change(|facts| facts.others_bytes = 64 * MIB);
    let mut held = Vec::new();
    let mut uploads = 0;
    // Fast uploads: each piece comes a moment after the one before, so that the periodic reading is
    // far away.
    while let Some(lease) = world
        .ledger
        .try_lease(holder(uploads % 20, uploads), 64 * KIB)
    {
        world.script.change(|facts| facts.anon_bytes += 64 * KIB);
        held.push(lease);
        uploads += 1;
        world.clock.advance(Duration::from_micros(200));
        assert!(uploads < 10_000, "grants without end");
    }
    let leased = world.snapshot().leased_bytes;
    // 64 MiB are left, of which 32 are the reserve; the floor is what one may have besides.
    assert!(
        leased <= 32 * MIB + world.snapshot().floor_bytes,
        "{} MiB were leased",
        leased / MIB
    );
}

#[test]
fn what_a_download_holds_has_a_row_of_its_own() {
    let world = World::new(GIB);
    let accounts = || {
        let snapshot = world.snapshot();
        (
            snapshot.account(Account::Buffers),
            snapshot.account(Account::Downloads),
        )
    };
    let upload = world.lease(holder(1, 1), MIB);
    let mut download = world
        .ledger
        .try_lease_for_download(holder(2, 1), MIB)
        .unwrap();
    assert_eq!(accounts(), (MIB, MIB));
    assert!(download.try_grow(MIB));
    let part = download.split(64 * KIB).unwrap();
    assert_eq!(accounts(), (MIB, 2 * MIB));
    download.shrink_to(64 * KIB);
    assert_eq!(accounts(), (MIB, 128 * KIB));
    assert_eq!(world.snapshot().leased_bytes, MIB + 128 * KIB);
    drop((download, part));
    assert_eq!(accounts(), (MIB, 0));
    drop(upload);
    assert_eq!(accounts(), (0, 0));
}

#[test]
fn downloads_that_stand_still_leave_uploads_their_half() {
    let world = World::new(GIB);
    let all = world.free();
    let mut downloads = Vec::new();
    for user in 1..=2 {
        while let Some(lease) = world
            .ledger
            .try_lease_for_download(holder(user, downloads.len() as u64), MIB)
        {
            downloads.push(lease);
        }
    }
    let snapshot = world.snapshot();
    assert!(snapshot.account(Account::Downloads) <= all / 2);
    assert!(snapshot.account(Account::Downloads) + MIB > all / 2);
    // One more waits, and holds up no upload: neither one that finds memory, nor one that has to
    // wait.
    let one_more = world.ledger.admit_for_download(holder(4, 1), MIB);
    let mut one_more = one_more.unwrap();
    downloads.pop();
    assert!(granted(&mut one_more).is_some_and(|lease| lease.bytes() == MIB));
    let next = world.ledger.admit_for_download(holder(4, 2), 16 * MIB);
    let next = next.unwrap();
    let mut upload = world.ledger.admit(holder(3, 1), MIB).unwrap();
    assert_eq!(granted(&mut upload).unwrap().bytes(), MIB);
    drop((downloads, next, one_more));
    assert_eq!(world.snapshot().account(Account::Downloads), 0);
}

#[test]
fn one_clients_downloads_leave_half_to_those_of_others() {
    let world = World::new(GIB);
    let most = world.free() / 2;
    let mut downloads = Vec::new();
    while let Some(lease) = world
        .ledger
        .try_lease_for_download(holder(1, downloads.len() as u64), MIB)
    {
        downloads.push(lease);
    }
    let held = world.snapshot().account(Account::Downloads);
    assert!(
        held <= most / 2 && held + MIB > most / 2,
        "{held} of {most}"
    );
    assert!(!downloads[0].try_grow(MIB), "growing counts as well");
    let mut waiting: Vec<_> = (0..100)
        .map(|number| {
            world
                .ledger
                .admit_for_download(holder(1, 1_000 + number), MIB)
        })
        .map(Result::unwrap)
        .collect();
    assert!(waiting.iter_mut().all(|one| granted(one).is_none()));
    // Others pass those that wait for their own client: downloads, and uploads of the same client
    // too.
    for user in [2, 3] {
        let mut other = world
            .ledger
            .admit_for_download(holder(user, 1), MIB)
            .unwrap();
        assert_eq!(granted(&mut other).unwrap().bytes(), MIB);
    }
    let mut upload = world.ledger.admit(holder(1, 5_000), MIB).unwrap();
    assert_eq!(granted(&mut upload).unwrap().bytes(), MIB);
    // What is given back goes to the client's next.
    downloads.pop();
    assert!(waiting.iter_mut().any(|one| granted(one).is_some()));
    drop((downloads, waiting));
    assert_eq!(world.snapshot().account(Account::Downloads), 0);
}

#[test]
fn no_download_is_the_one_that_may_go_on_at_any_pressure() {
    let world = World::new(GIB);
    world.script.change(|facts| facts.others_bytes = GIB);
    world.sample_after(millis(200));
    let floor = world.snapshot().floor_bytes;
    let mut downloads = Vec::new();
    for user in 1..=2 {
        while let Some(lease) = world
            .ledger
            .try_lease_for_download(holder(user, downloads.len() as u64), 64 * KIB)
        {
            downloads.push(lease);
        }
    }
    assert_eq!(world.snapshot().leased_bytes, floor / 4);
    let waiting: Vec<_> = (0..10)
        .map(|number| world.ledger.admit_for_download(holder(4, number), 64 * KIB))
        .collect();
    let mut upload = world.ledger.admit(holder(3, 1), floor / 2).unwrap();
    let mut upload = granted(&mut upload).unwrap();
    assert!(upload.try_grow(floor - upload.bytes()));
    drop((waiting, downloads, upload));
    assert_eq!(world.snapshot().leased_bytes, 0);
}
