//! The real binary, started, watched, killed and started again.
//!
//! The server picks its port itself and says so on its standard output; nothing here guesses a free
//! port or waits a fixed time. Its log goes to a file, whose end is printed when the server goes:
//! test runners show it only where a test failed, so that a green run stays readable and a red one
//! says what the server saw.

use std::ffi::OsString;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::disk::Watch;
use crate::{Client, DiskFaults, FakeClock, MemoryBox};

const LOG_SHOWN_BYTES: u64 = 16 * 1024;

/// How a server is to be started.
#[derive(Debug, Clone)]
pub struct Setup {
    binary: PathBuf,
    args: Vec<String>,
    env: Vec<(String, String)>,
    memory_box: Option<Arc<MemoryBox>>,
    surroundings: Vec<String>,
    data_dir: Option<PathBuf>,
    disk: Option<DiskFaults>,
    ready_within: Duration,
}

impl Setup {
    /// A server from `binary`, which a test gives as `env!("CARGO_BIN_EXE_ddx")`; `DDX_BIN`
    /// overrides it, to try another build.
    pub fn new(binary: &str) -> Self {
        let binary =
            std::env::var_os("DDX_BIN").map_or_else(|| PathBuf::from(binary), PathBuf::from);
        Self {
            binary,
            args: Vec::new(),
            env: Vec::new(),
            memory_box: None,
            surroundings: Vec::new(),
            data_dir: None,
            disk: None,
            ready_within: Duration::from_secs(60),
        }
    }

    /// Adds an argument of `ddx serve`.
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds an argument with its value.
    pub fn option(self, name: &str, value: impl Into<String>) -> Self {
        self.arg(name).arg(value)
    }

    /// Sets an environment variable.
    pub fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.env.push((name.to_owned(), value.into()));
        self
    }

    /// Starts it in a memory box.
    pub fn in_box(mut self, memory_box: &Arc<MemoryBox>) -> Self {
        self.memory_box = Some(Arc::clone(memory_box));
        self
    }

    /// Runs this command in the box, which makes a namespace, a mount or a limit and then executes
    /// what follows it: `unshare --cgroup`.
    pub fn within(mut self, command: &[&str]) -> Self {
        self.surroundings = command.iter().map(|part| (*part).to_owned()).collect();
        self
    }

    /// The same with a line of shell, at whose end the server is executed in the shell's place.
    pub fn within_shell(self, command: &[&str], line: &str) -> Self {
        let line = format!("{line} && exec \"$0\" \"$@\"");
        self.within(&[command, &["sh", "-c", &line]].concat())
    }

    /// Puts the faults of a disk under it.
    pub fn disk(mut self, faults: &DiskFaults) -> Self {
        self.disk = Some(faults.clone());
        self
    }

    /// Lets it live by this clock.
    pub fn clock(mut self, clock: &FakeClock) -> Self {
        self.env.extend(clock.environment());
        self
    }

    /// Uses this data folder instead of a temporary one.
    pub fn data_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.data_dir = Some(path.into());
        self
    }

    /// Starts it and waits until it says that it listens.
    pub fn start(self) -> Result<Server> {
        let folder = tempfile::Builder::new().prefix("ddx-test-").tempdir()?;
        let data_dir = self
            .data_dir
            .clone()
            .unwrap_or_else(|| folder.path().join("data"));
        let log = folder.path().join("server.log");
        let running = self.launch(&data_dir, &log, SocketAddr::from(([127, 0, 0, 1], 0)))?;
        Ok(Server {
            setup: self,
            address: running.address,
            running: Some(running),
            data_dir,
            log,
            folder,
        })
    }

    /// Runs the binary to its end with `args` instead of serving (for `plan`, `doctor` and the
    /// like).
    pub fn run_to_end(&self, args: &[&str]) -> Result<std::process::Output> {
        let mut command = self.command();
        command.args(args);
        command
            .output()
            .with_context(|| format!("start {command:?}"))
    }

    /// The command up to its own arguments: within the box, if there is one, before the binary is
    /// executed.
    fn command(&self) -> Command {
        let mut all: Vec<OsString> = Vec::new();
        if let Some(memory_box) = &self.memory_box {
            all.extend(["sh", "-c", r#"echo $$ > "$0" && exec "$@""#].map(OsString::from));
            all.push(memory_box.procs().into());
        }
        all.extend(self.surroundings.iter().map(OsString::from));
        all.push(self.binary.clone().into());
        let mut command = Command::new(&all[0]);
        command.args(&all[1..]);
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(|name| name.starts_with("DDX_")) {
                command.env_remove(name); // what steers the tests must not configure the server
            }
        }
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }

    fn launch(&self, data_dir: &Path, log: &Path, listen: SocketAddr) -> Result<Running> {
        let mut command = self.command();
        command
            .arg("serve")
            .arg("--listen")
            .arg(listen.to_string())
            .arg("--data-dir")
            .arg(data_dir)
            .args(&self.args);
        let stderr = File::options().create(true).append(true).open(log)?;
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(stderr);
        let watch = self
            .disk
            .as_ref()
            .map(|faults| Watch::over(&mut command, faults))
            .transpose()?;
        let started = Instant::now();
        let mut child = command
            .spawn()
            .with_context(|| format!("start {command:?}"))?;
        let lines = child
            .stdout
            .take()
            .map(follow)
            .context("the child has no standard output")?;
        let mut running = Running {
            child,
            address: listen,
            ready_after: Duration::ZERO,
            _watch: watch,
        };
        running.address = match running.await_listening(&lines, started, self.ready_within) {
            Ok(address) => address,
            Err(error) => {
                let _ = running.child.kill();
                let _ = running.child.wait();
                bail!("{error:#}\n{command:?}\n{}", tail(log));
            }
        };
        running.ready_after = started.elapsed();
        Ok(running)
    }
}

