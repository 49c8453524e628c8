//! When all clients are done: is everything where it was promised, and nothing where nothing should
//! be?

use std::collections::BTreeMap;
use std::time::Duration;

use ddx_catalog::{FileRecord, State};
use ddx_engine::{Error, Kind};
use ddx_id::SegmentId;
use ddx_memory::Account;
use ddx_storage::Store;
use tokio::time::{Instant, sleep};

use crate::client::Client;
use crate::held::Held;
use crate::read::read_all;
use crate::server::{Life, Process};
use crate::settings::{FILE_EXPIRES, HOUSEKEEPING_EVERY, UPLOAD_EXPIRES};

/// What runs comes to rest within this.
const REST_MAX: Duration = Duration::from_secs(150);

/// What is planned to go wrong is over by then.
const CALM_AT: Duration = Duration::from_secs(40);

/// Checks everything. The first time it then cuts the power once more; the second time it lets
/// everything expire, and the life is over.
pub(crate) async fn rites(life: &Life, process: &Process) -> bool {
    tokio::select! {
        biased;
        _ = life.world.downfall() => false,
        is_over = check(life, process) => is_over,
    }
}

async fn check(life: &Life, process: &Process) -> bool {
    let failures = life.failures_before.get();
    sleep(CALM_AT.saturating_sub(life.world.elapsed())).await;
    rest(life, process).await;
    if !life.is_last.get() {
        files(life, process).await;
        life.is_last.set(true);
        life.world.cut_power();
        return false;
    }
    digests(life, failures).await;
    if life.world.failures() == failures {
        segments(life);
    }
    files(life, process).await;
    expire(life).await;
    rest(life, process).await;
    life.world.verdict().is_none()
}

/// Nothing writes, nothing waits, and what was leased is back.
async fn rest(life: &Life, process: &Process) {
    let began = Instant::now();
    loop {
        let snapshot = process.ledger.snapshot();
        let held: Vec<_> = Account::CHARGEABLE
            .into_iter()
            .chain([Account::Buffers, Account::Waiters])
            .map(|account| (account, snapshot.account(account)))
            .filter(|(_, bytes)| *bytes > 0)
            .collect();
        let engine = &process.engine;
        let (sessions, live) = (engine.locked_uploads(), engine.active_uploads());
        if held.is_empty() && sessions + live == 0 && snapshot.waiting == 0 {
            return;
        }
        if began.elapsed() > REST_MAX {
            let waiting = snapshot.waiting;
            return life.world.wrong(format!(
                "all clients are gone; the ledger has {held:?} and {waiting} waiters, the engine {sessions} sessions and {live} live uploads"
            ));
        }
        sleep(Duration::from_secs(1)).await;
    }
}

/// A start changes nothing that the one before it has put right. To be called before anything else
/// runs.
pub(crate) async fn recover_again(life: &Life, process: &Process) {
    let before = standing(life);
    let recovered = process.engine.recover().await;
    // A call that fails here or failed at the start leaves something to do.
    if life.world.failures() != life.failures_before.get() {
        return;
    }
    match recovered {
        Ok(found) if found.removed + found.failed + found.stray_segments > 0 => {
            life.world
                .wrong(format!("a second recovery found more to do: {found:?}"));
        }
        Ok(_) if standing(life) != before => {
            life.world
                .wrong("a second recovery changed something".to_owned());
        }
        Err(error) => {
            life.world
                .wrong(format!("a second recovery failed: {error:?}"));
        }
        Ok(_) => {}
    }
}

/// All that a start may change.
fn standing(life: &Life) -> (Vec<FileRecord>, BTreeMap<SegmentId, u64>) {
    (life.records.lock().files.clone(), stored(life))
}

/// Every segment on the disk, and its length.
fn stored(life: &Life) -> BTreeMap<SegmentId, u64> {
    let disk = life.world.disk().open();
    let listed = disk.list(None, usize::MAX).and_then(|ids| {
        let length = |id| Ok((id, disk.length(id)?));
        ids.into_iter().map(length).collect()
    });
    listed.unwrap_or_else(|error: ddx_storage::Error| {
        life.world
            .wrong(format!("the disk can't be listed: {error}"));
        BTreeMap::new()
    })
}

/// Files that were joined get their digests without being asked.
async fn digests(life: &Life, failures: (u64, u64)) {
    let began = Instant::now();
    loop {
        let pending = {
            let records = life.records.lock();
            let mut complete = records
                .files
                .iter()
                .filter(|file| file.state == State::Complete);
            complete
                .find(|file| file.blake3.is_none() && file.kind != Kind::Partial)
                .map(|file| file.path.clone())
        };
        let Some(path) = pending else {
            return;
        };
        if began.elapsed() > HOUSEKEEPING_EVERY * 4 && life.world.failures() == failures {
            return life
                .world
                .wrong(format!("the digest of {path} never comes"));
        }
        if began.elapsed() > HOUSEKEEPING_EVERY * 20 {
            return life.world.wrong(format!(
                "the digest of {path} never comes, in spite of peace"
            ));
        }
        sleep(Duration::from_secs(1)).await;
    }
}

