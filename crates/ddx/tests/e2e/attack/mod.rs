//! Memory under attack: clients of every kind at once, in boxes from 32 MiB to 4 GiB, while others
//! take the memory.
//!
//! `boxes` shows that a server stays within what it has when nothing else moves. Here everything
//! moves: a neighbour eats memory in waves, the page cache is thrashed, the limit is lowered and
//! raised. Still nothing that was admitted may fail, no process may be killed, the ledger must add
//! up at every look, and a new client must get its file stored even at the worst moment. By default
//! the smallest box and a middle one; `DDX_FULL=1` takes all of them, and ten thousand slow
//! connections if `DDX_BIN` names a release build.

mod answers;
mod cache;
mod idle;
mod load;
mod matrix;
mod pressure;
mod slow;
mod watch;
mod windows;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ddx_testkit::{MIB, MemoryBox, Neighbour, Server, Turn, full};

use crate::{ledger_at_zero, setup, until};
use load::{Load, Size};
use pressure::Pressure;
use watch::{Drift, Watch};

/// The test that this binary runs when it is a neighbour.
const NEIGHBOUR: &str = "attack::a_neighbour_does_as_it_is_told";

#[tokio::test]
async fn a_neighbour_does_as_it_is_told() -> Result<()> {
    if Neighbour::serve_if_told()? {
        return Ok(());
    }
    let memory_box = MemoryBox::new(64 * MIB)?;
    let mut neighbour = Neighbour::start(&memory_box, NEIGHBOUR).await?;
    let alone = memory_box.usage()?.anonymous_bytes;
    neighbour.hold(24 * MIB).await?;
    let more = memory_box.usage()?.anonymous_bytes.saturating_sub(alone);
    ensure!(more.abs_diff(24 * MIB) < MIB, "{more} instead of 24 MiB");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exclusive_small_boxes_bear_every_attack() -> Result<()> {
    let _turn = Turn::boxed()?;
    let boxes: &[u64] = if full() { &[32, 64] } else { &[32] };
    for mib in boxes {
        attack(*mib).await.with_context(|| format!("{mib} MiB"))?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exclusive_larger_boxes_bear_every_attack() -> Result<()> {
    let _turn = Turn::boxed()?;
    let boxes: &[u64] = if full() {
        &[128, 256, 512, 4096]
    } else {
        &[128]
    };
    for mib in boxes {
        attack(*mib).await.with_context(|| format!("{mib} MiB"))?;
    }
    Ok(())
}

fn size(box_mib: u64) -> Size {
    let (each, file_mib) = match box_mib {
        ..64 => (2, 2),
        64..256 => (3, 4),
        256..4096 => (4, 8),
        _ => (6, 32),
    };
    Size {
        each,
        file_bytes: file_mib * MIB,
    }
}

async fn attack(box_mib: u64) -> Result<()> {
    println!("── {box_mib} MiB");
    let memory_box = Arc::new(MemoryBox::new(box_mib * MIB)?);
    let server = Arc::new(setup().in_box(&memory_box).start()?);
    server.be_killed_first()?;
    let neighbour = Neighbour::start(&memory_box, NEIGHBOUR).await?;
    let hold = Duration::from_millis(if full() { 3000 } else { 1000 });
    let left = if box_mib < 64 { 24 } else { 28 };
    let mut pressure = Pressure::new(&server, &memory_box, neighbour, left * MIB, hold)?;
    let watch = Watch::over(&server, &memory_box, Drift::BelowAlarm);
    let mut load = Load::begin(&server.client(), size(box_mib));

    let script = script(&mut pressure, &mut load, &watch).await;
    let sum = load.end().await;
    let seen = watch.end().await;
    // What was seen first tells most: a request that failed since the server was killed tells less
    // than the kill.
    let seen = seen.context("the watch")?;
    println!("{box_mib} MiB: {seen}");
    let sum = sum.context("a client")?;
    println!("{box_mib} MiB: {sum}");
    script?;
    sum.is_of_all_kinds()?;
    at_rest(&server, &memory_box).await
}

async fn script(pressure: &mut Pressure, load: &mut Load, watch: &Watch) -> Result<()> {
    let mut go_on = || -> Result<()> {
        load.check()?;
        ensure!(!watch.has_ended(), "the watch has met something");
        Ok(())
    };
    pressure.probe("beside the load").await?;
    pressure.eat().await.context("memory is eaten")?;
    go_on()?;
    pressure.thrash().await.context("the cache is thrashed")?;
    go_on()?;
    pressure.squeeze().await.context("the limit moves")?;
    go_on()?;
    pressure.begin_thrash().await?;
    pressure.eat().await.context("both at once")?;
    pressure.end_thrash().await?;
    go_on()
}

/// Nothing is left of it: not in the ledger, not in the pressure level, not in what is offered to
/// the next who comes.
async fn at_rest(server: &Arc<Server>, memory_box: &Arc<MemoryBox>) -> Result<()> {
    let client = server.client();
    ledger_at_zero(&client).await?;
    until(
        "the pressure level is normal",
        Duration::from_secs(10),
        || async { Ok(client.status().await?.json["ledger"]["pressure_level"] == "normal") },
    )
    .await?;
    until("the next is admitted", Duration::from_secs(5), || async {
        Ok(client.status().await?.slots_available()? >= 1.0)
    })
    .await?;
    if full() {
        // The budget rises by 5 % of the limit a second.
        until("all is offered again", Duration::from_secs(25), || async {
            Ok(client.status().await?.accounts()?["withheld"] == 0)
        })
        .await?;
    }
    let usage = memory_box.usage()?;
    ensure!(usage.oom_kills == 0, "{usage:?}");
    println!("at rest: {usage:?}");
    Ok(())
}
