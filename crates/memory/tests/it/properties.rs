//! What holds whatever happens: random lives of a ledger on a machine whose other users, stalls and
//! failures are random as well.
//!
//! Three sentences are proved on each: the accounts add up at every step; none waits that could be
//! served; and once the machine is calm again and nothing is leased, everything is as it was at the
//! start, whatever came before.

use crate::support::{KIB, MIB, World, answer, assert_adds_up, holder, millis, secs};
use ddx_memory::{Account, Admission, Charge, Config, Holder, Lease, PressureLevel};
use proptest::prelude::*;

/// What may happen. Numbers that choose are taken modulo what there is.
#[derive(Debug, Clone)]
enum Step {
    Lease { user: u64, upload: u64, bytes: u64 },
    Admit { user: u64, upload: u64, bytes: u64 },
    Fetch(usize),
    Leave(usize),
    Grow(usize, u64),
    Shrink(usize, u64),
    Split(usize, u64),
    Drop(usize),
    Charge(usize, u64),
    Discharge(usize),
    Others(u64),
    Stall(u64),
    Fails(bool),
    Sample(u64),
    Close,
}

const TOTAL: u64 = 64 * MIB;

fn bytes() -> impl Strategy<Value = u64> {
    prop_oneof![1..64 * KIB, Just(64 * KIB), 1..2 * MIB, 1..TOTAL]
}

fn step() -> impl Strategy<Value = Step> {
    let who = || (0..4u64, 0..3u64);
    prop_oneof![
        4 => (who(), bytes()).prop_map(|((user, upload), bytes)| Step::Lease { user, upload, bytes }),
        8 => (who(), bytes()).prop_map(|((user, upload), bytes)| Step::Admit { user, upload, bytes }),
        6 => any::<usize>().prop_map(Step::Fetch),
        1 => any::<usize>().prop_map(Step::Leave),
        3 => (any::<usize>(), bytes()).prop_map(|(which, by)| Step::Grow(which, by)),
        3 => (any::<usize>(), bytes()).prop_map(|(which, to)| Step::Shrink(which, to)),
        2 => (any::<usize>(), bytes()).prop_map(|(which, part)| Step::Split(which, part)),
        6 => any::<usize>().prop_map(Step::Drop),
        2 => (any::<usize>(), 1..4 * MIB).prop_map(|(account, bytes)| Step::Charge(account, bytes)),
        2 => any::<usize>().prop_map(Step::Discharge),
        2 => (0..=TOTAL).prop_map(Step::Others),
        2 => (0..2_000_000u64).prop_map(Step::Stall),
        1 => any::<bool>().prop_map(Step::Fails),
        6 => (0..3_000u64).prop_map(Step::Sample),
    ]
}

/// A ledger and all that is held of it.
struct Life {
    world: World,
    leases: Vec<Lease>,
    waiting: Vec<(Holder, u64, Admission)>,
    charges: Vec<Charge>,
}

fn whole_pages(bytes: u64) -> u64 {
    bytes.max(1).next_multiple_of(4 * KIB)
}

fn told(snapshot: &ddx_memory::Snapshot) -> String {
    format!(
        "{} free, {} leased to {}, {} waiting, {:?}",
        snapshot.free_to_lease_bytes,
        snapshot.leased_bytes,
        snapshot.active_uploads,
        snapshot.waiting,
        snapshot.pressure_step
    )
}

fn chosen<T>(of: &[T], which: usize) -> Option<usize> {
    (!of.is_empty()).then(|| which % of.len())
}

impl Life {
    fn new(config: Config) -> Self {
        Self {
            world: World::with(TOTAL, config),
            leases: Vec::new(),
            waiting: Vec::new(),
            charges: Vec::new(),
        }
    }

    fn go(&mut self, step: &Step) {
        let ledger = &self.world.ledger;
        match *step {
            Step::Lease {
                user,
                upload,
                bytes,
            } => {
                let free = self.world.free();
                if let Some(lease) = ledger.try_lease(holder(user, upload), bytes) {
                    self.leases.push(lease);
                    self.check_grant(free, holder(user, upload), bytes);
                }
            }
            Step::Admit {
                user,
                upload,
                bytes,
            } => {
                let who = holder(user, upload);
                self.waiting
                    .extend(ledger.admit(who, bytes).ok().map(|it| (who, bytes, it)));
            }
            Step::Fetch(which) => self.fetch(which),
            Step::Leave(which) => {
                chosen(&self.waiting, which).map(|index| self.waiting.swap_remove(index));
            }
            Step::Charge(account, bytes) => {
                let account = Account::CHARGEABLE[account % Account::CHARGEABLE.len()];
                self.charges.extend(ledger.charge(account, bytes));
            }
            Step::Discharge(which) => {
                chosen(&self.charges, which).map(|index| self.charges.swap_remove(index));
            }
            Step::Grow(..) | Step::Shrink(..) | Step::Split(..) | Step::Drop(..) => {
                self.change_lease(step);
            }
            Step::Others(bytes) => self.world.script.change(|facts| facts.others_bytes = bytes),
            Step::Stall(micros) => self.world.script.change(|facts| facts.stall_us += micros),
            Step::Fails(fails) => self.world.script.change(|facts| facts.fails = fails),
            Step::Sample(pause_ms) => self.world.sample_after(millis(pause_ms)),
            Step::Close => ledger.close(),
        }
    }

