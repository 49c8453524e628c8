//! A restart in the middle of everything: uploads of all sorts, downloads, deletions and expiries
//! at once, and then the server is stopped or killed. What docs/SEMANTICS.md promises is looked at
//! after each start.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ddx_testkit::{
    Client, Conn, Data, MIB, Pace, Part, Request, Server, Turn, Tus, Upload, crc32_checksum,
    from_env,
};
use tokio::task::JoinHandle;

use crate::kill::{Chance, One, seed, send};
use crate::matrix::send_form;
use crate::totals::Totals;
use crate::{ledger_at_zero, setup, until};

/// Pieces that are sent with a checksum.
const CHECKED_BYTES: u64 = 40_000;
/// How long an upload has that is to expire in a round.
const STALE_AFTER: &str = "3s";
/// Files of earlier rounds that are kept.
const KEPT: usize = 16;

/// A file that was acknowledged.
struct Kept {
    link: String,
    delete: Option<String>,
    data: Data,
}

struct Storm {
    server: Server,
    chance: Chance,
    totals: Totals,
    kept: Vec<Kept>,
}

/// All that is under way when the server goes.
struct Round {
    stale: Vec<Upload>,
    whole: Vec<Arc<One>>,
    parts: Vec<Arc<One>>,
    joined: Upload,
    checked: Arc<One>,
    made: Vec<Upload>,
    doomed: Vec<Kept>,
    sending: Vec<JoinHandle<Result<()>>>,
    plain: Vec<JoinHandle<Result<Kept>>>,
    deleting: Vec<JoinHandle<bool>>,
    following: JoinHandle<Result<()>>,
}

fn one(data: Data, upload: Upload) -> Arc<One> {
    Arc::new(One {
        data,
        upload,
        answered: AtomicU64::new(0),
        sent: AtomicU64::new(0),
    })
}

/// Sends pieces with their checksums, one after the other.
async fn send_checked(client: Client, one: Arc<One>) -> Result<()> {
    let tus = Tus::new(&client);
    let mut at = 0;
    while at < one.data.len() {
        let end = (at + CHECKED_BYTES).min(one.data.len());
        let sum = crc32_checksum(&one.data.bytes(at..end));
        let headers = [("Upload-Checksum", sum.as_str())];
        one.sent.fetch_max(end, Ordering::SeqCst);
        let pace = Some(Pace {
            step_bytes: 8_000,
            pause: Duration::from_millis(2),
        });
        tus.patch_with(&one.upload.path, &one.data, at..end, &headers, pace)
            .await?
            .expect(204)?;
        one.answered.fetch_max(end, Ordering::SeqCst);
        at = end;
    }
    Ok(())
}

/// Reads a file while it arrives. That it ends early is no fault here; a byte that differs is.
async fn follow(client: Client, link: String, data: Data) -> Result<()> {
    let mut conn = client.connect().await?;
    let request = Request::new("GET", Client::path_of(&link));
    if conn.send_head(&request).await.is_err() {
        return Ok(());
    }
    let Ok(head) = conn.head().await else {
        return Ok(());
    };
    let mut body = Conn::body_of(&head, "GET")?;
    let mut at = 0;
    while let Ok(piece) = conn.next(&mut body).await {
        let Some(piece) = piece else {
            ensure!(at == data.len(), "a download ended as whole at {at}");
            return Ok(());
        };
        let place = data.first_difference(at, &piece);
        ensure!(
            place.is_none(),
            "the follower read a wrong byte at {place:?}"
        );
        at += piece.len() as u64;
    }
    Ok(())
}

fn acknowledged(answer: &ddx_testkit::Response, data: Data) -> Result<Kept> {
    Ok(Kept {
        link: answer.text().trim().to_owned(),
        delete: answer
            .get("x-url-delete")
            .map(|url| Client::path_of(url).to_owned()),
        data,
    })
}

impl Storm {
    fn data(&mut self, most_bytes: u64) -> Data {
        Data::new(
            self.chance.below(u64::MAX),
            1 + self.chance.below(most_bytes),
        )
    }

    fn plain(&mut self, client: &Client) -> Vec<JoinHandle<Result<Kept>>> {
        let mut all = Vec::new();
        for kind in 0..6 {
            let most = if kind == 0 { 10_000 } else { 3 * MIB };
            let (client, data) = (client.clone(), self.data(most));
            let pace = Pace {
                step_bytes: 40_000,
                pause: Duration::from_millis(self.chance.below(12)),
            };
            all.push(tokio::spawn(async move {
                let answer = match kind {
                    0 | 1 => client.put("p.bin", &data).await?,
                    2 | 3 => client.put_with("p.bin", &data, &[], Some(pace)).await?,
                    4 => client.put_chunked("c.bin", &data, 70_000).await?,
                    _ => send_form(&client, &data).await?,
                };
                acknowledged(&answer.expect(201)?, data)
            }));
        }
        all
    }

