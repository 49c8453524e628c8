//! Every fault of a network on every way of sending and fetching, in both directions: one retry is
//! enough, and nothing is held for who is gone, also while the dead connections are still open on
//! the other side.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ddx_testkit::{
    Client, Conn, Cut, Data, Fault, FaultProxy, MIB, Part, Request, Response, Turn, Tus, Way,
    from_env,
};
use tokio::task::JoinSet;

use crate::kill::{Chance, seed};
use crate::totals::Totals;
use crate::{ledger_at_zero, setup, until};

#[derive(Debug, Clone, Copy)]
enum Sending {
    Tus,
    Part,
    Put,
    Chunked,
    Form,
    Download,
}

#[derive(Debug, Clone, Copy)]
enum Trouble {
    Cut(Cut),
    Stall,
    Trickle,
}

const SENDINGS: [Sending; 6] = [
    Sending::Tus,
    Sending::Part,
    Sending::Put,
    Sending::Chunked,
    Sending::Form,
    Sending::Download,
];

const TROUBLES: [Trouble; 5] = [
    Trouble::Cut(Cut::Close),
    Trouble::Cut(Cut::Reset),
    Trouble::Cut(Cut::HalfOpen),
    Trouble::Stall,
    Trouble::Trickle,
];

/// So many of them at once: more, and the clients' patience would be tested instead.
const AT_ONCE: usize = 10;

/// After this the client takes a connection for dead.
const PATIENCE: Duration = Duration::from_secs(2);

/// One field of the matrix.
struct Field {
    server: std::net::SocketAddr,
    proxy: FaultProxy,
    way: Way,
    trouble: Trouble,
    chance: Chance,
    data: Data,
    totals: Arc<Totals>,
}

/// POST of a form with one file.
pub(crate) async fn send_form(client: &Client, data: &Data) -> Result<Response> {
    const HEAD: &[u8] = b"--limit\r\nContent-Disposition: form-data; name=\"file\"; filename=\"form.bin\"\r\nContent-Type: application/octet-stream\r\n\r\n";
    const TAIL: &[u8] = b"\r\n--limit--\r\n";
    let length = HEAD.len() as u64 + data.len() + TAIL.len() as u64;
    let mut conn = client.connect().await?;
    conn.send_head(
        &Request::new("POST", "/")
            .header("Content-Type", "multipart/form-data; boundary=limit")
            .header("Content-Length", length),
    )
    .await?;
    conn.send(HEAD).await?;
    conn.send_data(data, 0..data.len(), None).await?;
    conn.send(TAIL).await?;
    conn.response("POST").await
}

impl Field {
    fn direct(&self) -> Client {
        Client::new(self.server)
    }

    /// The client behind the bad network. It gives up early only while the network is bad.
    fn through(&self, bad: bool) -> Client {
        let slow = matches!(self.trouble, Trouble::Trickle) || !bad;
        Client::new(self.proxy.address()).patience(if slow { PATIENCE * 15 } else { PATIENCE })
    }

    fn strike(&mut self, request_bytes: u64, answer_bytes: u64) {
        let end = match self.way {
            Way::Requests => request_bytes,
            Way::Answers => answer_bytes,
        };
        let at = 1 + self.chance.below(end);
        let fault = match self.trouble {
            Trouble::Cut(cut) => Fault::CutAfter(at, cut),
            Trouble::Stall => Fault::StallAfter(at),
            Trouble::Trickle => Fault::Trickle(2 * MIB),
        };
        self.proxy.set_on(self.way, fault);
        self.totals.faults(1);
    }

    /// The first try must fail, but for a network that is only slow.
    fn judge<T>(&self, tried: Result<T>) -> Result<Option<T>> {
        self.proxy.set(Fault::None);
        match (self.trouble, tried) {
            (Trouble::Trickle, tried) => tried.map(Some),
            (_, Err(_)) => Ok(None),
            (_, Ok(_)) => anyhow::bail!("the network had no fault"),
        }
    }

