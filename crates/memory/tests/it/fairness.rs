//! Who is next: users in turn however many uploads they bring, none for ever, and those who hold
//! long after those who don't.

use std::collections::VecDeque;

use crate::support::{GIB, KIB, MIB, World, granted, holder, millis, secs};
use ddx_memory::{Admission, Config, Holder, Lease};

const PIECE: u64 = 64 * KIB;

/// Takes out those who were granted, in the order of the list.
fn served(waiting: &mut Vec<(Holder, Admission)>) -> Vec<Lease> {
    let mut leases = Vec::new();
    waiting.retain_mut(|(_, admission)| match granted(admission) {
        Some(lease) => {
            leases.push(lease);
            false
        }
        None => true,
    });
    leases
}

/// A world in which exactly `pieces` are to be had, by giving back what one lease holds.
fn tight(pieces: u64) -> (World, Vec<Lease>) {
    let world = World::new(GIB);
    let mut held = world.fill();
    let keep = held[0].bytes() - world.snapshot().floor_bytes - pieces * PIECE;
    held[0].shrink_to(keep);
    (world, held)
}

/// Grants until `who` gets one: one piece circulates, each holder keeps it for 50 ms.
fn grants_until(
    world: &World,
    waiting: &mut Vec<(Holder, Admission)>,
    first: Lease,
    who: Holder,
) -> usize {
    let mut current = first;
    for count in 1..10_000 {
        world.clock.advance(millis(50));
        drop(current);
        let mut leases = served(waiting);
        assert_eq!(leases.len(), 1, "one piece, one grant");
        current = leases.remove(0);
        if current.holder() == who {
            return count;
        }
    }
    panic!("{who:?} is never served");
}

#[test]
fn a_hundred_uploads_of_one_user_do_not_hold_up_the_one_upload_of_another() {
    let (world, held) = tight(1);
    let first = world.lease(holder(1, 1000), PIECE);
    let mut waiting: Vec<_> = (0..100)
        .map(|upload| holder(1, upload))
        .chain([holder(2, 0)])
        .map(|who| (who, world.wait_for(who, PIECE)))
        .collect();
    let grants = grants_until(&world, &mut waiting, first, holder(2, 0));
    assert!(grants <= 2, "{grants} grants before the other user's");
    drop(held);
}

#[test]
fn many_uploads_of_one_user_get_as_much_as_one_busy_upload_of_another() {
    let (world, held) = tight(1);
    let mut current = world.lease(holder(3, 0), PIECE);
    let again = |who: Holder| (who, world.wait_for(who, PIECE));
    let mut waiting: Vec<_> = (0..20).map(|upload| again(holder(1, upload))).collect();
    waiting.push(again(holder(2, 0)));
    let mut grants = [0u32; 4];
    for _ in 0..400 {
        world.clock.advance(millis(50));
        drop(current);
        let mut leases = served(&mut waiting);
        assert_eq!(leases.len(), 1);
        current = leases.remove(0);
        let who = current.holder();
        grants[usize::try_from(who.user).unwrap()] += 1;
        waiting.push(again(who));
    }
    assert!(grants[1].abs_diff(grants[2]) <= 20, "{grants:?}");
    drop(held);
}

#[test]
fn what_comes_free_in_one_moment_is_shared_by_those_who_wait() {
    let (world, mut held) = tight(0);
    let mut waiting: Vec<_> = (0..20)
        .map(|number| holder(1 + number / 10, number))
        .map(|who| (who, world.wait_for(who, PIECE)))
        .collect();
    let keep = held[0].bytes() - 10 * PIECE;
    held[0].shrink_to(keep);
    let leases = served(&mut waiting);
    let of_the_first = leases.iter().filter(|lease| lease.holder().user == 1);
    assert_eq!((leases.len(), of_the_first.count()), (10, 5));
}