#[derive(Debug)]
struct Running {
    child: Child,
    address: SocketAddr,
    ready_after: Duration,
    /// Dropped after the child was killed.
    _watch: Option<Watch>,
}

impl Running {
    fn await_listening(
        &mut self,
        lines: &Receiver<String>,
        started: Instant,
        within: Duration,
    ) -> Result<SocketAddr> {
        loop {
            let left = within.saturating_sub(started.elapsed());
            match lines.recv_timeout(left) {
                Ok(line) => {
                    if let Some((_, rest)) = line.split_once("listening on ") {
                        let host = rest
                            .trim()
                            .split_once("://")
                            .map_or(rest.trim(), |(_, host)| host)
                            .trim_end_matches('/');
                        return host
                            .parse()
                            .with_context(|| format!("the server says {line:?}"));
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    bail!("the server did not say where it listens within {within:?}")
                }
                Err(RecvTimeoutError::Disconnected) => bail!(
                    "the server ended before it listened: {:?}",
                    self.child.wait()
                ),
            }
        }
    }

    fn pid(&self) -> Result<Pid> {
        Pid::from_raw(i32::try_from(self.child.id())?).context("a process has an id above 0")
    }

    fn wait(&mut self, within: Duration) -> Result<ExitStatus> {
        let end = Instant::now() + within;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            ensure!(
                Instant::now() < end,
                "the server still runs {within:?} after it was to stop"
            );
            std::thread::sleep(Duration::from_millis(2)); // std has no wait with a time-out
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How a server ended.
#[derive(Debug, Clone, Copy)]
pub struct Exit {
    /// The exit status, or the signal.
    pub status: ExitStatus,
    /// From the signal to the end.
    pub after: Duration,
}

/// A running server. Dropped, it is killed, and its data goes away unless the folder was given.
#[derive(Debug)]
pub struct Server {
    setup: Setup,
    running: Option<Running>,
    address: SocketAddr,
    data_dir: PathBuf,
    log: PathBuf,
    folder: tempfile::TempDir,
}

impl Server {
    /// Where it listens; the same after a restart.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://address` and the path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// A client for it.
    pub fn client(&self) -> Client {
        Client::new(self.address)
    }

    /// Its data folder.
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// A folder for the test's own files, on the same life as the server.
    pub fn scratch(&self) -> &Path {
        self.folder.path()
    }

    /// From its start until it listened.
    pub fn ready_after(&self) -> Duration {
        self.running
            .as_ref()
            .map_or(Duration::ZERO, |running| running.ready_after)
    }

    /// Its log so far.
    pub fn log(&self) -> String {
        std::fs::read(&self.log)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// Its process id.
    pub fn pid(&self) -> Result<u32> {
        Ok(self
            .running
            .as_ref()
            .context("the server is not running")?
            .child
            .id())
    }

    /// Has the kernel kill it before all others when memory has run out, however small it is.
    pub fn be_killed_first(&self) -> Result<()> {
        Ok(std::fs::write(
            format!("/proc/{}/oom_score_adj", self.pid()?),
            "1000",
        )?)
    }

    /// Whether its process still runs.
    pub fn is_running(&mut self) -> bool {
        self.running
            .as_mut()
            .is_some_and(|running| matches!(running.child.try_wait(), Ok(None)))
    }

    /// Kills it at once, as power loss for the process (the kernel's page cache stays).
    pub fn kill_9(&mut self) -> Result<()> {
        self.running
            .take()
            .context("the server is not running")
            .map(drop)
    }

    /// Takes all time away from it (SIGSTOP), as a machine with too much to do does.
    pub fn pause(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// Gives it time again.
    pub fn resume(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let running = self.running.as_ref().context("the server is not running")?;
        Ok(kill_process(running.pid()?, signal)?)
    }

    /// Sends SIGTERM, without waiting.
    pub fn send_sigterm(&self) -> Result<()> {
        self.signal(Signal::TERM)
    }

    /// Sends SIGTERM and waits for the end.
    pub fn terminate(&mut self, within: Duration) -> Result<Exit> {
        let started = Instant::now();
        self.send_sigterm()?;
        self.await_exit(within, started)
    }

    /// Waits for the end of a server that was told to stop at `since`.
    pub fn await_exit(&mut self, within: Duration, since: Instant) -> Result<Exit> {
        let running = self.running.as_mut().context("the server is not running")?;
        let status = running.wait(within)?;
        self.running = None;
        Ok(Exit {
            status,
            after: since.elapsed(),
        })
    }

    /// Starts it again on the same data and the same port.
    pub fn start_again(&mut self) -> Result<()> {
        ensure!(self.running.is_none(), "the server is still running");
        self.running = Some(self.setup.launch(&self.data_dir, &self.log, self.address)?);
        Ok(())
    }

    /// Changes how it will be started the next time.
    pub fn change(&mut self, change: impl FnOnce(Setup) -> Setup) {
        self.setup = change(self.setup.clone());
    }

    /// Resident memory of the process in bytes: `VmRSS`, or its anonymous part `RssAnon`.
    pub fn memory_bytes(&self, field: &str) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()?))?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))
            .with_context(|| format!("no {field}"))?;
        let kib: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
        Ok(kib * 1024)
    }

