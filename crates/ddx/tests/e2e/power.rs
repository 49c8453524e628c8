//! Real power cuts: the real binary, the real SQLite and a real ext4, on a disk that loses what was
//! not flushed.
//!
//! Promise 1 says "loss of power", and only this proves it: after `kill -9` the kernel still writes
//! what it holds. Uploads run until the power goes at some write or flush; chance decides which
//! unflushed blocks survive; the file system is mounted again and the server started. Everything
//! that was answered must hold. A run goes on with the disk as it is.
//!
//! That it can fail was tried by hand: without `fdatasync` of segments, or with SQLite's
//! `synchronous` at OFF or NORMAL, the first cut shows it; with OFF for the connection alone that
//! copies the log into the database, the 24th did. What it can't show is a folder that was not
//! flushed, since ext4's journal takes the entry along with the file; the simulated disk does.
//!
//! The moments come from a seed that is printed; `DDX_SEED` repeats a run (as far as the kernel's
//! own order repeats itself), `DDX_POWER_ROUNDS` sets how many cuts.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ddx_catalog::sqlite::Config;
use ddx_catalog::{Catalog, SqliteCatalog};
use ddx_testkit::{
    Client, Data, MIB, Part, PowerCut, PowerDisk, Request, Server, Turn, Tus, Upload, from_env,
};

use crate::kill::{Chance, seed};
use crate::{ledger_at_zero, setup};

const DISK_BYTES: u64 = 256 * MIB;
const SENDERS: u64 = 4;
const PUTTERS: u64 = 2;
/// Longest file that is sent. A round's files together stay far below the disk.
const FILE_BYTES_MAX: u64 = 3 * MIB;
/// Writes and flushes of the disk in one round, at most, before the power goes.
const CALLS_MAX: u64 = 1_500;
/// Files whose answer was lost stay behind, so after some rounds there is a new disk.
const ROUNDS_PER_DISK: usize = 10;
const ROUND_LASTS_AT_MOST: Duration = Duration::from_secs(8);

/// An upload that was created, and what the server has said of it.
struct One {
    data: Data,
    upload: Upload,
    answered: AtomicU64,
    sent: AtomicU64,
    /// Its deletion was asked for; and was answered.
    deleting: AtomicBool,
    deleted: AtomicBool,
}

/// What one sender was promised.
#[derive(Default)]
struct Promised {
    uploads: Vec<Arc<One>>,
    /// Files that came in one piece.
    files: Vec<Put>,
}

struct Put {
    data: Data,
    link: String,
    delete: String,
}

#[derive(Debug, Default)]
struct Tally {
    cuts: u64,
    acknowledged_bytes: u64,
    finished: u64,
    resumed: u64,
    deleted: u64,
    unflushed_blocks: u64,
    lost_blocks: u64,
    flushes: u64,
}

impl Tally {
    fn note(&mut self, cut: PowerCut) {
        self.cuts += 1;
        self.unflushed_blocks += cut.unflushed_blocks;
        self.lost_blocks += cut.lost_blocks;
        self.flushes += cut.flushes;
    }
}

/// Creates uploads and sends them in pieces, one after the other, until the server is gone.
async fn send_by_tus(client: Client, seed: u64, name: u64) -> Promised {
    let mut chance = Chance::new(seed);
    let tus = Tus::new(&client);
    let mut promised = Promised::default();
    loop {
        let data = Data::new(chance.below(u64::MAX), 1 + chance.below(FILE_BYTES_MAX));
        let name = format!("{name}-{}.bin", promised.uploads.len());
        let Ok(upload) = tus.create(Some(data.len()), &name).await else {
            return promised;
        };
        let one = Arc::new(One {
            data,
            upload,
            answered: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            deleting: AtomicBool::new(false),
            deleted: AtomicBool::new(false),
        });
        promised.uploads.push(Arc::clone(&one));
        if send_pieces(&tus, &one, &mut chance).await.is_err() {
            return promised;
        }
    }
}

