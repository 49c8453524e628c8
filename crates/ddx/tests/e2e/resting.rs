//! Readers that take nothing of a file for a while: a film that is paused, a pipe whose other end
//! is busy.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ddx_testkit::{Client, Data, MIB, Run, Server, Setup, Turn};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdout, Command};

use crate::http2_client::{HEADERS, Http2};
use crate::transport::certificate;
use crate::{ledger_at_zero, setup};

/// What a client may take nothing where it is no file, and a rest of four times that.
const WRITE_TIMEOUT: &str = "1s";
const REST: Duration = Duration::from_secs(4);

/// More than all buffers on the way hold.
const FILE_BYTES: u64 = 48 * MIB;
const TAKEN_BYTES: u64 = 20 * MIB;

async fn over_tls(setup: Setup, folder: &Path) -> Result<Setup> {
    let (cert, key) = certificate(folder).await?;
    Ok(setup
        .option("--tls-cert", cert.display().to_string())
        .option("--tls-key", key.display().to_string()))
}

/// curl, whose output is not read unless this process does it.
struct Piped {
    curl: Child,
    output: ChildStdout,
}

impl Piped {
    fn fetch(url: &str, version: &str) -> Result<Self> {
        let mut curl = Command::new("curl")
            .args(["-sSk", version, url])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let output = curl.stdout.take().context("it has an output")?;
        Ok(Self { curl, output })
    }

    /// Reads up to this byte, and that it is this data's.
    async fn read(&mut self, data: &Data, mut at: u64, until: u64) -> Result<u64> {
        let mut bytes = vec![0; 64 << 10];
        while at < until {
            let count = self.output.read(&mut bytes).await?;
            ensure!(count > 0, "it ends at byte {at}");
            let differs = data.first_difference(at, &bytes[..count]);
            ensure!(differs.is_none(), "other bytes at {at}");
            at += count as u64;
        }
        Ok(at)
    }

    /// Reads to the end; how much came, and whether curl takes it for the whole.
    async fn rest(mut self) -> Result<(u64, bool)> {
        let mut rest = Vec::new();
        self.output.read_to_end(&mut rest).await?;
        Ok((rest.len() as u64, self.curl.wait().await?.success()))
    }
}

async fn kept(server: &Server, scheme: &str, data: &Data) -> Result<String> {
    let file = server.scratch().join("film.bin");
    std::fs::write(&file, data.all())?;
    let url = format!("{scheme}://{}/film.bin", server.address());
    let sent = Run::curl()
        .args(["-k", "-f", "-T"])
        .arg(&file)
        .arg(url)
        .finish()
        .await?
        .success()?;
    let link = sent.stdout.lines().next().context("no link")?;
    Ok(Client::path_of(link).to_owned())
}

