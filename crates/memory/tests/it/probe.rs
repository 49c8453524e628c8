//! The probe on saved trees: every arrangement of control groups that machines and containers come
//! with, and broken ones.

use std::fs;
use std::path::Path;

use ddx_memory::{Doubt, LimitKind, Machine, MemoryLimit, ProbeError, Reading, Source};

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const V1_NONE: &str = "9223372036854771712\n";

/// A `/proc` and `/sys` of its own.
struct Tree {
    root: tempfile::TempDir,
}

impl Tree {
    /// A host of 8 GiB, 6 of them available, without control groups.
    fn host() -> Self {
        let tree = Self {
            root: tempfile::tempdir().unwrap(),
        };
        tree.file(
            "proc/meminfo",
            "MemTotal: 8388608 kB\nMemFree: 1024 kB\nMemAvailable: 6291456 kB\nDirty: 1024 kB\nWriteback: 1024 kB\nWritebackTmp: 9 kB\n",
        );
        tree.file(
            "proc/self/status",
            "Name:\tddx\nRssAnon:\t    2048 kB\nRssShmem:\t    1024 kB\n",
        );
        tree
    }

    fn mounted(mountinfo: &str, cgroup: &str) -> Self {
        let tree = Self::host();
        tree.file("proc/self/mountinfo", mountinfo);
        tree.file("proc/self/cgroup", cgroup);
        tree
    }