async fn send_pieces(tus: &Tus, one: &One, chance: &mut Chance) -> Result<()> {
    let mut at = 0;
    while at < one.data.len() {
        let end = (at + 1 + chance.below(MIB)).min(one.data.len());
        one.sent.store(end, Ordering::SeqCst);
        let answer = tus.patch(&one.upload.path, &one.data, at..end).await?;
        at = answer.expect(204)?.number("upload-offset")?;
        one.answered.store(at, Ordering::SeqCst);
    }
    if chance.below(5) == 0 {
        one.deleting.store(true, Ordering::SeqCst);
        tus.delete(&one.upload.path).await?.expect(204)?;
        one.deleted.store(true, Ordering::SeqCst);
    }
    Ok(())
}

/// Sends whole files, small ones (which live in the catalog) and large ones, until the server is
/// gone.
async fn send_by_put(client: Client, seed: u64, name: u64) -> Promised {
    let mut chance = Chance::new(seed);
    let mut promised = Promised::default();
    loop {
        let most = if chance.below(2) == 0 {
            40_000
        } else {
            FILE_BYTES_MAX
        };
        let data = Data::new(chance.below(u64::MAX), 1 + chance.below(most));
        let name = format!("put-{name}-{}.bin", promised.files.len());
        match put(&client, &name, data).await {
            Ok(file) => promised.files.push(file),
            Err(_) => return promised,
        }
    }
}

