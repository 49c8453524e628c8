//! One level of control group version 2.
//!
//! ```text
//! limit = min(memory.max, memory.high)
//! hard  = min(memory.current, anon + (kernel − slab_reclaimable) + shmem + sock + file_dirty
//!                             + file_writeback)
//! ```
//!
//! `memory.high` is a limit for us: beyond it the kernel slows every thread of the group. Kernels
//! before 5.18 do not sum up `kernel`; its parts are added instead.

use std::path::Path;

use super::files::{Pairs, number, number_or_max, text_if_there};
use crate::ProbeError;
use crate::reading::{LimitKind, MemoryLimit};

/// Reads its limit; `None` where the memory controller is not enabled (the root of the hierarchy
/// never has it).
pub(super) fn limit(dir: &Path, shown_as: &str) -> Result<Option<MemoryLimit>, ProbeError> {
    let current_path = dir.join("memory.current");
    let Some(current) = text_if_there(&current_path)? else {
        return Ok(None);
    };
    let current = number(&current_path, &current)?;
    let stat_path = dir.join("memory.stat");
    let Some(stat) = text_if_there(&stat_path)? else {
        return Ok(None);
    };
    let stat = Pairs::new(&stat_path, &stat);

    let mut limit_bytes: Option<u64> = None;
    for name in ["memory.max", "memory.high"] {
        let path = dir.join(name);
        let Some(text) = text_if_there(&path)? else {
            continue;
        };
        if let Some(limit) = number_or_max(&path, &text)? {
            limit_bytes = Some(limit_bytes.map_or(limit, |other| other.min(limit)));
        }
    }

    let dirty = stat
        .or_zero("file_dirty")?
        .saturating_add(stat.or_zero("file_writeback")?);
    let socket = stat.or_zero("sock")?;
    let hard = stat
        .need("anon")?
        .saturating_add(unreclaimable_kernel(&stat)?)
        .saturating_add(stat.or_zero("shmem")?)
        .saturating_add(socket)
        .saturating_add(dirty);

    let events_path = dir.join("memory.events");
    let events = text_if_there(&events_path)?.unwrap_or_default();
    let events = Pairs::new(&events_path, &events);
    Ok(Some(MemoryLimit {
        kind: LimitKind::CgroupV2,
        path: shown_as.into(),
        limit_bytes,
        hard_bytes: hard.min(current),
        usage_bytes: current,
        dirty_bytes: dirty,
        socket_bytes: socket,
        limit_events: events
            .or_zero("high")?
            .saturating_add(events.or_zero("max")?)
            .saturating_add(events.or_zero("oom")?),
        oom_kills: events.or_zero("oom_kill")?,
    }))
}

fn unreclaimable_kernel(stat: &Pairs<'_>) -> Result<u64, ProbeError> {
    if let Some(kernel) = stat.get("kernel")? {
        return Ok(kernel.saturating_sub(stat.or_zero("slab_reclaimable")?));
    }
    let mut sum: u64 = 0;
    for part in [
        "kernel_stack",
        "pagetables",
        "sec_pagetables",
        "percpu",
        "vmalloc",
        "slab_unreclaimable",
    ] {
        sum = sum.saturating_add(stat.or_zero(part)?);
    }
    Ok(sum)
}