/// Disk and catalog agree to the byte.
fn segments(life: &Life) {
    let stored = stored(life);
    let records = life.records.lock();
    if let Some(pending) = records.pending_deletions.first() {
        life.world.wrong(format!(
            "segment {pending:02x?} is pending deletion and stays"
        ));
    }
    let known = records.segments();
    if let Some(orphan) = stored.keys().find(|id| !known.contains(id)) {
        life.world
            .wrong(format!("no record knows segment {orphan:02x?}"));
    }
    let mut taken = BTreeMap::new();
    for file in &records.files {
        for segment in &file.segments {
            let least = match file.state {
                State::Complete => segment.length_bytes,
                _ => file.offset_bytes,
            };
            let is = stored.get(&segment.segment_id).copied();
            if is.is_none_or(|is| is < least) {
                life.world.wrong(format!(
                    "{}: {is:?} of {least} bytes are on the disk",
                    file.path
                ));
            }
            // A joined file has the segments of its parts, and no reservation.
            let promised = match file.kind {
                Kind::Final => 0,
                Kind::Whole | Kind::Partial => file.length_bytes.unwrap_or(0),
            };
            let bytes = taken.entry(segment.segment_id).or_insert(0);
            *bytes = promised.max(is.unwrap_or(0)).max(*bytes);
        }
    }
    let taken: u64 = taken.values().sum();
    drop(records);
    let space = life.world.disk().space();
    let used = space.total_bytes - space.free_bytes;
    if used > taken {
        life.world.wrong(format!(
            "{used} bytes are taken or reserved, records account for {taken}"
        ));
    }
}

/// Every record is what its client sent, and every client's is there.
async fn files(life: &Life, process: &Process) {
    let all = life.records.lock().files.clone();
    for record in &all {
        let number = record
            .path
            .split('/')
            .next()
            .and_then(|number| number.parse().ok());
        let client = life
            .clients
            .iter()
            .find(|client| Some(client.plan.number) == number);
        match client {
            None => life.world.wrong(format!("nobody sent {}", record.path)),
            Some(client) if record.state == State::Complete => read(client, process, record).await,
            Some(_) => {}
        }
    }
    let now = life.records.lock().files.clone();
    for client in &life.clients {
        there(life, client, &now);
    }
}

async fn read(client: &Client, process: &Process, record: &FileRecord) {
    loop {
        let failures = client.world.failures();
        match read_all(&process.engine, record.file_id).await {
            Ok((record, bytes)) => {
                client.check_file(&record.path, &record, &bytes);
                let count = bytes.len() as u64;
                return client.world.count(|tally| tally.compared_bytes += count);
            }
            // It expires while we look.
            Err(Error::NotFound | Error::Expired)
                if record
                    .expires_at
                    .is_some_and(|at| at <= client.world.latest_at()) =>
            {
                return;
            }
            Err(_) if client.world.failures() != failures => {}
            Err(error) => {
                return client
                    .world
                    .wrong(format!("{} can't be read: {error:?}", record.path));
            }
        }
        sleep(Duration::from_millis(300)).await;
    }
}

fn there(life: &Life, client: &Client, records: &[FileRecord]) {
    let told = client.told().clone();
    let held: Vec<&Held> = told.parts.iter().chain([&told.joined]).flatten().collect();
    for held in &held {
        let found = records.iter().find(|file| file.file_id == held.file_id);
        let is_gone = held.is_removed || held.may_have_expired(&life.world);
        match found {
            None if is_gone => {}
            None => life.world.wrong(format!("{}: lost", held.name)),
            Some(_)
                if held.is_removed
                    && held.is_complete
                    && told.is_over
                    && client.plan.end == crate::plan::End::Delete =>
            {
                life.world
                    .wrong(format!("{}: deleted, and there again", held.name));
            }
            Some(file) if file.offset_bytes < held.acknowledged_bytes => {
                life.world.wrong(format!(
                    "{}: stands at {}, {} were acknowledged",
                    held.name, file.offset_bytes, held.acknowledged_bytes
                ));
            }
            Some(file) if held.is_complete && file.state != State::Complete => {
                life.world
                    .wrong(format!("{}: was complete, is {:?}", held.name, file.state));
            }
            Some(file)
                if file.state == State::Failed
                    && !told
                        .parts
                        .iter()
                        .flatten()
                        .any(|part| part.is_removed || part.may_have_expired(&life.world)) =>
            {
                life.world
                    .wrong(format!("{}: failed: {:?}", held.name, file.failure));
            }
            Some(_) => {}
        }
    }
    let number = client.plan.number.to_string();
    let made = records
        .iter()
        .filter(|file| file.path.split([' ', '/']).next() == Some(&number));
    let (made, known) = (made.count() as u64, held.len() as u64 + told.unknown);
    if made > known {
        life.world.wrong(format!(
            "upload {number}: {made} records, {known} can be accounted for"
        ));
    }
}

/// Time goes by, and nothing is left: no record, no byte, no reservation.
async fn expire(life: &Life) {
    let ahead = FILE_EXPIRES + UPLOAD_EXPIRES * 2;
    life.world
        .jump(ahead.as_millis() as i64 + life.world.turned_back_ms());
    let began = Instant::now();
    loop {
        let space = life.world.disk().space();
        let left = {
            let records = life.records.lock();
            (
                records.files.len(),
                records.shares.len(),
                records.pending_deletions.len(),
            )
        };
        let (used, segments) = (space.total_bytes - space.free_bytes, stored(life).len());
        // What no record knows is found by a start; where that could not delete it, the next one
        // does.
        let failed = life.world.failures() != life.failures_before.get();
        let is_free = segments == 0 && used == 0 && space.reserved_bytes == 0;
        if left == (0, 0, 0) && (is_free || failed) {
            return;
        }
        if began.elapsed() > HOUSEKEEPING_EVERY * 30 {
            return life.world.wrong(format!(
                "all is expired; files, shares and pending deletions left: {left:?}; {segments} segments and {used} bytes on the disk"
            ));
        }
        sleep(HOUSEKEEPING_EVERY / 2).await;
    }
}
