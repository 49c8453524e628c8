//! The C library's allocator, held to what a small machine can bear.
//!
//! Large memory never comes from it (buffers are mapped, see `ddx-memory`), so speed hardly matters, and what it keeps after a burst does.
//! By default it makes up to eight arenas per processor, each of which keeps what it once had. Two arenas, a fixed threshold for giving back, and a trim
//! when the ledger has become idle bring the process back to where it was. Rejected: another allocator, which keeps 2–8 MiB for itself and is
//! one more thing to build.
#![allow(unsafe_code, reason = "the C library's own settings")]

use std::sync::Arc;
use std::time::Duration;

use ddx_catalog::SqliteCatalog;
use ddx_memory::Ledger;

/// How often it is looked whether the ledger has become idle.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// For the whole process, before its threads start.
pub(crate) fn tune() {
    #[cfg(target_env = "gnu")]
    // SAFETY: `mallopt` takes two integers and changes the allocator's settings under its own lock.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
        libc::mallopt(libc::M_TRIM_THRESHOLD, 256 << 10);
        libc::mallopt(libc::M_MMAP_THRESHOLD, 256 << 10);
    }
}

/// Gives free memory back after work, however short it was: what was leased lately tells, not what is at this moment.
pub(crate) async fn trim_when_idle(ledger: Ledger, catalog: Arc<SqliteCatalog>) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let snapshot = ledger.snapshot();
        let is_idle = snapshot.leased_bytes == 0 && snapshot.waiting == 0;
        if !is_idle || snapshot.drain_bytes_per_second == 0 {
            continue;
        }
        if let Err(error) = catalog.give_back_caches().await {
            tracing::debug!(%error, "the catalog keeps its caches");
        }
        if tokio::task::spawn_blocking(trim).await.is_err() {
            return;
        }
    }
}

fn trim() {
    #[cfg(target_env = "gnu")]
    // SAFETY: `malloc_trim` takes an integer and works under the allocator's own locks.
    unsafe {
        libc::malloc_trim(0);
    }
}
