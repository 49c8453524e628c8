//! Files are fetched back and every byte is compared with the one that was sent: a server's own
//! digest would only prove that it can hash.

use std::sync::Arc;

use tokio::time::timeout_at;

use crate::client::{Client, SCRATCH_BYTES};
use crate::fault::{Fault, NOT_IN_TIME};
use crate::run::Run;
use crate::tally::Stored;

/// How many files are fetched back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verify {
    All,
    Some(usize),
    None,
}

/// Fetches as many of the stored files as asked for, spread evenly over the run.
pub(crate) async fn verify(run: &Arc<Run>, how_many: Verify) {
    let stored = run.tally().all_stored().to_vec();
    let count = match how_many {
        Verify::All => stored.len(),
        Verify::Some(count) => count.min(stored.len()),
        Verify::None => 0,
    };
    let mut client = Client::new(run, 0);
    let mut scratch = vec![0; SCRATCH_BYTES];
    for n in 0..count {
        let one = &stored[n * stored.len() / count];
        let fetched = timeout_at(run.deadline, fetch(&mut client, one, &mut scratch)).await;
        let late = |_| Err(Fault::new(NOT_IN_TIME, "files were still to be fetched"));
        match fetched.unwrap_or_else(late) {
            Ok(is_same) => run.tally().verified(is_same),
            Err(fault) => run.tally().failed(&fault),
        }
    }
}

/// Fetches a file and tells whether it is the one that was sent.
pub(crate) async fn fetch(
    client: &mut Client,
    stored: &Stored,
    scratch: &mut [u8],
) -> Result<bool, Fault> {
    let run = Arc::clone(&client.run);
    let none = || {
        Fault::new(
            "no link to fetch",
            "the answer told none where --fetch looks",
        )
    };
    let path = stored.path.as_deref().ok_or_else(none)?;
    let (mut at, mut is_same) = (0, true);
    let compare = |some: &[u8]| {
        is_same &= run.pool.is_same(stored.k, at, some);
        at += some.len() as u64;
    };
    client.fetch(path, scratch, compare).await?;
    let is_whole = at == stored.bytes;
    if !(is_same && is_whole) {
        let (k, bytes) = (stored.k, stored.bytes);
        eprintln!(
            "ddx-load: file {k} of {bytes} bytes came back with {at} bytes, not those that were sent: {path}"
        );
    }
    Ok(is_same && is_whole)
}
