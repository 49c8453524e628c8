//! The plan in words, as `ddx plan` prints it: what was found, what follows, and how many uploads
//! that is. Each figure has its unit and a sentence that says what it is for, since the reader has
//! seen no other document.

use std::fmt;

use crate::plan::{Plan, PlannedRate, Size};
use crate::{LimitKind, MemoryLimit, Tightest};

impl Tightest {
    /// Where it is, in words.
    pub fn place(&self) -> String {
        place(self.kind, &self.path)
    }
}

fn place(kind: LimitKind, path: &str) -> String {
    match kind {
        LimitKind::CgroupV1 | LimitKind::CgroupV2 => format!("control group {path}"),
        LimitKind::Host => "this machine".to_owned(),
        LimitKind::Configured => "the setting memory_limit".to_owned(),
        LimitKind::Assumed => "the setting memory_assumed".to_owned(),
        LimitKind::AddressSpace => "ulimit -v (address space)".to_owned(),
    }
}

/// Bits in a second, as links are sold.
fn speed(bytes_per_second: u64) -> String {
    let megabits = bytes_per_second as f64 * 8.0 / 1e6;
    match megabits {
        ..1.0 => format!("{megabits:.1} Mbit/s"),
        ..1000.0 => format!("{megabits:.0} Mbit/s"),
        _ => format!("{:.0} Gbit/s", megabits / 1000.0),
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Memory limits that were found")?;
        writeln!(
            f,
            "  {:>10} {:>10} {:>10}  where",
            "limit", "in use", "free"
        )?;
        for limit in self.limits.iter() {
            self.limit(limit, f)?;
        }
        for doubt in self.doubts.iter() {
            writeln!(f, "  note: {doubt}")?;
        }
        writeln!(f, "\nHow this server uses it")?;
        for (name, bytes, meaning) in self.figures() {
            writeln!(f, "  {name:<16} {:>10}  {meaning}", Size(bytes).to_string())?;
        }
        writeln!(f, "\nUploads at once, whatever the size of their files")?;
        writeln!(
            f,
            "  {:>16} {:>12} {:>10}",
            "speed of each", "memory each", "uploads"
        )?;
        for PlannedRate {
            bytes_per_second,
            each_bytes,
            uploads,
            ..
        } in &self.rates
        {
            let (speed, each) = (speed(*bytes_per_second), Size(*each_bytes).to_string());
            writeln!(f, "  {speed:>16} {each:>12} {uploads:>10}")?;
        }
        writeln!(
            f,
            "More uploads are not refused: up to {} wait for memory (waiters_max). Connections and disk have limits of their own.",
            self.waiters_max
        )
    }
}

impl Plan {
    fn limit(&self, limit: &MemoryLimit, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let or_none = |bytes: Option<u64>, none: &str| {
            bytes.map_or_else(|| none.to_owned(), |bytes| Size(bytes).to_string())
        };
        let decides = if limit.path == self.tightest.path {
            "  ← has the least free: it decides"
        } else {
            ""
        };
        writeln!(
            f,
            "  {:>10} {:>10} {:>10}  {}{decides}",
            or_none(limit.limit_bytes, "none"),
            Size(limit.hard_bytes).to_string(),
            or_none(limit.head_bytes(), "–"),
            place(limit.kind, &limit.path)
        )
    }

    /// Each figure, and what it is for.
    fn figures(&self) -> [(&'static str, u64, String); 8] {
        let class = &self.class;
        let machines = match class.name {
            "4gb" => "up to 4 GiB",
            "8gb" => "up to 8 GiB",
            _ => "above 8 GiB",
        };
        [
            ("limit", self.total_bytes, "The smallest of the limits above. A smaller one can be set with memory_limit.".to_owned()),
            ("free now", self.available_bytes, format!("What is free now, where the least is free: {}.", self.tightest.place())),
            (
                "kept free",
                self.reserve_bytes,
                "Kept for connections, the server itself and other programs. Set with memory_reserve.".to_owned(),
            ),
            (
                "uploads, most",
                self.ceiling_bytes,
                "For all uploads together: half of the limit, at most the next figure. Set with memory_ceiling.".to_owned(),
            ),
            (
                "by machine size",
                class.ceiling_bytes,
                format!(
                    "The most on machines {machines}: {} × 16, {} × 32 and {} × 8 MiB. Set with parallel_upload_max_buffers_{}.",
                    class.buffers_16mib, class.buffers_32mib, class.buffers_8mib, class.name
                ),
            ),
            (
                "uploads, now",
                self.leasable_bytes,
                "For all uploads together now: what is free, less what is kept free, at most the figure for uploads.".to_owned(),
            ),
            (
                "one upload",
                self.floor_bytes,
                "One upload may hold this however short memory is, so that uploads never stop altogether.".to_owned(),
            ),
            (
                "connection",
                self.connection_bytes,
                "Counted for each open connection, whether it uploads or not.".to_owned(),
            ),
        ]
    }
}
