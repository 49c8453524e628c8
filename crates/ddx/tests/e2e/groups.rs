//! Control groups of version 2, in a machine whose kernel has the memory controller there: the
//! limit that binds is found, in every namespace, also when it changes; and what is told of memory
//! is what the kernel counts.
//!
//! Each test boots a machine and is called again in it (`in_machine`). Its figures are small, since
//! a processor that is emulated is ten times as slow.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ddx_testkit::{Client, Data, MIB, MemoryBox, Setup, Status, Turn, Tus, Vm};

use crate::boxes::{Way, upload_all};
use crate::machine::{doctor, doubts, total_bytes};
use crate::{ledger_at_zero, setup, until};

const GROUPS: &str = "/sys/fs/cgroup";

/// Runs the test `name` of this module in a machine, and `test` where it is there.
async fn in_machine(name: &str, test: impl Future<Output = Result<()>>) -> Result<()> {
    if Vm::is_here() {
        return test.await;
    }
    let _turn = Turn::boxed()?;
    let binary = std::env::var_os("DDX_BIN").unwrap_or_else(|| env!("CARGO_BIN_EXE_ddx").into());
    let vm = Vm::new().program(&binary);
    println!("{}", vm.run_test(&format!("groups::{name}")).await?);
    Ok(())
}

/// A server that starts in this group.
fn in_group(path: &Path) -> Setup {
    let line = format!("echo $$ > {}/cgroup.procs", path.display());
    setup().within_shell(&[], &line)
}

/// Makes a group below that of all, or below another, and writes its files.
fn group(path: &str, files: &[(&str, &str)]) -> Result<PathBuf> {
    let path = Path::new(GROUPS).join(path);
    let parent = path.parent().context("a group has a parent")?;
    fs::write(parent.join("cgroup.subtree_control"), "+memory +io")?;
    fs::create_dir(&path)?;
    for (name, value) in files {
        fs::write(path.join(name), value).with_context(|| format!("{name} {value}"))?;
    }
    Ok(path)
}

