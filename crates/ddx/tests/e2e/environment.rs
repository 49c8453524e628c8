//! What the surroundings do to a process: streams that are closed or that no one reads, signals,
//! limits of a shell, a folder that goes.

use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ddx_testkit::{Client, Data, MIB, Request, Turn, Tus};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::until;

/// A server whose streams are not the test's.
struct Bare {
    child: Child,
    client: Client,
    data: TempDir,
}

impl Bare {
    /// Starts it by a line of shell in which `"$@"` stands for it.
    async fn start(line: &str, stdout: Stdio, stderr: Stdio) -> Result<Self> {
        let binary =
            std::env::var_os("DDX_BIN").unwrap_or_else(|| env!("CARGO_BIN_EXE_ddx").into());
        let data = tempfile::tempdir()?;
        // It can't tell which port it took, where no one reads what it says.
        let address: SocketAddr = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let child = Command::new("sh")
            .args(["-c", line, "sh"])
            .arg(binary)
            .args(["serve", "--log", "debug", "--listen"])
            .arg(address.to_string())
            .arg("--data-dir")
            .arg(data.path().join("data"))
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(stderr)
            .spawn()?;
        let client = Client::new(address);
        let mut bare = Self {
            child,
            client: client.clone(),
            data,
        };
        let end = Instant::now() + Duration::from_secs(30);
        while client
            .get("/readyz")
            .await
            .map_or(true, |answer| answer.status != 200)
        {
            ensure!(bare.child.try_wait()?.is_none(), "{line}: it has ended");
            ensure!(Instant::now() < end, "{line}: it is not ready");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(bare)
    }

    /// It takes a file and gives it.
    async fn serves(&self) -> Result<()> {
        let data = Data::new(1, 1_000_000);
        let link = self.client.put_for_link("a.bin", &data).await?;
        self.client.fetch(&link, &data).await.map(drop)
    }

    fn send(&self, signal: Signal) -> Result<()> {
        let pid = Pid::from_raw(i32::try_from(self.child.id())?).context("no process")?;
        Ok(kill_process(pid, signal)?)
    }

    async fn ends(mut self) -> Result<ExitStatus> {
        let end = Instant::now() + Duration::from_secs(30);
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            ensure!(Instant::now() < end, "it does not end");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn stops_in_order(self) -> Result<()> {
        self.send(Signal::TERM)?;
        let status = self.ends().await?;
        ensure!(status.success(), "{status}");
        Ok(())
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The writing end of a pipe that no one reads.
fn unread() -> Result<Stdio> {
    let (reader, writer) = std::io::pipe()?;
    drop(reader);
    Ok(writer.into())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_does_not_need_its_streams() -> Result<()> {
    let _turn = Turn::shared()?;
    for line in [
        "exec \"$@\"",
        "exec \"$@\" <&-",
        "exec \"$@\" <&- >&- 2>&-",
        "exec \"$@\" >/dev/full 2>/dev/full",
    ] {
        let server = Bare::start(line, unread()?, unread()?).await?;
        server.serves().await.with_context(|| line.to_owned())?;
        server
            .stops_in_order()
            .await
            .with_context(|| line.to_owned())?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_that_are_lost_are_counted() -> Result<()> {
    let _turn = Turn::shared()?;
    let server = Bare::start("exec \"$@\"", Stdio::null(), unread()?).await?;
    until("lines are lost", Duration::from_secs(30), || async {
        let text = server.client.get("/metrics").await?.expect(200)?.text();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("ddx_log_lines_lost_total "));
        Ok(line.context("no metric")?.parse::<f64>()? > 0.0)
    })
    .await
}

/// The error that ends a start is told by the exit code, also where nothing else can be told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_that_fails_says_so_by_its_exit_code() -> Result<()> {
    let _turn = Turn::shared()?;
    let binary = std::env::var_os("DDX_BIN").unwrap_or_else(|| env!("CARGO_BIN_EXE_ddx").into());
    for (flag, value, code) in [
        ("--data-dir", "/proc/nowhere", 1),
        ("--log", "[", 2),
        ("--workers", "x", 2),
    ] {
        let status = Command::new(&binary)
            .args(["serve", "--listen", "127.0.0.1:0", flag, value])
            .stdout(unread()?)
            .stderr(unread()?)
            .status()?;
        ensure!(status.code() == Some(code), "{flag} {value}: {status}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_terminal_stops_the_server_in_order_unless_it_is_to_outlive_it() -> Result<()> {
    let _turn = Turn::shared()?;
    let server = Bare::start("exec \"$@\"", Stdio::null(), Stdio::null()).await?;
    server.send(Signal::HUP)?;
    let status = server.ends().await?;
    ensure!(status.success(), "{status}");

    let server = Bare::start("trap '' HUP; exec \"$@\"", Stdio::null(), Stdio::null()).await?;
    server.send(Signal::HUP)?;
    server.serves().await?;
    server.send(Signal::PIPE)?;
    server.send(Signal::XFSZ)?;
    server.serves().await?;
    server.stops_in_order().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_of_file_sizes_refuses_what_is_larger_and_ends_nothing() -> Result<()> {
    let _turn = Turn::shared()?;
    // In blocks of 512 bytes: 8 MiB.
    let server = Bare::start("ulimit -f 16384; exec \"$@\"", Stdio::null(), Stdio::null()).await?;
    server.serves().await?;
    let large = Data::new(2, 20 * MIB);
    let answer = server.client.put("large.bin", &large).await?;
    answer.expect_problem(413)?;
    let tus = Tus::new(&server.client);
    let length = large.len().to_string();
    let answer = tus.post(&[("Upload-Length", &length)], &[]).await?;
    answer.expect_problem(413)?;
    let endless = server
        .client
        .put_chunked("endless.bin", &large, 1 << 20)
        .await?;
    endless.expect_problem(413)?;
    server.serves().await?;
    server.stops_in_order().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_home_and_an_environment_are_not_needed() -> Result<()> {
    let _turn = Turn::shared()?;
    let line = "cd / && exec env -i \"$@\"";
    let server = Bare::start(line, Stdio::null(), Stdio::null()).await?;
    server.serves().await?;
    server.stops_in_order().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn few_descriptors_are_enough_to_go_on() -> Result<()> {
    let _turn = Turn::shared()?;
    let server = Bare::start("ulimit -n 48; exec \"$@\"", Stdio::null(), Stdio::null()).await?;
    let mut all = Vec::new();
    for seed in 0..64 {
        let client = server.client.clone();
        all.push(tokio::spawn(async move {
            let data = Data::new(seed, MIB);
            client.put("a.bin", &data).await.map(drop)
        }));
    }
    for one in all {
        // Some are refused, or cut.
        let _ = one.await?;
    }
    until("it serves again", Duration::from_secs(60), || async {
        Ok(server.serves().await.is_ok())
    })
    .await?;
    server.stops_in_order().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_of_address_space_is_one_of_memory() -> Result<()> {
    let _turn = Turn::shared()?;
    let line = "ulimit -v 300000; exec \"$@\"";
    let server = Bare::start(line, Stdio::null(), Stdio::null()).await?;
    let status = server.client.status().await?;
    ensure!(status.json["ledger"]["tightest"]["kind"] == "address_space");
    let mut all = Vec::new();
    for seed in 0..48 {
        let client = server.client.clone();
        all.push(tokio::spawn(async move {
            let data = Data::new(seed, 8 * MIB);
            client.put_for_link("a.bin", &data).await
        }));
    }
    for one in all {
        one.await??;
    }
    server.serves().await?;
    server.stops_in_order().await
}

/// As another user, since root has as many threads as it likes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_few_threads_end_the_start_with_words() -> Result<()> {
    let _turn = Turn::shared()?;
    let binary = std::env::var_os("DDX_BIN").unwrap_or_else(|| env!("CARGO_BIN_EXE_ddx").into());
    let folder = tempfile::tempdir()?;
    std::os::unix::fs::chown(folder.path(), Some(61_234), Some(61_234))?;
    // Executed under a name that this user can reach.
    let copy = folder.path().join("ddx");
    std::fs::copy(binary, &copy)?;
    for threads in [1, 2, 4, 6, 8] {
        let line = format!(
            "exec timeout -s KILL 60 prlimit --nproc={threads} setpriv --reuid 61234 --regid 61234 --clear-groups \"$@\""
        );
        let output = Command::new("sh")
            .args(["-c", &line, "sh"])
            .arg(&copy)
            .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(folder.path().join("data"))
            .output()?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.code() == Some(1), "{threads}: {output:?}");
        ensure!(
            said.contains("ulimit -u") && !said.contains("panicked"),
            "{threads}: {said}"
        );
    }
    Ok(())
}

/// The folder is removed under a server that runs: it says that it is not ready, and refuses.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_data_folder_that_vanished_is_known_to_readiness() -> Result<()> {
    let _turn = Turn::shared()?;
    let server = Bare::start("exec \"$@\"", Stdio::null(), Stdio::null()).await?;
    server.serves().await?;
    std::fs::remove_dir_all(server.data.path().join("data"))?;
    let ready = server.client.get("/readyz").await?;
    ensure!(ready.status == 503, "{ready:?}");
    server
        .client
        .send(&Request::new("GET", "/healthz"), &[])
        .await?
        .expect(200)?;
    let answer = server.client.put("a.bin", &Data::new(1, MIB)).await?;
    ensure!((500..600).contains(&answer.status), "{answer:?}");
    Ok(())
}
