//! The ledger against the kernel's own counters: threads that hammer it with real buffers inside a
//! real memory box.
//!
//! A control group is made with a limit, and this very test is started again inside it, so that
//! every page of that process is charged to the box. Nothing of this can be had without root and a
//! writable memory controller, and then the test fails: a proof that was not made must not look
//! like one.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use ddx_memory::{Buffer, Config, Holder, Ledger, LimitKind, Snapshot};

const MIB: u64 = 1 << 20;
const BOX_BYTES: u64 = 192 * MIB;
/// Tells the process inside where its box is.
const INSIDE: &str = "DDX_MEMORY_TEST_BOX";

const THE_END: &[u8] = b"the inside has come to its end\n";

/// A control group, removed when dropped.
struct MemoryBox(PathBuf);

impl MemoryBox {
    fn make() -> Self {
        let mut refusals = Vec::new();
        for (controllers, limit) in [
            ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
            ("/sys/fs/cgroup", "memory.max"),
        ] {
            let name = format!("ddx-memory-test-{}", std::process::id());
            let dir = Path::new(controllers).join(name);
            let made = fs::create_dir(&dir).and_then(|()| {
                fs::write(dir.join(limit), BOX_BYTES.to_string())?;
                fs::metadata(dir.join("memory.stat")).map(drop)
            });
            match made {
                Ok(()) => return Self(dir),
                Err(error) => {
                    let _ = fs::remove_dir(&dir);
                    refusals.push(format!("{controllers}: {error}"));
                }
            }
        }
        panic!(
            "no memory box can be made, run this as root where a memory controller is writable: {}",
            refusals.join("; ")
        );
    }

    /// Runs a test of this binary inside; what it printed.
    fn run(&self, test: &str) -> String {
        let output = Command::new("sh")
            .arg("-c")
            .arg("echo $$ > \"$0/cgroup.procs\" && exec \"$@\"")
            .arg(&self.0)
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"])
            .env(INSIDE, &self.0)
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {told}", output.status);
        told
    }

    fn oom_kills(&self) -> u64 {
        let file = ["memory.oom_control", "memory.events"]
            .map(|name| self.0.join(name))
            .into_iter()
            .find(|path| path.exists())
            .unwrap();
        keyed(&file, "oom_kill").expect("the kernel counts its kills")
    }
}