/// The path of the group that says how much there is.
fn tightest(status: &Status) -> Result<&str> {
    let path = status.json["ledger"]["tightest"]["path"].as_str();
    path.with_context(|| format!("no tightest in {}", status.json))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exclusive_the_least_limit_of_its_groups_is_the_total() -> Result<()> {
    in_machine(
        "exclusive_the_least_limit_of_its_groups_is_the_total",
        async {
            swap_on()?;
            let mib = |count: u64| (count * MIB).to_string();
            // With swap without a limit: it is no memory.
            let own = group(
                "own",
                &[("memory.max", &mib(104)), ("memory.swap.max", "max")],
            )?;
            let parent = group("parent", &[("memory.max", &mib(100))])?;
            let child = group("parent/child", &[("memory.max", &mib(200))])?;
            let none = group("parent/none", &[])?;
            // Beyond this one the kernel slows every thread down.
            let high = group(
                "high",
                &[("memory.max", &mib(200)), ("memory.high", &mib(120))],
            )?;
            let max = group(
                "max",
                &[("memory.max", &mib(110)), ("memory.high", &mib(180))],
            )?;
            for (place, binding, total) in [
                (&own, &own, 104),
                (&child, &parent, 100),
                (&none, &parent, 100),
                (&high, &high, 120),
                (&max, &max, 110),
            ] {
                let binding = binding.to_str().context("no text")?;
                let told = || format!("{} in {}", binding, place.display());
                let setup = in_group(place);
                let said = doctor(&setup).with_context(told)?;
                let figures = [
                    format!(" {} MB total", total * MIB / 1_000_000),
                    format!("limited by control group {binding}"),
                ];
                ensure!(figures.iter().all(|figure| said.contains(figure)), "{said}");
                let server = setup.start().with_context(told)?;
                let status = server.client().status().await?;
                ensure!(
                    total_bytes(&status)? == total * MIB,
                    "{}: {}",
                    told(),
                    status.json
                );
                ensure!(tightest(&status)? == binding, "{}: {}", told(), status.json);
                ensure!(doubts(&status)?.is_empty(), "{:?}", doubts(&status)?);
            }
            Ok(())
        },
    )
    .await
}

/// Gives the machine 256 MiB of swap.
fn swap_on() -> Result<()> {
    let file = format!("{}/swap", Vm::DISK);
    let line =
        format!("dd if=/dev/zero of={file} bs=1M count=256 && mkswap {file} && swapon {file}");
    let output = Command::new("sh").args(["-c", &line]).output()?;
    ensure!(output.status.success(), "{output:?}");
    let told = fs::read_to_string("/proc/meminfo")?;
    let swap = told.lines().find(|line| line.starts_with("SwapTotal:"));
    ensure!(swap.is_some_and(|line| !line.contains(" 0 kB")), "{swap:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exclusive_its_group_is_found_in_namespaces_of_its_own() -> Result<()> {
    in_machine("exclusive_its_group_is_found_in_namespaces_of_its_own", async {
        const ITS_OWN: &str = "umount /sys/fs/cgroup && mount -t cgroup2 cgroup2 /sys/fs/cgroup";
        const PIDS: [&str; 4] = ["--pid", "--fork", "--kill-child", "--mount-proc"];
        let groups = ["unshare", "--cgroup", "--mount"];
        let with_pids = [&groups[..], &PIDS].concat();
        let mounts = ["unshare", "--mount"];
        // As container engines do without a namespace of groups: its part of the hierarchy is bound
        // over the whole.
        let bound = "mount --bind /sys/fs/cgroup/$(cut -d/ -f2- /proc/self/cgroup) /sys/fs/cgroup";
        for (command, line, root) in [
            (&groups[..], ITS_OWN, "/"),
            (&groups, "true", "/.."),
            (&with_pids, ITS_OWN, "/"),
            (&with_pids, "true", "/.."),
            (&mounts, bound, "/ddx-box"),
        ] {
            let told = || format!("{command:?} {line}");
            let memory_box = Arc::new(MemoryBox::new(96 * MIB)?);
            let shown = "grep ' - cgroup2 ' /proc/self/mountinfo | tail -n 1 | cut -d' ' -f4 > $TMPDIR/root";
            let line = format!("{line} && {shown}");
            let setup = setup().in_box(&memory_box).within_shell(command, &line);
            let server = setup.start().with_context(told)?;
            let seen = fs::read_to_string(Path::new(Vm::DISK).join("root"))?;
            let is_meant = match root {
                "/ddx-box" => seen.starts_with(root),
                _ => seen.trim() == root,
            };
            ensure!(is_meant, "{}: the mount's root is {seen}", told());
            let status = server.client().status().await?;
            ensure!(total_bytes(&status)? == 96 * MIB, "{}: {}", told(), status.json);
            ensure!(doubts(&status)?.is_empty(), "{}: {:?}", told(), doubts(&status)?);
            // A limit that changes is seen where it was found.
            memory_box.set_limit(80 * MIB)?;
            next_sample_says(&server.client(), 80 * MIB).await.with_context(told)?;
        }
        Ok(())
    })
    .await
}

/// The first sample that was begun after now says that there is so much.
async fn next_sample_says(client: &Client, total: u64) -> Result<()> {
    let begun = client.status().await?.figure("epoch")?;
    loop {
        let status = client.status().await?;
        // The next may have been under way.
        if status.figure("epoch")? >= begun + 2.0 {
            ensure!(total_bytes(&status)? == total, "{}", status.json);
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exclusive_a_limit_that_changes_holds_from_the_next_sample() -> Result<()> {
    in_machine(
        "exclusive_a_limit_that_changes_holds_from_the_next_sample",
        async {
            let memory_box = Arc::new(MemoryBox::new(160 * MIB)?);
            let server = setup().in_box(&memory_box).start()?;
            let client = server.client();
            let data = Data::new(1, 12 * MIB);
            let tus = Tus::new(&client);
            let upload = tus.create(Some(data.len()), "under-way.bin").await?;
            let mut conn = client.connect().await?;
            conn.send_head(&Tus::patch_head(&upload.path, 0, data.len()))
                .await?;
            let mut sent = 0;
            for (limit, until) in [(72, 4), (160, 8), (72, 12)] {
                // What is under way goes on through every change.
                memory_box.set_limit(limit * MIB)?;
                next_sample_says(&client, limit * MIB).await?;
                let holds = async {
                    upload_all(&client, Way::Put, 4, MIB).await?;
                    let usage = memory_box.usage()?;
                    ensure!(usage.usage_bytes <= limit * MIB, "{usage:?}");
                    ensure!(memory_box.hard_bytes()? <= limit * MIB);
                    anyhow::Ok(())
                };
                holds.await.with_context(|| format!("in {limit} MiB"))?;
                conn.send(&data.bytes(sent..until * MIB)).await?;
                sent = until * MIB;
            }
            conn.response("PATCH").await?.expect(204)?;
            client.fetch(upload.link()?, &data).await?;
            let usage = memory_box.usage()?;
            ensure!(
                usage.oom_kills == 0 && usage.peak_bytes <= 160 * MIB,
                "{usage:?}"
            );
            ledger_at_zero(&client).await
        },
    )
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exclusive_20_uploads_in_128_mib_are_told_as_the_kernel_counts_them() -> Result<()> {
    in_machine(
        "exclusive_20_uploads_in_128_mib_are_told_as_the_kernel_counts_them",
        async {
            let memory_box = Arc::new(MemoryBox::new(128 * MIB)?);
            let mut server = setup().in_box(&memory_box).start()?;
            server.be_killed_first()?;
            let client = server.client();
            let load = tokio::spawn({
                let client = client.clone();
                async move {
                    upload_all(&client, Way::Tus, 20, 2 * MIB).await?;
                    upload_all(&client, Way::Put, 20, 2 * MIB).await
                }
            });
            let mut differences = Vec::new();
            while !load.is_finished() {
                let before = hard_bytes(&memory_box)?;
                let told = client.status().await?.figure("used_bytes")?;
                let kernel = (before + hard_bytes(&memory_box)?) as f64 / 2.0;
                differences.push((told - kernel) / kernel);
                tokio::time::sleep(Duration::from_millis(110)).await; // samples are taken every 200 ms
            }
            load.await??;
            // Both move while we look: the median is compared.
            ensure!(differences.len() >= 9, "{} looks", differences.len());
            differences.sort_by(f64::total_cmp);
            let median = differences[differences.len() / 2];
            println!(
                "{} looks: from {:+.3} by {median:+.3} to {:+.3}",
                differences.len(),
                differences[0],
                differences[differences.len() - 1]
            );
            let usage = memory_box.usage()?;
            println!("{usage:?} {:?}", memory_box.stat()?);
            ensure!(
                median.abs() <= 0.1,
                "{median:+.3} of what the kernel counts"
            );
            ensure!(
                usage.oom_kills == 0 && usage.peak_bytes <= 128 * MIB,
                "{usage:?}"
            );
            ensure!(server.is_running());
            ledger_at_zero(&client).await
        },
    )
    .await
}

/// What is charged but for clean pages of files, which is another sum than that of the server.
fn hard_bytes(memory_box: &MemoryBox) -> Result<u64> {
    let stat = memory_box.stat()?;
    let get = |name: &str| {
        stat.get(name)
            .copied()
            .with_context(|| format!("no {name}"))
    };
    let kept = get("shmem")? + get("file_dirty")? + get("file_writeback")?;
    let clean = get("file")?.saturating_sub(kept);
    Ok(memory_box.usage()?.usage_bytes.saturating_sub(clean))
}

/// A process in a group that waits for memory: part of a file that it reads again and again is
/// taken back each time, and the group reads slowly. No limit is met.
struct Reclaimed(Child);

impl Reclaimed {
    fn of(path: &Path) -> Result<Self> {
        let file = Path::new(Vm::DISK).join(path.file_name().context("no name")?);
        let file = file.display();
        let line = format!(
            "cd {} && echo $$ > cgroup.procs && dd if=/dev/zero of={file} bs=1M count=32 && sync && \
             echo \"$(cat /sys/block/nvme0n1/dev) rbps=8388608\" > io.max && \
             while true; do cat {file} {file} > /dev/null; echo 10M > memory.reclaim; done",
            path.display()
        );
        Ok(Self(Command::new("sh").args(["-c", &line]).spawn()?))
    }
}

impl Drop for Reclaimed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Microseconds that some task of a group, or of the machine, waited for memory.
fn stall_us(path: &Path) -> Result<u64> {
    let text = fs::read_to_string(path)?;
    let total = text
        .lines()
        .next()
        .and_then(|line| line.split("total=").nth(1));
    Ok(total.with_context(|| text.clone())?.trim().parse()?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exclusive_stall_is_that_of_its_own_group() -> Result<()> {
    in_machine("exclusive_stall_is_that_of_its_own_group", async {
        let memory_max = (160 * MIB).to_string();
        let own = group("own", &[("memory.max", &memory_max)])?;
        let other = group("other", &[("memory.max", &memory_max)])?;
        let server = in_group(&own).start()?;
        let client = server.client();
        let stalled = async || {
            let status = client.status().await?;
            let stall = &status.json["ledger"]["stall"];
            ensure!(stall["witnessed"] == true, "{}", status.json);
            anyhow::Ok(!stall["last_ms_ago"].is_null())
        };
        let neighbour = Reclaimed::of(&other)?;
        let machine = Path::new("/proc/pressure/memory");
        let before = stall_us(machine)?;
        until("the machine stalls", Duration::from_secs(60), || async {
            Ok(stall_us(machine)? > before + 1_000_000)
        })
        .await?;
        drop(neighbour);
        ensure!(
            !stalled().await?,
            "the stall of another group is taken for its own"
        );
        let _neighbour = Reclaimed::of(&own)?;
        until("its own stall is told", Duration::from_secs(60), &stalled).await?;
        // By the pressure of its group alone: no limit was met.
        let events = fs::read_to_string(own.join("memory.events"))?;
        let is_zero = |name: &str| events.lines().any(|line| line == format!("{name} 0"));
        ensure!(["high", "max", "oom"].into_iter().all(is_zero), "{events}");
        Ok(())
    })
    .await
}