    async fn upload(&mut self, as_part: bool) -> Result<()> {
        let direct = Tus::new(&self.direct());
        let data = self.data;
        let first = Data::new(self.chance.below(u64::MAX), 300_000);
        let (upload, link) = if as_part {
            let parts = [
                direct.create_part(Part::Partial, first.len(), "p").await?,
                direct.create_part(Part::Partial, data.len(), "p").await?,
            ];
            let whole = direct.create_part(Part::Final(&parts), 0, "w").await?;
            direct.finish_from(&parts[0].path, &first, 0).await?;
            let [_, second] = parts;
            (second, whole.link()?.to_owned())
        } else {
            let upload = direct.create(Some(data.len()), "m.bin").await?;
            let link = upload.link()?.to_owned();
            (upload, link)
        };
        self.strike(data.len(), 100);
        let tried = Tus::new(&self.through(true));
        let tried = tried.finish_from(&upload.path, &data, 0).await;
        if self.judge(tried)?.is_none() {
            let again = Tus::new(&self.through(false));
            retry(&again, &upload.path, &data).await?;
            self.totals.resumed();
        }
        self.totals
            .compare(data.len(), direct.offset(&upload.path).await?)?;
        if !as_part {
            return self.direct().fetch(&link, &data).await.map(|_| ());
        }
        let body = self.direct().get(&link).await?.expect(200)?.body;
        let split = first.len() as usize;
        ensure!(
            body.len() as u64 == first.len() + data.len()
                && first.first_difference(0, &body[..split]).is_none()
                && data.first_difference(0, &body[split..]).is_none(),
            "the joined file differs"
        );
        Ok(())
    }

    async fn send_plain(&mut self, sending: Sending) -> Result<()> {
        let data = self.data;
        self.strike(data.len(), 100);
        let send = async |client: &Client| {
            let answer = match sending {
                Sending::Chunked => client.put_chunked("c.bin", &data, 50_000).await,
                Sending::Form => send_form(client, &data).await,
                _ => client.put("p.bin", &data).await,
            };
            answer?.expect(201)
        };
        let tried = send(&self.through(true)).await;
        let answer = match self.judge(tried)? {
            Some(answer) => answer,
            None => send(&self.through(false)).await.context("one retry")?,
        };
        let link = answer.text();
        let got = self.direct().fetch(link.trim(), &data).await?;
        self.totals.compare(data.len(), got.bytes)
    }

    async fn download(&mut self) -> Result<()> {
        // More than the buffers of all sockets between: else the server is done before anything
        // strikes.
        let data = Data::new(self.chance.below(u64::MAX), 12 * MIB);
        let link = self.direct().put_for_link("d.bin", &data).await?;
        let request = Request::new("GET", Client::path_of(&link));
        self.strike(
            40,
            if matches!(self.trouble, Trouble::Trickle) {
                1
            } else {
                data.len()
            },
        );
        if matches!((self.trouble, self.way), (Trouble::Trickle, Way::Answers)) {
            self.proxy.set_on(Way::Answers, Fault::Trickle(24 * MIB));
        }
        let mut got = 0;
        let tried = read_on(&self.through(true), &request, &data, &mut got).await;
        if self.judge(tried)?.is_none() {
            let rest = request.header("Range", format!("bytes={got}-"));
            let fetched = self.through(false).fetch_with(&rest, &data, got).await;
            let fetched = fetched.with_context(|| format!("one retry at {got}"))?;
            ensure!(fetched.head.status == 206, "{:?}", fetched.head);
            got += fetched.bytes;
            self.totals.resumed();
        }
        ensure!(got == data.len(), "{got} of {} bytes", data.len());
        Ok(())
    }
}

