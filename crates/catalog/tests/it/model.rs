//! Random calls, against SQLite and against a reference that is as plain as can be: after each call
//! both must have answered alike and hold the same.

use ddx_catalog::reference::Reference;
use ddx_catalog::sqlite::Config;
use ddx_catalog::{
    Catalog, Checkpoint, Completion, Error, ErrorKind, FileRecord, FileSummary, Kind, NewFile,
    Segment, ShareRecord, SqliteCatalog, State,
};
use proptest::prelude::*;
use std::fmt::Debug;

/// Few ids and few values, so that calls meet each other.
#[derive(Debug, Clone)]
enum Call {
    CreateShare(ShareRecord),
    Create(Box<NewFile>),
    Checkpoint(Checkpoint),
    /// Completes with the segments that the file and its parts have, as the engine does.
    CompleteRightly(u8, Option<i64>),
    Complete(Completion),
    Fail(u8),
    SetDigest(u8, u8, Option<u8>),
    SetLimits(u8, Option<u64>, Option<i64>),
    Delete(u8),
    DeleteExpired(i64, u32),
    SetDamage(u8, u8),
    CountDownload(u8, i64),
    ForgetSegments(u32),
    ForgetEmptyShares(i64),
    Reopen,
}

fn id<T: From<[u8; 16]>>(number: u8) -> T {
    [number; 16].into()
}

fn wide<T: From<[u8; 32]>>(number: u8) -> T {
    [number; 32].into()
}

/// A key, now and then none.
fn key<T: From<[u8; 32]> + Debug>() -> impl Strategy<Value = T> {
    (0..12_u8).prop_map(wide)
}

fn time() -> impl Strategy<Value = i64> {
    0..20_i64
}

fn segments() -> impl Strategy<Value = Vec<Segment>> {
    let segment = (1..8_u8, 0..4_u64).prop_map(|(name, length_bytes)| Segment {
        segment_id: id(name),
        length_bytes,
        crc64: length_bytes,
    });
    prop::collection::vec(segment, 0..3)
}

const OWNERS: &[&str] = &["ip:192.0.2.1", "ip:2001:db8::/64"];

fn record() -> impl Strategy<Value = FileRecord> {
    let owner = prop::sample::select(OWNERS);
    let names = (1..10_u8, 1..5_u8, key(), key(), "[ab]{1,2}", owner);
    let kinds = (
        prop_oneof![Just(Kind::Whole), Just(Kind::Partial), Just(Kind::Final)],
        prop_oneof![
            Just(State::Receiving),
            Just(State::Joining),
            Just(State::Complete),
            Just(State::Failed)
        ],
    );
    let sizes = (
        prop::option::of(0..8_u64),
        0..4_u64,
        segments(),
        prop::collection::vec(1..10_u8, 0..3),
    );
    let rest = (
        time(),
        prop::option::of(time()),
        prop::option::of(0..3_u64),
        prop::option::of(key()),
    );
    (names, kinds, sizes, rest).prop_map(
        |(names, (kind, state), (length_bytes, offset_bytes, segments, parts), rest)| {
            let (file, share, upload_key_hash, delete_key_hash, path, owner) = names;
            let (created_at, expires_at, max_downloads, blake3) = rest;
            FileRecord {
                file_id: id(file),
                share_id: id(share),
                upload_key_hash,
                delete_key_hash,
                owner: owner.to_owned(),
                path,
                kind,
                state,
                length_bytes,
                offset_bytes,
                crc64: offset_bytes,
                blake3,
                created_at,
                updated_at: created_at,
                completed_at: (state == State::Complete).then_some(created_at),
                expires_at,
                max_downloads,
                segments,
                parts: parts.into_iter().map(id).collect(),
                ..FileRecord::default()
            }
        },
    )
}

