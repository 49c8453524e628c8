//! From readings to what is free, and how tight it is: one sentence each, on a machine and a clock
//! that the test moves.

use crate::support::{GIB, MIB, World, assert_adds_up, granted, holder, millis, secs};
use ddx_memory::{Account, Buffer, Config, Error, Ledger, PressureLevel, PressureStep, Refusal};

#[test]
fn charges_take_from_what_is_free_and_are_refused_with_the_figure_that_decided() {
    let config = Config {
        ceiling_bytes: Some(400 * MIB),
        ..Config::default()
    };
    let world = World::with(512 * MIB, config);
    // 512 less the reserve of 128 is less than the ceiling.
    assert_eq!(world.free(), 384 * MIB);
    let charge = world.ledger.charge(Account::Downloads, 84 * MIB).unwrap();
    assert_eq!(
        (charge.account(), charge.bytes()),
        (Account::Downloads, 84 * MIB)
    );
    assert_eq!(world.free(), 300 * MIB);
    assert_adds_up(&world.snapshot());
    let refusal = world
        .ledger
        .charge(Account::Downloads, 301 * MIB)
        .unwrap_err();
    assert!(
        matches!(refusal, Refusal::NoMemory { account: Account::Downloads, needed_bytes, free_bytes, .. }
            if needed_bytes == 301 * MIB && free_bytes == 300 * MIB),
        "{refusal}"
    );
    drop(charge);
    assert_eq!(world.free(), 384 * MIB);
    for account in Account::ALL {
        let refused = world.ledger.charge(account, 0).is_err();
        assert_eq!(
            refused,
            !Account::CHARGEABLE.contains(&account),
            "{account:?}"
        );
    }
}

#[test]
fn listings_and_streams_get_a_quarter_of_the_ceiling_at_any_load() {
    let world = World::new(GIB);
    let most = world.snapshot().ceiling_bytes / 4;
    assert!(world.ledger.charge(Account::Answers, most + 1).is_err());
    let all = world.ledger.charge(Account::Answers, most).unwrap();
    assert!(world.ledger.charge(Account::Answers, 1).is_err());
    drop(all);
    world
        .script
        .change(|facts| facts.others_bytes = GIB - 128 * MIB);
    world.sample_after(millis(200));
    assert_eq!(world.free(), 0);
    let one = world.ledger.charge(Account::Answers, 64 << 10).unwrap();
    assert_adds_up(&world.snapshot());
    drop(one);
}

#[test]
fn readers_that_are_remembered_get_a_sixteenth_of_the_ceiling_and_no_reserve() {
    let world = World::new(GIB);
    let most = world.snapshot().ceiling_bytes / 16;
    let all = world.ledger.charge(Account::Readers, most).unwrap();
    assert!(world.ledger.charge(Account::Readers, 1).is_err());
    assert_adds_up(&world.snapshot());
    drop(all);
    world
        .script
        .change(|facts| facts.others_bytes = GIB - 128 * MIB);
    world.sample_after(millis(200));
    assert_eq!(world.free(), 0);
    assert!(world.ledger.charge(Account::Readers, 1).is_err());
}

#[test]
fn connections_may_use_the_reserve_down_to_the_floor_when_buffers_may_not() {
    let world = World::new(GIB);
    world
        .script
        .change(|facts| facts.others_bytes = GIB - 128 * MIB);
    world.sample_after(millis(200));
    assert_eq!(world.free(), 0);
    assert!(world.ledger.charge(Account::DirtyWindows, MIB).is_err());
    let connection = world.ledger.charge_connection().unwrap();
    assert_eq!(
        world.snapshot().account(Account::Connections),
        connection.bytes()
    );
    let floor = world.snapshot().floor_bytes;
    let rest = 128 * MIB - floor - connection.bytes();
    assert!(world.ledger.charge(Account::Connections, rest + 1).is_err());
    let rest = world.ledger.charge(Account::Connections, rest).unwrap();
    assert_adds_up(&world.snapshot());
    drop(rest);
}

