//! `kill -9` at random moments: what was answered holds, and every upload goes on to the right file.
//!
//! The moments come from a seed that is printed; `DDX_SEED` repeats a run, `DDX_KILL_ROUNDS` sets how many rounds.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ddx_testkit::{Client, Data, MIB, Pace, Part, Turn, Tus, Upload, from_env};

use crate::{ledger_at_zero, setup};

const UPLOADS: u64 = 20;

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

struct One {
    data: Data,
    upload: Upload,
    /// The highest offset that the server has answered with.
    answered: AtomicU64,
    /// How far the client has sent at most.
    sent: AtomicU64,
}

/// Sends pieces of random sizes at random paces until the end, or until the server is gone.
async fn send(client: Client, one: Arc<One>, seed: u64) -> Result<()> {
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
    let clock = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)?
        .as_nanos() as u64;
    let seed = from_env("DDX_SEED", clock % 1_000_000_007);
    let mut chance = Chance::new(seed);
    let mut server = setup().start()?;
    let mut finished: Vec<(String, Data)> = Vec::new();
    for round in 0..from_env("DDX_KILL_ROUNDS", 3) {
        let told = format!("DDX_SEED={seed}, round {round}");
        println!("{told}");
        round_of(&mut server, &mut chance, &mut finished)
            .await
            .context(told)?;
    }
    ledger_at_zero(&server.client()).await
}

async fn round_of(
    server: &mut ddx_testkit::Server,
    chance: &mut Chance,
    finished: &mut Vec<(String, Data)>,
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
    // The same moment cuts a concatenation in pieces, a plain upload, and creations that were just answered.
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
        async move { client.put_for_link("plain.bin", &plain).await }
    });
    tokio::time::sleep(Duration::from_millis(chance.below(1500))).await; // the random moment itself
    server.kill_9()?;
    for task in sending {
        let _ = task.await?; // most end with an error: the server is gone
    }
    if let Ok(link) = putting.await? {
        finished.push((link, plain));
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
        ensure!(
            offset >= answered,
            "offset {offset} after {answered} was answered"
        );
        ensure!(offset <= sent, "offset {offset}, but only {sent} were sent");
        if offset < one.data.len() {
            tus.finish_from(&one.upload.path, &one.data, offset).await?;
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
        finished.push((link, one.data));
    }
    for (part, start) in parts.iter().zip([0, MIB]) {
        let mut conn = client.connect().await?;
        conn.send_head(&Tus::patch_head(&part.path, 0, MIB)).await?;
        conn.send_data(&joined, start..start + MIB, None).await?;
        conn.response("PATCH").await?.expect(204)?;
    }
    finished.push((whole.link()?.to_owned(), joined));
    for (link, data) in finished.iter() {
        client.fetch(link, data).await?;
    }
    Ok(())
}