/// Most are right, some are as they come.
fn new_file() -> impl Strategy<Value = NewFile> {
    let inline = prop::option::of(prop::collection::vec(any::<u8>(), 0..6));
    (record(), key(), inline, 0..8_u8).prop_map(|(mut record, share_key_hash, mut inline, mend)| {
        if mend > 0 {
            if record.state == State::Failed {
                record.state = State::Receiving;
            }
            match (record.state, record.kind) {
                (State::Receiving, Kind::Final) => record.state = State::Joining,
                (State::Joining, _) => record.kind = Kind::Final,
                _ => {}
            }
            if record.kind != Kind::Final {
                record.parts.clear();
            }
            if record.state == State::Joining {
                record.offset_bytes = 0;
                record.segments.clear();
            }
            if record.state == State::Complete {
                if inline.is_some() {
                    record.segments.clear();
                }
                let held = record
                    .segments
                    .iter()
                    .map(|segment| segment.length_bytes)
                    .sum();
                record.offset_bytes = inline.as_ref().map_or(held, |bytes| bytes.len() as u64);
                record.length_bytes = Some(record.offset_bytes);
            } else {
                inline = None;
                record.completed_at = None;
            }
        }
        NewFile {
            record,
            share_key_hash,
            inline,
        }
    })
}

fn call() -> impl Strategy<Value = Call> {
    let file = || 1..10_u8;
    let share = (1..5_u8, key(), time());
    let checkpoint = (
        file(),
        0..6_u64,
        prop::option::of(3..7_u64),
        prop::option::weighted(0.3, segments()),
        time(),
    );
    let completion = (
        file(),
        segments(),
        prop::option::of(prop::collection::vec(any::<u8>(), 0..4)),
        0..6_u64,
    );
    prop_oneof![
        1 => share.prop_map(|(share, share_key_hash, created_at)| {
            Call::CreateShare(ShareRecord { share_id: id(share), share_key_hash, created_at })
        }),
        8 => new_file().prop_map(|new| Call::Create(Box::new(new))),
        5 => checkpoint.prop_map(|(file, offset_bytes, length_bytes, segments, updated_at)| {
            Call::Checkpoint(Checkpoint {
                file_id: id(file),
                offset_bytes,
                digest_state: vec![1; offset_bytes as usize],
                crc64: offset_bytes,
                length_bytes,
                segments,
                updated_at,
                expires_at: (updated_at % 3 != 0).then_some(updated_at + 5),
            })
        }),
        5 => (file(), prop::option::of(time())).prop_map(|(file, at)| Call::CompleteRightly(file, at)),
        2 => completion.prop_map(|(file, segments, inline, length_bytes)| {
            Call::Complete(Completion { file_id: id(file), segments, inline, length_bytes, ..Completion::default() })
        }),
        1 => file().prop_map(Call::Fail),
        2 => (file(), 1..3_u8, prop::option::of(1..3_u8)).prop_map(|(file, one, two)| Call::SetDigest(file, one, two)),
        2 => (file(), prop::option::of(1..3_u64), prop::option::of(time()))
            .prop_map(|(file, max, at)| Call::SetLimits(file, max, at)),
        3 => file().prop_map(Call::Delete),
        2 => (time(), 0..4_u32).prop_map(|(now, limit)| Call::DeleteExpired(now, limit)),
        2 => (file(), 1..3_u8).prop_map(|(file, damage)| Call::SetDamage(file, damage)),
        3 => (file(), time()).prop_map(|(file, now)| Call::CountDownload(file, now)),
        1 => (0..4_u32).prop_map(Call::ForgetSegments),
        1 => time().prop_map(Call::ForgetEmptyShares),
        1 => Just(Call::Reopen),
    ]
}

fn alike<T: PartialEq + Debug>(
    real: Result<T, Error>,
    expected: Result<T, ErrorKind>,
    call: &Call,
) {
    assert_eq!(real.map_err(|error| error.kind()), expected, "{call:?}");
}