/// Fetches a file with a rest in the middle.
async fn rested(url: &str, version: &str, data: &Data) -> Result<()> {
    let mut curl = Piped::fetch(url, version)?;
    let what = || format!("{url} {version}");
    let at = curl.read(data, 0, TAKEN_BYTES).await.with_context(what)?;
    tokio::time::sleep(REST).await; // the rest is what is tested
    curl.read(data, at, FILE_BYTES).await.with_context(what)?;
    ensure!(curl.curl.wait().await?.success(), "{}", what());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_rests_gets_the_rest_of_its_file_on_every_transport() -> Result<()> {
    let _turn = Turn::shared()?;
    let folder = tempfile::tempdir()?;
    let data = Data::new(5, FILE_BYTES);
    for (scheme, versions) in [
        ("http", ["--http1.0", "--http2-prior-knowledge"]),
        ("https", ["--http1.1", "--http2"]),
    ] {
        let setup = setup().option("--write-timeout", WRITE_TIMEOUT);
        let server = match scheme {
            "http" => setup.start()?,
            _ => over_tls(setup, folder.path()).await?.start()?,
        };
        let path = kept(&server, scheme, &data).await?;
        let url = format!("{scheme}://{}{path}", server.address());
        let [one, other] = versions.map(|version| rested(&url, version, &data));
        tokio::try_join!(one, other)?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_of_http_2_that_rests_gets_the_rest_of_its_file() -> Result<()> {
    const WINDOW: u32 = 65_535;
    let _turn = Turn::shared()?;
    let server = setup()
        .option("--write-timeout", WRITE_TIMEOUT)
        .option("--idle-timeout", "2s")
        .start()?;
    let data = Data::new(6, MIB);
    let link = server.client().put_for_link("film.bin", &data).await?;
    let mut http2 = Http2::open(&server, WINDOW).await?;
    http2.ask(1, "GET", Client::path_of(&link), true).await?;
    let at = http2.read(&data, 0, WINDOW.into()).await?;
    // Meanwhile pings are answered, and nothing is taken.
    let rests = http2.read(&data, at, data.len());
    ensure!(tokio::time::timeout(REST, rests).await.is_err());
    http2.grant(1, u32::try_from(data.len())?).await?;
    http2.read(&data, at, data.len()).await?;
    drop(http2);
    ledger_at_zero(&server.client()).await
}

/// What is no file is held in memory, and has to be taken. Until its connection ends it stands in
/// the ledger, though the server has nothing more to do for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_of_http_2_that_are_no_files_do_not_rest() -> Result<()> {
    const STREAMS: u32 = 60;
    let _turn = Turn::shared()?;
    let server = setup()
        .option("--write-timeout", WRITE_TIMEOUT)
        .option("--header-timeout", "1s")
        .option("--idle-timeout", "5s")
        .start()?;
    let client = server.client();
    let mut http2 = Http2::open(&server, 1).await?;
    for number in 0..STREAMS {
        http2.ask(2 * number + 1, "GET", "/metrics", true).await?;
    }
    let mut heads = 0;
    while heads < STREAMS {
        let frame = http2.next().await?.context("the connection ends")?;
        heads += u32::from(frame.kind == HEADERS);
    }
    let held = client.status().await?.accounts()?["connections"];
    let least = i64::from(STREAMS) * 16 * 1024;
    ensure!(held >= least, "{held} bytes are in the ledger");
    http2.until_closed().await?;
    ledger_at_zero(&client).await
}

/// A download of which nothing is taken.
enum Resting {
    Plain(TcpStream),
    Streams(Http2),
    Piped(Piped),
}

impl Resting {
    async fn of(server: &Server, path: &str, transport: &str) -> Result<Self> {
        Ok(match transport {
            "HTTP/1.0" | "HTTP/1.1" => {
                let mut stream = TcpStream::connect(server.address()).await?;
                let head = format!("GET {path} {transport}\r\nHost: a\r\n\r\n");
                stream.write_all(head.as_bytes()).await?;
                let mut start = [0; 15];
                stream.read_exact(&mut start).await?;
                let start = String::from_utf8_lossy(&start);
                ensure!(start.ends_with(" 200 OK"), "{start}");
                Self::Plain(stream)
            }
            "HTTP/2" => {
                let mut http2 = Http2::open(server, 1).await?;
                http2.ask(1, "GET", path, true).await?;
                Self::Streams(http2)
            }
            version => {
                let url = format!("https://{}{path}", server.address());
                let mut piped = Piped::fetch(&url, version)?;
                piped.output.read_exact(&mut [0; 1]).await?;
                Self::Piped(piped)
            }
        })
    }

    /// Until the server ends it, and that this is before all came.
    async fn ended(self, length: u64) -> Result<()> {
        match self {
            Self::Plain(mut stream) => {
                let mut rest = Vec::new();
                let ended = stream.read_to_end(&mut rest).await;
                let came = rest.len() as u64;
                ensure!(ended.is_err() || came <= length / 2, "{came} bytes came");
            }
            Self::Streams(http2) => drop(http2.until_closed().await?),
            Self::Piped(piped) => {
                let (came, is_whole) = piped.rest().await?;
                ensure!(!is_whole && came <= length / 2, "{came} bytes came");
            }
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_download_that_rests_gives_its_place_to_others() -> Result<()> {
    const OTHERS: usize = 60;
    let _turn = Turn::shared()?;
    let folder = tempfile::tempdir()?;
    let data = Data::new(6, FILE_BYTES);
    for (scheme, transports) in [
        ("http", ["HTTP/1.0", "HTTP/1.1", "HTTP/2"].as_slice()),
        ("https", ["--http1.1", "--http2"].as_slice()),
    ] {
        let setup = setup()
            .option("--write-timeout", WRITE_TIMEOUT)
            .option("--connections-max", "40")
            .option("--connections-per-client-max", "100");
        let server = match scheme {
            "http" => setup.start()?,
            _ => over_tls(setup, folder.path()).await?.start()?,
        };
        let path = kept(&server, scheme, &data).await?;
        let mut resting = Vec::new();
        for transport in transports {
            let one = Resting::of(&server, &path, transport).await;
            resting.push((transport, one.context(*transport)?));
        }
        tokio::time::sleep(REST).await; // the rest is what is tested
        let mut others = Vec::new();
        while others.len() < OTHERS {
            others.push(TcpStream::connect(server.address()).await?);
        }
        // It is accepted after all of them.
        let url = format!("{scheme}://{}/healthz", server.address());
        let served = Run::curl().args(["-k", "-f"]).arg(url).finish().await?;
        served.success()?;
        for (transport, one) in resting {
            let ended = tokio::time::timeout(Duration::from_secs(30), one.ended(FILE_BYTES));
            let ended = ended.await.context("it keeps its place");
            ended.and_then(|ended| ended).context(*transport)?;
        }
    }
    Ok(())
}