impl Drop for MemoryBox {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

fn number(path: &Path) -> u64 {
    fs::read_to_string(path).unwrap().trim().parse().unwrap()
}

fn keyed(path: &Path, key: &str) -> Option<u64> {
    let text = fs::read_to_string(path).unwrap();
    let mut lines = text.lines().filter_map(|line| line.split_once(' '));
    lines
        .find(|(name, _)| *name == key)
        .map(|(_, value)| value.trim().parse().unwrap())
}

/// What the box says that it has charged, without the page cache: the binary's own pages are clean
/// and can be had.
fn charged_without_cache(dir: &Path) -> u64 {
    let stat = dir.join("memory.stat");
    if dir.join("memory.usage_in_bytes").exists() {
        let cache = keyed(&stat, "total_cache").unwrap() - keyed(&stat, "total_shmem").unwrap();
        number(&dir.join("memory.usage_in_bytes")) - cache
    } else {
        number(&dir.join("memory.current")) - keyed(&stat, "file").unwrap()
            + keyed(&stat, "shmem").unwrap()
    }
}

#[track_caller]
fn assert_near(ours: u64, kernels: u64, what: &str) {
    let apart = ours.abs_diff(kernels);
    assert!(
        apart * 20 <= kernels.max(ours),
        "{what}: {ours} by the ledger, {kernels} by the kernel"
    );
}

fn assert_adds_up(snapshot: &Snapshot) {
    let sum: u64 = snapshot.accounts.iter().map(|(_, bytes)| bytes).sum();
    assert_eq!(sum, snapshot.total_bytes + snapshot.overcommitted_bytes);
}

/// Takes, fills, grows and gives back; whatever is not to be had is waited for.
fn hammer(ledger: &Ledger, user: u64) {
    for round in 0..150u64 {
        let bytes = (1 + (round * 7 + user * 13) % 32) * (128 << 10);
        let admission = ledger
            .admit(
                Holder {
                    user,
                    upload: round,
                },
                bytes,
            )
            .unwrap();
        let lease = admission.wait(Duration::from_secs(60)).unwrap();
        let mut buffer = Buffer::with_stale_contents(lease).unwrap();
        buffer.fill(0xa5);
        if buffer.try_grow(2 * bytes) {
            assert!(buffer.iter().take(1 << 10).all(|byte| *byte == 0xa5));
            buffer.fill(0x5a);
        }
        if round % 16 == 0 {
            assert_adds_up(&ledger.snapshot());
        }
    }
}

/// With a known amount held and touched, the ledger says what the kernel says.
fn compare(ledger: &Ledger, dir: &Path) {
    let mut held: Vec<Buffer> = Vec::new();
    for step in 0..=4u64 {
        if step > 0 {
            let who = Holder {
                user: 100,
                upload: step,
            };
            let mut buffer = Buffer::new(ledger.try_lease(who, 16 * MIB).unwrap()).unwrap();
            buffer.fill(1);
            held.push(buffer);
        }
        ledger.sample();
        let snapshot = ledger.snapshot();
        assert_eq!(snapshot.total_bytes, BOX_BYTES);
        assert!(dir.ends_with(Path::new(&*snapshot.tightest.path).file_name().unwrap()));
        assert!(matches!(
            snapshot.tightest.kind,
            LimitKind::CgroupV1 | LimitKind::CgroupV2
        ));
        assert_eq!(snapshot.pool_resident_bytes, step * 16 * MIB);
        // A few pages of the kernel's own are charged in batches: on an empty box they would be
        // more than a twentieth.
        if step >= 2 {
            assert_near(snapshot.used_bytes, charged_without_cache(dir), "used");
        }
        assert_adds_up(&snapshot);
    }
    drop(held);
    ledger.sample();
    let snapshot = ledger.snapshot();
    assert!(
        snapshot.used_bytes <= 32 * MIB,
        "{} after all was given back",
        snapshot.used_bytes
    );
}

fn inside(dir: &Path) {
    let config = Config {
        cache_bytes_max: 0,
        ..Config::default()
    };
    let ledger = Ledger::on_this_machine(config).unwrap();
    compare(&ledger, dir);
    let sampler = ledger.try_spawn_sampler().unwrap();
    let threads: Vec<_> = (0..24)
        .map(|user| {
            let ledger = ledger.clone();
            std::thread::spawn(move || hammer(&ledger, user))
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    drop(sampler);
    ledger.sample();
    let snapshot = ledger.snapshot();
    assert_eq!(
        (
            snapshot.leased_bytes,
            snapshot.waiting,
            snapshot.pool_mapped_bytes
        ),
        (0, 0, 0)
    );
    assert!(!snapshot.drift_alarm, "drift is {}", snapshot.drift_bytes);
    compare(&ledger, dir);
}

#[test]
fn exclusive_in_a_memory_box_the_ledger_says_what_the_kernel_says_and_nobody_is_killed() {
    if let Some(dir) = std::env::var_os(INSIDE) {
        inside(Path::new(&dir));
        // Told on purpose: a filter that matched no test would end well, too.
        std::io::stdout().write_all(THE_END).unwrap();
        return;
    }
    let memory_box = MemoryBox::make();
    let told = memory_box
        .run("memory_box::exclusive_in_a_memory_box_the_ledger_says_what_the_kernel_says_and_nobody_is_killed");
    assert!(
        told.as_bytes()
            .windows(THE_END.len())
            .any(|part| part == THE_END),
        "{told}"
    );
    assert_eq!(memory_box.oom_kills(), 0);
}