    fn fetch(&mut self, which: usize) {
        let Some(index) = chosen(&self.waiting, which) else {
            return;
        };
        let (_, _, admission) = &mut self.waiting[index];
        if let Some(answer) = answer(admission) {
            self.leases.extend(answer);
            drop(self.waiting.swap_remove(index));
        }
    }

    fn change_lease(&mut self, step: &Step) {
        let (Step::Grow(which, bytes) | Step::Shrink(which, bytes) | Step::Split(which, bytes)) =
            *step
        else {
            if let Step::Drop(which) = *step {
                chosen(&self.leases, which).map(|index| self.leases.swap_remove(index));
            }
            return;
        };
        let Some(index) = chosen(&self.leases, which) else {
            return;
        };
        match step {
            Step::Grow(..) => {
                let who = self.leases[index].holder();
                let free = self.world.free();
                if self.leases[index].try_grow(bytes) {
                    self.check_grant(free, who, bytes);
                }
            }
            Step::Split(..) => {
                let part = self.leases[index].split(bytes);
                self.leases.extend(part);
            }
            _ => self.leases[index].shrink_to(bytes),
        }
    }

    /// What an upload holds by the test's own count, what it was granted and did not fetch yet left
    /// out.
    fn held(&self, who: Holder) -> u64 {
        let own = self.leases.iter().filter(|lease| lease.holder() == who);
        own.map(Lease::bytes).sum()
    }

    /// What was granted at once was free before, or is within the floor.
    fn check_grant(&self, free_before: u64, who: Holder, bytes: u64) {
        let within = whole_pages(bytes) <= free_before;
        let floor = self.held(who) <= self.world.snapshot().floor_bytes;
        assert!(
            within || floor,
            "{bytes} bytes for {who:?}, {free_before} were free"
        );
    }

    /// The accounts at every step.
    fn check(&self) {
        let snapshot = self.world.snapshot();
        let leased: u64 = self.leases.iter().map(Lease::bytes).sum();
        let answered = self.waiting.iter().filter(|(_, _, it)| it.is_decided());
        let waiting = self.waiting.len() - answered.count();
        assert_eq!(snapshot.waiting, waiting as u64);
        let undecided = self.waiting.iter().filter(|(_, _, it)| !it.is_decided());
        let bytes_waited_for: u64 = undecided.map(|(_, bytes, _)| whole_pages(*bytes)).sum();
        assert_eq!(snapshot.waiting_bytes, bytes_waited_for);
        assert!(snapshot.leased_bytes >= leased);
        if waiting == self.waiting.len() {
            assert_eq!(
                snapshot.leased_bytes, leased,
                "nothing is granted and not fetched"
            );
        }
        for account in Account::CHARGEABLE {
            let charged: u64 = self
                .charges
                .iter()
                .filter(|it| it.account() == account)
                .map(Charge::bytes)
                .sum();
            let waiters = if account == Account::Waiters {
                snapshot.waiting * self.world.ledger.config().waiter_bytes
            } else {
                0
            };
            assert_eq!(snapshot.account(account), charged + waiters, "{account:?}");
        }
        assert_adds_up(&snapshot);
        assert!(
            snapshot.free_to_lease_bytes <= snapshot.available_bytes + snapshot.pool_resident_bytes
        );
        self.check_nobody_waits_in_vain(&snapshot);
    }

    /// The next one would be served if it could be: no wake-up was lost.
    fn check_nobody_waits_in_vain(&self, snapshot: &ddx_memory::Snapshot) {
        if snapshot.waiting == 0 {
            return;
        }
        let holds_nothing = |who: Holder| {
            let answered = |it: &(Holder, u64, Admission)| it.0 == who && it.2.is_decided();
            self.held(who) == 0 && !self.waiting.iter().any(answered)
        };
        let fits =
            |bytes: u64| bytes.max(1).next_multiple_of(4 * KIB) <= snapshot.free_to_lease_bytes;
        let waits = || self.waiting.iter().filter(|(_, _, it)| !it.is_decided());
        // All of them fit and none holds a thing: then it is the turn of one of them, which would
        // have to be served.
        let all_fit =
            waits().all(|(who, bytes, _)| holds_nothing(*who) && fits((*bytes).min(4 * MIB)));
        let full = self
            .world
            .ledger
            .config()
            .uploads_max
            .is_some_and(|max| snapshot.active_uploads >= max);
        assert!(
            !all_fit || full || snapshot.pressure_step == ddx_memory::PressureStep::GuaranteedOnly,
            "they wait though they fit: {}",
            told(snapshot)
        );
        // Nothing is leased: the floor is there for one of them at least.
        assert!(
            snapshot.leased_bytes > 0,
            "they wait though nobody holds anything: {}",
            told(snapshot)
        );
    }

