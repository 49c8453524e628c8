//! Every kind of client at once, each from an address of its own, again and again until the load is
//! ended.
//!
//! A kind goes round after round instead of once, so that whatever the pressure does meets all of
//! them in the middle of their work. Each round ends with its bytes compared, by digest or one by
//! one: memory that is short must not show in a file. Nothing is tried again; the first answer that
//! is not the right one ends the test.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use ddx_testkit::{Client, Conn, Data, MIB, Pace, Part, Request, Tus};
use tokio::task::JoinSet;

/// No single wait of a client may take longer: uploads under pressure are slow, and never stuck.
const PATIENCE: Duration = Duration::from_secs(120);
/// A stalled client goes on after this, or when the load ends; the server gives it a minute.
const STALL: Duration = Duration::from_secs(20);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Put,
    Chunked,
    Pieces,
    Form,
    Joined,
    Small,
    Trickle,
    Stalled,
    Fetch,
    SlowFetch,
    Follow,
    Creations,
}

const KINDS: [Kind; 12] = [
    Kind::Put,
    Kind::Chunked,
    Kind::Pieces,
    Kind::Form,
    Kind::Joined,
    Kind::Small,
    Kind::Trickle,
    Kind::Stalled,
    Kind::Fetch,
    Kind::SlowFetch,
    Kind::Follow,
    Kind::Creations,
];

/// How much of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    /// Clients of each kind.
    pub(super) each: u8,
    /// Bytes of a large file.
    pub(super) file_bytes: u64,
}

/// A load that goes on until it is ended.
pub(super) struct Load {
    stop: Arc<AtomicBool>,
    workers: JoinSet<Result<(Kind, Done)>>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Done {
    rounds: u64,
    bytes: u64,
    slowest: Duration,
}

/// What all clients of a load have done.
#[derive(Debug)]
pub(super) struct Sum(BTreeMap<Kind, Done>);

impl Load {
    pub(super) fn begin(client: &Client, size: Size) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut workers = JoinSet::new();
        for (of_kinds, kind) in (0..).zip(KINDS) {
            for number in 0..size.each {
                let worker = Worker {
                    client: client
                        .from(IpAddr::V4(Ipv4Addr::new(127, 0, 10 + of_kinds, 1 + number)))
                        .patience(PATIENCE),
                    kind,
                    file_bytes: size.file_bytes,
                    stop: stop.clone(),
                };
                let seed = (u64::from(of_kinds) << 16 | u64::from(number)) << 32;
                workers.spawn(worker.work(seed));
            }
        }
        Self { stop, workers }
    }

    /// Errs as soon as a client has met something that must not be.
    pub(super) fn check(&mut self) -> Result<()> {
        // Before the load is ended a worker ends with an error only.
        match self.workers.try_join_next() {
            Some(ended) => ended?.map(|_| bail!("a client ended by itself"))?,
            None => Ok(()),
        }
    }

    /// Lets every client finish its round.
    pub(super) async fn end(mut self) -> Result<Sum> {
        self.stop.store(true, Ordering::Relaxed);
        let mut sum = BTreeMap::<Kind, Done>::new();
        while let Some(worker) = self.workers.join_next().await {
            let (kind, done) = worker??;
            let all = sum.entry(kind).or_default();
            all.rounds += done.rounds;
            all.bytes += done.bytes;
            all.slowest = all.slowest.max(done.slowest);
        }
        Ok(Sum(sum))
    }
}

struct Worker {
    client: Client,
    kind: Kind,
    file_bytes: u64,
    stop: Arc<AtomicBool>,
}

/// A file that was sent.
struct Stored {
    link: String,
    id: Option<String>,
    data: Data,
}

impl Worker {
    async fn work(self, seed: u64) -> Result<(Kind, Done)> {
        let mut done = Done::default();
        while done.rounds == 0 || !self.stop.load(Ordering::Relaxed) {
            let began = Instant::now();
            let context = || format!("{:?}, round {}", self.kind, done.rounds);
            let stored = self
                .round(seed + (done.rounds << 8))
                .await
                .with_context(context)?;
            for (index, file) in (0..).zip(stored) {
                self.compare(&file, done.rounds + index)
                    .await
                    .with_context(context)?;
                done.bytes += file.data.len();
            }
            done.rounds += 1;
            done.slowest = done.slowest.max(began.elapsed());
        }
        Ok((self.kind, done))
    }

    /// By digest, and every fourth byte by byte; all of those whose digest is not there yet.
    async fn compare(&self, file: &Stored, number: u64) -> Result<()> {
        let digest = match &file.id {
            Some(id) => {
                let path = format!("/api/v1/system/upload-progress/{id}");
                let record = self.client.json(&path).await?;
                ensure!(record["state"] == "complete", "{record}");
                Some(record["blake3"].clone()).filter(|digest| !digest.is_null())
            }
            None => None,
        };
        if let Some(digest) = &digest {
            ensure!(*digest == file.data.blake3_hex(), "the digest is {digest}");
        }
        if digest.is_none() || number.is_multiple_of(4) {
            self.client.fetch(&file.link, &file.data).await?;
        }
        Ok(())
    }

