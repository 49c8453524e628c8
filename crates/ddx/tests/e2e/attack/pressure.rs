//! What is done to a box while its server works: memory eaten, page cache thrashed, the limit
//! lowered.
//!
//! Each is fair: it never takes in one step more of what is left than the server's reserve is there
//! for, since memory that goes faster than it can be seen to go fails every program. Within that
//! it takes all but what the server is promised to live with, and what the server gives back it
//! takes as well.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ddx_testkit::{Client, Data, MIB, MemoryBox, Neighbour, Server};

/// Between two steps: the server looks at the machine every 200 ms.
const STEP_EVERY: Duration = Duration::from_millis(250);
/// Of the box's headroom, the part that one step takes.
const STEP_PART: u64 = 4;
/// A wave that gets no further ends after this.
const WAVE_WITHIN: Duration = Duration::from_secs(15);
/// What is left free: less than this is left to chance between two programs that both allocate.
const HEADROOM_LEAST: u64 = 6 * MIB;
/// One upload of one file by a new client ends within this whatever goes on; on a busy machine,
/// too.
const PROBE_WITHIN: Duration = Duration::from_secs(30);

/// The box, what is in it, and how much is to be left in it.
pub(super) struct Pressure {
    pub(super) server: Arc<Server>,
    pub(super) memory_box: Arc<MemoryBox>,
    pub(super) neighbour: Neighbour,
    pub(super) limit_bytes: u64,
    /// For the server and all that the kernel keeps for it, when the wave is at its highest.
    pub(super) left_bytes: u64,
    pub(super) hold: Duration,
    probes: u32,
}

impl Pressure {
    pub(super) fn new(
        server: &Arc<Server>,
        memory_box: &Arc<MemoryBox>,
        neighbour: Neighbour,
        left_bytes: u64,
        hold: Duration,
    ) -> Result<Self> {
        Ok(Self {
            server: server.clone(),
            memory_box: memory_box.clone(),
            neighbour,
            limit_bytes: memory_box.limit()?,
            left_bytes,
            hold,
            probes: 0,
        })
    }

    fn headroom(&self) -> Result<u64> {
        let limit = self.memory_box.limit()?;
        Ok(limit.saturating_sub(self.memory_box.hard_bytes()?))
    }

    /// A new client uploads one file and fetches it, and all is over in the time that a person
    /// waits.
    pub(super) async fn probe(&mut self, when: &str) -> Result<()> {
        let (client, link, data) = self.store(when).await?;
        tokio::time::timeout(PROBE_WITHIN, client.fetch(&link, &data))
            .await
            .with_context(|| format!("over {PROBE_WITHIN:?}"))
            .and_then(|fetched| fetched)
            .with_context(|| format!("fetching a new upload {when}"))?;
        Ok(())
    }

    /// A new client uploads one file; who it was, where the file is, and its bytes.
    pub(super) async fn store(&mut self, when: &str) -> Result<(Client, String, Data)> {
        self.probes += 1;
        let number = u8::try_from(self.probes % 250)?;
        let client = self
            .server
            .client()
            .from(IpAddr::V4(Ipv4Addr::new(127, 0, 1, 1 + number)))
            .patience(PROBE_WITHIN);
        let data = Data::new(u64::from(self.probes), MIB + 1);
        let began = Instant::now();
        let link = tokio::time::timeout(PROBE_WITHIN, client.put_for_link("probe.bin", &data))
            .await
            .with_context(|| format!("over {PROBE_WITHIN:?}"))
            .and_then(|stored| stored)
            .with_context(|| format!("a new upload {when}"))?;
        println!(
            "a new upload {when}: {:?}; headroom {:.1} MiB",
            began.elapsed(),
            self.headroom()? as f64 / MIB as f64
        );
        Ok((client, link, data))
    }

    /// The neighbour grows until only so much is left, and takes what comes free meanwhile.
    pub(super) async fn grow(&mut self) -> Result<()> {
        let most = self.limit_bytes.saturating_sub(self.left_bytes);
        let began = Instant::now();
        let mut full_since = None;
        while full_since.is_none_or(|since: Instant| since.elapsed() < self.hold)
            && began.elapsed() < WAVE_WITHIN
        {
            self.bite(most).await?;
            if self.neighbour.held_bytes() >= most / MIB * MIB {
                full_since.get_or_insert_with(Instant::now);
            }
            tokio::time::sleep(STEP_EVERY).await;
        }
        println!(
            "the neighbour holds {} of {} MiB after {:?}",
            self.neighbour.held_bytes() / MIB,
            most / MIB,
            began.elapsed()
        );
        Ok(())
    }

    /// One wave: it grows, a new client comes, it lets all go, and another one comes.
    pub(super) async fn eat(&mut self) -> Result<()> {
        self.grow().await?;
        self.probe("when memory is eaten").await?;
        self.neighbour.hold(0).await?;
        self.probe("when it is free again").await
    }

    async fn bite(&mut self, most: u64) -> Result<()> {
        let room = self.headroom()?.saturating_sub(HEADROOM_LEAST);
        let held = self.neighbour.held_bytes();
        let step = (room / STEP_PART)
            .max(room.min(MIB))
            .min(most - held.min(most));
        self.neighbour.hold(held + step).await
    }

    /// A file larger than the box is written and read, dirty pages and all.
    pub(super) async fn thrash(&mut self) -> Result<()> {
        self.begin_thrash().await?;
        tokio::time::sleep(self.hold).await;
        self.probe("when the page cache is thrashed").await?;
        tokio::time::sleep(self.hold / 2).await;
        self.end_thrash().await?;
        self.probe("after it").await
    }

    pub(super) async fn begin_thrash(&mut self) -> Result<()> {
        let file: PathBuf = self.server.scratch().join("thrash");
        self.neighbour
            .thrash(&file, self.limit_bytes + self.limit_bytes / 2)
            .await
    }

    pub(super) async fn end_thrash(&mut self) -> Result<()> {
        let moved = self.neighbour.calm().await?;
        println!(
            "thrashed: {} MiB written, {} MiB read",
            moved.written_bytes / MIB,
            moved.read_bytes / MIB
        );
        ensure!(moved.written_bytes > 0, "nothing was thrashed");
        Ok(())
    }

    /// The limit goes down to the least that the usage allows, and up again.
    pub(super) async fn squeeze(&mut self) -> Result<()> {
        let began = Instant::now();
        let mut refused = 0;
        while self.headroom()? > 2 * HEADROOM_LEAST && began.elapsed() < WAVE_WITHIN {
            let room = self.headroom()?;
            let step = (room - HEADROOM_LEAST) / STEP_PART / 4096 * 4096;
            // The kernel refuses if it can't bring the usage below it just now.
            if self
                .memory_box
                .set_limit(self.memory_box.limit()? - step)
                .is_err()
            {
                refused += 1;
            }
            tokio::time::sleep(STEP_EVERY).await;
        }
        let least = self.memory_box.limit()?;
        println!(
            "the limit is {:.1} of {} MiB after {:?}, refused {refused} times",
            least as f64 / MIB as f64,
            self.limit_bytes / MIB,
            began.elapsed()
        );
        ensure!(
            least < self.limit_bytes,
            "the limit could not be lowered at all"
        );
        tokio::time::sleep(self.hold).await;
        self.probe("when the limit is low").await?;
        self.memory_box.set_limit(self.limit_bytes)?;
        self.probe("when it is high again").await
    }
}