    /// CPU time used so far by the process, in seconds.
    pub fn cpu_seconds(&self) -> Result<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid()?))?;
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or("").split(' ').collect();
        let ticks: f64 = [11, 12]
            .iter()
            .filter_map(|at| fields.get(*at)?.parse::<f64>().ok())
            .sum();
        Ok(ticks / rustix::param::clock_ticks_per_second() as f64)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.running = None;
        // Test runners keep what a test prints and show it only when the test fails, by a panic or
        // by an error value.
        eprintln!("── the server's log\n{}", tail(&self.log));
    }
}

fn follow(stdout: std::process::ChildStdout) -> Receiver<String> {
    let (sender, receiver) = channel();
    // The thread ends with the child's standard output. It reads on when there is no listener, so
    // that the child never blocks.
    std::thread::spawn(move || {
        for line in BufReader::new(stdout)
            .lines()
            .map_while(std::io::Result::ok)
        {
            let _ = sender.send(line);
        }
    });
    receiver
}

/// The end of a log.
fn tail(log: &Path) -> String {
    let read = || -> Result<String> {
        let mut file = File::open(log)?;
        let from = file.metadata()?.len().saturating_sub(LOG_SHOWN_BYTES);
        file.seek(SeekFrom::Start(from))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    read().unwrap_or_else(|error| format!("(no log: {error:#})"))
}
