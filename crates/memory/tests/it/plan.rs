//! What `plan` says of machines of every class, and that its figures are those that decide.

use crate::support::{GIB, MIB, World, holder};
use ddx_memory::{Class, ClassBuffers, Config, LimitKind, Plan};

fn plan(total_bytes: u64) -> Plan {
    World::new(total_bytes).ledger.plan()
}

#[test]
fn the_classes_are_15_25_and_50_buffers_of_the_old_pool() {
    for (gib, name, buffers, ceiling_mib) in [
        (4, "4gb", (15, 4, 8), 432),
        (8, "8gb", (25, 6, 12), 688),
        (16, "16gb", (50, 12, 25), 1384),
        (64, "16gb", (50, 12, 25), 1384),
    ] {
        let plan = plan(gib * GIB);
        let Class {
            buffers_16mib,
            buffers_32mib,
            buffers_8mib,
            ..
        } = plan.class;
        assert_eq!(plan.class.name, name);
        assert_eq!(
            (buffers_16mib, buffers_32mib, buffers_8mib),
            buffers,
            "{gib} GiB"
        );
        assert_eq!(plan.class.ceiling_bytes, ceiling_mib * MIB);
        assert_eq!(plan.ceiling_bytes, ceiling_mib * MIB);
        assert_eq!(plan.leasable_bytes, ceiling_mib * MIB);
    }
}

#[test]
fn a_small_machine_is_bound_by_half_of_its_memory_and_not_by_its_class() {
    let plan = plan(256 * MIB);
    assert_eq!(plan.class.ceiling_bytes, 432 * MIB);
    assert_eq!(plan.ceiling_bytes, 128 * MIB);
    assert_eq!((plan.reserve_bytes, plan.floor_bytes), (64 * MIB, 8 * MIB));
}

#[test]
fn a_memory_limit_makes_a_large_machine_a_small_one() {
    let config = Config {
        memory_limit_bytes: Some(2 * GIB),
        ..Config::default()
    };
    let world = World::with(64 * GIB, config);
    let plan = world.ledger.plan();
    assert_eq!(plan.total_bytes, 2 * GIB);
    assert_eq!((plan.class.name, plan.ceiling_bytes), ("4gb", 432 * MIB));
    assert_eq!(plan.tightest.kind, LimitKind::Configured);
    assert_eq!(plan.reserve_bytes, 256 * MIB);
    // Our own memory counts against it.
    world.script.change(|facts| facts.anon_bytes = GIB);
    world.ledger.sample();
    assert_eq!(world.snapshot().available_bytes, GIB);
}

#[test]
fn a_memory_limit_beyond_the_machine_changes_nothing() {
    let config = Config {
        memory_limit_bytes: Some(64 * GIB),
        ..Config::default()
    };
    let plan = World::with(8 * GIB, config).ledger.plan();
    assert_eq!((plan.total_bytes, plan.class.name), (8 * GIB, "8gb"));
}

#[test]
fn each_override_touches_its_class_and_no_other() {
    let overrides = ClassBuffers {
        max_4gb: Some(5),
        max_8gb: Some(10),
        max_16gb: Some(100),
    };
    for (gib, ceiling_mib) in [
        (4, 5 * 16 + 32 + 2 * 8),
        (8, 10 * 16 + 2 * 32 + 5 * 8),
        (16, 1600 + 800 + 400),
    ] {
        let config = Config {
            class_buffers: overrides,
            ..Config::default()
        };
        let plan = World::with(gib * GIB, config).ledger.plan();
        assert_eq!(plan.class.ceiling_bytes, ceiling_mib * MIB, "{gib} GiB");
    }
}