    /// What is made from now on has so long.
    fn restart_with(&mut self, upload_expires: &str) -> Result<()> {
        self.server.terminate(Duration::from_secs(20))?;
        self.server
            .change(|setup| setup.env("DDX_UPLOAD_EXPIRES", upload_expires));
        self.server.start_again()
    }

    async fn begin(&mut self) -> Result<Round> {
        // What they have is over in the middle of it all.
        self.restart_with(STALE_AFTER)?;
        let tus = Tus::new(&self.server.client());
        let mut stale = Vec::new();
        for _ in 0..3 {
            let data = Data::new(1, MIB);
            let upload = tus.create(Some(data.len()), "stale.bin").await?;
            tus.patch(&upload.path, &data, 0..100_000)
                .await?
                .expect(204)?;
            stale.push(upload);
        }
        self.restart_with("1h")?;
        let client = self.server.client().patience(Duration::from_secs(10));
        let tus = Tus::new(&client);
        let mut ones = Vec::new();
        for _ in 0..8 {
            let data = self.data(12 * MIB);
            ones.push(one(data, tus.create(Some(data.len()), "w.bin").await?));
        }
        let mut parts = Vec::new();
        for _ in 0..3 {
            let data = self.data(2 * MIB);
            let part = tus.create_part(Part::Partial, data.len(), "p").await?;
            parts.push(one(data, part));
        }
        let uploads: Vec<Upload> = parts.iter().map(|part| part.upload.clone()).collect();
        let joined = tus.create_part(Part::Final(&uploads), 0, "j.bin").await?;
        let data = Data::new(self.chance.below(u64::MAX), 50 * CHECKED_BYTES + 7);
        let checked = one(data, tus.create(Some(data.len()), "c.bin").await?);
        let doomed: Vec<Kept> = (0..3).filter_map(|_| self.kept.pop()).collect();

        let mut sending: Vec<_> = ones
            .iter()
            .chain(&parts)
            .map(|one| {
                let seed = self.chance.below(u64::MAX);
                tokio::spawn(send(client.clone(), Arc::clone(one), seed))
            })
            .collect();
        sending.push(tokio::spawn(send_checked(
            client.clone(),
            Arc::clone(&checked),
        )));
        let following = tokio::spawn(follow(
            client.clone(),
            ones[0].upload.link()?.to_owned(),
            ones[0].data,
        ));
        let plain = self.plain(&client);
        let deleting = doomed
            .iter()
            .map(|kept| {
                let path = kept.delete.clone().unwrap_or_default();
                let (client, after) = (client.clone(), self.chance.below(600));
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_millis(after)).await; // the random moment itself
                    let answer = client.send(&Request::new("DELETE", &path), &[]).await;
                    answer.is_ok_and(|answer| answer.status < 300)
                })
            })
            .collect();
        let mut made = Vec::new();
        for _ in 0..5 {
            made.push(tus.create(Some(100_000), "made.bin").await?);
        }
        Ok(Round {
            stale,
            whole: ones,
            parts,
            joined,
            checked,
            made,
            doomed,
            sending,
            plain,
            deleting,
            following,
        })
    }

    async fn interrupt(&mut self) -> Result<()> {
        tokio::time::sleep(Duration::from_millis(self.chance.below(600))).await; // the random moment itself
        self.totals.faults(1);
        if self.chance.below(2) == 0 {
            self.server.kill_9()?;
        } else {
            let since = Instant::now();
            self.server.send_sigterm()?;
            let exit = self.server.await_exit(Duration::from_secs(20), since)?;
            ensure!(exit.status.code() == Some(0), "{exit:?}");
        }
        self.server.start_again()
    }

    /// An upload goes on from where it stands, which is not before what was answered.
    async fn go_on(&self, one: &One) -> Result<()> {
        let tus = Tus::new(&self.server.client());
        let at = tus
            .offset(&one.upload.path)
            .await
            .context("an upload that was created is gone")?;
        let sent = one.sent.load(Ordering::SeqCst);
        ensure!(at <= sent, "offset {at}, but only {sent} were sent");
        self.totals
            .compare(one.answered.load(Ordering::SeqCst), at)?;
        if at < one.data.len() {
            tus.finish_from(&one.upload.path, &one.data, at).await?;
            self.totals.resumed();
        }
        Ok(())
    }

    async fn is_deleted_if_answered(&self, kept: &Kept, answered: bool) -> Result<()> {
        let client = self.server.client();
        let head = Request::new("HEAD", Client::path_of(&kept.link));
        let status = client.send(&head, &[]).await?.status;
        let is_gone = matches!(status, 404 | 410);
        ensure!(
            is_gone || !answered,
            "a deletion that was answered did not last: {status}"
        );
        if !is_gone {
            client.fetch(&kept.link, &kept.data).await?;
        }
        Ok(())
    }

    async fn round(&mut self) -> Result<()> {
        self.totals.round();
        let round = self.begin().await?;
        self.interrupt().await?;
        for task in round.sending {
            let _ = task.await?; // most end with an error: the server was gone
        }
        round.following.await??;
        let client = self.server.client();
        let tus = Tus::new(&client);
        for (task, kept) in round.deleting.into_iter().zip(&round.doomed) {
            self.is_deleted_if_answered(kept, task.await?).await?;
        }
        for task in round.plain {
            if let Ok(kept) = task.await? {
                let got = client.fetch(&kept.link, &kept.data).await;
                let got = got.context("a plain upload that was acknowledged")?;
                self.totals.compare(kept.data.len(), got.bytes)?;
                self.kept.push(kept);
            }
        }
        for upload in &round.made {
            let at = tus.offset(&upload.path).await.context("a creation")?;
            ensure!(at == 0, "nothing was sent, and it stands at {at}");
            tus.delete(&upload.path).await?.expect(204)?;
        }
        let checked = tus.offset(&round.checked.upload.path).await?;
        let (answered, sent) = (
            round.checked.answered.load(Ordering::SeqCst),
            round.checked.sent.load(Ordering::SeqCst),
        );
        ensure!(
            checked == answered || checked == sent,
            "a piece with a checksum counts whole or not at all: {checked}, {answered} answered, {sent} sent"
        );
        for one in round
            .whole
            .iter()
            .chain(&round.parts)
            .chain([&round.checked])
        {
            self.go_on(one)
                .await
                .with_context(|| one.upload.path.clone())?;
        }
        self.look(&round.whole, &round.checked).await?;
        self.look_at_joined(&round.parts, &round.joined).await?;
        until("what is due expires", Duration::from_secs(60), || async {
            let mut gone = true;
            for upload in &round.stale {
                gone &= matches!(tus.head(&upload.path).await?.status, 404 | 410);
            }
            Ok(gone)
        })
        .await?;
        self.tidy().await
    }

    async fn look(&mut self, whole: &[Arc<One>], checked: &Arc<One>) -> Result<()> {
        let client = self.server.client();
        for one in whole.iter().chain([checked]) {
            let id = one.upload.file_id()?;
            let file = client
                .json(&format!("/api/v1/system/upload-progress/{id}"))
                .await?;
            ensure!(
                file["blake3"] == one.data.blake3_hex(),
                "the digest: {file}"
            );
            let link = one.upload.link()?.to_owned();
            client.fetch(&link, &one.data).await?;
            let delete = one.upload.created.get("x-url-delete");
            self.kept.push(Kept {
                link,
                delete: delete.map(|url| Client::path_of(url).to_owned()),
                data: one.data,
            });
        }
        Ok(())
    }

    async fn look_at_joined(&self, parts: &[Arc<One>], joined: &Upload) -> Result<()> {
        let client = self.server.client();
        let body = client.get(joined.link()?).await?.expect(200)?.body;
        let mut at = 0;
        for part in parts {
            let end = at + usize::try_from(part.data.len())?;
            ensure!(end <= body.len(), "the joined file is too short");
            let place = part.data.first_difference(0, &body[at..end]);
            ensure!(
                place.is_none(),
                "the joined file differs at {place:?} of a part"
            );
            at = end;
        }
        ensure!(at == body.len(), "the joined file is too long");
        Tus::new(&client).delete(&joined.path).await?;
        Ok(())
    }

    /// All that was ever acknowledged is there; what is too much for the disk of a long run goes.
    async fn tidy(&mut self) -> Result<()> {
        let client = self.server.client();
        for kept in &self.kept {
            client.fetch(&kept.link, &kept.data).await?;
        }
        while self.kept.len() > KEPT {
            let kept = self
                .kept
                .swap_remove(usize::try_from(self.chance.below(KEPT as u64))?);
            let path = kept.delete.context("no X-Url-Delete")?;
            let answer = client.send(&Request::new("DELETE", &path), &[]).await?;
            ensure!(answer.status < 300, "{answer:?}");
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exclusive_a_restart_in_the_middle_of_everything_breaks_no_promise() -> Result<()> {
    let _turn = Turn::alone()?;
    let seed = seed()?;
    let server = setup().option("--housekeeping-every", "200ms").start()?;
    let mut storm = Storm {
        server,
        chance: Chance::new(seed),
        totals: Totals::default(),
        kept: Vec::new(),
    };
    for round in 0..from_env("DDX_RESTART_ROUNDS", 3) {
        let told = format!("DDX_SEED={seed}, round {round}");
        println!("{told}");
        storm.round().await.context(told)?;
    }
    ledger_at_zero(&storm.server.client()).await?;
    storm
        .totals
        .tell("R1 a restart in the middle of everything", seed)
}
