//! Links that can be used once: what uses them up, and what does not.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ddx_testkit::{Client, Conn, Data, MIB, Request, Response, Server, Turn};

use crate::http2_client::{HEADERS, Http2};
use crate::{setup, until};

const READER: (&str, &str) = ("User-Agent", "reader/1");
const OTHER: (&str, &str) = ("User-Agent", "other/1");

struct Once {
    server: Server,
    client: Client,
    data: Data,
    path: String,
}

impl Once {
    /// A file that can be downloaded `times`.
    async fn new(times: &str, lease: &str) -> Result<Self> {
        Self::on(setup().option("--download-lease", lease).start()?, times).await
    }

    async fn on(server: Server, times: &str) -> Result<Self> {
        let client = server.client();
        let data = Data::new(7, 8 * MIB);
        let limit = [("Max-Downloads", times)];
        let put = client.put_with("once.bin", &data, &limit, None).await?;
        let link = put.expect(201)?.text().trim().to_owned();
        let path = Client::path_of(&link).to_owned();
        Ok(Self {
            server,
            client,
            data,
            path,
        })
    }

    fn get(&self, by: (&str, &str)) -> Request {
        Request::new("GET", &self.path).headers(&[by])
    }

    async fn range(&self, by: (&str, &str), from: u64, to: u64) -> Result<Response> {
        let range = format!("bytes={from}-{}", to - 1);
        let request = self.get(by).header("Range", range);
        let answer = self.client.send(&request, &[]).await?;
        if answer.status == 206 {
            let wrong = self.data.first_difference(from, &answer.body);
            ensure!(wrong.is_none() && answer.body.len() as u64 == to - from);
        }
        Ok(answer)
    }

    /// Begins a whole download and breaks it off; how much came.
    async fn cut(&self, by: (&str, &str)) -> Result<u64> {
        let mut conn = self.client.connect().await?;
        conn.send_head(&self.get(by)).await?;
        let head = conn.head().await?;
        ensure!(head.status == 200, "{head:?}");
        let mut body = Conn::body_of(&head, "GET")?;
        let mut at = 0;
        while at < MIB {
            at += conn.next(&mut body).await?.context("it goes on")?.len() as u64;
        }
        conn.reset()?;
        Ok(at)
    }

    async fn is_whole_for(&self, by: (&str, &str)) -> Result<()> {
        self.client
            .fetch_with(&self.get(by), &self.data, 0)
            .await
            .map(drop)
    }

