//! A clock that jumps by hours and days, while the server runs and while it is stopped: nothing
//! expires early, only what is due by time that has passed goes, and no upload is cut off.

use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use ddx_testkit::{
    Client, Conn, Data, FakeClock, MIB, Request, Server, Setup, Turn, Tus, Upload, from_env,
};

use crate::totals::Totals;
use crate::{ledger_at_zero, logged, setup, until};

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

/// Long enough for several rounds of housekeeping: that nothing goes can only be seen by waiting.
async fn housekeeping() {
    tokio::time::sleep(Duration::from_millis(500)).await;
}

/// `Upload-Expires` is an hour after the time that the clock tells.
async fn says_when_it_expires(tus: &Tus, clock: &FakeClock) -> Result<()> {
    let upload = tus.create(Some(1_000_000), "when.bin").await?;
    let told = httpdate::parse_http_date(upload.created.field("upload-expires")?)?;
    let expected = clock.now() + Duration::from_secs(3600);
    let off = |a: SystemTime, b: SystemTime| a.duration_since(b).unwrap_or_default();
    let off = off(told, expected).max(off(expected, told));
    ensure!(
        off < Duration::from_secs(30),
        "Upload-Expires is {off:?} off: {upload:?}"
    );
    tus.delete(&upload.path).await?.expect(204).map(|_| ())
}