    fn file(&self, path: &str, text: &str) -> &Self {
        let path = self.root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    /// A group of version 2: 100 MiB charged, 20 of them anonymous, 1 of sockets, 2 dirty, 4 of
    /// kernel of which 3 can be had.
    fn v2(&self, dir: &str, max: &str) -> &Self {
        self.file(&format!("{dir}/memory.current"), "104857600\n")
            .file(&format!("{dir}/memory.max"), max)
            .file(
                &format!("{dir}/memory.stat"),
                "anon 20971520\nfile 73400320\nkernel 4194304\nslab_reclaimable 3145728\nshmem 0\nsock 1048576\n\
                 file_dirty 1048576\nfile_writeback 1048576\n",
            )
    }

    /// A group of version 1: 100 MiB charged, 70 of them page cache, of which 1 is shared memory
    /// and 2 are dirty.
    fn v1(&self, dir: &str, limit: &str) -> &Self {
        self.file(&format!("{dir}/memory.usage_in_bytes"), "104857600\n")
            .file(&format!("{dir}/memory.limit_in_bytes"), limit)
            .file(
                &format!("{dir}/memory.stat"),
                &format!(
                    "cache 1\ndirty 7\nhierarchical_memory_limit {}\ntotal_cache 73400320\ntotal_shmem 1048576\n\
                     total_dirty 1048576\ntotal_writeback 1048576\n",
                    V1_NONE.trim()
                ),
            )
    }

    fn machine(&self) -> Machine {
        Machine::below(self.root.path())
    }

    fn read(&self) -> Reading {
        self.machine().read().unwrap()
    }

    fn error(&self) -> String {
        self.machine().read().unwrap_err().to_string()
    }
}

const UNIFIED: &str = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw\n";
const LEGACY: &str = "30 23 0:26 / /sys/fs/cgroup/memory rw,nosuid shared:4 - cgroup cgroup rw,memory\n\
                      31 23 0:27 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n";
const HYBRID: &str = "30 23 0:26 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
                      31 23 0:27 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";

fn heads(limits: &[MemoryLimit]) -> Vec<(&str, Option<u64>)> {
    let head = |limit: &MemoryLimit| limit.head_bytes().map(|bytes| bytes / MIB);
    limits
        .iter()
        .map(|limit| {
            let path: &Path = Path::new(&*limit.path);
            (
                path.file_name().unwrap_or_default().to_str().unwrap(),
                head(limit),
            )
        })
        .collect()
}

#[test]
fn a_host_without_control_groups_has_what_is_available_less_what_must_be_written() {
    let reading = Tree::host().read();
    assert!(reading.limits.is_empty());
    assert_eq!(reading.host.total_bytes, 8 * GIB);
    assert_eq!(reading.host.head_bytes(), 6 * GIB - 2 * MIB);
    assert_eq!(reading.process.anon_bytes, 2 * MIB);
    assert_eq!(reading.process.shmem_bytes, MIB);
    assert_eq!(reading.stall, None);
}

#[test]
fn version_2_counts_hard_usage_and_not_clean_cache() {
    let tree = Tree::mounted(UNIFIED, "0::/ddx\n");
    tree.v2("sys/fs/cgroup/ddx", "536870912\n");
    tree.file(
        "sys/fs/cgroup/ddx/memory.events",
        "low 9\nhigh 1\nmax 2\noom 3\noom_kill 4\noom_group_kill 9\n",
    );
    let reading = tree.read();
    let limit = &reading.limits[0];
    assert_eq!(reading.limits.len(), 1, "the root has no controller");
    assert_eq!(limit.kind, LimitKind::CgroupV2);
    // 20 anonymous + (4 − 3) of the kernel + 1 of sockets + 2 dirty
    assert_eq!(limit.hard_bytes, 24 * MIB);
    assert_eq!(limit.usage_bytes, 100 * MIB);
    assert_eq!((limit.dirty_bytes, limit.socket_bytes), (2 * MIB, MIB));
    assert_eq!((limit.limit_events, limit.oom_kills), (6, 4));
    assert_eq!(limit.head_bytes(), Some((512 - 24) * MIB));
}

#[test]
fn version_2_before_the_kernel_sum_adds_its_parts() {
    let tree = Tree::mounted(UNIFIED, "0::/ddx\n");
    tree.v2("sys/fs/cgroup/ddx", "max\n").file(
        "sys/fs/cgroup/ddx/memory.stat",
        "anon 1048576\nkernel_stack 1048576\npagetables 1048576\nslab_unreclaimable 1048576\nslab_reclaimable 1048576\n",
    );
    assert_eq!(tree.read().limits[0].hard_bytes, 4 * MIB);
}

#[test]
fn hard_usage_is_never_more_than_what_is_charged() {
    let tree = Tree::mounted(UNIFIED, "0::/ddx\n");
    tree.v2("sys/fs/cgroup/ddx", "max\n")
        .file("sys/fs/cgroup/ddx/memory.current", "1048576\n");
    assert_eq!(tree.read().limits[0].hard_bytes, MIB);
}

#[test]
fn the_lower_of_max_and_high_is_the_limit() {
    for (max, high) in [
        ("536870912\n", "268435456\n"),
        ("max\n", "268435456\n"),
        ("268435456\n", "max\n"),
    ] {
        let tree = Tree::mounted(UNIFIED, "0::/ddx\n");
        tree.v2("sys/fs/cgroup/ddx", max)
            .file("sys/fs/cgroup/ddx/memory.high", high);
        let limit = tree.read().limits[0].limit_bytes;
        assert_eq!(limit, Some(256 * MIB), "max {max:?}, high {high:?}");
    }
}

#[test]
fn no_limit_is_no_limit_in_either_version() {
    let tree = Tree::mounted(UNIFIED, "0::/ddx\n");
    tree.v2("sys/fs/cgroup/ddx", "max\n");
    assert_eq!(tree.read().limits[0].limit_bytes, None);

    let tree = Tree::mounted(LEGACY, "4:memory:/ddx\n");
    tree.v1("sys/fs/cgroup/memory/ddx", V1_NONE);
    assert_eq!(tree.read().limits[0].limit_bytes, None);

    // What is more than the machine has does not bind.
    let tree = Tree::mounted(UNIFIED, "0::/ddx\n");
    tree.v2("sys/fs/cgroup/ddx", "8589934592\n");
    assert_eq!(tree.read().limits[0].limit_bytes, None);
}

#[test]
fn version_1_counts_shared_memory_and_dirty_pages_as_hard() {
    let tree = Tree::mounted(LEGACY, "5:cpu:/\n4:memory:/ddx\n");
    tree.v1("sys/fs/cgroup/memory/ddx", "536870912\n")
        .file("sys/fs/cgroup/memory/ddx/memory.failcnt", "77\n")
        .file(
            "sys/fs/cgroup/memory/ddx/memory.oom_control",
            "oom_kill_disable 0\nunder_oom 0\noom_kill 5\n",
        )
        .file(
            "sys/fs/cgroup/memory/ddx/memory.kmem.tcp.usage_in_bytes",
            "4096\n",
        );
    let reading = tree.read();
    let limit = &reading.limits[0];
    assert_eq!(limit.kind, LimitKind::CgroupV1);
    // 100 − 70 of cache + 1 of shared memory + 2 dirty
    assert_eq!(limit.hard_bytes, 33 * MIB);
    assert_eq!(limit.limit_bytes, Some(512 * MIB));
    assert_eq!((limit.socket_bytes, limit.oom_kills), (4096, 5));
    assert_eq!(
        limit.limit_events, 0,
        "page cache raises failcnt, it tells nothing"
    );
}

#[test]
fn version_1_heeds_the_limit_of_the_hierarchy_that_it_can_not_see() {
    let tree = Tree::mounted(LEGACY, "4:memory:/ddx\n");
    tree.v1("sys/fs/cgroup/memory/ddx", V1_NONE).file(
        "sys/fs/cgroup/memory/ddx/memory.stat",
        "hierarchical_memory_limit 134217728\ntotal_cache 73400320\n",
    );
    assert_eq!(tree.read().limits[0].limit_bytes, Some(128 * MIB));
}

#[test]
fn in_a_hybrid_the_memory_line_decides_and_pressure_comes_from_the_unified_tree() {
    let tree = Tree::mounted(HYBRID, "4:memory:/ddx\n0::/other\n");
    tree.v1("sys/fs/cgroup/memory/ddx", "536870912\n")
        .v2("sys/fs/cgroup/unified/other", "1048576\n")
        .file(
            "sys/fs/cgroup/unified/other/memory.pressure",
            "some avg10=0.00 avg60=0.00 avg300=0.00 total=123\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=45\n",
        );
    let mut machine = tree.machine();
    let reading = machine.read().unwrap();
    assert_eq!(heads(&reading.limits), [("ddx", Some(512 - 33))]);
    let stall = reading.stall.unwrap();
    assert_eq!((stall.some_us, stall.full_us), (123, 45));
    let pressure = machine.pressure_file().unwrap();
    assert!(
        pressure.ends_with("unified/other/memory.pressure"),
        "{pressure:?}"
    );
}

#[test]
fn without_a_group_of_its_own_pressure_is_that_of_the_machine() {
    let tree = Tree::mounted(LEGACY, "4:memory:/ddx\n");
    tree.file(
        "proc/pressure/memory",
        "some avg10=0.00 avg60=0.00 avg300=0.00 total=9\n",
    );
    let mut machine = tree.machine();
    assert_eq!(machine.read().unwrap().stall.unwrap().some_us, 9);
    assert!(
        machine
            .pressure_file()
            .unwrap()
            .ends_with("proc/pressure/memory")
    );
}

#[test]
fn an_outer_limit_binds_where_it_is_tighter() {
    let tree = Tree::mounted(UNIFIED, "0::/pod/ddx\n");
    tree.v2("sys/fs/cgroup/pod/ddx", "536870912\n")
        .v2("sys/fs/cgroup/pod", "134217728\n");
    // A neighbour in the pod has most of it.
    tree.file("sys/fs/cgroup/pod/memory.stat", "anon 104857600\n");
    let reading = tree.read();
    assert_eq!(
        heads(&reading.limits),
        [("ddx", Some(512 - 24)), ("pod", Some(128 - 100))]
    );
}

#[test]
fn the_tightest_limit_is_the_one_with_the_least_headroom_and_not_the_least_limit() {
    let tree = Tree::mounted(UNIFIED, "0::/pod/ddx\n");
    tree.v2("sys/fs/cgroup/pod/ddx", "134217728\n")
        .v2("sys/fs/cgroup/pod", "536870912\n")
        .file("sys/fs/cgroup/pod/memory.current", "534773760\n")
        .file("sys/fs/cgroup/pod/memory.stat", "anon 524288000\n");
    let ledger =
        ddx_memory::Ledger::open(ddx_memory::Config::default(), Box::new(tree.machine())).unwrap();
    let snapshot = ledger.snapshot();
    assert_eq!(snapshot.total_bytes, 128 * MIB);
    assert_eq!(snapshot.available_bytes, 12 * MIB);
    assert!(
        snapshot.tightest.path.ends_with("/pod"),
        "{:?}",
        snapshot.tightest
    );
}

#[test]
fn a_container_that_sees_its_own_part_only_finds_itself_at_the_mount_point() {
    let mounts = "30 23 0:26 /docker/abc /sys/fs/cgroup ro,nosuid - cgroup2 cgroup2 rw\n";
    let tree = Tree::mounted(mounts, "0::/docker/abc\n");
    tree.v2("sys/fs/cgroup", "536870912\n");
    assert_eq!(heads(&tree.read().limits), [("cgroup", Some(512 - 24))]);
}

#[test]
fn a_namespace_whose_root_lies_above_falls_back_to_the_mount_point() {
    for (root, path) in [
        ("/../..", "/"),
        ("/", "/../../sibling"),
        ("/elsewhere", "/ddx"),
    ] {
        let mounts = format!("30 23 0:26 {root} /sys/fs/cgroup ro - cgroup2 cgroup2 rw\n");
        let tree = Tree::mounted(&mounts, &format!("0::{path}\n"));
        tree.v2("sys/fs/cgroup", "536870912\n");
        let reading = tree.read();
        assert_eq!(
            heads(&reading.limits),
            [("cgroup", Some(512 - 24))],
            "root {root}, path {path}"
        );
        assert_eq!(reading.doubts, [Doubt::GroupNotFound]);
    }
}

/// The list of a group in which we are.
fn with_us() -> String {
    format!("1000000\n{}\n", std::process::id())
}

#[test]
fn a_group_that_no_path_leads_to_is_found_by_the_processes_in_it() {
    for (root, path) in [("/../..", "/"), ("/", "/../../sibling"), ("/", "/")] {
        let mounts = format!("30 23 0:26 {root} /sys/fs/cgroup ro - cgroup2 cgroup2 rw\n");
        let tree = Tree::mounted(&mounts, &format!("0::{path}\n"));
        tree.v2("sys/fs/cgroup/docker", "max\n")
            .v2("sys/fs/cgroup/docker/other", "104857600\n")
            .v2("sys/fs/cgroup/docker/ours", "536870912\n")
            .file("sys/fs/cgroup/cgroup.procs", "1\n")
            .file("sys/fs/cgroup/docker/other/cgroup.procs", "1000000\n")
            .file("sys/fs/cgroup/docker/ours/cgroup.procs", &with_us())
            .file(
                "sys/fs/cgroup/docker/ours/memory.pressure",
                "some avg10=0.00 avg60=0.00 avg300=0.00 total=7\n",
            );
        let reading = tree.read();
        assert_eq!(
            heads(&reading.limits),
            [("ours", Some(512 - 24)), ("docker", None)],
            "root {root}, path {path}"
        );
        assert_eq!(reading.stall.map(|stall| stall.some_us), Some(7));
        assert_eq!(reading.doubts, []);
    }
}

#[test]
fn a_mount_over_another_is_seen_through_by_the_processes_that_it_lists() {
    // The container's own part, which the path fits, is covered by the whole of the host's.
    let mounts = "30 23 0:26 / /sys/fs/cgroup ro - cgroup cgroup rw,memory\n\
                  31 30 0:26 /../.. /sys/fs/cgroup ro - cgroup cgroup rw,memory\n";
    let tree = Tree::mounted(mounts, "4:memory:/\n");
    tree.v1("sys/fs/cgroup", V1_NONE)
        .v1("sys/fs/cgroup/docker/ours", "536870912\n")
        .file("sys/fs/cgroup/cgroup.procs", "1\n")
        .file("sys/fs/cgroup/docker/ours/cgroup.procs", &with_us());
    let reading = tree.read();
    assert_eq!(heads(&reading.limits)[0], ("ours", Some(512 - 33)));
    assert_eq!(reading.doubts, []);
}

#[test]
fn a_limit_without_a_mount_is_a_doubt_and_the_root_of_all_groups_has_none() {
    let first = "cgroup:[4026531835]";
    for (path, namespace, doubts) in [
        ("/ddx", first, &[Doubt::GroupNotFound][..]),
        ("/", "cgroup:[4026532177]", &[Doubt::GroupNotFound]),
        ("/", first, &[]),
    ] {
        for membership in ["0::", "4:memory:"] {
            let tree = Tree::mounted("", &format!("{membership}{path}\n"));
            let folder = tree.root.path().join("proc/self/ns");
            fs::create_dir_all(&folder).unwrap();
            std::os::unix::fs::symlink(namespace, folder.join("cgroup")).unwrap();
            assert_eq!(tree.read().doubts, doubts, "{membership}{path} {namespace}");
        }
    }
}

#[test]
fn an_assumed_limit_binds_where_none_was_found_and_one_that_is_set_goes_before_it() {
    let tree = Tree::mounted("", "0::/ddx\n");
    let open = |config| ddx_memory::Ledger::open(config, Box::new(tree.machine())).unwrap();
    let assumed = open(ddx_memory::Config::default()).snapshot();
    assert_eq!(assumed.total_bytes, 64 * MIB);
    assert_eq!(assumed.tightest.kind, LimitKind::Assumed);
    assert_eq!(*assumed.doubts, [Doubt::GroupNotFound]);
    let set = open(ddx_memory::Config {
        memory_limit_bytes: Some(GIB),
        ..ddx_memory::Config::default()
    });
    assert_eq!(set.snapshot().total_bytes, GIB);
    assert!(set.plan().to_string().contains("was not found"));
}

#[test]
fn a_group_not_found_below_the_mount_leaves_those_above_it_in_force() {
    let tree = Tree::mounted(UNIFIED, "0::/pod/gone\n");
    tree.v2("sys/fs/cgroup/pod", "536870912\n");
    assert_eq!(heads(&tree.read().limits), [("pod", Some(512 - 24))]);
}

#[test]
fn a_move_into_another_group_and_a_new_limit_are_seen_at_the_next_reading() {
    let tree = Tree::mounted(UNIFIED, "0::/one\n");
    tree.v2("sys/fs/cgroup/one", "536870912\n")
        .v2("sys/fs/cgroup/two", "268435456\n");
    let mut machine = tree.machine();
    let mut first = || heads(&machine.read().unwrap().limits)[0].1;
    assert_eq!(first(), Some(512 - 24));
    tree.file("sys/fs/cgroup/one/memory.max", "134217728\n");
    assert_eq!(first(), Some(128 - 24));
    tree.file("proc/self/cgroup", "0::/two\n");
    assert_eq!(first(), Some(256 - 24));
}

#[test]
fn a_group_that_is_removed_and_made_again_is_found_again() {
    let tree = Tree::mounted(UNIFIED, "0::/pod/ddx\n");
    tree.v2("sys/fs/cgroup/pod", "536870912\n")
        .v2("sys/fs/cgroup/pod/ddx", "268435456\n");
    let mut machine = tree.machine();
    let mut limits = || machine.read().unwrap().limits.len();
    assert_eq!(limits(), 2);
    fs::remove_dir_all(tree.root.path().join("sys/fs/cgroup/pod/ddx")).unwrap();
    assert_eq!(limits(), 1);
    tree.v2("sys/fs/cgroup/pod/ddx", "268435456\n");
    assert_eq!(limits(), 2, "the group that came back must bind again");
}

/// A tree without some of its files; what is read of it.
fn without(tree: &Tree, files: &[&str]) -> Reading {
    for file in files {
        fs::remove_file(tree.root.path().join(file)).unwrap();
    }
    tree.read()
}

#[test]
fn what_stands_for_a_missing_file_is_told() {
    let reading = without(&Tree::host(), &["proc/meminfo"]);
    assert_eq!(reading.doubts, [Doubt::HostBySysinfo]);
    assert!(reading.host.total_bytes > 0);

    let tree = Tree::host();
    tree.file("proc/self/statm", "900 500 200 1 0 100 0\n");
    tree.file("proc/self/status", "Name:\tddx\nVmRSS:\t 2000 kB\n");
    let reading = tree.read();
    assert_eq!(reading.doubts, [Doubt::ProcessByStatm]);
    assert_eq!(reading.process.anon_bytes, 300 * 4096);

    let reading = without(&tree, &["proc/self/status", "proc/self/statm"]);
    let hidden = [Doubt::GroupNotFound, Doubt::ProcessByPeak];
    assert_eq!(reading.doubts, hidden, "without /proc no group is known");
    assert!(reading.process.anon_bytes > 0);

    let tree = Tree::host();
    tree.file("proc/self/cgroup", "0::/ddx\n");
    assert_eq!(tree.read().doubts, [Doubt::GroupNotFound]);

    let tree = Tree::host();
    tree.file("proc/meminfo", "MemTotal: 100 kB\nMemFree: 50 kB\n");
    assert_eq!(tree.read().doubts, [Doubt::AvailableByFree]);
}

#[test]
fn malformed_files_are_errors_that_name_file_and_field_and_never_a_guess() {
    let broken = [
        ("proc/meminfo", "MemTotal: 8388608 kB\n", "MemFree"),
        (
            "proc/meminfo",
            "MemTotal: many kB\nMemAvailable: 1 kB\n",
            "MemTotal",
        ),
        ("proc/self/status", "RssAnon: much kB\n", "RssAnon"),
        ("sys/fs/cgroup/ddx/memory.current", "", "memory.current"),
        ("sys/fs/cgroup/ddx/memory.max", "-1\n", "memory.max"),
        ("sys/fs/cgroup/ddx/memory.high", "high\n", "memory.high"),
        ("sys/fs/cgroup/ddx/memory.stat", "file 1\n", "anon"),
        ("sys/fs/cgroup/ddx/memory.stat", "anon x\n", "anon"),
        ("sys/fs/cgroup/ddx/memory.events", "max none\n", "max"),
        ("proc/pressure/memory", "full avg10=0 total=1\n", "some"),
        ("proc/pressure/memory", "some avg10=0\n", "total="),
    ];
    for (path, text, named) in broken {
        let tree = Tree::mounted(UNIFIED, "0::/ddx\n");
        tree.v2("sys/fs/cgroup/ddx", "max\n");
        assert!(tree.machine().read().is_ok(), "the tree is sound before");
        tree.file(path, text);
        let error = tree.machine().read().unwrap_err();
        assert!(
            matches!(error, ProbeError::Malformed { .. }),
            "{path}: {error}"
        );
        let told = error.to_string();
        assert!(told.contains(path) && told.contains(named), "{told}");
    }
}

#[test]
fn version_1_without_its_sum_of_cache_is_an_error() {
    let tree = Tree::mounted(LEGACY, "4:memory:/ddx\n");
    tree.v1("sys/fs/cgroup/memory/ddx", V1_NONE)
        .file("sys/fs/cgroup/memory/ddx/memory.stat", "cache 1\n");
    assert!(tree.error().contains("total_cache"), "{}", tree.error());
}

#[test]
fn a_pressure_file_that_refuses_to_be_read_is_no_witness_and_no_error() {
    let tree = Tree::host();
    // Reading a directory fails as a kernel started with psi=0 fails; only regular files are tried
    // at all.
    fs::create_dir_all(tree.root.path().join("proc/pressure/memory")).unwrap();
    assert_eq!(tree.read().stall, None);
    assert_eq!(tree.machine().pressure_file(), None);
}

#[test]
fn this_very_machine_can_be_read() {
    let reading = Machine::new().read().unwrap();
    assert!(reading.host.total_bytes > 0);
    assert!(reading.host.head_bytes() <= reading.host.total_bytes);
    assert!(reading.process.anon_bytes > 0);
    assert_eq!(reading.doubts, []);
    for limit in &reading.limits {
        assert!(limit.hard_bytes <= limit.usage_bytes);
        assert!(
            limit
                .limit_bytes
                .is_none_or(|limit| limit < reading.host.total_bytes)
        );
    }
}
