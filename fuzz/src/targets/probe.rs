//! What the kernel tells of memory: a tree of files as it may look anywhere, with anything in them.
//!
//! The kernel is no stranger, but which kernel it is can't be known: other versions, other
//! hierarchies, containers that hide half of it. A reading is a figure or an error; the ledger
//! behind it must live with both.

use std::path::Path;

use ddx_memory::{Machine, Source as _};

use crate::scratch;

/// The files that are read. A section of the input begins with a line `@` and the number of one.
const FILES: &[&str] = &[
    "proc/self/cgroup",
    "proc/self/mountinfo",
    "proc/meminfo",
    "proc/self/status",
    "proc/pressure/memory",
    "sys/fs/cgroup/memory.current",
    "sys/fs/cgroup/memory.stat",
    "sys/fs/cgroup/memory.max",
    "sys/fs/cgroup/memory.high",
    "sys/fs/cgroup/memory.events",
    "sys/fs/cgroup/memory.pressure",
    "sys/fs/cgroup/memory.usage_in_bytes",
    "sys/fs/cgroup/memory.limit_in_bytes",
    "sys/fs/cgroup/memory.oom_control",
    "sys/fs/cgroup/memory.kmem.tcp.usage_in_bytes",
    "sys/fs/cgroup/app/memory.current",
    "sys/fs/cgroup/app/memory.stat",
    "sys/fs/cgroup/app/memory.max",
];

/// What a machine has that was not told otherwise.
const PLAIN: &[(&str, &str)] = &[
    ("proc/self/cgroup", "0::/app\n"),
    (
        "proc/self/mountinfo",
        "31 23 0:28 / /sys/fs/cgroup rw shared:1 - cgroup2 cgroup2 rw,nsdelegate\n",
    ),
    (
        "proc/meminfo",
        "MemTotal: 4000000 kB\nMemAvailable: 2000000 kB\nDirty: 10 kB\nWriteback: 0 kB\n",
    ),
    ("proc/self/status", "RssAnon: 9000 kB\nRssShmem: 0 kB\n"),
];

pub(super) fn run(bytes: &[u8]) {
    let folder = scratch::folder();
    for file in FILES {
        let path = folder.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap_or(Path::new("."))).expect("folders");
    }
    for (file, text) in PLAIN {
        std::fs::write(folder.path().join(file), text).expect("a small file");
    }
    for section in bytes.split(|byte| *byte == b'@') {
        let (number, text) = crate::request::line(section);
        let file = std::str::from_utf8(number)
            .ok()
            .and_then(|text| text.trim().parse::<usize>().ok())
            .and_then(|number| FILES.get(number));
        if let Some(file) = file {
            std::fs::write(folder.path().join(file), text).expect("a small file");
        }
    }
    let mut machine = Machine::below(folder.path());
    let first = machine.read();
    let _ = machine.pressure_file();
    let Ok(reading) = first else { return };
    assert!(reading.host.head_bytes() <= reading.host.available_bytes);
    for limit in &reading.limits {
        assert!(
            limit
                .limit_bytes
                .is_none_or(|limit| limit < reading.host.total_bytes),
            "a limit above the machine is none: {limit:?}"
        );
        assert!(limit.hard_bytes <= limit.usage_bytes, "{limit:?}");
        assert!(limit.head_bytes() <= limit.limit_bytes);
    }
    assert_eq!(
        machine.read().ok(),
        Some(reading),
        "read twice, it is the same"
    );
}
