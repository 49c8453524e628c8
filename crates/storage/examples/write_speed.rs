//! How fast one writer is, beside `dd oflag=direct` on the same disk in the same run.
//!
//! `cargo run --release -p ddx-storage --example write_speed -- FOLDER [ROUNDS]`
//!
//! Each line is one way of storing 1 GiB durably, with the median, the least and the most of all
//! rounds; the rounds are interleaved, as disks drift.
#![allow(clippy::print_stdout, reason = "its output is what it is for")]

use std::error::Error;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use ddx_digest::{Crc64, FileHasher};
use ddx_id::SegmentId;
use ddx_memory::{Config, Ledger};
use ddx_storage::conformance::Aligned;
use ddx_storage::{DirectIo, LocalDisk, LocalDiskConfig, Store};

const GIB: usize = 1 << 30;
const MIB: usize = 1 << 20;
const SEGMENT: SegmentId = SegmentId::from_bytes([1; 16]);

#[derive(Clone, Copy)]
enum Way {
    Dd {
        buffer_bytes: usize,
    },
    Store {
        buffer_bytes: usize,
        direct: DirectIo,
        digests: bool,
        reserved: bool,
    },
    Digests {
        buffer_bytes: usize,
    },
}

/// Seconds that passed, and seconds of processor time.
struct Cost(f64, f64);

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().ok_or("which folder?")?;
    let rounds: usize = arguments.next().map_or(Ok(5), |text| text.parse())?;
    let store = |buffer_bytes, direct, digests, reserved| Way::Store {
        buffer_bytes: buffer_bytes * MIB,
        direct,
        digests,
        reserved,
    };
    let (auto, off) = (DirectIo::Auto, DirectIo::Off);
    let ways = [
        ("dd oflag=direct, 1 MiB", Way::Dd { buffer_bytes: MIB }),
        (
            "dd oflag=direct, 4 MiB",
            Way::Dd {
                buffer_bytes: 4 * MIB,
            },
        ),
        ("digests alone, 1 MiB", Way::Digests { buffer_bytes: MIB }),
        (
            "digests alone, 4 MiB",
            Way::Digests {
                buffer_bytes: 4 * MIB,
            },
        ),
        ("direct, 1 MiB", store(1, auto, false, true)),
        ("direct, 4 MiB", store(4, auto, false, true)),
        ("direct, 1 MiB, digests", store(1, auto, true, true)),
        ("direct, 4 MiB, digests", store(4, auto, true, true)),
        (
            "direct, 4 MiB, unknown length",
            store(4, auto, false, false),
        ),
        ("windowed, 1 MiB", store(1, off, false, true)),
        ("windowed, 1 MiB, digests", store(1, off, true, true)),
    ];
    let mut costs: Vec<Vec<Cost>> = ways.iter().map(|_| Vec::new()).collect();
    for _ in 0..rounds {
        for ((_, way), costs) in ways.iter().zip(&mut costs) {
            costs.push(run(Path::new(&folder), *way)?);
        }
    }
    for ((name, _), mut costs) in ways.iter().zip(costs) {
        costs.sort_by(|a, b| a.0.total_cmp(&b.0));
        let rate = |cost: &Cost| GIB as f64 / 1e6 / cost.0;
        let mid = &costs[rounds / 2];
        let cpu = costs.iter().map(|cost| cost.1).sum::<f64>() / rounds as f64;
        let (least, most) = (rate(&costs[rounds - 1]), rate(&costs[0]));
        println!(
            "{name:32} {:5.0} MB/s ({least:.0} to {most:.0})  {cpu:.2} CPU s per GiB",
            rate(mid)
        );
    }
    Ok(())
}

fn run(folder: &Path, way: Way) -> Result<Cost, Box<dyn Error>> {
    match way {
        Way::Dd { buffer_bytes } => {
            let file = folder.join("dd");
            let mut dd = Command::new("dd");
            dd.args(["if=/dev/zero", "oflag=direct", "conv=fdatasync"]);
            dd.arg(format!("of={}", file.display()))
                .arg(format!("bs={buffer_bytes}"))
                .arg(format!("count={}", GIB / buffer_bytes));
            let (began, cpu) = (Instant::now(), cpu_seconds()?);
            let output = dd.output()?;
            let cost = Cost(began.elapsed().as_secs_f64(), cpu_seconds()? - cpu);
            std::fs::remove_file(file)?;
            output
                .status
                .success()
                .then_some(cost)
                .ok_or_else(|| "dd failed".into())
        }
        Way::Digests { buffer_bytes } => {
            let bytes = Aligned::random(buffer_bytes, 0, 1);
            let (began, cpu) = (Instant::now(), cpu_seconds()?);
            let mut digests = (FileHasher::new(), Crc64::new());
            for _ in 0..GIB / buffer_bytes {
                digests.0.update(&bytes);
                digests.1.update(&bytes);
            }
            std::hint::black_box((digests.0.finalize(), digests.1.value()));
            Ok(Cost(began.elapsed().as_secs_f64(), cpu_seconds()? - cpu))
        }
        Way::Store {
            buffer_bytes,
            direct,
            digests,
            reserved,
        } => {
            let config = LocalDiskConfig {
                direct,
                ..LocalDiskConfig::default()
            };
            let store =
                LocalDisk::open(folder, config, Ledger::on_this_machine(Config::default())?)?;
            store.delete(SEGMENT)?;
            let bytes = Aligned::random(buffer_bytes, 0, 1);
            let (began, cpu) = (Instant::now(), cpu_seconds()?);
            store.create(SEGMENT, reserved.then_some(GIB as u64))?;
            let mut writer = store.open_writer(SEGMENT, 0)?;
            let mut digest = (FileHasher::new(), Crc64::new());
            for _ in 0..GIB / buffer_bytes {
                if digests {
                    digest.0.update(&bytes);
                    digest.1.update(&bytes);
                }
                writer.write(&bytes)?;
            }
            writer.sync()?;
            std::hint::black_box((digest.0.finalize(), digest.1.value()));
            let cost = Cost(began.elapsed().as_secs_f64(), cpu_seconds()? - cpu);
            drop(writer);
            store.delete(SEGMENT)?;
            Ok(cost)
        }
    }
}

/// Processor time of this process and its children that ended: fields 14 to 17 of proc_pid_stat(5),
/// in ticks of 10 ms.
fn cpu_seconds() -> Result<f64, Box<dyn Error>> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields = stat.rsplit_once(')').ok_or("no such format")?.1;
    let ticks: f64 = fields
        .split_whitespace()
        .skip(11)
        .take(4)
        .filter_map(|field| field.parse::<f64>().ok())
        .sum();
    Ok(ticks / 100.0)
}
