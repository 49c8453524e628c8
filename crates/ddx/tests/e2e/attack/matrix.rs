//! Each attack in each box: the server lives, others are served within a second, and the ledger
//! tells what the box holds.
//!
//! The clients of one address hold all that they can get, and send or take as little as they can.
//! By default in a box of 32 MiB; `DDX_FULL=1` takes 64, 128 and 256 MiB, `DDX_ATTACK=Forms` this
//! one alone. The second, and the tenth of the box by which ledger and memory may differ, are asked
//! of a release build (`DDX_BIN`): in a debug build all that waits is larger.

use std::any::Any;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ddx_testkit::{Client, Data, MIB, MemoryBox, Request, Server, Turn, Tus, full};

use super::answers;
use crate::http2_client::Http2;
use crate::{at_standstill, ledger_at_zero, new_share, setup};

/// What a connection with a request may hold. One client may have half of what there is room for;
/// connections of this machine itself are not counted, so the attacker keeps to it by itself.
const CONNECTION_BYTES: f64 = (32 << 10) as f64;
const HTTP2_STREAMS: u32 = 64;
/// Files of the share that is listed and followed.
const FILES: u32 = 300;
const LARGE_BYTES: u64 = 24 * MIB;

#[derive(Debug, Clone, Copy)]
enum Attack {
    /// Connections that ask nothing.
    Silent,
    /// Heads of up to 32 KiB that do not end.
    Heads,
    /// Forms without a body.
    Forms,
    /// Short bodies that stop in the middle.
    ShortBodies,
    /// Long bodies that stop in the middle.
    LongBodies,
    /// Uploads of which nothing comes.
    Reservations,
    /// Downloads that are not taken.
    Downloads,
    /// The same by HTTP/2, with windows of one byte.
    Windows,
    /// HTTP/2 connections that ask nothing.
    SilentHttp2,
    /// HTTP/2 uploads of which nothing comes.
    BodiesOfHttp2,
    /// Listings that are not taken.
    Listings,
    /// Events that are not taken.
    Events,
}

const ATTACKS: [Attack; 12] = [
    Attack::Silent,
    Attack::Heads,
    Attack::Forms,
    Attack::ShortBodies,
    Attack::LongBodies,
    Attack::Reservations,
    Attack::Downloads,
    Attack::Windows,
    Attack::SilentHttp2,
    Attack::BodiesOfHttp2,
    Attack::Listings,
    Attack::Events,
];

/// What an attack needs to be there.
struct Prey {
    large: String,
    share: String,
}

/// What it holds open.
type Held = Vec<Box<dyn Any + Send>>;

