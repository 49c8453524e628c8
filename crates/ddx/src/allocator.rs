//! The C library's allocator, held to what a small machine can bear.
//!
//! Large memory never comes from it (buffers are mapped, see `ddx-memory`), so speed hardly
//! matters, and what it keeps after a burst does. By default it makes up to eight arenas per
//! processor, each of which keeps what it once had. One arena, a fixed threshold for giving back,
//! and a trim when much of it has become free bring the process back to where it was. The threshold
//! alone does not: it gives back the end of the arena, and one small thing at the end keeps all
//! that was freed before it. Rejected: another allocator, which keeps 2–8 MiB for itself and is one
//! more thing to build; a trim when the ledger is idle, since listings and event streams lease
//! nothing, and a server that is never idle would keep for good what they have left.
#![allow(unsafe_code, reason = "the C library's own settings")]

use std::sync::Arc;
use std::time::Duration;

use ddx_catalog::SqliteCatalog;
use ddx_memory::Ledger;

/// How often it is looked.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// So much of the heap has to have become free.
const WORTH_BYTES: u32 = 2 << 20;

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

/// Gives memory back: the catalog's caches after work, however short it was, and what has become
/// free of the heap.
pub(crate) async fn give_back(ledger: Ledger, catalog: Arc<SqliteCatalog>) {
    let mut kept_bytes = 0;
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let snapshot = ledger.snapshot();
        // What was leased lately tells, not what is at this moment.
        let has_worked = snapshot.drain_bytes_per_second != 0;
        let is_over = snapshot.leased_bytes == 0 && snapshot.waiting == 0 && has_worked;
        if is_over && let Err(error) = catalog.give_back_caches().await {
            tracing::debug!(%error, "the catalog keeps its caches");
        }
        let trimmed = tokio::task::spawn_blocking(move || trim(kept_bytes, is_over));
        // One that failed is no reason never to try again.
        kept_bytes = trimmed.await.unwrap_or(kept_bytes);
    }
}

/// Gives back what is free of the heap, if it is worth it or `at_once`. How much of it was free
/// before or, where less, is now: the allocator counts as free what it has given back, too.
fn trim(kept_bytes: u32, at_once: bool) -> u32 {
    let free_bytes = heap_free_bytes();
    if free_bytes < kept_bytes.saturating_add(WORTH_BYTES) && !at_once {
        return kept_bytes.min(free_bytes);
    }
    #[cfg(target_env = "gnu")]
    // SAFETY: `malloc_trim` takes an integer and works under the allocator's own locks.
    unsafe {
        libc::malloc_trim(0);
    }
    heap_free_bytes()
}

/// What is free of the heap, modulo 4 GiB: more is never in it.
fn heap_free_bytes() -> u32 {
    #[cfg(target_env = "gnu")]
    // SAFETY: `mallinfo` takes nothing and works under the allocator's own locks.
    return unsafe { libc::mallinfo() }.fordblks.cast_unsigned();
    #[cfg(not(target_env = "gnu"))]
    0
}

#[cfg(all(test, target_env = "gnu"))]
mod tests {
    use super::*;

    /// Resident anonymous memory of this process, in bytes.
    fn resident_bytes() -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").expect("there is a /proc");
        let line = status.lines().find(|line| line.starts_with("RssAnon"));
        let kib = line.and_then(|line| line.split_whitespace().nth(1));
        kib.expect("the kernel tells")
            .parse::<u64>()
            .expect("a number")
            << 10
    }

    #[test]
    fn what_was_freed_before_the_end_is_given_back_once() {
        tune();
        let before = resident_bytes();
        let mut pieces: Vec<Vec<u8>> = (0..40_000).map(|_| vec![1; 1_000]).collect();
        let last = pieces.pop(); // it stays at the end of the heap
        let kept_bytes = trim(0, false);
        drop(pieces);
        let full = resident_bytes();
        assert!(full > before + (30 << 20), "{before} {full}");
        let kept_bytes = trim(kept_bytes, false);
        let after = resident_bytes();
        assert!(after < before + (8 << 20), "{before} {full} {after}");
        assert!(
            kept_bytes > 20 << 20,
            "it counts as free for good: {kept_bytes}"
        );
        assert_eq!(
            trim(kept_bytes, false),
            kept_bytes,
            "nothing is worth it now"
        );
        drop(last);
    }
}