    /// Everything goes, the machine gets calm: the ledger is as it was at the start.
    fn end(mut self, idle: &ddx_memory::Snapshot) {
        self.leases.clear();
        self.charges.clear();
        self.waiting.clear();
        self.world.script.change(|facts| {
            facts.others_bytes = 0;
            facts.fails = false;
        });
        for _ in 0..120 {
            self.world.sample_after(secs(1));
        }
        let snapshot = self.world.snapshot();
        for account in [
            Account::Buffers,
            Account::Waiters,
            Account::Connections,
            Account::Downloads,
            Account::DirtyWindows,
            Account::SocketMemory,
            Account::Drift,
            Account::Others,
        ] {
            assert_eq!(snapshot.account(account), 0, "{account:?}");
        }
        assert_eq!(
            (
                snapshot.leased_bytes,
                snapshot.waiting,
                snapshot.active_uploads
            ),
            (0, 0, 0)
        );
        assert!(snapshot.free_to_lease_bytes >= idle.free_to_lease_bytes);
        assert_eq!(
            (snapshot.pressure_level, snapshot.overcommitted_bytes),
            (PressureLevel::Normal, 0)
        );
    }
}

/// Reads the machine when a step says so and not before a grant, so that the figure before a grant
/// is the one that decided.
fn unhurried() -> Config {
    Config {
        fresh_after: secs(100_000),
        sample_every: secs(100_000),
        ..Config::default()
    }
}

fn config() -> impl Strategy<Value = Config> {
    (
        prop::option::of(1..6u64),
        1..40usize,
        prop::option::of(0..TOTAL / 2),
    )
        .prop_map(|(uploads_max, waiters_max, reserve_bytes)| Config {
            uploads_max,
            waiters_max,
            reserve_bytes,
            ..unhurried()
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_accounts_add_up_at_every_step_and_all_is_zero_in_the_end(
        config in config(),
        steps in prop::collection::vec(step(), 1..120),
        close_at in prop::option::weighted(0.2, 0..120usize),
    ) {
        let mut life = Life::new(config);
        let idle = life.world.snapshot();
        for (number, step) in steps.iter().enumerate() {
            life.go(step);
            if close_at == Some(number) {
                life.go(&Step::Close);
            }
            life.check();
        }
        life.end(&idle);
    }

    #[test]
    fn whatever_the_history_calm_readings_and_nothing_leased_let_a_waiter_in(
        steps in prop::collection::vec(step(), 1..80),
        others in 0..=TOTAL,
    ) {
        let mut life = Life::new(unhurried());
        for step in &steps {
            life.go(step);
        }
        // Others keep what they have, even all of it: that is no reason to shut for good.
        life.leases.clear();
        life.charges.clear();
        life.waiting.clear();
        life.world.script.change(|facts| {
            facts.others_bytes = others;
            facts.fails = false;
        });
        life.world.sample_after(millis(200));
        prop_assert!(life.world.snapshot().pressure_level != PressureLevel::Critical, "nothing is leased");
        let mut waiting = life.world.ledger.admit(holder(99, 1), 64 * KIB).unwrap();
        life.world.sample_after(millis(200));
        prop_assert!(answer(&mut waiting).is_some_and(|answer| answer.is_ok()));
    }

    #[test]
    fn after_a_minute_without_stall_those_who_hold_much_do_not_shut_out_the_others(
        stalls in prop::collection::vec((0..2_000_000u64, 0..=TOTAL), 0..40),
    ) {
        let world = World::new(TOTAL);
        let held = world.fill();
        let mut waiting = world.wait_for(holder(1, 1), 64 * KIB);
        for (micros, others) in stalls {
            world.script.change(|facts| {
                facts.stall_us += micros;
                facts.others_bytes = others;
            });
            world.sample_after(millis(500));
        }
        for _ in 0..31 {
            world.sample_after(secs(2));
        }
        prop_assert!(world.snapshot().pressure_level != PressureLevel::Critical);
        drop(held);
        prop_assert!(answer(&mut waiting).is_some_and(|answer| answer.is_ok()));
    }
}