/// One question and one request. There is one thing that may come between: what the dead connection
/// had delivered lay unread in the server's socket while the question was answered, so that its
/// request began after it. Then the answer is 409, bytes were won, and the next question tells.
async fn retry(tus: &Tus, path: &str, data: &Data) -> Result<()> {
    let at = tus.offset(path).await.context("HEAD")?;
    if at == data.len() {
        return Ok(());
    }
    let answer = tus.patch(path, data, at..data.len()).await?;
    if answer.status != 409 {
        answer
            .expect(204)
            .with_context(|| format!("one retry at {at}"))?;
        return Ok(());
    }
    let later = tus.offset(path).await.context("HEAD after 409")?;
    ensure!(later > at, "409 at {at}, and the upload stands at {later}");
    println!("a dead connection's bytes came after the question: {at}, then {later}");
    if later == data.len() {
        return Ok(());
    }
    tus.finish_from(path, data, later)
        .await
        .with_context(|| format!("a second retry at {later}"))
}

/// Reads an answer as far as it comes.
async fn read_on(client: &Client, request: &Request, data: &Data, got: &mut u64) -> Result<()> {
    let mut conn = client.connect().await?;
    conn.send_head(request).await?;
    let head = conn.head().await?;
    ensure!(head.status == 200, "{head:?}");
    let mut body = Conn::body_of(&head, "GET")?;
    while let Some(piece) = conn.next(&mut body).await? {
        assert!(
            data.first_difference(*got, &piece).is_none(),
            "a byte differs"
        );
        *got += piece.len() as u64;
    }
    Ok(())
}

/// Connections that the server has open, that of the question among them.
async fn connections(client: &Client) -> Result<u64> {
    let text = client.get("/metrics").await?.expect(200)?.text();
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix("ddx_connections "))
        .context("no ddx_connections")?;
    Ok(value.trim().parse::<f64>()? as u64)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_retry_is_enough_after_every_fault_on_every_way() -> Result<()> {
    let _turn = Turn::shared()?;
    let (seed, totals) = (seed()?, Arc::new(Totals::default()));
    let mut chance = Chance::new(seed);
    for round in 0..from_env("DDX_NETWORK_ROUNDS", 1) {
        println!("DDX_SEED={seed}, round {round}");
        totals.round();
        one_round(&mut chance, &totals)
            .await
            .with_context(|| format!("DDX_SEED={seed}, round {round}"))?;
    }
    totals.tell("R4 every network fault on every way", seed)
}

async fn one_round(chance: &mut Chance, totals: &Arc<Totals>) -> Result<()> {
    // Another one each round, so that a long run does not fill the disk.
    let server = setup()
        .option("--header-timeout", "3s")
        .option("--idle-timeout", "3s")
        .option("--body-idle-timeout", "3s")
        .option("--body-pause-max", "3s")
        .option("--write-timeout", "3s")
        .option("--write-pause-max", "1s")
        .start()?;
    let mut all = Vec::new();
    for sending in SENDINGS {
        for trouble in TROUBLES {
            all.extend([Way::Requests, Way::Answers].map(|way| (sending, trouble, way)));
        }
    }
    let (mut running, mut dead) = (JoinSet::new(), Vec::new());
    for (sending, trouble, way) in all {
        let mut field = Field {
            server: server.address(),
            proxy: FaultProxy::start(server.address(), Fault::None).await?,
            way,
            trouble,
            data: Data::new(chance.below(u64::MAX), 400_000 + chance.below(MIB)),
            chance: Chance::new(chance.below(u64::MAX)),
            totals: Arc::clone(totals),
        };
        running.spawn(async move {
            match sending {
                Sending::Tus => field.upload(false).await,
                Sending::Part => field.upload(true).await,
                Sending::Put | Sending::Chunked | Sending::Form => field.send_plain(sending).await,
                Sending::Download => field.download().await,
            }
            .with_context(|| format!("{sending:?}, {trouble:?}, {way:?}"))?;
            anyhow::Ok(field.proxy)
        });
        if running.len() >= AT_ONCE {
            dead.push(running.join_next().await.context("nothing runs")???);
        }
    }
    while let Some(done) = running.join_next().await {
        dead.push(done??);
    }
    // The proxies still hold what is half open: the server gives it up by itself.
    let client = server.client();
    ledger_at_zero(&client).await?;
    until("dead connections go", Duration::from_secs(20), || async {
        Ok(connections(&client).await? <= 1)
    })
    .await?;
    drop(dead);
    Ok(())
}