#[test]
fn who_holds_ten_times_as_long_is_served_a_tenth_as_often() {
    let (world, held) = tight(1);
    let mut current = world.lease(holder(3, 0), PIECE);
    let mut waiting = vec![
        (holder(1, 0), world.wait_for(holder(1, 0), PIECE)),
        (holder(2, 0), world.wait_for(holder(2, 0), PIECE)),
    ];
    let mut grants = [0u32; 4];
    for _ in 0..660 {
        let slow = current.holder().user == 1;
        world
            .clock
            .advance(millis(if slow { 10_000 } else { 1_000 }));
        drop(current);
        let mut leases = served(&mut waiting);
        assert_eq!(leases.len(), 1);
        current = leases.remove(0);
        let who = current.holder();
        grants[usize::try_from(who.user).unwrap()] += 1;
        waiting.push((who, world.wait_for(who, PIECE)));
    }
    let ratio = f64::from(grants[2]) / f64::from(grants[1]);
    assert!((7.0..=11.0).contains(&ratio), "{grants:?}");
    drop(held);
}

#[test]
fn who_leaves_and_comes_again_has_not_lost_his_debt() {
    let (world, held) = tight(1);
    let long = world.lease(holder(1, 0), PIECE);
    let mut first = world.wait_for(holder(2, 0), PIECE);
    let mut second = world.wait_for(holder(2, 1), PIECE);
    world.clock.advance(secs(10));
    drop(long);
    let served = granted(&mut first).unwrap();
    let mut back = world.wait_for(holder(1, 1), PIECE);
    world.clock.advance(secs(1));
    drop(served);
    assert!(granted(&mut back).is_none(), "ten seconds against one");
    let served = granted(&mut second).unwrap();
    drop(served);
    assert!(granted(&mut back).is_some());
    drop(held);
}

#[test]
fn a_debt_is_forgotten_beyond_half_a_minute_of_everything() {
    let piece = 4 * MIB;
    let config = Config {
        ceiling_bytes: Some(2 * piece + 4 * KIB),
        ..Config::default()
    };
    let world = World::with(GIB, config);
    let long = world.lease(holder(1, 0), piece);
    let rest = world.lease(holder(3, 0), piece);
    // The floor is that of an upload that stays.
    let mut floor = world.lease(holder(4, 0), world.snapshot().floor_bytes);
    floor.shrink_to(4 * KIB);
    let mut waiting: Vec<_> = (0..2)
        .map(|upload| (holder(2, upload), world.wait_for(holder(2, upload), piece)))
        .collect();
    // Half of everything for an hour while another waits, and only a minute of it is owed.
    world.clock.advance(secs(3600));
    drop(long);
    let mut current = served(&mut waiting).remove(0);
    let mut debtor = world.wait_for(holder(1, 1), piece);
    for turns in 0..100 {
        waiting.push((holder(2, 9), world.wait_for(holder(2, 9), piece)));
        world.clock.advance(secs(1));
        drop(current);
        if granted(&mut debtor).is_some() {
            assert!(
                turns > 20,
                "after {turns} turns it is as if he had had nothing"
            );
            drop((rest, floor));
            return;
        }
        current = served(&mut waiting).remove(0);
    }
    panic!("the debtor starves");
}

#[test]
fn the_uploads_of_one_user_take_turns_in_the_order_of_their_coming() {
    let (world, held) = tight(1);
    let mut current = world.lease(holder(1, 1000), PIECE);
    let mut waiting: Vec<_> = (0..10)
        .map(|upload| (holder(1, upload), world.wait_for(holder(1, upload), PIECE)))
        .collect();
    let mut order = Vec::new();
    while !waiting.is_empty() {
        world.clock.advance(millis(50));
        drop(current);
        let mut leases = served(&mut waiting);
        assert_eq!(leases.len(), 1);
        current = leases.remove(0);
        order.push(current.holder().upload);
    }
    assert_eq!(order, (0..10).collect::<Vec<_>>());
    drop(held);
}