/// The completion that fits the file as it stands.
fn right_completion(reference: &Reference, file: u8, expires_at: Option<i64>) -> Completion {
    let mut completion = Completion {
        file_id: id(file),
        completed_at: 9,
        expires_at,
        ..Completion::default()
    };
    let Some(record) = reference.file(id(file)) else {
        return completion;
    };
    if record.kind == Kind::Final {
        let parts = record.parts.iter().filter_map(|part| reference.file(*part));
        completion.segments = parts.flat_map(|part| part.segments.clone()).collect();
    } else {
        completion.segments.clone_from(&record.segments);
        let length = record.length_bytes.unwrap_or(record.offset_bytes);
        let held: u64 = completion
            .segments
            .iter()
            .map(|segment| segment.length_bytes)
            .sum();
        if let Some(last) = completion.segments.last_mut() {
            last.length_bytes += length.saturating_sub(held);
        } else if length > 0 && record.kind == Kind::Whole {
            completion.inline = Some(vec![file; length as usize]);
        }
    }
    completion.length_bytes = completion
        .segments
        .iter()
        .map(|segment| segment.length_bytes)
        .sum();
    if let Some(bytes) = &completion.inline {
        completion.length_bytes = bytes.len() as u64;
    }
    completion
}

async fn make(call: &Call, catalog: &SqliteCatalog, reference: &mut Reference) {
    match call.clone() {
        Call::CreateShare(share) => alike(
            catalog.create_share(share).await,
            reference.create_share(share),
            call,
        ),
        Call::Create(new) => alike(
            catalog.create(*new.clone()).await,
            reference.create(&new),
            call,
        ),
        Call::Checkpoint(to) => alike(
            catalog.checkpoint(to.clone()).await,
            reference.checkpoint(&to),
            call,
        ),
        Call::CompleteRightly(file, expires_at) => {
            let last = right_completion(reference, file, expires_at);
            alike(
                catalog.complete(last.clone()).await,
                reference.complete(&last),
                call,
            );
        }
        Call::Complete(last) => alike(
            catalog.complete(last.clone()).await,
            reference.complete(&last),
            call,
        ),
        Call::Fail(file) => {
            let real = catalog.fail(id(file), "why".to_owned(), 8).await;
            alike(real, reference.fail(id(file), "why", 8), call);
        }
        Call::SetDigest(file, one, two) => {
            let real = catalog.set_digest(id(file), wide(one), two.map(wide)).await;
            alike(
                real,
                reference.set_digest(id(file), wide(one), two.map(wide)),
                call,
            );
        }
        Call::SetLimits(file, max, at) => {
            let real = catalog.set_limits(id(file), max, at).await;
            alike(real, reference.set_limits(id(file), max, at), call);
        }
        Call::Delete(file) => alike(
            catalog.delete(id(file)).await,
            Ok(reference.delete(id(file))),
            call,
        ),
        Call::DeleteExpired(now, limit) => {
            let files = catalog.expired(now, 0, limit).await.unwrap();
            // One that is not expired may be named as well.
            let files = [files, vec![id(1)]].concat();
            let real = catalog.delete_expired(now, files.clone()).await;
            alike(real, Ok(reference.delete_expired(now, &files)), call);
        }
        Call::SetDamage(file, damage) => {
            let damage = damage.to_string();
            let real = catalog.set_damage(id(file), damage.clone()).await;
            alike(real, reference.set_damage(id(file), &damage), call);
        }
        Call::CountDownload(file, now) => {
            alike(
                catalog.count_download(id(file), now).await,
                reference.count_download(id(file), now),
                call,
            );
        }
        Call::ForgetSegments(count) => {
            let gone = catalog.pending_deletions(count).await.unwrap();
            reference
                .pending_deletions
                .retain(|segment| !gone.contains(segment));
            catalog.forget_segments(gone).await.unwrap();
        }
        Call::ForgetEmptyShares(before) => {
            let real = catalog.forget_empty_shares(before, 1_000).await;
            alike(real, Ok(reference.forget_empty_shares(before, 1_000)), call);
        }
        Call::Reopen => {}
    }
}