/// The next bytes of an upload whose request stays open.
async fn send_piece(conn: &mut Conn, data: &Data, sent: &mut u64) -> Result<()> {
    let end = *sent + 64 * 1024;
    let went = conn.send_data(data, *sent..end, None).await?;
    ensure!(went.whole, "it was answered before its end");
    *sent = end;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jumps_of_the_clock_expire_nothing_early_and_cut_nobody_off() -> Result<()> {
    let _turn = Turn::shared()?;
    let totals = Totals::default();
    for _ in 0..from_env("DDX_CLOCK_ROUNDS", 1) {
        totals.round();
        one_round(&totals).await?;
    }
    totals.tell("R1 jumps of the clock", 0)
}

async fn one_round(totals: &Totals) -> Result<()> {
    let clock = FakeClock::new()?;
    let mut server = setup()
        .clock(&clock)
        .option("--upload-expires", "1h")
        .option("--housekeeping-every", "100ms")
        .start()?;
    let client = server.client();
    let tus = Tus::new(&client);
    let (kept, dated) = (Data::new(1, 400_000), Data::new(2, 300_000));
    let link = client.put_for_link("kept.bin", &kept).await?;
    let dated_link = client
        .put_with("dated.bin", &dated, &[("Max-Days", "1")], None)
        .await?
        .expect(201)?
        .text();
    let dated_link = dated_link.trim();
    let half = Data::new(3, 2 * MIB);
    let begun = tus.create(Some(half.len()), "half.bin").await?;
    tus.patch(&begun.path, &half, 0..MIB).await?.expect(204)?;

    // What is under way through all of it: a connection at rest, an upload that gets a piece after
    // each jump, a slow download.
    let mut idle = client.connect().await?;
    let health = Request::new("GET", "/healthz");
    idle.round(&health, &[]).await?.expect(200)?;
    let slow = Data::new(4, MIB);
    let going = tus.create(Some(slow.len()), "slow.bin").await?;
    let mut sending = client.connect().await?;
    sending
        .send_head(&Tus::patch_head(&going.path, 0, slow.len()))
        .await?;
    let mut sent = 0;
    let large = Data::new(5, 24 * MIB);
    let large_link = client.put_for_link("large.bin", &large).await?;
    let mut reading = client.connect().await?;
    reading
        .send_head(&Request::new("GET", Client::path_of(&large_link)))
        .await?;
    let mut rest = ddx_testkit::Conn::body_of(&reading.head().await?, "GET")?;

    // Back, and forward by more than everything lasts: nothing goes.
    for ahead in [-6 * HOUR, -30 * DAY, HOUR / 2, 2 * HOUR, 3 * DAY, 400 * DAY] {
        clock.jump_to(ahead)?;
        totals.faults(1);
        housekeeping().await;
        let context = || format!("the clock is {ahead} s ahead");
        client.fetch(&link, &kept).await.with_context(context)?;
        client
            .fetch(dated_link, &dated)
            .await
            .with_context(context)?;
        let at = tus.offset(&begun.path).await.with_context(context)?;
        totals.compare(MIB, at).with_context(context)?;
        says_when_it_expires(&tus, &clock)
            .await
            .with_context(context)?;
        idle.round(&health, &[])
            .await
            .with_context(context)?
            .expect(200)?;
        send_piece(&mut sending, &slow, &mut sent)
            .await
            .with_context(context)?;
    }
    client.fetch(&link, &kept).await?;
    idle.round(&health, &[]).await?.expect(200)?;
    sending.send_data(&slow, sent..slow.len(), None).await?;
    let answer = sending.response("PATCH").await.context("the slow upload")?;
    let answer = answer.expect(204)?;
    ensure!(answer.number("upload-offset")? == slow.len());
    totals.compare(slow.len(), slow.len())?;
    let mut at = 0;
    while let Some(piece) = reading.next(&mut rest).await.context("the slow download")? {
        ensure!(
            large.first_difference(at, &piece).is_none(),
            "a byte differs"
        );
        at += piece.len() as u64;
    }
    ensure!(at == large.len(), "the download ended at {at}");

    // Back again, over a start as well.
    for (ahead, starts_again) in [(0, false), (-3 * DAY, true), (0, true)] {
        clock.jump_to(ahead)?;
        totals.faults(1);
        if starts_again {
            server.kill_9()?;
            server.start_again()?;
        }
        housekeeping().await;
        client.fetch(&link, &kept).await?;
        client.fetch(going.link()?, &slow).await?;
        client.fetch(&large_link, &large).await?;
        let upload = tus.upload_whole("after.bin", &half).await?;
        client.fetch(upload.link()?, &half).await?;
        says_when_it_expires(&tus, &clock).await?;
    }
    ledger_at_zero(&client).await
}

/// A server with an upload at a half, and a file that is to stay for a day.
struct Dated {
    clock: FakeClock,
    server: Server,
    client: Client,
    half: Data,
    upload: Upload,
    dated: Data,
    link: String,
}

impl Dated {
    async fn start(change: impl FnOnce(Setup) -> Setup) -> Result<Self> {
        let clock = FakeClock::new()?;
        let setup = setup()
            .clock(&clock)
            .option("--housekeeping-every", "100ms");
        let server = change(setup).start()?;
        let client = server.client();
        let (half, dated) = (Data::new(1, 2 * MIB), Data::new(2, 300_000));
        let upload = Tus::new(&client)
            .create(Some(half.len()), "half.bin")
            .await?;
        let patch = Tus::new(&client).patch(&upload.path, &half, 0..MIB).await?;
        patch.expect(204)?;
        let put = client
            .put_with("dated.bin", &dated, &[("Max-Days", "1")], None)
            .await?;
        let link = put.expect(201)?.text().trim().to_owned();
        Ok(Self {
            clock,
            server,
            client,
            half,
            upload,
            dated,
            link,
        })
    }

    /// Both are there, whole.
    async fn stands(&self) -> Result<()> {
        let at = Tus::new(&self.client).offset(&self.upload.path).await?;
        ensure!(at == MIB, "the upload is at {at}");
        self.client
            .fetch(&self.link, &self.dated)
            .await
            .context("the file")
            .map(drop)
    }

    async fn metric(&self, name: &str) -> Result<String> {
        let text = self.client.get("/metrics").await?.expect(200)?.text();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map(str::to_owned)
            .with_context(|| format!("no {name}: {text}"))
    }

    /// Says that the machine was started anew since the last run.
    fn boot_anew(&self) -> Result<()> {
        let file = self.server.data_dir().join("clock");
        let told = std::fs::read_to_string(&file)?;
        let (_, rest) = told.split_once(' ').context("no id")?;
        Ok(std::fs::write(file, format!("another-boot {rest}"))?)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_jump_is_told_and_what_is_due_by_time_that_passed_still_goes() -> Result<()> {
    let _turn = Turn::shared()?;
    let it = Dated::start(|setup| setup.option("--upload-expires", "4s")).await?;
    it.clock.jump_to(3 * DAY)?;
    until("the jump is seen", Duration::from_secs(30), || async {
        Ok(it.metric("ddx_clock_jumps_total").await? == "1")
    })
    .await?;
    logged(&it.server, |line| {
        line.contains("ERROR") && line.contains("has jumped")
    })
    .await?;
    let ahead: f64 = it.metric("ddx_clock_ahead_seconds").await?.parse()?;
    ensure!((ahead - 3.0 * DAY as f64).abs() < 5.0, "{ahead}");
    let told = it.client.status().await?.json["clock"].clone();
    ensure!(told["jumps"] == 1 && told["is_settled"] == true, "{told}");
    until("the upload is over", Duration::from_secs(60), || async {
        let head = Tus::new(&it.client).head(&it.upload.path).await?;
        Ok(matches!(head.status, 404 | 410))
    })
    .await?;
    it.client.fetch(&it.link, &it.dated).await?;
    ensure!(it.metric("ddx_clock_jumps_total").await? == "1");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_jump_while_the_server_is_stopped_expires_nothing() -> Result<()> {
    let _turn = Turn::shared()?;
    let mut it = Dated::start(|setup| setup).await?;
    for (ahead, is_killed) in [
        (3 * DAY, true),
        (0, false),
        (-9 * DAY, false),
        (5 * DAY, true),
    ] {
        if is_killed {
            it.server.kill_9()?;
        } else {
            it.server.terminate(Duration::from_secs(30))?;
        }
        it.clock.jump_to(ahead)?;
        it.server.start_again()?;
        housekeeping().await;
        it.stands().await.with_context(|| format!("{ahead} s"))?;
        ensure!(it.metric("ddx_clock_jumps_total").await? == "1", "{ahead}");
    }
    Tus::new(&it.client)
        .finish_from(&it.upload.path, &it.half, MIB)
        .await
        .map(drop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_that_starts_with_a_wrong_time_deletes_nothing_before_it_is_set() -> Result<()> {
    let _turn = Turn::shared()?;
    let mut it = Dated::start(|setup| setup).await?;
    // Ahead: nothing tells it from time that has passed, so what is due is over, and not gone.
    it.server.kill_9()?;
    it.boot_anew()?;
    it.clock.jump_to(3 * DAY)?;
    it.server.start_again()?;
    housekeeping().await;
    ensure!(it.metric("ddx_clock_settled").await? == "0.0");
    ensure!(it.client.get(&it.link).await?.status == 410);
    it.clock.jump_to(0)?;
    until("it is there again", Duration::from_secs(30), || async {
        Ok(it.stands().await.is_ok())
    })
    .await?;
    // Behind the last run, as a machine is whose clock has no battery: time goes on from there.
    it.server.kill_9()?;
    it.boot_anew()?;
    it.clock.jump_to(-900 * DAY)?;
    it.server.start_again()?;
    housekeeping().await;
    it.stands().await?;
    it.clock.jump_to(0)?;
    housekeeping().await;
    it.stands().await?;
    // Time that has passed, as far as can be known, counts in the end.
    it.server.kill_9()?;
    it.boot_anew()?;
    it.clock.jump_to(3 * DAY)?;
    it.server
        .change(|setup| setup.option("--clock-settles", "1s"));
    it.server.start_again()?;
    until("what is due goes", Duration::from_secs(30), || async {
        Ok(it.metric("ddx_expired_total{what=\"file\"}").await? == "1")
    })
    .await
}
