//! Another process in a memory box, which takes memory and page cache exactly as it is told.
//!
//! A server shares its box with shells, log shippers and whatever else a container holds, and those
//! have no ledger. The neighbour is the test binary itself, started again inside the box, so that
//! it needs no program of its own and its memory is known to the page: it holds blocks that it has
//! written to, each mapped by itself, and nothing else of size. An interpreter would bring memory
//! of its own that comes and goes.
//!
//! A kill for memory counts in the box whichever process it strikes;
//! [`crate::Server::be_killed_first`] makes it strike the server. The neighbour ends with its
//! standard input, and so with the test.

use std::fs::{self, File};
use std::io::{self, BufRead, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use crate::{MIB, MemoryBox};

/// Tells the test binary that it is the neighbour.
const TOLD_BY: &str = "DDX_TESTKIT_NEIGHBOUR";
/// Before each answer, since a test harness prints on the same output.
const SAYS: &str = "neighbour: ";
/// How long an order may take: the largest box is filled, or a thrash's last pass ended.
const PATIENCE: Duration = Duration::from_secs(60);
const BLOCK_BYTES: usize = MIB as usize;

/// A process in a memory box that takes memory as it is told; it ends when this is dropped.
#[derive(Debug)]
pub struct Neighbour {
    _child: Child,
    orders: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    held_bytes: u64,
}

/// What a thrash has moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thrashed {
    /// Bytes written into the file, and left to the kernel to bring to the disk.
    pub written_bytes: u64,
    /// Bytes read back.
    pub read_bytes: u64,
}

impl Neighbour {
    /// Starts it in a box. `test` is the full name of a test in this binary that begins with
    /// [`Neighbour::serve_if_told`].
    pub async fn start(memory_box: &MemoryBox, test: &str) -> Result<Self> {
        let mut child = Command::new("sh")
            .args(["-c", r#"echo $$ > "$0" && exec "$@""#])
            .arg(memory_box.procs())
            .arg(std::env::current_exe()?)
            .args(["--exact", test, "--nocapture", "--test-threads=1"])
            .env(TOLD_BY, "1")
            // A fixed threshold: each block is a mapping of its own and goes back at once.
            .env("MALLOC_MMAP_THRESHOLD_", "65536")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("start the neighbour")?;
        let orders = child.stdin.take().context("no standard input")?;
        let answers = child.stdout.take().context("no standard output")?;
        let mut neighbour = Self {
            _child: child,
            orders,
            answers: BufReader::new(answers).lines(),
            held_bytes: 0,
        };
        let said = neighbour.answer().await?;
        ensure!(said == "ready", "the neighbour says {said:?}");
        Ok(neighbour)
    }

    /// What it was last told to hold.
    pub fn held_bytes(&self) -> u64 {
        self.held_bytes
    }

    /// Takes memory, or gives it back, until it holds `bytes`, rounded down to whole MiB; it has it
    /// when this returns.
    pub async fn hold(&mut self, bytes: u64) -> Result<()> {
        let blocks = bytes / MIB;
        let said = self.order(&format!("hold {blocks}")).await?;
        ensure!(said == format!("held {blocks}"), "it says {said:?}");
        self.held_bytes = blocks * MIB;
        Ok(())
    }

    /// Begins to write a file of `bytes` and to read it back, again and again, through the page
    /// cache.
    pub async fn thrash(&mut self, file: &Path, bytes: u64) -> Result<()> {
        let path = file.to_str().context("a path in UTF-8")?;
        let said = self.order(&format!("thrash {bytes} {path}")).await?;
        ensure!(said == "thrashing", "it says {said:?}");
        Ok(())
    }

    /// Ends the thrash, removes its file, and tells what was moved.
    pub async fn calm(&mut self) -> Result<Thrashed> {
        let said = self.order("calm").await?;
        let figures: Vec<u64> = said
            .strip_prefix("calm ")
            .with_context(|| format!("it says {said:?}"))?
            .split(' ')
            .map_while(|figure| figure.parse().ok())
            .collect();
        let [written_bytes, read_bytes] = figures[..] else {
            bail!("it says {said:?}");
        };
        Ok(Thrashed {
            written_bytes,
            read_bytes,
        })
    }

    async fn order(&mut self, order: &str) -> Result<String> {
        let line = format!("{order}\n");
        self.orders
            .write_all(line.as_bytes())
            .await
            .with_context(|| format!("the neighbour is gone before {order:?}"))?;
        self.answer()
            .await
            .with_context(|| format!("after {order:?}"))
    }

    async fn answer(&mut self) -> Result<String> {
        loop {
            let line = timeout(PATIENCE, self.answers.next_line())
                .await
                .context("the neighbour does not answer")??
                .context("the neighbour is gone")?;
            // The harness may have printed on the same line before.
            if let Some((_, said)) = line.split_once(SAYS) {
                return Ok(said.to_owned());
            }
        }
    }

    /// Serves the test that started this process as its neighbour, and answers `true` when that is
    /// over; `false` in any other process.
    ///
    /// # Errors
    /// If it can't do what it was told. The test that gives the orders sees it gone.
    pub fn serve_if_told() -> Result<bool> {
        if std::env::var_os(TOLD_BY).is_none() {
            return Ok(false);
        }
        let mut held = Held::default();
        say("ready")?;
        for line in io::stdin().lock().lines() {
            let line = line?;
            let mut words = line.splitn(3, ' ');
            match (words.next(), words.next(), words.next()) {
                (Some("hold"), Some(blocks), None) => {
                    held.set(blocks.parse()?);
                    say(&format!("held {}", held.blocks.len()))?;
                }
                (Some("thrash"), Some(bytes), Some(path)) => {
                    held.thrash = Some(Thrash::begin(Path::new(path), bytes.parse()?)?);
                    say("thrashing")?;
                }
                (Some("calm"), None, None) => {
                    let thrash = held.thrash.take().context("there is no thrash")?;
                    let moved = thrash.end()?;
                    say(&format!(
                        "calm {} {}",
                        moved.written_bytes, moved.read_bytes
                    ))?;
                }
                _ => bail!("no such order: {line:?}"),
            }
        }
        Ok(true)
    }
}

fn say(what: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{SAYS}{what}")?;
    Ok(out.flush()?)
}

#[derive(Default)]
struct Held {
    blocks: Vec<Vec<u8>>,
    thrash: Option<Thrash>,
}

impl Held {
    fn set(&mut self, blocks: usize) {
        self.blocks.truncate(blocks);
        while self.blocks.len() < blocks {
            // Not zeros: those could be had from the kernel without a page being touched.
            self.blocks.push(vec![0xa5; BLOCK_BYTES]);
        }
    }
}

struct Thrash {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<io::Result<Thrashed>>,
}

impl Thrash {
    fn begin(path: &Path, bytes: u64) -> Result<Self> {
        let file = File::options()
            .create(true)
            .truncate(true)
            .read(true)
            .write(true)
            .open(path)
            .with_context(|| format!("make {}", path.display()))?;
        // Pages that the disk is filling can't be taken back, though the kernel counts them as
        // free: on some disks its reading ahead has 16 MiB of them under way, more than the box has
        // left. What was taken from whom would be chance.
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::Random)?;
        // Its name is not needed any more, and a killed neighbour leaves no file behind.
        fs::remove_file(path)?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || thrash(file, bytes, &stopped));
        Ok(Self { stop, thread })
    }

