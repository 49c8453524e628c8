//! Several requests for one upload, under stress: through bad networks, with deletions and kills in
//! between.
//!
//! Three clients fight for each upload, and each sends bytes of its own, so that each byte of the
//! file tells who sent it. What was answered with 204 must be the bytes of the client that got this
//! answer. `DDX_RACE_ROUNDS` sets how many rounds, `DDX_SEED` repeats a run.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use ddx_testkit::{
    Client, Cut, Data, Fault, FaultProxy, Pace, Response, Server, Turn, Tus, Upload, blake3_hex,
    from_env,
};

use crate::kill::{Chance, seed};
use crate::totals::Totals;
use crate::{ledger_at_zero, setup, until};

const SENDERS: u64 = 3;
const UPLOADS: u64 = 12;
const LENGTH: u64 = 600_000;

struct Contested {
    upload: Upload,
    /// What was answered with 204, and whose bytes these are.
    answered: Mutex<Vec<(Range<u64>, u64)>>,
    /// A deletion is on its way.
    is_deleting: AtomicBool,
    /// It was answered.
    is_deleted: AtomicBool,
    data_seed: u64,
}

impl Contested {
    fn data(&self, sender: u64) -> Data {
        Data::new(self.data_seed.wrapping_add(sender), LENGTH)
    }

    /// Errs on an answer that a client could not act on, or that this upload can't have.
    fn check_answer(&self, answer: &Response) -> Result<()> {
        match answer.status {
            200 | 204 | 409 | 503 => Ok(()),
            // The answer to a HEAD has no content that could say so.
            400 if answer.body.is_empty() || answer.text().contains("taken-over") => Ok(()),
            404 | 410 if self.is_deleting.load(Ordering::SeqCst) => Ok(()),
            _ => bail!("{answer:?}"),
        }
    }
}

/// One of the clients: asks, sends a piece, and again, until the upload is complete or deleted.
async fn contend(client: Client, one: Arc<Contested>, sender: u64, seed: u64) -> Result<()> {
    let (tus, data) = (Tus::new(&client), one.data(sender));
    let mut chance = Chance::new(seed);
    let (end, path) = (Instant::now() + Duration::from_secs(60), &one.upload.path);
    while Instant::now() < end {
        let was_deleted = one.is_deleted.load(Ordering::SeqCst);
        let Ok(answer) = tus.head(path).await else {
            tokio::time::sleep(Duration::from_millis(20)).await; // a client's own retry delay
            continue;
        };
        one.check_answer(&answer)?;
        match answer.status {
            200 => ensure!(!was_deleted, "it was deleted and answers: {answer:?}"),
            404 | 410 => return Ok(()),
            _ => continue,
        }
        let at = answer.number("upload-offset")?;
        if at == LENGTH {
            return Ok(());
        }
        let to = (at + 1 + chance.below(80_000)).min(LENGTH);
        let pace = (chance.below(2) == 0).then(|| Pace {
            step_bytes: 1 + chance.below(16_384) as usize,
            pause: Duration::from_millis(chance.below(3)),
        });
        let Ok(answer) = tus.patch_with(path, &data, at..to, &[], pace).await else {
            continue;
        };
        one.check_answer(&answer)?;
        if answer.status == 204 {
            ensure!(!was_deleted, "it was deleted and takes bytes");
            let told = answer.number("upload-offset")?;
            ensure!(told == to, "offset {told} after {at}..{to}");
            one.answered.lock().unwrap().push((at..to, sender));
        }
    }
    bail!("{path} does not come to its end")
}

/// Deletes it, and asks until that is answered.
async fn delete(client: Client, one: Arc<Contested>, after: Duration) -> Result<()> {
    tokio::time::sleep(after).await; // the random moment itself
    one.is_deleting.store(true, Ordering::SeqCst);
    let tus = Tus::new(&client);
    let end = Instant::now() + Duration::from_secs(60);
    while Instant::now() < end {
        match tus.delete(&one.upload.path).await {
            Ok(answer) if matches!(answer.status, 204 | 404 | 410) => {
                one.is_deleted.store(true, Ordering::SeqCst);
                return Ok(());
            }
            Ok(answer) => one.check_answer(&answer)?,
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await, // a client's own retry delay
        }
    }
    bail!("{} can't be deleted", one.upload.path)
}