#[test]
fn nobody_starves_behind_newcomers_that_never_end() {
    let (world, held) = tight(2);
    let mut pieces: VecDeque<_> = [1, 2]
        .map(|user| world.lease(holder(user, 0), PIECE))
        .into();
    let patient = holder(500, 0);
    // A large request behind a stream of small ones, two new users for each piece that comes back.
    let mut large = world.wait_for(patient, 2 * PIECE);
    let mut waiting = Vec::new();
    for round in 0..200u64 {
        for newcomer in [1000 + 2 * round, 1001 + 2 * round] {
            waiting.push((
                holder(newcomer, 0),
                world.wait_for(holder(newcomer, 0), PIECE),
            ));
        }
        world.clock.advance(millis(50));
        drop(pieces.pop_front());
        pieces.extend(served(&mut waiting));
        if granted(&mut large).is_some() {
            assert!(round <= 4, "served after {round} rounds");
            drop(held);
            return;
        }
    }
    panic!("the large request starves");
}

#[test]
fn an_idle_user_keeps_no_credit() {
    let (world, held) = tight(1);
    let mut current = world.lease(holder(1, 0), PIECE);
    let mut waiting = Vec::new();
    let again = |who: Holder| (who, world.wait_for(who, PIECE));
    waiting.extend([again(holder(1, 0)), again(holder(2, 0))]);
    for _ in 0..50 {
        world.clock.advance(millis(50));
        drop(current);
        current = served(&mut waiting).remove(0);
        waiting.push(again(current.holder()));
    }
    // A third comes late: he may not take the fifty turns that he missed.
    for upload in 0..50 {
        waiting.push(again(holder(3, upload)));
    }
    let mut in_a_row = 0;
    for _ in 0..60 {
        world.clock.advance(millis(50));
        drop(current);
        current = served(&mut waiting).remove(0);
        in_a_row = if current.holder().user == 3 {
            in_a_row + 1
        } else {
            0
        };
        assert!(in_a_row <= 2, "he is served {in_a_row} times in a row");
        if current.holder().user != 3 {
            waiting.push(again(current.holder()));
        }
    }
    drop(held);
}

#[test]
fn all_of_ten_thousand_that_wait_are_served_and_places_are_honest() {
    let (world, held) = tight(64);
    let mut pieces: Vec<_> = (0..64)
        .map(|user| world.lease(holder(user, 0), PIECE))
        .collect();
    let mut waiting: Vec<_> = (0..10_000u64)
        .map(|number| holder(100 + number % 500, number))
        .map(|who| (who, world.wait_for(who, PIECE)))
        .collect();
    world.sample_after(millis(200));
    let mut ahead: Vec<_> = waiting
        .iter()
        .map(|(_, it)| it.place().unwrap().ahead)
        .collect();
    ahead.sort_unstable();
    assert_eq!(
        ahead,
        (0..10_000).collect::<Vec<_>>(),
        "each place is somebody's"
    );
    let mut left = 10_000;
    while !waiting.is_empty() {
        world.clock.advance(millis(50));
        let count = pieces.len();
        pieces.clear();
        pieces = served(&mut waiting);
        assert_eq!(pieces.len(), count.min(left));
        left -= pieces.len();
    }
    drop((pieces, held));
    assert_eq!(world.snapshot().leased_bytes, 0);
    assert_eq!(world.snapshot().account(ddx_memory::Account::Waiters), 0);
    assert!(world.free() >= 400 * MIB);
}

#[test]
fn nobody_stands_behind_more_than_wait() {
    let world = World::with(
        GIB,
        Config {
            ceiling_bytes: Some(MIB),
            ..Config::default()
        },
    );
    let mut held = Vec::new();
    while let Some(lease) = world
        .ledger
        .try_lease(holder(0, held.len() as u64), 64 * KIB)
    {
        held.push(lease);
        assert!(held.len() < 1000, "the ceiling does not hold");
    }
    let mut waiting: Vec<_> = (1..20)
        .map(|user| world.wait_for(holder(user, 1), 64 * KIB))
        .collect();
    world.sample_after(millis(200));
    let last = waiting.pop().unwrap();
    // Many go away before the ranking is made anew.
    waiting.truncate(2);
    let place = last.place().unwrap();
    assert!(place.ahead < place.waiting, "{place:?}");
}
