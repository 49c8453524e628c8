//! One level of control group version 1.
//!
//! ```text
//! limit = min(memory.limit_in_bytes, hierarchical_memory_limit)
//! hard  = usage_in_bytes − total_cache + total_shmem + total_dirty + total_writeback
//! ```
//!
//! "No limit" is a number near 2⁶³ that differs by page size, so any limit of the machine's memory
//! or more means none; [`super::Machine`] applies that. `memory.failcnt` is no sign of distress:
//! filling the group with page cache raises it.

use std::path::Path;

use super::files::{Pairs, number, text_if_there};
use crate::ProbeError;
use crate::reading::{LimitKind, MemoryLimit};

/// Reads its limit; `None` where there is no memory controller.
pub(super) fn limit(dir: &Path, shown_as: &str) -> Result<Option<MemoryLimit>, ProbeError> {
    let usage_path = dir.join("memory.usage_in_bytes");
    let Some(usage) = text_if_there(&usage_path)? else {
        return Ok(None);
    };
    let usage = number(&usage_path, &usage)?;
    let stat_path = dir.join("memory.stat");
    let Some(stat) = text_if_there(&stat_path)? else {
        return Ok(None);
    };
    let stat = Pairs::new(&stat_path, &stat);

    let mut limit_bytes = stat.get("hierarchical_memory_limit")?;
    let limit_path = dir.join("memory.limit_in_bytes");
    if let Some(text) = text_if_there(&limit_path)? {
        let limit = number(&limit_path, &text)?;
        limit_bytes = Some(limit_bytes.map_or(limit, |other| other.min(limit)));
    }

    let dirty = stat
        .or_zero("total_dirty")?
        .saturating_add(stat.or_zero("total_writeback")?);
    let shmem = stat.or_zero("total_shmem")?;
    let clean_cache = stat
        .need("total_cache")?
        .saturating_sub(shmem)
        .saturating_sub(dirty);

    let oom_path = dir.join("memory.oom_control");
    let oom = text_if_there(&oom_path)?.unwrap_or_default();
    let tcp_path = dir.join("memory.kmem.tcp.usage_in_bytes");
    let socket_bytes = match text_if_there(&tcp_path)? {
        Some(text) => number(&tcp_path, &text)?,
        None => 0,
    };
    Ok(Some(MemoryLimit {
        kind: LimitKind::CgroupV1,
        path: shown_as.into(),
        limit_bytes,
        hard_bytes: usage.saturating_sub(clean_cache),
        usage_bytes: usage,
        dirty_bytes: dirty,
        socket_bytes,
        limit_events: 0,
        oom_kills: Pairs::new(&oom_path, &oom).or_zero("oom_kill")?,
    }))
}
