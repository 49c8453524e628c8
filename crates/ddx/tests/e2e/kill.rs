//! `kill -9` at random moments: what was answered holds, and every upload goes on to the right
//! file.
//!
//! The moments come from a seed that is printed; `DDX_SEED` repeats a run, `DDX_KILL_ROUNDS` sets
//! how many rounds.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ddx_testkit::{Client, Data, MIB, Pace, Part, Request, Response, Turn, Tus, Upload, from_env};

use crate::totals::Totals;
use crate::{ledger_at_zero, setup};

const UPLOADS: u64 = 20;
/// Files of earlier rounds that are kept and looked at again after each start: a long run must fit
/// the disk.
const KEPT: usize = 40;

/// A small generator of the test's own choices (xorshift64*).
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % end
    }
}

/// The seed of a run: another one each time, or that of `DDX_SEED`.
pub(crate) fn seed() -> Result<u64> {
    let clock = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)?
        .as_nanos() as u64;
    Ok(from_env("DDX_SEED", clock % 1_000_000_007))
}

/// An upload that one client sends.
pub(crate) struct One {
    pub(crate) data: Data,
    pub(crate) upload: Upload,
    /// The highest offset that the server has answered with.
    pub(crate) answered: AtomicU64,
    /// How far the client has sent at most.
    pub(crate) sent: AtomicU64,
}