/// Everything that can be asked, asked of both.
async fn compare(catalog: &SqliteCatalog, reference: &Reference) {
    for number in 0..12_u8 {
        let found =
            |file: &dyn Fn(&&FileRecord) -> bool| reference.files.iter().find(file).cloned();
        let file_id = id(number);
        assert_eq!(
            catalog.file(file_id).await.unwrap().as_ref(),
            reference.file(file_id)
        );
        let by_upload = found(&|file| number > 0 && file.upload_key_hash == wide(number));
        assert_eq!(
            catalog.file_by_upload_key(wide(number)).await.unwrap(),
            by_upload
        );
        let by_delete = found(&|file| number > 0 && file.delete_key_hash == wide(number));
        assert_eq!(
            catalog.file_by_delete_key(wide(number)).await.unwrap(),
            by_delete
        );
        let bytes = reference
            .inline
            .iter()
            .find(|(id, _)| *id == file_id)
            .map(|(_, bytes)| bytes.clone());
        assert_eq!(catalog.inline(file_id).await.unwrap(), bytes);
        assert_eq!(
            catalog.knows_segment(id(number)).await.unwrap(),
            reference.knows(id(number))
        );
        let refers = |file: &&FileRecord| {
            let segments = &mut file.segments.iter();
            segments.any(|segment| segment.segment_id == id(number))
        };
        assert_eq!(
            catalog.files_of_segment(id(number), 99).await.unwrap(),
            reference
                .files
                .iter()
                .filter(refers)
                .cloned()
                .collect::<Vec<_>>()
        );
        let mut waiting: Vec<_> = catalog
            .finals_waiting_for(file_id, None, 99)
            .await
            .unwrap()
            .iter()
            .map(|file| file.file_id)
            .collect();
        waiting.sort_unstable();
        assert_eq!(waiting, reference.waiting_for(file_id));
        let share = reference
            .shares
            .iter()
            .find(|share| share.share_id == id(number))
            .copied();
        assert_eq!(catalog.share(id(number)).await.unwrap(), share);
        let by_key = reference
            .shares
            .iter()
            .find(|share| number > 0 && share.share_key_hash == wide(number))
            .copied();
        assert_eq!(catalog.share_by_key(wide(number)).await.unwrap(), by_key);
        assert_eq!(
            catalog.share_files(id(number), None, 99).await.unwrap(),
            reference
                .share_files(id(number))
                .into_iter()
                .map(FileSummary::from)
                .collect::<Vec<_>>()
        );
    }
    assert_eq!(
        catalog.unfinished(99, None).await.unwrap(),
        reference.unfinished()
    );
    let reserved = reference.reserved_unbegun(9).into_iter();
    let mut reserved: Vec<_> = reserved.map(|(_, file_id)| file_id).collect();
    let mut found = catalog.reserved_unbegun(9, 99).await.unwrap();
    reserved.sort_unstable();
    found.sort_unstable();
    assert_eq!(found, reserved);
    assert_eq!(
        catalog.pending_deletions(99).await.unwrap(),
        reference.pending_deletions
    );
    assert_eq!(
        catalog.segments(99, None).await.unwrap(),
        reference.segments()
    );
    assert_eq!(catalog.totals().await.unwrap(), reference.totals());
    for &owner in OWNERS {
        assert_eq!(
            catalog.owner_totals(owner.to_owned()).await.unwrap(),
            reference.owner_totals(owner)
        );
    }
    let expired = catalog.expired(12, 0, 99).await.unwrap();
    let mut expired: Vec<_> = expired
        .iter()
        .map(|file_id| {
            (
                reference.file(*file_id).unwrap().expires_at.unwrap(),
                *file_id,
            )
        })
        .collect();
    assert!(expired.is_sorted_by_key(|(at, _)| *at));
    expired.sort_unstable();
    assert_eq!(expired, reference.expired(12));
    let pending = catalog.pending_digests(99).await.unwrap();
    let open = |file: &&FileRecord| {
        file.state == State::Complete
            && file.kind != Kind::Partial
            && file.blake3.is_none()
            && file.damage.is_none()
    };
    assert_eq!(pending.len(), reference.files.iter().filter(open).count());
    assert!(pending.iter().all(|file| open(&file)));
}

fn play(calls: &[Call]) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let open = || SqliteCatalog::open(folder.path(), Config::default()).unwrap();
    runtime.block_on(async {
        let mut catalog = open();
        let mut reference = Reference::default();
        for call in calls {
            if matches!(call, Call::Reopen) {
                catalog.close().await.unwrap();
                catalog = open();
            }
            make(call, &catalog, &mut reference).await;
            compare(&catalog, &reference).await;
        }
        catalog.check().await.unwrap();
    });
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn sqlite_answers_as_the_reference_does(calls in prop::collection::vec(call(), 1..60)) {
        play(&calls);
    }
}