#[test]
fn a_configured_ceiling_is_capped_by_the_class_and_a_configured_reserve_is_kept_to_the_byte() {
    let config = Config {
        ceiling_bytes: Some(100 * MIB),
        reserve_bytes: Some(123 * MIB),
        ..Config::default()
    };
    let plan = World::with(4 * GIB, config.clone()).ledger.plan();
    assert_eq!(
        (plan.ceiling_bytes, plan.reserve_bytes),
        (100 * MIB, 123 * MIB)
    );
    let config = Config {
        ceiling_bytes: Some(3 * GIB),
        ..config
    };
    assert_eq!(
        World::with(4 * GIB, config).ledger.plan().ceiling_bytes,
        432 * MIB
    );
}

#[test]
fn as_many_uploads_as_the_plan_promises_are_admitted_at_once() {
    let world = World::new(GIB);
    for rate in world.ledger.plan().rates {
        let held = rate.each_bytes - world.ledger.config().connection_bytes;
        let mut charges = Vec::new();
        let mut leases = Vec::new();
        for user in 0..rate.uploads {
            charges.push(world.ledger.charge_connection().unwrap());
            if held > 0 {
                leases.push(world.lease(holder(user, 0), held));
            }
        }
        assert_eq!(charges.len() as u64, rate.uploads, "{rate:?}");
        assert_eq!(world.snapshot().overcommitted_bytes, 0);
    }
}

#[test]
fn faster_uploads_hold_more_and_fewer_go_at_once() {
    let rates = plan(4 * GIB).rates;
    assert!(rates.is_sorted_by_key(|rate| rate.each_bytes));
    assert!(rates.is_sorted_by_key(|rate| std::cmp::Reverse(rate.uploads)));
    assert!(
        rates[0].uploads > 10_000,
        "a trickle costs its connection only: {rates:?}"
    );
    assert!(rates.iter().all(|rate| rate.uploads >= 1));
}

#[test]
fn the_printed_plan_names_every_figure_that_decides() {
    let text = plan(4 * GIB).to_string();
    for line in [
        "15 × 16, 4 × 32 and 8 × 8 MiB",
        "parallel_upload_max_buffers_4gb",
        "432 MiB",
        "kept free           512 MiB",
        "it decides",
        "this machine",
        "100 Mbit/s",
        "10 Gbit/s",
        "up to 65536 wait",
    ] {
        assert!(text.contains(line), "{line:?} is missing in:\n{text}");
    }
}

/// Words of the code that say nothing to a reader of the plan.
const PRIVATE: [&str; 11] = [
    "band", "class", "ceiling", "floor", "granule", "headroom", "lane", "lease", "leasable",
    "ledger", "rung",
];

#[test]
fn the_printed_plan_is_read_without_other_documents_on_every_machine() {
    for total_bytes in [
        32 * MIB,
        64 * MIB,
        512 * MIB,
        2 * GIB,
        4 * GIB,
        8 * GIB,
        16 * GIB,
        64 * GIB,
    ] {
        let text = plan(total_bytes).to_string();
        for word in text.split(|c: char| !c.is_alphabetic() && c != '_') {
            assert!(!PRIVATE.contains(&word), "{word:?} in:\n{text}");
        }
        for line in text.lines() {
            assert!(line.chars().count() <= 150, "{line}");
        }
        let uses = text.split("How this server uses it\n").nth(1).unwrap();
        for line in uses.lines().take_while(|line| !line.is_empty()) {
            let has_unit = [" B ", " KiB ", " MiB ", " GiB "]
                .iter()
                .any(|unit| line.contains(unit));
            assert!(
                has_unit && line.ends_with('.'),
                "a figure without unit or sentence: {line}"
            );
        }
    }
}

#[test]
fn a_plan_serializes_with_its_units_in_its_names() {
    let value = serde_json::to_value(plan(4 * GIB)).unwrap();
    assert_eq!(value["ceiling_bytes"], 432 * MIB);
    assert_eq!(value["class"]["name"], "4gb");
    assert_eq!(value["tightest"]["kind"], "host");
    assert!(value["rates"][0]["bytes_per_second"].is_u64());
}