    fn end(self) -> Result<Thrashed> {
        self.stop.store(true, Ordering::Relaxed);
        match self.thread.join() {
            Ok(moved) => moved.context("thrash"),
            Err(_) => bail!("the thrash panicked"),
        }
    }
}

fn thrash(mut file: File, bytes: u64, stop: &AtomicBool) -> io::Result<Thrashed> {
    let mut block = vec![0x5a; BLOCK_BYTES];
    let mut moved = Thrashed {
        written_bytes: 0,
        read_bytes: 0,
    };
    loop {
        for is_writing in [true, false] {
            file.seek(SeekFrom::Start(0))?;
            for _ in 0..bytes / MIB {
                if stop.load(Ordering::Relaxed) {
                    return Ok(moved);
                }
                if is_writing {
                    file.write_all(&block)?;
                    moved.written_bytes += MIB;
                } else {
                    file.read_exact(&mut block)?;
                    moved.read_bytes += MIB;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[tokio::test]
    async fn a_neighbour_holds_what_it_is_told_to_the_mebibyte() -> Result<()> {
        if Neighbour::serve_if_told()? {
            return Ok(());
        }
        let memory_box = MemoryBox::new(128 * MIB)?;
        let test = "neighbour::tests::a_neighbour_holds_what_it_is_told_to_the_mebibyte";
        let mut neighbour = Neighbour::start(&memory_box, test).await?;
        let alone = memory_box.usage()?.anonymous_bytes;
        for mib in [1, 40, 7, 64, 0] {
            neighbour.hold(mib * MIB).await?;
            let more = memory_box.usage()?.anonymous_bytes.saturating_sub(alone);
            ensure!(
                more.abs_diff(mib * MIB) < MIB,
                "{more} instead of {mib} MiB"
            );
        }

        let folder = tempfile::tempdir()?;
        neighbour
            .thrash(&folder.path().join("thrash"), 192 * MIB)
            .await?;
        let mut dirty = 0;
        let end = Instant::now() + Duration::from_secs(30);
        while memory_box.usage()?.limit_hits == 0 {
            ensure!(
                Instant::now() < end,
                "the box never fills: {dirty} bytes were dirty"
            );
            let stat = memory_box.stat()?;
            let now = stat.get("dirty").or(stat.get("file_dirty"));
            dirty = dirty.max(now.copied().unwrap_or(0));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let moved = neighbour.calm().await?;
        ensure!(moved.written_bytes > 64 * MIB, "{moved:?}");
        ensure!(dirty > 0, "nothing was ever dirty");
        ensure!(
            fs::read_dir(folder.path())?.next().is_none(),
            "a file stays"
        );
        ensure!(memory_box.usage()?.oom_kills == 0);

        let pids = memory_box.pids();
        ensure!(pids.len() == 1, "{pids:?}");
        drop(neighbour);
        timeout(Duration::from_secs(10), async {
            while !memory_box.pids().is_empty() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await
        .context("it stays when it is dropped")
    }
}
