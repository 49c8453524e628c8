//! The border cases of the tree one by one, then any cut and any restart against `blake3::hash`
//! itself.

use super::*;
use proptest::prelude::*;

const LEAF: usize = LEAF_BYTES as usize;

/// Bytes that differ from place to place, so that no two leaves are equal.
fn material(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    bytes
}

fn hash(bytes: &[u8]) -> [u8; 32] {
    *blake3::hash(bytes).as_bytes()
}

#[test]
fn every_border_of_the_tree() {
    let bytes = material(9 * LEAF + 1);
    for leaves in 0..=9 {
        for delta in [-1025i64, -1024, -1, 0, 1, 1023, 1024, 1025] {
            let length = leaves * LEAF as i64 + delta;
            let Ok(length) = usize::try_from(length) else {
                continue;
            };
            let Some(part) = bytes.get(..length) else {
                continue;
            };
            let mut hasher = FileHasher::new();
            hasher.update(part);
            assert_eq!(hasher.offset(), length as u64);
            assert_eq!(hasher.finalize(), hash(part), "{length} bytes");
            assert_eq!(hasher.finalize(), hash(part), "finalize changes nothing");
        }
    }
}

#[test]
fn resume_stands_on_the_last_border_and_the_state_is_small() {
    let bytes = material(5 * LEAF);
    let mut hasher = FileHasher::new();
    assert_eq!(hasher.state().len(), 13);
    for (index, leaf) in bytes.chunks(LEAF).enumerate() {
        hasher.update(&leaf[..LEAF - 1]);
        assert_eq!(
            FileHasher::resume(&hasher.state()).unwrap().offset(),
            (index * LEAF) as u64
        );
        hasher.update(&leaf[LEAF - 1..]);
        let resumed = FileHasher::resume(&hasher.state()).unwrap();
        assert_eq!(resumed.offset(), ((index + 1) * LEAF) as u64);
        assert_eq!(resumed.finalize(), hash(&bytes[..(index + 1) * LEAF]));
        assert_eq!(resumed.state(), hasher.state());
    }
}

/// The stack never outgrows its documented bound, up to the longest file there can be.
#[test]
fn bound_of_the_state() {
    assert_eq!(stack_len(0), 0);
    for leaves in [
        1,
        2,
        3,
        4,
        1 << 20,
        (1 << 43) + 1,
        LEAVES_MAX - 1,
        LEAVES_MAX,
    ] {
        assert!(
            FRAME_BYTES + HASH_BYTES * stack_len(leaves) <= STATE_BYTES_MAX,
            "{leaves}"
        );
    }
    assert_eq!(stack_len(LEAVES_MAX), 44);
    assert_eq!(STATE_BYTES_MAX, 1453);
}

/// Far into a huge file: the values of the left are made up, as no test can hash 16 TiB.
#[test]
fn a_leaf_far_away_has_its_own_value() {
    let body = [
        &[VERSION][..],
        &(1u64 << 24).to_le_bytes(),
        &[7; 25 * HASH_BYTES],
    ]
    .concat();
    let state = [&body[..], &check(&body)].concat();
    let mut far = FileHasher::resume(&state).unwrap();
    assert_eq!(far.offset(), 1 << 44);
    far.update(b"tail");
    let mut tail = blake3::Hasher::new();
    tail.set_input_offset(1 << 44).update(b"tail");
    // 2^24 leaves: 24 values that merge pairwise and the last one; all of them are 7s here.
    let mut left = [7; 32];
    for _ in 0..24 {
        left = merge_subtrees_non_root(&[7; 32], &left, Mode::Hash);
    }
    let expected = *merge_subtrees_root(&left, &tail.finalize_non_root(), Mode::Hash).as_bytes();
    assert_eq!(far.finalize(), expected);
}

#[test]
fn damage_is_found() {
    let mut hasher = FileHasher::new();
    hasher.update(&material(3 * LEAF));
    let state = hasher.state();
    assert!(FileHasher::resume(&state).is_ok());
    assert_eq!(FileHasher::resume(&[]).unwrap_err(), StateError::Damaged);
    for length in 1..state.len() {
        assert_eq!(
            FileHasher::resume(&state[..length]).unwrap_err(),
            StateError::Damaged,
            "cut to {length}"
        );
    }
    for index in 1..state.len() {
        let mut changed = state.clone();
        changed[index] ^= 0x10;
        assert_eq!(
            FileHasher::resume(&changed).unwrap_err(),
            StateError::Damaged,
            "changed at {index}"
        );
    }
    let mut newer = state;
    newer[0] = 2;
    assert_eq!(
        FileHasher::resume(&newer).unwrap_err(),
        StateError::Version(2)
    );
}

/// Sizes around what matters: chunks of 1 KiB, blocks, leaves.
fn length() -> impl Strategy<Value = usize> {
    prop_oneof![
        0..5000usize,
        0..6 * LEAF,
        (0..6usize, -3000i64..3000)
            .prop_map(|(l, d)| usize::try_from((l * LEAF) as i64 + d).unwrap_or(0)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_split_and_any_resume_point(
        length in length(),
        cuts in proptest::collection::vec((any::<prop::sample::Index>(), any::<bool>()), 0..8),
    ) {
        let bytes = material(length);
        let mut cuts: Vec<(usize, bool)> = cuts.iter().map(|(c, r)| (c.index(length + 1), *r)).collect();
        cuts.push((length, false));
        cuts.sort_unstable();
        let mut hasher = FileHasher::new();
        for (cut, restart) in cuts {
            let at = usize::try_from(hasher.offset()).unwrap();
            hasher.update(&bytes[at..cut]);
            prop_assert_eq!(hasher.offset(), cut as u64);
            if restart {
                let resumed = FileHasher::resume(&hasher.state()).unwrap();
                let border = usize::try_from(resumed.offset()).unwrap();
                prop_assert!(border <= cut && cut - border < LEAF);
                hasher = resumed;
                hasher.update(&bytes[border..cut]);
            }
            prop_assert_eq!(hasher.finalize(), hash(&bytes[..cut]));
        }
    }
}
