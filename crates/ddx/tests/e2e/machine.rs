//! What a machine, or a container, hides or leaves out: the server finds its memory all the same,
//! or says that it does not and promises little.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use ddx_testkit::{Data, MIB, MemoryBox, Server, Setup, Status, Turn};

use crate::{ledger_at_zero, logged, setup};

const BOX_BYTES: u64 = 160 * MIB;

/// A mount of `/proc` without what is about the machine, as containers that are to see little of it
/// have.
const PROC_OF_PROCESSES: &str = "mount -t proc -o subset=pid proc /proc";

/// No control group can be seen, as in a container without `/sys/fs/cgroup`.
const NO_GROUPS: &str = "umount -R /sys/fs/cgroup";

/// Their mounts are listed, and something else lies over them.
const HIDDEN_GROUPS: &str = "mount -t tmpfs none /sys/fs/cgroup";

pub(crate) fn total_bytes(status: &Status) -> Result<u64> {
    status.json["ledger"]["total_bytes"]
        .as_u64()
        .context("no total")
}

/// What the server had to estimate, by name.
pub(crate) fn doubts(status: &Status) -> Result<Vec<String>> {
    let all = status.json["ledger"]["doubts"].as_array();
    let names = all.context("no doubts")?.iter();
    Ok(names
        .filter_map(|name| name.as_str().map(str::to_owned))
        .collect())
}

/// More uploads at once than their box has memory for: all come whole, and the kernel kills
/// nothing.
async fn holds_in_its_box(server: &Server, memory_box: &MemoryBox) -> Result<()> {
    let client = server.client();
    let tasks: Vec<_> = (0..24)
        .map(|seed| {
            let client = client.clone();
            tokio::spawn(async move {
                let data = Data::new(seed, 12 * MIB);
                let link = client.put_for_link("box.bin", &data).await?;
                client.fetch(&link, &data).await.map(drop)
            })
        })
        .collect();
    for task in tasks {
        task.await??;
    }
    let usage = memory_box.usage()?;
    println!("{usage:?}");
    ensure!(usage.oom_kills == 0, "{usage:?}");
    ledger_at_zero(&client).await
}

/// What `ddx doctor` says in these surroundings; it must not fail.
pub(crate) fn doctor(setup: &Setup) -> Result<String> {
    let folder = tempfile::tempdir()?;
    let data_dir = folder.path().join("data");
    let data_dir = data_dir.to_str().context("no text")?;
    let output =
        setup.run_to_end(&["doctor", "--listen", "127.0.0.1:0", "--data-dir", data_dir])?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "{output:?}");
    Ok(said)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exclusive_own_limit_is_found_where_the_mount_begins_above_the_namespace() -> Result<()> {
    let _turn = Turn::boxed()?;
    for command in [
        &["unshare", "--cgroup", "--mount"][..],
        &[
            "unshare",
            "--cgroup",
            "--mount",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
        ],
    ] {
        let memory_box = Arc::new(MemoryBox::new(BOX_BYTES)?);
        let setup = setup().in_box(&memory_box).within(command);
        let server = setup.start().with_context(|| format!("{command:?}"))?;
        let status = server.client().status().await?;
        ensure!(
            total_bytes(&status)? == BOX_BYTES,
            "{command:?}: {}",
            status.json["ledger"]["limits"]
        );
        ensure!(doubts(&status)?.is_empty(), "{:?}", doubts(&status)?);
        holds_in_its_box(&server, &memory_box).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exclusive_a_limit_that_cannot_be_found_is_said_and_little_is_promised() -> Result<()> {
    let _turn = Turn::boxed()?;
    for line in [NO_GROUPS, HIDDEN_GROUPS] {
        let memory_box = Arc::new(MemoryBox::new(BOX_BYTES)?);
        let setup = setup()
            .in_box(&memory_box)
            .within_shell(&["unshare", "--cgroup", "--mount"], line);
        let said = doctor(&setup)?;
        let warned = said
            .lines()
            .any(|line| line.starts_with("warn  memory") && line.contains("control group"));
        ensure!(warned, "{line}: {said}");
        let server = setup.start().with_context(|| line.to_owned())?;
        logged(&server, |line| {
            line.contains("WARN") && line.contains("control group")
        })
        .await?;
        let client = server.client();
        let status = client.status().await?;
        ensure!(doubts(&status)? == ["group_not_found"], "{line}");
        ensure!(total_bytes(&status)? == 64 * MIB, "{line}");
        let metrics = client.get("/metrics").await?.expect(200)?.text();
        ensure!(
            metrics.contains("ddx_memory_doubts{doubt=\"group_not_found\"} 1"),
            "{metrics}"
        );
        holds_in_its_box(&server, &memory_box).await?;
    }
    Ok(())
}

/// Who says how much there is, or how much is there where nothing is found, is believed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_that_is_set_stands_where_none_can_be_found() -> Result<()> {
    let _turn = Turn::shared()?;
    for (flag, expected) in [
        ("--memory-limit", 100 * MIB),
        ("--memory-assumed", 48 * MIB),
    ] {
        let server = setup()
            .within_shell(&["unshare", "--cgroup", "--mount"], NO_GROUPS)
            .option(flag, expected.to_string())
            .start()?;
        let status = server.client().status().await?;
        ensure!(total_bytes(&status)? == expected, "{flag}");
        ensure!(doubts(&status)? == ["group_not_found"], "{flag}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_that_tells_less_is_estimated_and_started_on() -> Result<()> {
    let _turn = Turn::shared()?;
    let folder = tempfile::tempdir()?;
    let without = |key: &str, from: &str, at: &str| {
        let kept = folder.path().join(key);
        let kept = kept.display();
        format!("grep -v {key} {from} > {kept} && mount --bind {kept} {at}")
    };
    let available = without("MemAvailable", "/proc/meminfo", "/proc/meminfo");
    let anonymous = without("RssAnon", "/proc/self/status", "/proc/$$/status");
    for (line, expected) in [
        (PROC_OF_PROCESSES, &["host_by_sysinfo"][..]),
        (&available, &["available_by_free"]),
        (&anonymous, &["process_by_statm"]),
        (
            "mount -t tmpfs none /proc",
            &["group_not_found", "host_by_sysinfo", "process_by_peak"],
        ),
    ] {
        for limit in [None, Some("100MiB")] {
            let surroundings = setup().within_shell(&["unshare", "--mount"], line);
            let said = doctor(&surroundings)?;
            ensure!(said.contains("estimated"), "{line}: {said}");
            let setup = match limit {
                Some(limit) => surroundings.option("--memory-limit", limit),
                None => surroundings,
            };
            let server = setup.start().with_context(|| line.to_owned())?;
            logged(&server, |line| line.contains("estimated")).await?;
            let client = server.client();
            let status = client.status().await?;
            ensure!(doubts(&status)? == expected, "{:?}", doubts(&status)?);
            let used = status.json["ledger"]["process"]["anon_bytes"].as_u64();
            ensure!(
                used.is_some_and(|used| used > MIB && used < 200 * MIB),
                "{used:?}"
            );
            let data = Data::new(1, 2 * MIB);
            let link = client.put_for_link("estimated.bin", &data).await?;
            client.fetch(&link, &data).await?;
        }
    }
    Ok(())
}