fn is_release() -> bool {
    std::env::var_os("DDX_BIN").is_some()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exclusive_no_attack_takes_the_server_away() -> Result<()> {
    let _turn = Turn::boxed()?;
    let boxes: &[u64] = if full() { &[64, 128, 256] } else { &[32] };
    let only = std::env::var("DDX_ATTACK").ok();
    for mib in boxes {
        for attack in ATTACKS {
            if only
                .as_ref()
                .is_some_and(|only| *only != format!("{attack:?}"))
            {
                continue;
            }
            let context = || format!("{attack:?} in {mib} MiB");
            let memory_box = Arc::new(MemoryBox::new(mib * MIB)?);
            let done = under(attack, &memory_box, *mib).await;
            done.with_context(|| format!("{:?}", memory_box.usage()))
                .with_context(context)?;
        }
    }
    Ok(())
}

async fn under(attack: Attack, memory_box: &Arc<MemoryBox>, mib: u64) -> Result<()> {
    // Those who do nothing are borne with for longer than this lasts.
    let server = setup()
        .in_box(memory_box)
        .option("--header-timeout", "10m")
        .option("--idle-timeout", "10m")
        .option("--body-idle-timeout", "10m")
        .option("--write-timeout", "10m")
        .start()?;
    server.be_killed_first()?;
    let client = server.client();
    let prey = prey(&client).await?;
    let other = client.from(Ipv4Addr::new(127, 0, 0, 9));
    let alone = serve(&other).await?;

    let mut held: Held = Vec::new();
    let status = other.status().await?;
    let room = status.figure("free_to_lease_bytes")? + status.accounts()?["connections"] as f64;
    let count = (room / CONNECTION_BYTES / 2.0) as usize;
    let refused = attack.begin(&server, &prey, count, &mut held).await;
    let slowest = [
        serve(&other).await?,
        serve(&other).await?,
        serve(&other).await?,
    ];
    let slowest = slowest.into_iter().max().unwrap_or_default();
    if is_release() {
        at_standstill("memory stands still", || server.memory_bytes("RssAnon")).await?;
    }
    let anonymous = server.memory_bytes("RssAnon")?;
    let status = other.status().await?;
    let accounts = status.accounts()?;
    let drift = status.figure("drift_bytes")?;
    let usage = memory_box.usage()?;
    println!(
        "{mib} MiB, {attack:?}: {} held{}; others served in {alone:?} before and {slowest:?} at most beside; anonymous {:.1} MB, \
         connections {:.1}, answers {:.1}, downloads {:.1}, drift {:.1} MB, peak of the box {:.1} MB",
        held.len(),
        refused
            .err()
            .map(|why| format!(", then {why:.60}"))
            .unwrap_or_default(),
        anonymous as f64 / 1e6,
        accounts["connections"] as f64 / 1e6,
        accounts["answers"] as f64 / 1e6,
        accounts["downloads"] as f64 / 1e6,
        drift / 1e6,
        usage.peak_bytes as f64 / 1e6,
    );
    ensure!(usage.oom_kills == 0, "{usage:?}");
    if is_release() {
        ensure!(slowest < Duration::from_secs(1), "others wait {slowest:?}");
        let tenth = (mib * MIB / 10) as f64;
        ensure!(
            drift.abs() <= tenth,
            "the ledger is {drift} bytes away from the truth"
        );
    } else {
        ensure!(slowest < Duration::from_secs(20), "others wait {slowest:?}");
        ensure!(
            status.json["ledger"]["drift_alarm"] == false,
            "{}",
            status.json
        );
    }
    drop(held);
    ledger_at_zero(&other).await
}

async fn prey(client: &Client) -> Result<Prey> {
    let large = client
        .put_for_link("large.bin", &Data::new(1, LARGE_BYTES))
        .await?;
    let (id, key) = new_share(client).await?;
    answers::create(client, &key, 0..FILES).await?;
    Ok(Prey {
        large: Client::path_of(&large).to_owned(),
        share: format!("/api/v1/shares/{id}"),
    })
}

/// What any client may want: a small file is stored and fetched, and the status is asked for. How
/// long it took.
async fn serve(other: &Client) -> Result<Duration> {
    let began = Instant::now();
    let data = Data::new(7, MIB);
    let all = async {
        let link = other.put_for_link("other.bin", &data).await?;
        other.fetch(&link, &data).await?;
        other.status().await
    };
    let done = tokio::time::timeout(Duration::from_secs(60), all).await;
    done.context("others are not served")??;
    Ok(began.elapsed())
}

impl Attack {
    /// As many as the server lets in; errs with what the last one met.
    async fn begin(
        self,
        server: &Server,
        prey: &Prey,
        count: usize,
        held: &mut Held,
    ) -> Result<()> {
        let client = server.client().patience(Duration::from_secs(5));
        for _ in 0..count {
            let one = match self {
                Self::Windows | Self::SilentHttp2 | Self::BodiesOfHttp2 => {
                    self.http2(server, prey).await?
                }
                _ => self.http1(&client, prey).await?,
            };
            held.push(one);
        }
        Ok(())
    }

    async fn http1(self, client: &Client, prey: &Prey) -> Result<Box<dyn Any + Send>> {
        let mut conn = client.connect().await?;
        let put = |length: u64| Request::new("PUT", "/half.bin").header("Content-Length", length);
        match self {
            Self::Heads => {
                let head = format!(
                    "GET / HTTP/1.1\r\nHost: a\r\nCookie: {}",
                    "c".repeat(31_000)
                );
                conn.send(head.as_bytes()).await?;
            }
            Self::Forms => {
                let form = Request::new("POST", "/")
                    .header("Content-Type", "multipart/form-data; boundary=b")
                    .header("Content-Length", 1000);
                conn.send_head(&form).await?;
            }
            Self::ShortBodies => {
                conn.send_head(&put(20_000)).await?;
                conn.send(&[0; 10_000]).await?;
            }
            Self::LongBodies => {
                conn.send_head(&put(MIB)).await?;
                conn.send(&[0; 10_000]).await?;
            }
            Self::Reservations => {
                Tus::new(client)
                    .create(Some(LARGE_BYTES), "never.bin")
                    .await?;
            }
            Self::Downloads => conn.send_head(&Request::new("GET", &prey.large)).await?,
            Self::Listings => conn.send_head(&Request::new("GET", &prey.share)).await?,
            Self::Events => {
                let path = format!("{}/events", prey.share);
                conn.send_head(&Request::new("GET", &path)).await?;
            }
            _ => {}
        }
        // What is refused at once is said in the time of a look.
        if matches!(self, Self::Listings | Self::Events | Self::Downloads) {
            let head = conn.head().await?;
            ensure!(head.status == 200, "{head:?}");
        }
        Ok(Box::new(conn))
    }

    async fn http2(self, server: &Server, prey: &Prey) -> Result<Box<dyn Any + Send>> {
        let mut connection = Http2::open(server, 1).await?;
        let streams = match self {
            Self::SilentHttp2 => 0,
            _ => HTTP2_STREAMS,
        };
        for number in 0..streams {
            let stream = 2 * number + 1;
            match self {
                Self::Windows => connection.ask(stream, "GET", &prey.large, true).await?,
                _ => connection.ask(stream, "PUT", "/half.bin", false).await?,
            }
        }
        Ok(Box::new(connection))
    }
}