    async fn round(&self, seed: u64) -> Result<Vec<Stored>> {
        let data = Data::new(seed, self.file_bytes + seed % 4099);
        match self.kind {
            Kind::Put => {
                let answer = self.client.put("put.bin", &data).await?.expect(201)?;
                Ok(vec![stored(&answer, data)?])
            }
            Kind::Chunked => {
                let answer = self
                    .client
                    .put_chunked("chunks.bin", &data, 100_000)
                    .await?;
                Ok(vec![stored(&answer.expect(201)?, data)?])
            }
            Kind::Pieces => self.pieces(data).await,
            Kind::Form => self.form(seed).await,
            Kind::Joined => self.joined(seed).await,
            Kind::Small => self.small(seed).await,
            Kind::Trickle => self.trickle(Data::new(seed, 64 * 1024)).await,
            Kind::Stalled => self.stalled(data).await,
            Kind::Fetch => {
                let answer = self.client.put("fetch.bin", &data).await?.expect(201)?;
                let file = stored(&answer, data)?;
                for _ in 0..3 {
                    self.client.fetch(&file.link, &data).await?;
                }
                Ok(vec![file])
            }
            Kind::SlowFetch => self.slow_fetch(data).await,
            Kind::Follow => self.follow(data).await,
            Kind::Creations => self.creations(seed).await,
        }
    }

    async fn pieces(&self, data: Data) -> Result<Vec<Stored>> {
        let tus = Tus::new(&self.client);
        let upload = tus.create(Some(data.len()), "pieces.bin").await?;
        let piece = data.len() / 3 + 1;
        let mut at = 0;
        while at < data.len() {
            let end = data.len().min(at + piece);
            let answer = tus.patch(&upload.path, &data, at..end).await?.expect(204)?;
            ensure!(answer.number("upload-offset")? == end, "{answer:?}");
            at = end;
        }
        Ok(vec![stored(&upload.created, data)?])
    }

    async fn form(&self, seed: u64) -> Result<Vec<Stored>> {
        let files = [
            Data::new(seed, self.file_bytes / 2 + 1),
            Data::new(seed + 1, 5000),
        ];
        let mark = "a0b1c2d3e4f5";
        let heads: Vec<String> = ["", "\r\n"]
            .iter()
            .zip(["large.bin", "small.bin"])
            .map(|(before, name)| {
                format!(
                    "{before}--{mark}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\
                     Content-Type: application/octet-stream\r\n\r\n"
                )
            })
            .collect();
        let end = format!("\r\n--{mark}--\r\n");
        let length = heads.iter().map(String::len).sum::<usize>() + end.len();
        let length = length as u64 + files.iter().map(Data::len).sum::<u64>();
        let mut conn = self.client.connect().await?;
        conn.send_head(
            &Request::new("POST", "/")
                .header(
                    "Content-Type",
                    format!("multipart/form-data; boundary={mark}"),
                )
                .header("Content-Length", length),
        )
        .await?;
        for (head, data) in heads.iter().zip(&files) {
            conn.send(head.as_bytes()).await?;
            let sent = conn.send_data(data, 0..data.len(), None).await?;
            ensure!(
                sent.whole,
                "an early answer: {:?}",
                conn.response("POST").await?
            );
        }
        conn.send(end.as_bytes()).await?;
        let answer = conn.response("POST").await?.expect(201)?.text();
        let links: Vec<&str> = answer.lines().collect();
        ensure!(links.len() == 2, "two files, {answer:?}");
        let stored = links.iter().zip(files).map(|(link, data)| Stored {
            link: (*link).to_owned(),
            id: None,
            data,
        });
        Ok(stored.collect())
    }

    async fn joined(&self, seed: u64) -> Result<Vec<Stored>> {
        let tus = Tus::new(&self.client);
        let data = Data::new(seed, self.file_bytes + seed % 31);
        let third = data.len() / 3;
        let borders = [0, third, 2 * third, data.len()];
        let mut parts = Vec::new();
        let mut sending = JoinSet::new();
        for pair in borders.windows(2) {
            let (start, end) = (pair[0], pair[1]);
            let part = tus.create_part(Part::Partial, end - start, "part").await?;
            let (client, path) = (self.client.clone(), part.path.clone());
            sending.spawn(async move {
                let mut conn = client.connect().await?;
                conn.send_head(&Tus::patch_head(&path, 0, end - start))
                    .await?;
                conn.send_data(&data, start..end, None).await?;
                conn.response("PATCH").await?.expect(204)
            });
            parts.push(part);
        }
        while let Some(sent) = sending.join_next().await {
            sent??;
        }
        let whole = tus
            .create_part(Part::Final(&parts), 0, "joined.bin")
            .await?;
        Ok(vec![stored(&whole.created, data)?])
    }