#[test]
fn dirty_windows_are_a_quarter_of_the_ceiling_and_shrink_as_memory_fills() {
    let world = World::new(GIB);
    let ceiling = world.snapshot().ceiling_bytes;
    assert!(
        world
            .ledger
            .charge(Account::DirtyWindows, ceiling / 4 + 1)
            .is_err()
    );
    drop(
        world
            .ledger
            .charge(Account::DirtyWindows, ceiling / 4)
            .unwrap(),
    );
    let lease = world.lease(holder(1, 1), ceiling / 100 * 87);
    world.sample_after(millis(200));
    assert_eq!(world.snapshot().pressure_step, PressureStep::ShrinkDirty);
    assert!(
        world
            .ledger
            .charge(Account::DirtyWindows, ceiling / 64 + 1)
            .is_err()
    );
    drop(
        world
            .ledger
            .charge(Account::DirtyWindows, ceiling / 64)
            .unwrap(),
    );
    drop(lease);
}

#[test]
fn the_budget_falls_at_once_and_rises_five_percent_a_second() {
    let config = Config {
        ceiling_bytes: Some(GIB),
        class_buffers: ddx_memory::ClassBuffers {
            max_4gb: Some(100),
            ..Default::default()
        },
        ..Config::default()
    };
    let world = World::with(GIB, config);
    let idle = world.free();
    assert_eq!(idle, GIB - 128 * MIB);
    world.script.change(|facts| facts.others_bytes = 512 * MIB);
    world.sample_after(millis(1));
    assert_eq!(world.free(), 384 * MIB);
    world.script.change(|facts| facts.others_bytes = 0);
    world.sample_after(millis(1000));
    assert_eq!(world.free(), 384 * MIB + GIB / 20);
    assert_adds_up(&world.snapshot());
    assert!(world.snapshot().account(Account::Withheld) > 0);
    for _ in 0..10 {
        world.sample_after(millis(1000));
    }
    assert_eq!(world.free(), idle);
}

#[test]
fn failed_readings_do_not_let_the_budget_rise_faster() {
    let world = World::with(
        GIB,
        Config {
            ceiling_bytes: Some(GIB),
            ..Config::default()
        },
    );
    world.script.change(|facts| facts.others_bytes = 800 * MIB);
    world.sample_after(millis(1));
    let low = world.free();
    world.script.change(|facts| facts.others_bytes = 0);
    world.sample_after(millis(1));
    world.script.change(|facts| facts.fails = true);
    for _ in 0..10 {
        world.sample_after(millis(100));
    }
    let risen = world.free() - low;
    assert!(risen <= GIB / 20 + MIB, "{risen} within a second");
}

#[test]
fn an_unreadable_machine_keeps_its_figure_for_two_seconds_and_then_grants_the_floor_only() {
    let world = World::new(GIB);
    let free = world.free();
    world.script.change(|facts| facts.fails = true);
    world.sample_after(millis(1900));
    assert_eq!(world.free(), free);
    assert!(world.snapshot().read_error.is_some());
    world.sample_after(millis(200));
    assert_eq!(world.free(), 0);
    let floor = world.snapshot().floor_bytes;
    let lease = world.lease(holder(1, 1), floor);
    let mut waiting = world.wait_for(holder(2, 1), MIB);
    assert_adds_up(&world.snapshot());
    world.script.change(|facts| facts.fails = false);
    world.sample_after(millis(200));
    assert!(granted(&mut waiting).is_some(), "readable again");
    assert_eq!(world.snapshot().read_error, None);
    drop(lease);
}

#[test]
fn a_blind_ledger_sees_again_by_itself_when_asked_for_memory() {
    let world = World::new(GIB);
    world.script.change(|facts| facts.fails = true);
    world.sample_after(secs(3));
    assert_eq!(world.free(), 0);
    world.script.change(|facts| facts.fails = false);
    // No sampler runs: the request itself must try.
    world.clock.advance(secs(10));
    let floor = world.snapshot().floor_bytes;
    assert!(world.ledger.try_lease(holder(1, 1), floor + MIB).is_some());
}