    async fn is_used_up(&self) -> Result<()> {
        for by in [READER, OTHER] {
            let answer = self.client.send(&self.get(by), &[]).await?;
            answer.expect_problem(410)?;
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_preview_s_first_bytes_use_nothing_up() -> Result<()> {
    let _turn = Turn::shared()?;
    let once = Once::new("1", "1h").await?;
    let preview = ("User-Agent", "some-chat/1");
    once.range(preview, 0, 32 << 10).await?.expect(206)?;
    once.is_whole_for(READER).await?;
    once.is_used_up().await
}

/// The server hears of the end of a request later than others do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_waits_for_a_preview_that_is_about_to_end() -> Result<()> {
    let _turn = Turn::shared()?;
    let once = Once::new("1", "1h").await?;
    let mut preview = Http2::open(&once.server, 1).await?;
    preview.ask(1, "GET", &once.path, true).await?;
    while preview.next().await?.context("it is ended")?.kind != HEADERS {}
    let mut reader = std::pin::pin!(once.is_whole_for(READER));
    let early = tokio::time::timeout(Duration::from_millis(200), reader.as_mut()).await;
    ensure!(early.is_err(), "{early:?}");
    drop(preview);
    reader.await?;
    once.is_used_up().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_preview_that_says_what_it_is_gets_no_bytes() -> Result<()> {
    let _turn = Turn::shared()?;
    let once = Once::new("1", "1h").await?;
    let path = format!("{}/once.bin", once.path);
    for agent in [
        "Slackbot-LinkExpanding 1.0",
        "WhatsApp/2.23",
        "TelegramBot (like TwitterBot)",
    ] {
        for path in [&once.path, &path] {
            let request = Request::new("GET", path).header("User-Agent", agent);
            let answer = once.client.send(&request, &[]).await?.expect(200)?;
            let begins = once.data.first_difference(0, &answer.body[..16]);
            ensure!(begins.is_some(), "{agent} got the bytes of {path}");
        }
    }
    once.is_whole_for(READER).await?;
    once.is_used_up().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_download_is_continued_and_counts_once() -> Result<()> {
    let _turn = Turn::shared()?;
    let once = Once::new("1", "1h").await?;
    let at = once.cut(READER).await?;
    let rest = once.range(READER, at, once.data.len()).await?;
    rest.expect(206)?;
    once.is_used_up().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_download_may_be_begun_anew() -> Result<()> {
    let _turn = Turn::shared()?;
    let once = Once::new("1", "1h").await?;
    once.cut(READER).await?;
    once.is_whole_for(READER).await?;
    once.is_used_up().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_connections_of_one_reader_are_one_download() -> Result<()> {
    let _turn = Turn::shared()?;
    let once = Once::new("1", "1h").await?;
    let step = once.data.len() / 8;
    let pieces: Vec<_> = (0..8)
        .map(|n| {
            let range = format!("bytes={}-{}", n * step, (n + 1) * step - 1);
            let (client, get) = (once.client.clone(), once.get(READER).header("Range", range));
            tokio::spawn(async move { client.send(&get, &[]).await })
        })
        .collect();
    for (n, piece) in (0..).zip(pieces) {
        let piece = piece.await??.expect(206)?;
        ensure!(once.data.first_difference(n * step, &piece.body).is_none());
    }
    // What was on its way when the last byte went out may be had again, and by this reader only.
    once.range(READER, step, 2 * step).await?.expect(206)?;
    let other = once.range(OTHER, step, 2 * step).await?;
    other.expect_problem(410)?;
    once.is_used_up().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_one_reads_others_are_told_that_it_may_come_free() -> Result<()> {
    let _turn = Turn::shared()?;
    let once = Once::new("1", "1h").await?;
    let at = once.cut(READER).await?;
    let refused = once.client.send(&once.get(OTHER), &[]).await?;
    refused.field("retry-after")?;
    let problem = refused.expect_problem(409)?;
    ensure!(problem["type"] == "/errors/download-taken", "{problem}");
    once.range(READER, at, once.data.len()).await?.expect(206)?;
    once.is_used_up().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_download_that_is_not_continued_comes_free() -> Result<()> {
    let _turn = Turn::shared()?;
    let once = Once::new("1", "1s").await?;
    once.cut(READER).await?;
    until("it comes free", Duration::from_secs(30), || async {
        Ok(once.range(OTHER, 0, 1000).await?.status == 206)
    })
    .await?;
    once.is_whole_for(OTHER).await?;
    once.is_used_up().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_is_known_by_its_cookie_wherever_it_goes() -> Result<()> {
    let _turn = Turn::shared()?;
    let once = Once::new("1", "1h").await?;
    let first = once.range(READER, 0, MIB).await?.expect(206)?;
    let cookie = first.field("set-cookie")?;
    ensure!(cookie.contains("HttpOnly"), "{cookie}");
    let cookie = cookie.split(';').next().context("a cookie")?;
    let rest = once
        .get(OTHER)
        .header("Cookie", cookie)
        .header("Range", format!("bytes={MIB}-"));
    let rest = once.client.send(&rest, &[]).await?.expect(206)?;
    ensure!(once.data.first_difference(MIB, &rest.body).is_none());
    once.is_used_up().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_count_is_that_of_readers_also_after_a_restart() -> Result<()> {
    let _turn = Turn::shared()?;
    let mut once = Once::new("2", "1h").await?;
    once.cut(READER).await?;
    once.is_whole_for(READER).await?;
    let exit = once.server.terminate(Duration::from_secs(60))?;
    ensure!(exit.status.code() == Some(0), "{exit:?}");
    once.server.start_again()?;
    once.client = once.server.client();
    once.is_whole_for(OTHER).await?;
    once.is_used_up().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_have_a_limit_and_stand_in_the_ledger() -> Result<()> {
    let _turn = Turn::shared()?;
    let setup = setup().option("--readers-per-client-max", "3");
    let once = Once::on(setup.option("--readers-max", "16").start()?, "1000").await?;
    let agents = ["one/1", "two/1", "three/1", "four/1"].map(|name| ("User-Agent", name));
    for by in &agents[..3] {
        once.range(*by, 0, MIB).await?.expect(206)?;
    }
    let refused = once.range(agents[3], 0, MIB).await?;
    refused.field("retry-after")?;
    let problem = refused.expect_problem(429)?;
    ensure!(
        problem["type"] == "/errors/too-many-of-one" && problem["limit"] == 3,
        "{problem}"
    );
    until("the ledger has them", Duration::from_secs(30), || async {
        Ok(once.client.status().await?.accounts()?["readers"] == 3 * 1536)
    })
    .await?;
    // Those that have begun are not held up.
    once.range(agents[0], MIB, 2 * MIB).await?.expect(206)?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_is_forgotten_gives_its_place_and_its_memory() -> Result<()> {
    let _turn = Turn::shared()?;
    let setup = setup()
        .option("--readers-per-client-max", "1")
        .option("--housekeeping-every", "1s");
    let once = Once::on(setup.option("--download-lease", "1s").start()?, "1000").await?;
    once.range(READER, 0, MIB).await?.expect(206)?;
    once.range(OTHER, 0, MIB).await?.expect_problem(429)?;
    until("its memory is free", Duration::from_secs(30), || async {
        Ok(once.client.status().await?.accounts()?["readers"] == 0)
    })
    .await?;
    once.range(OTHER, 0, MIB).await?.expect(206)?;
    Ok(())
}