/// Checks that every byte is of one of the senders, and where one was told that its bytes are kept,
/// of that one. What was deleted must be gone.
async fn check_file(server: &Server, one: &Contested, totals: &Totals) -> Result<()> {
    let client = server.client();
    if one.is_deleted.load(Ordering::SeqCst) {
        for status in [
            Tus::new(&client).head(&one.upload.path).await?.status,
            client.get(one.upload.link()?).await?.status,
        ] {
            ensure!(matches!(status, 404 | 410), "deleted is deleted: {status}");
        }
        return Ok(());
    }
    let body = client.get(one.upload.link()?).await?.expect(200)?.body;
    ensure!(body.len() as u64 == LENGTH, "{} bytes", body.len());
    let all: Vec<Vec<u8>> = (0..SENDERS).map(|sender| one.data(sender).all()).collect();
    let strange = (0..body.len()).find(|place| all.iter().all(|data| data[*place] != body[*place]));
    ensure!(strange.is_none(), "no sender sent the byte at {strange:?}");
    let mut answered = one.answered.lock().unwrap().clone();
    answered.sort_by_key(|(range, _)| range.start);
    for pair in answered.windows(2) {
        ensure!(
            pair[0].0.end <= pair[1].0.start,
            "two were told that their bytes stand: {pair:?}"
        );
    }
    for (range, sender) in answered {
        let place = one
            .data(sender)
            .first_difference(range.start, &body[range.start as usize..range.end as usize]);
        totals.compare(
            range.end - range.start,
            place.unwrap_or(range.end) - range.start,
        )?;
    }
    let id = one.upload.file_id()?;
    let file = client
        .json(&format!("/api/v1/system/upload-progress/{id}"))
        .await?;
    ensure!(file["blake3"] == blake3_hex(&body), "the digest: {file}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_fight_for_uploads_leave_whole_ones() -> Result<()> {
    let _turn = Turn::shared()?;
    let (seed, totals) = (seed()?, Totals::default());
    let mut chance = Chance::new(seed);
    let mut server = setup().start()?;
    let proxy = FaultProxy::start(server.address(), Fault::None).await?;
    for round in 0..from_env("DDX_RACE_ROUNDS", 2) {
        let told = format!("DDX_SEED={seed}, round {round}");
        println!("{told}");
        totals.round();
        one_round(&mut server, &proxy, &mut chance, &totals)
            .await
            .context(told)?;
    }
    drop(proxy);
    ledger_at_zero(&server.client()).await?;
    totals.tell("R1 several requests for one upload", seed)
}

type Tasks = Vec<tokio::task::JoinHandle<Result<()>>>;

/// Creates the uploads and starts the clients that fight for them. The first client of each goes
/// past the proxy. Every third upload is deleted meanwhile.
async fn start_clients(
    client: &Client,
    proxied: &Client,
    chance: &mut Chance,
) -> Result<(Vec<Arc<Contested>>, Tasks)> {
    let (mut all, mut tasks) = (Vec::new(), Vec::new());
    for number in 0..UPLOADS {
        let upload = Tus::new(client).create(Some(LENGTH), "fight.bin").await?;
        let one = Arc::new(Contested {
            upload,
            answered: Mutex::default(),
            is_deleting: false.into(),
            is_deleted: false.into(),
            data_seed: chance.below(u64::MAX),
        });
        for sender in 0..SENDERS {
            let by = if sender == 0 { client } else { proxied };
            let seed = chance.below(u64::MAX);
            tasks.push(tokio::spawn(contend(
                by.clone(),
                Arc::clone(&one),
                sender,
                seed,
            )));
        }
        if number % 3 == 2 {
            let after = Duration::from_millis(chance.below(900));
            tasks.push(tokio::spawn(delete(
                client.clone(),
                Arc::clone(&one),
                after,
            )));
        }
        all.push(one);
    }
    Ok((all, tasks))
}

async fn one_round(
    server: &mut Server,
    proxy: &FaultProxy,
    chance: &mut Chance,
    totals: &Totals,
) -> Result<()> {
    let client = server.client().patience(Duration::from_secs(5));
    let proxied = Client::new(proxy.address()).patience(Duration::from_secs(2));
    let (all, tasks) = start_clients(&client, &proxied, chance).await?;
    for _ in 0..3 {
        let at = chance.below(200_000);
        let cut = [Cut::Close, Cut::Reset, Cut::HalfOpen][chance.below(3) as usize];
        proxy.set(Fault::CutAfter(at, cut));
        tokio::time::sleep(Duration::from_millis(50 + chance.below(300))).await; // each weather lasts a while
        proxy.end_all(cut);
        totals.faults(2);
    }
    server.kill_9()?;
    totals.faults(1);
    server.start_again()?;
    proxy.set(Fault::None);
    for task in tasks {
        task.await??;
    }
    for one in &all {
        check_file(server, one, totals)
            .await
            .with_context(|| one.upload.path.clone())?;
        if !one.is_deleted.load(Ordering::SeqCst) {
            totals.resumed();
        }
    }
    // What was deleted in the midst leaves nothing that still writes.
    until("nobody writes", Duration::from_secs(10), || async {
        Ok(server.client().status().await?.active_uploads()? == 0.0)
    })
    .await
}