#[test]
fn the_first_grant_after_a_pause_rests_on_a_fresh_reading() {
    let world = World::new(GIB);
    world
        .script
        .change(|facts| facts.others_bytes = GIB - 150 * MIB);
    world.clock.advance(secs(60));
    assert!(world.ledger.try_lease(holder(1, 1), 100 * MIB).is_none());
    // After a minute without stall the reserve takes half of what there is at most.
    assert_eq!(world.free(), 75 * MIB);
    assert_eq!(world.snapshot().epoch, 2);
}

#[test]
fn fill_alone_is_never_critical_and_stall_alone_is_never_more_than_normal() {
    let world = World::new(GIB);
    world.stall_for(secs(2));
    world.stall_for(secs(2));
    let snapshot = world.snapshot();
    assert!(snapshot.stall.stalled && snapshot.stall.witnessed);
    assert_eq!(
        (snapshot.pressure_level, snapshot.pressure_step),
        (PressureLevel::Normal, PressureStep::Open)
    );
    let lease = world.lease(holder(1, 1), 64 * MIB);
    world
        .script
        .change(|facts| facts.others_bytes = GIB - 16 * MIB);
    for _ in 0..3 {
        world.sample_after(secs(2));
    }
    assert_eq!(world.snapshot().pressure_level, PressureLevel::Constrained);
    drop(lease);
}

#[test]
fn fill_and_stall_together_leave_only_the_guaranteed_one_and_calm_releases() {
    let world = World::new(GIB);
    let lease = world.lease(holder(1, 1), 64 * MIB);
    world
        .script
        .change(|facts| facts.others_bytes = GIB - 16 * MIB);
    world.stall_for(secs(2));
    let snapshot = world.snapshot();
    assert_eq!(
        (snapshot.pressure_level, snapshot.pressure_step),
        (PressureLevel::Critical, PressureStep::GuaranteedOnly)
    );
    assert_eq!(lease.surplus_bytes(), 64 * MIB, "all of it is asked back");
    let guaranteed = world.lease(holder(2, 1), MIB);
    assert_eq!(guaranteed.surplus_bytes(), 0);
    for _ in 0..30 {
        world.sample_after(secs(2));
    }
    assert_eq!(
        world.snapshot().pressure_level,
        PressureLevel::Constrained,
        "a minute without stall"
    );
    drop((lease, guaranteed));
}

#[test]
fn steps_are_left_at_nine_tenths_of_where_they_are_entered() {
    let world = World::new(GIB);
    let ceiling = world.snapshot().ceiling_bytes;
    let mut lease = world.lease(holder(1, 1), ceiling / 100 * 91);
    let mut step_at = |percent: u64| {
        lease.shrink_to(ceiling / 100 * percent);
        world.sample_after(millis(200));
        world.snapshot().pressure_step
    };
    assert_eq!(step_at(91), PressureStep::OneBuffer);
    assert_eq!(step_at(82), PressureStep::OneBuffer);
    assert_eq!(step_at(80), PressureStep::ShrinkDirty);
    assert_eq!(step_at(75), PressureStep::CacheBack);
    assert_eq!(step_at(71), PressureStep::Open);
}

#[test]
fn what_the_kernel_holds_for_sockets_has_a_row() {
    let world = World::new(GIB);
    world.script.change(|facts| {
        facts.others_bytes = 50 * MIB;
        facts.socket_bytes = Some(20 * MIB);
    });
    world.sample_after(millis(200));
    let snapshot = world.snapshot();
    assert_eq!(snapshot.account(Account::SocketMemory), 20 * MIB);
    assert_eq!(snapshot.account(Account::Others), 50 * MIB);
    assert_adds_up(&snapshot);
}

#[test]
fn what_is_held_when_the_start_is_over_is_no_drift() {
    let world = World::new(GIB);
    let baseline = world.snapshot().account(Account::Baseline);
    let charge = world.ledger.charge(Account::Connections, 10 * MIB).unwrap();
    world.script.change(|facts| facts.anon_bytes = 30 * MIB);
    world.ledger.finalize_baseline();
    let snapshot = world.snapshot();
    assert_eq!(snapshot.drift_bytes, 0);
    assert_eq!(snapshot.account(Account::Drift), 0);
    assert_eq!(snapshot.account(Account::Baseline), baseline + 20 * MIB);
    assert_adds_up(&snapshot);
    world.script.change(|facts| facts.anon_bytes = 31 * MIB);
    world.sample_after(millis(200));
    assert_eq!(world.snapshot().drift_bytes, 1 << 20);
    drop(charge);
    assert_adds_up(&world.snapshot());
}

