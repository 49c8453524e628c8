//! Every seed of the corpus, and mutations of them, against every target.
//!
//! `DDX_FUZZ_MUTATIONS` multiplies the number of mutations, `DDX_SEED` chooses others; by default
//! they are the same on every machine, so that a red run can be had again.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use ddx_fuzz::mutate::{Choices, INPUT_BYTES_MAX, mutate};
use ddx_fuzz::{TARGETS, Target, target};
use proptest::prelude::*;

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

fn seeds(target: &Target) -> Vec<(String, Vec<u8>)> {
    let folder = corpus().join(target.name);
    let mut seeds: Vec<_> = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, std::fs::read(&path).unwrap())
        })
        .collect();
    seeds.sort();
    seeds
}

fn from_env(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| {
        text.parse()
            .unwrap_or_else(|_| panic!("{name}={text} is not a whole number"))
    })
}

/// Runs a target on one input; if it panics, tells how the input can be kept.
fn run(target: &Target, input: &[u8], what: &str) {
    if catch_unwind(AssertUnwindSafe(|| (target.run)(input))).is_err() {
        let file = std::env::temp_dir().join(format!("ddx-fuzz-{}", target.name));
        std::fs::write(&file, input).unwrap();
        panic!(
            "{}: {what} broke a promise; the input is {} ({})",
            target.name,
            file.display(),
            input.escape_ascii()
        );
    }
}

fn replay_and_mutate(target: &Target) {
    let seeds = seeds(target);
    assert!(
        seeds.len() >= 3,
        "{} has only {} seeds",
        target.name,
        seeds.len()
    );
    for (name, input) in &seeds {
        assert!(input.len() <= INPUT_BYTES_MAX, "{name} is too long");
        run(target, input, name);
    }
    let seeds: Vec<Vec<u8>> = seeds.into_iter().map(|(_, input)| input).collect();
    let from = from_env("DDX_SEED", 1);
    let mutations = u64::from(target.mutations) * from_env("DDX_FUZZ_MUTATIONS", 1);
    for at in 0..mutations {
        let seed = from.wrapping_mul(1_000_003).wrapping_add(at);
        let input = mutate(&seeds, target.words, &mut Choices::new(seed));
        run(target, &input, &format!("mutation {at} from {from}"));
    }
}

macro_rules! every {
    ($($name:ident),+ $(,)?) => {
        $(
            #[test]
            fn $name() {
                replay_and_mutate(target(stringify!($name)).unwrap());
            }
        )+

        #[test]
        fn every_target_has_a_corpus_and_a_test() {
            let tested: BTreeSet<_> = [$(stringify!($name)),+].into();
            let targets: BTreeSet<_> = TARGETS.iter().map(|target| target.name).collect();
            assert_eq!(tested, targets);
            let folders: BTreeSet<_> = std::fs::read_dir(corpus()).unwrap()
                .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
                .collect();
            assert!(folders.iter().map(String::as_str).eq(targets), "{folders:?}");
        }
    };
}

every!(
    catalog_file,
    catalog_row,
    digest_fields,
    digest_state,
    disposition_read,
    disposition_written,
    download,
    fields,
    head,
    ids,
    multipart,
    names,
    negotiate,
    origin,
    probe,
    put,
    settings,
    tus,
    units,
);

proptest! {
    #[test]
    fn bytes_without_any_form_break_nothing(input in prop::collection::vec(any::<u8>(), 0..120)) {
        for target in TARGETS.iter().filter(|target| target.mutations >= 1_000) {
            run(target, &input, "bytes without any form");
        }
    }
}

#[test]
fn mutations_are_the_same_everywhere() {
    let seeds = vec![b"bytes=0-1,5-9".to_vec(), b"bytes=-4".to_vec()];
    let twice: Vec<_> = (0..2)
        .map(|_| {
            (0..200)
                .map(|seed| mutate(&seeds, &["bytes="], &mut Choices::new(seed)))
                .collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(twice[0], twice[1]);
    let different: BTreeSet<_> = twice[0].iter().collect();
    assert!(different.len() > 150, "{} of 200", different.len());
}