async fn put(client: &Client, name: &str, data: Data) -> Result<Put> {
    let answer = client.put(name, &data).await?.expect(201)?;
    Ok(Put {
        data,
        link: answer.text().trim().to_owned(),
        delete: answer.field("x-url-delete")?.to_owned(),
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exclusive_loss_of_power_takes_nothing_back() -> Result<()> {
    let _turn = Turn::alone()?;
    let seed = seed()?;
    let mut chance = Chance::new(seed);
    let mut tally = Tally::default();
    let rounds = from_env("DDX_POWER_ROUNDS", 3);
    let modes = PowerDisk::DATA_MODES
        .into_iter()
        .cycle()
        .skip((seed % 3) as usize);
    for (first, data_mode) in (0..rounds).step_by(ROUNDS_PER_DISK).zip(modes) {
        println!("ext4, data={data_mode}");
        let mut disk = PowerDisk::new(DISK_BYTES, data_mode)?;
        let mut server = setup().data_dir(disk.path().join("data")).start()?;
        for round in (first..rounds).take(ROUNDS_PER_DISK) {
            let told = format!("DDX_SEED={seed}, cut {round}");
            println!("{told}");
            round_of(&mut disk, &mut server, &mut chance, &mut tally)
                .await
                .context(told)?;
        }
        ledger_at_zero(&server.client()).await?;
        server.terminate(Duration::from_secs(20))?;
        disk_and_catalog_agree(server.data_dir()).await?;
    }
    println!("0 bytes lost of those that were acknowledged; {tally:?}");
    ensure!(
        tally.lost_blocks > 0 && tally.acknowledged_bytes > 0,
        "nothing was at stake: {tally:?}"
    );
    Ok(())
}

/// After all those cuts the catalog is sound to its last page, and the disk holds no segment that
/// it does not know.
async fn disk_and_catalog_agree(data_dir: &Path) -> Result<()> {
    let catalog = SqliteCatalog::open(data_dir, Config::default())?;
    catalog.check().await?;
    let mut known = catalog.segments(1_000, None).await?;
    known.extend(catalog.pending_deletions(1_000).await?);
    let known: BTreeSet<String> = known.into_iter().map(|id| id.to_string()).collect();
    for shard in std::fs::read_dir(data_dir.join("segments"))? {
        for segment in std::fs::read_dir(shard?.path())? {
            let name = segment?.file_name().to_string_lossy().into_owned();
            ensure!(known.contains(&name), "no record knows segment {name}");
        }
    }
    catalog.close().await?;
    Ok(())
}

async fn round_of(
    disk: &mut PowerDisk,
    server: &mut Server,
    chance: &mut Chance,
    tally: &mut Tally,
) -> Result<()> {
    let client = server.client().patience(Duration::from_secs(20));
    let parts = parts_of(&client, chance).await?;
    disk.power_goes_after(1 + chance.below(CALLS_MAX));
    let mut senders = Vec::new();
    for name in 0..SENDERS {
        senders.push(tokio::spawn(send_by_tus(
            client.clone(),
            chance.below(u64::MAX),
            name,
        )));
    }
    for name in 0..PUTTERS {
        senders.push(tokio::spawn(send_by_put(
            client.clone(),
            chance.below(u64::MAX),
            name,
        )));
    }
    if !tokio::task::block_in_place(|| disk.await_cut(ROUND_LASTS_AT_MOST)) {
        disk.cut_power();
    }
    server.kill_9()?;
    let mut promised = Promised::default();
    for sender in senders {
        let from = sender.await?;
        promised.uploads.extend(from.uploads);
        promised.files.extend(from.files);
    }
    // Of the blocks in the disk's memory none, some, half, most or all were written. None at first,
    // so that each run loses some.
    let survivors_of_eight = match tally.cuts {
        0 => 0,
        _ => [0, 1, 4, 7, 8][chance.below(5) as usize],
    };
    let cut =
        tokio::task::block_in_place(|| disk.power_up(|| chance.below(8) < survivors_of_eight))?;
    println!("  {cut:?}");
    tally.note(cut);
    server.start_again()?;
    holds(&client, &promised, tally).await?;
    finish_parts(&client, parts).await?;
    Ok(())
}

/// A concatenation that was made of empty parts before the cut.
struct Parts {
    data: Data,
    parts: Vec<Upload>,
    whole: Upload,
}

async fn parts_of(client: &Client, chance: &mut Chance) -> Result<Parts> {
    let tus = Tus::new(client);
    let parts = vec![
        tus.create_part(Part::Partial, MIB, "p").await?,
        tus.create_part(Part::Partial, MIB, "p").await?,
    ];
    let whole = tus.create_part(Part::Final(&parts), 0, "whole.bin").await?;
    Ok(Parts {
        data: Data::new(chance.below(u64::MAX), 2 * MIB),
        parts,
        whole,
    })
}

async fn finish_parts(client: &Client, made: Parts) -> Result<()> {
    for (part, start) in made.parts.iter().zip([0, MIB]) {
        let mut conn = client.connect().await?;
        conn.send_head(&Tus::patch_head(&part.path, 0, MIB)).await?;
        conn.send_data(&made.data, start..start + MIB, None).await?;
        conn.response("PATCH").await?.expect(204)?;
    }
    client.fetch(made.whole.link()?, &made.data).await?;
    for upload in made.parts.iter().chain([&made.whole]) {
        Tus::new(client).delete(&upload.path).await?.expect(204)?;
    }
    Ok(())
}

/// Every answer is still true, every upload can be brought to its end, and all bytes are right.
/// What was checked is deleted, so that the disk does not fill up.
async fn holds(client: &Client, promised: &Promised, tally: &mut Tally) -> Result<()> {
    let tus = Tus::new(client);
    for one in &promised.uploads {
        if one.deleting.load(Ordering::SeqCst) {
            let status = tus.head(&one.upload.path).await?.status;
            let deleted = one.deleted.load(Ordering::SeqCst);
            ensure!(
                !deleted || matches!(status, 404 | 410),
                "a deleted upload is there: {status}"
            );
            tally.deleted += u64::from(deleted);
            continue;
        }
        let answered = one.answered.load(Ordering::SeqCst);
        let sent = one.sent.load(Ordering::SeqCst);
        let offset = tus
            .offset(&one.upload.path)
            .await
            .context("an upload that was created is gone")?;
        ensure!(
            offset >= answered,
            "offset {offset} after {answered} was answered"
        );
        ensure!(offset <= sent, "offset {offset}, but only {sent} were sent");
        tally.acknowledged_bytes += answered;
        if offset < one.data.len() {
            tus.finish_from(&one.upload.path, &one.data, offset).await?;
            tally.resumed += 1;
        } else {
            tally.finished += 1;
        }
        client.fetch(one.upload.link()?, &one.data).await?;
        let file = client
            .json(&format!(
                "/api/v1/system/upload-progress/{}",
                one.upload.file_id()?
            ))
            .await?;
        ensure!(
            file["blake3"] == one.data.blake3_hex(),
            "the digest after a cut: {file}"
        );
        tus.delete(&one.upload.path).await?.expect(204)?;
    }
    for Put { data, link, delete } in &promised.files {
        client
            .fetch(link, data)
            .await
            .context("a file that was answered with a link")?;
        tally.acknowledged_bytes += data.len();
        tally.finished += 1;
        let request = Request::new("DELETE", Client::path_of(delete));
        client.send(&request, &[]).await?.expect(204)?;
    }
    Ok(())
}