#[test]
fn drift_has_a_row_and_an_alarm_of_its_own() {
    let world = World::new(GIB);
    world.script.change(|facts| facts.anon_bytes = 100 * MIB);
    world.sample_after(millis(200));
    let snapshot = world.snapshot();
    assert_eq!(snapshot.account(Account::Drift), 100 * MIB);
    assert_eq!(
        (snapshot.drift_bytes, snapshot.drift_alarm),
        (100 * 1024 * 1024, false)
    );
    assert_adds_up(&snapshot);
    // Memory that a charge explains is no drift, and is not counted twice.
    let free = world.free();
    let charge = world.ledger.charge(Account::Connections, 60 * MIB).unwrap();
    world.sample_after(millis(200));
    let snapshot = world.snapshot();
    assert_eq!(snapshot.account(Account::Drift), 40 * MIB);
    assert!(snapshot.free_to_lease_bytes >= free.min(snapshot.ceiling_bytes) - 60 * MIB);
    assert_adds_up(&snapshot);
    drop(charge);
    world.script.change(|facts| facts.anon_bytes = 200 * MIB);
    world.sample_after(millis(200));
    assert!(world.snapshot().drift_alarm);
}

#[test]
fn touching_a_leased_page_does_not_move_the_figure() {
    let world = World::with(
        512 * MIB,
        Config {
            ceiling_bytes: Some(512 * MIB),
            ..Config::default()
        },
    );
    let lease = world.lease(holder(1, 1), 32 * MIB);
    let free = world.free();
    let mut buffer = Buffer::new(lease).unwrap();
    for touched in [1, 7, 32u64] {
        buffer[..usize::try_from(touched * MIB).unwrap()].fill(1);
        world
            .script
            .change(|facts| facts.anon_bytes = touched * MIB);
        world.sample_after(millis(200));
        let snapshot = world.snapshot();
        assert_eq!(snapshot.pool_resident_bytes, touched * MIB);
        assert_eq!(snapshot.free_to_lease_bytes, free, "{touched} MiB touched");
        assert_eq!((snapshot.drift_bytes, snapshot.overcommitted_bytes), (0, 0));
        assert_adds_up(&snapshot);
    }
}

#[test]
fn a_ledger_is_not_opened_on_settings_or_machines_that_can_not_be() {
    let open = |config: Config| Ledger::on_this_machine(config).map(|_| ()).unwrap_err();
    let broken: [(&str, Config); 6] = [
        (
            "buffer_bytes_min",
            Config {
                buffer_bytes_min: 100,
                ..Config::default()
            },
        ),
        (
            "buffer_bytes_max",
            Config {
                buffer_bytes_max: 4096,
                ..Config::default()
            },
        ),
        (
            "upload_bytes_max",
            Config {
                upload_bytes_max: 4096,
                ..Config::default()
            },
        ),
        (
            "memory_limit_bytes",
            Config {
                memory_limit_bytes: Some(MIB),
                ..Config::default()
            },
        ),
        (
            "waiters_max",
            Config {
                waiters_max: 0,
                ..Config::default()
            },
        ),
        (
            "sample_every",
            Config {
                sample_every: millis(0),
                ..Config::default()
            },
        ),
    ];
    for (name, config) in broken {
        let error = open(config);
        assert!(
            matches!(&error, Error::Setting { setting, .. } if *setting == name),
            "{error}"
        );
    }
    let nowhere = tempfile::tempdir().unwrap();
    std::fs::create_dir(nowhere.path().join("proc")).unwrap();
    std::fs::write(nowhere.path().join("proc/meminfo"), "MemTotal: none\n").unwrap();
    let machine = ddx_memory::Machine::below(nowhere.path());
    let error = Ledger::open(Config::default(), Box::new(machine)).unwrap_err();
    assert!(matches!(error, Error::Probe(_)), "{error}");
}