/// Sends pieces of random sizes at random paces until the end, or until the server is gone.
pub(crate) async fn send(client: Client, one: Arc<One>, seed: u64) -> Result<()> {
    let mut chance = Chance::new(seed);
    let tus = Tus::new(&client.patience(Duration::from_secs(10)));
    let mut at = one.answered.load(Ordering::SeqCst);
    while at < one.data.len() {
        let most = if chance.below(3) == 0 {
            20_000
        } else {
            3 * MIB
        };
        let piece = 1 + chance.below(most);
        let end = (at + piece).min(one.data.len());
        let pace = (chance.below(2) == 0).then(|| Pace {
            step_bytes: 1 + chance.below(65_536) as usize,
            pause: Duration::from_millis(chance.below(4)),
        });
        one.sent.fetch_max(end, Ordering::SeqCst);
        let answer = tus
            .patch_with(&one.upload.path, &one.data, at..end, &[], pace)
            .await?
            .expect(204)?;
        at = answer.number("upload-offset")?;
        ensure!(at == end);
        one.answered.fetch_max(at, Ordering::SeqCst);
        if chance.below(4) == 0 {
            let told = tus.offset(&one.upload.path).await?;
            one.answered.fetch_max(told, Ordering::SeqCst);
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exclusive_kill_9_takes_nothing_back() -> Result<()> {
    let _turn = Turn::alone()?;
    let seed = seed()?;
    let mut chance = Chance::new(seed);
    let totals = Totals::default();
    let mut server = setup().start()?;
    let mut finished = Vec::new();
    for round in 0..from_env("DDX_KILL_ROUNDS", 3) {
        let told = format!("DDX_SEED={seed}, round {round}");
        println!("{told}");
        totals.round();
        round_of(&mut server, &mut chance, &mut finished, &totals)
            .await
            .context(told)?;
    }
    ledger_at_zero(&server.client()).await?;
    totals.tell("R1 kill -9 under load", seed)
}

/// A file that was acknowledged.
struct Finished {
    link: String,
    delete: String,
    data: Data,
}

impl Finished {
    fn new(answer: &Response, link: &str, data: Data) -> Result<Self> {
        Ok(Self {
            link: link.to_owned(),
            delete: Client::path_of(answer.field("x-url-delete")?).to_owned(),
            data,
        })
    }
}

/// All that was acknowledged is whole; then some of what is too much goes, and is gone.
async fn look_at(client: &Client, finished: &mut Vec<Finished>, chance: &mut Chance) -> Result<()> {
    for file in finished.iter() {
        client.fetch(&file.link, &file.data).await?;
    }
    while finished.len() > KEPT {
        let at = usize::try_from(chance.below(finished.len() as u64))?;
        let file = finished.swap_remove(at);
        let answer = client
            .send(&Request::new("DELETE", &file.delete), &[])
            .await?;
        ensure!(answer.status < 300, "{answer:?}");
        let status = client.get(&file.link).await?.status;
        ensure!(
            matches!(status, 404 | 410),
            "deleted and still there: {status}"
        );
    }
    Ok(())
}

async fn round_of(
    server: &mut ddx_testkit::Server,
    chance: &mut Chance,
    finished: &mut Vec<Finished>,
    totals: &Totals,
) -> Result<()> {
    let client = server.client();
    let tus = Tus::new(&client);
    let mut all = Vec::new();
    for _ in 0..UPLOADS {
        let data = Data::new(chance.below(u64::MAX), 1 + chance.below(12 * MIB));
        let upload = tus.create(Some(data.len()), "k.bin").await?;
        all.push(Arc::new(One {
            data,
            upload,
            answered: AtomicU64::new(0),
            sent: AtomicU64::new(0),
        }));
    }
    // The same moment cuts a concatenation in pieces, a plain upload, and creations that were just
    // answered.
    let joined = Data::new(chance.below(u64::MAX), 2 * MIB);
    let parts = vec![
        tus.create_part(Part::Partial, MIB, "p").await?,
        tus.create_part(Part::Partial, MIB, "p").await?,
    ];
    let whole = tus.create_part(Part::Final(&parts), 0, "whole.bin").await?;
    tus.finish_from(&parts[0].path, &Data::new(1, 0), 0)
        .await
        .err(); // an empty request must do no harm

    let sending: Vec<_> = all
        .iter()
        .map(|one| {
            tokio::spawn(send(
                client.clone(),
                Arc::clone(one),
                chance.below(u64::MAX),
            ))
        })
        .collect();
    let plain = Data::new(chance.below(u64::MAX), 1 + chance.below(4 * MIB));
    let putting = tokio::spawn({
        let client = client.clone();
        async move { client.put("plain.bin", &plain).await?.expect(201) }
    });
    tokio::time::sleep(Duration::from_millis(chance.below(1500))).await; // the random moment itself
    server.kill_9()?;
    totals.faults(1);
    for task in sending {
        let _ = task.await?; // most end with an error: the server is gone
    }
    if let Ok(answer) = putting.await? {
        finished.push(Finished::new(&answer, answer.text().trim(), plain)?);
    }
    server.start_again()?;

    for one in &all {
        let offset = tus
            .offset(&one.upload.path)
            .await
            .context("an upload that was created is gone")?;
        let (answered, sent) = (
            one.answered.load(Ordering::SeqCst),
            one.sent.load(Ordering::SeqCst),
        );
        totals.compare(answered, offset)?;
        ensure!(offset <= sent, "offset {offset}, but only {sent} were sent");
        if offset < one.data.len() {
            tus.finish_from(&one.upload.path, &one.data, offset).await?;
            totals.resumed();
        }
        let link = one.upload.link()?.to_owned();
        let file = client
            .json(&format!(
                "/api/v1/system/upload-progress/{}",
                one.upload.file_id()?
            ))
            .await?;
        ensure!(
            file["blake3"] == one.data.blake3_hex(),
            "the digest after a resumption: {file}"
        );
        finished.push(Finished::new(&one.upload.created, &link, one.data)?);
    }
    for (part, start) in parts.iter().zip([0, MIB]) {
        let mut conn = client.connect().await?;
        conn.send_head(&Tus::patch_head(&part.path, 0, MIB)).await?;
        conn.send_data(&joined, start..start + MIB, None).await?;
        conn.response("PATCH").await?.expect(204)?;
    }
    finished.push(Finished::new(&whole.created, whole.link()?, joined)?);
    look_at(&client, finished, chance).await
}
