//! A clock that jumps by hours and days while the server runs: nothing expires early, only what is due goes, and nobody is cut off.

use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use ddx_testkit::{Client, Conn, Data, FakeClock, MIB, Request, Turn, Tus, from_env};

use crate::totals::Totals;
use crate::{ledger_at_zero, setup, until};

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

    // Back, and forward by less than anything lasts: nothing goes.
    for ahead in [-6 * HOUR, -30 * DAY, HOUR / 2] {
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
    // Further: the upload that nothing happened on is due, the one that bytes come for is not.
    clock.jump_to(2 * HOUR)?;
    totals.faults(1);
    until("what is due expires", Duration::from_secs(30), || async {
        Ok(matches!(tus.head(&begun.path).await?.status, 404 | 410))
    })
    .await?;
    send_piece(&mut sending, &slow, &mut sent).await?;
    client.fetch(dated_link, &dated).await?;
    says_when_it_expires(&tus, &clock).await?;
    // And further: the file that was to stay for a day goes, and no other.
    clock.jump_to(DAY + 2 * HOUR)?;
    totals.faults(1);
    until(
        "the dated file expires",
        Duration::from_secs(30),
        || async { Ok(matches!(client.get(dated_link).await?.status, 404 | 410)) },
    )
    .await?;
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