    async fn small(&self, seed: u64) -> Result<Vec<Stored>> {
        let mut files = Vec::new();
        for number in 0..10 {
            let data = Data::new(seed + number, 1 + (seed + number) * 977 % 16_000);
            let answer = self.client.put("small.bin", &data).await?.expect(201)?;
            files.push(stored(&answer, data)?);
        }
        Ok(files)
    }

    async fn trickle(&self, data: Data) -> Result<Vec<Stored>> {
        let pace = Pace {
            step_bytes: 2048,
            pause: Duration::from_millis(100),
        };
        let answer = self
            .client
            .put_with("trickle.bin", &data, &[], Some(pace))
            .await?;
        Ok(vec![stored(&answer.expect(201)?, data)?])
    }

    /// Sends half, then nothing until the load ends (or for long), then the rest in the same
    /// request.
    async fn stalled(&self, data: Data) -> Result<Vec<Stored>> {
        let tus = Tus::new(&self.client);
        let upload = tus.create(Some(data.len()), "stalled.bin").await?;
        let mut conn = self.client.connect().await?;
        conn.send_head(&Tus::patch_head(&upload.path, 0, data.len()))
            .await?;
        conn.send_data(&data, 0..data.len() / 2, None).await?;
        let since = Instant::now();
        while since.elapsed() < STALL && !self.stop.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        conn.send_data(&data, data.len() / 2..data.len(), None)
            .await?;
        conn.response("PATCH").await?.expect(204)?;
        Ok(vec![stored(&upload.created, data)?])
    }

    /// Takes a piece, pauses, takes the next: the server's buffers stay full for most of the time.
    async fn slow_fetch(&self, data: Data) -> Result<Vec<Stored>> {
        let answer = self.client.put("slow.bin", &data).await?.expect(201)?;
        let file = stored(&answer, data)?;
        let mut conn = self.client.connect().await?;
        conn.send_head(&Request::new("GET", Client::path_of(&file.link)))
            .await?;
        let head = conn.head().await?;
        ensure!(head.status == 200, "{head:?}");
        let mut body = Conn::body_of(&head, "GET")?;
        let (mut at, mut pauses) = (0, 0);
        while let Some(piece) = conn.next(&mut body).await? {
            ensure!(
                data.first_difference(at, &piece).is_none(),
                "a piece at {at} differs"
            );
            at += piece.len() as u64;
            if at / (MIB / 4) > pauses {
                pauses = at / (MIB / 4);
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        ensure!(at == data.len(), "{at} of {} bytes", data.len());
        Ok(vec![file])
    }

    /// A download that begins before its upload does.
    async fn follow(&self, data: Data) -> Result<Vec<Stored>> {
        let tus = Tus::new(&self.client);
        let upload = tus.create(Some(data.len()), "follow.bin").await?;
        let file = stored(&upload.created, data)?;
        let (fetched, sent) = tokio::join!(
            self.client.fetch(&file.link, &data),
            tus.finish_from(&upload.path, &data, 0)
        );
        sent?;
        fetched.context("the download")?;
        Ok(vec![file])
    }

    /// Uploads that are made, asked for, and deleted.
    async fn creations(&self, seed: u64) -> Result<Vec<Stored>> {
        let tus = Tus::new(&self.client);
        for number in 0..10 {
            let upload = tus.create(Some(1 + seed % 7 + number), "never.bin").await?;
            ensure!(tus.offset(&upload.path).await? == 0);
            tus.delete(&upload.path).await?.expect(204)?;
        }
        Ok(Vec::new())
    }
}

fn stored(answer: &ddx_testkit::Response, data: Data) -> Result<Stored> {
    Ok(Stored {
        link: answer.field("x-url-share")?.to_owned(),
        id: Some(answer.field("x-file-id")?.to_owned()),
        data,
    })
}

impl Sum {
    /// Errs unless every kind of client has ended at least one round with its bytes.
    pub(super) fn is_of_all_kinds(&self) -> Result<()> {
        for kind in KINDS {
            let done = self.0.get(&kind).copied().unwrap_or_default();
            ensure!(
                done.rounds > 0 && (done.bytes > 0 || kind == Kind::Creations),
                "{kind:?}: {done:?}"
            );
        }
        Ok(())
    }
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (kind, done) in &self.0 {
            write!(
                f,
                "{kind:?} {} × ({} MiB, slowest {:.1} s); ",
                done.rounds,
                done.bytes / MIB,
                done.slowest.as_secs_f64()
            )?;
        }
        Ok(())
    }
}
