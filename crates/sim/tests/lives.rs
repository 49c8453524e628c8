//! Lives of the whole server from seeds.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "the totals are what this prints")]

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use ddx_sim::{Plan, Tally, live, shrink};

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| {
        value
            .parse()
            .unwrap_or_else(|_| panic!("{name} is a number"))
    })
}

/// Lives of an ordinary run; some 15 s of two processors in a debug build.
const LIVES: u64 = 4_000;

/// Seeds from `DDX_SIM_FROM` on, `DDX_SIM_LIVES` of them; or the one of `DDX_SIM_SEED`, told event
/// by event.
#[test]
fn no_life_breaks_a_promise() {
    if let Some(seed) = setting("DDX_SIM_SEED") {
        return replay(seed);
    }
    let first = setting("DDX_SIM_FROM").unwrap_or(0);
    let lives = setting("DDX_SIM_LIVES").unwrap_or(LIVES);
    let (next, totals) = (AtomicU64::new(first), Mutex::new(Tally::default()));
    let failed = Mutex::new(None::<(u64, String)>);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let began = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut tally = Tally::default();
                while failed.lock().unwrap().is_none() {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + lives {
                        break;
                    }
                    let outcome = live(&Plan::of(seed), false);
                    tally.add(&outcome.tally);
                    if let Some(wrong) = outcome.wrong {
                        failed.lock().unwrap().get_or_insert((seed, wrong));
                    }
                }
                totals.lock().unwrap().add(&tally);
            });
        }
    });
    let last = next.load(Ordering::Relaxed).min(first + lives);
    println!(
        "seeds {first} to {last}, {:.1} s",
        began.elapsed().as_secs_f64()
    );
    println!("{}", totals.lock().unwrap());
    if let Some((seed, wrong)) = failed.lock().unwrap().take() {
        tell(seed, &wrong);
    }
}

fn replay(seed: u64) {
    let outcome = live(&Plan::of(seed), true);
    println!("{:#?}", Plan::of(seed));
    println!("{}", outcome.log.join("\n"));
    if let Some(wrong) = outcome.wrong {
        tell(seed, &wrong);
    }
}

fn tell(seed: u64, wrong: &str) {
    let smallest = shrink(&Plan::of(seed));
    let outcome = live(&smallest, true);
    let tail = outcome.log.len().saturating_sub(60);
    panic!(
        "{wrong}\nreplay: DDX_SIM_SEED={seed} cargo test -p ddx-sim --test lives -- --nocapture\n\
         the smallest plan that fails: {smallest:#?}\nits last events:\n{}\nit breaks: {:?}",
        outcome.log[tail..].join("\n"),
        outcome.wrong
    );
}

#[test]
fn a_seed_tells_a_life_to_the_last_event() {
    for seed in 0..40 {
        let plan = Plan::of(seed);
        let (one, two) = (live(&plan, false), live(&plan, false));
        assert_eq!(one, two, "seed {seed}");
    }
}
