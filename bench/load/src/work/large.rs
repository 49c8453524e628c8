//! Large files: many clients at once, or one file in parts.

use std::sync::Arc;

use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::client::Client;
use crate::conn::Piece;
use crate::fault::Fault;
use crate::protocol::Fetch;
use crate::run::{Crowd, Run};
use crate::tally::Stored;

/// Large files, all at once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Large {
    pub(crate) clients: u64,
    pub(crate) bytes: u64,
    pub(crate) request_bytes: Option<u64>,
}

/// One file in parts that are joined.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parts {
    pub(crate) parts: u64,
    pub(crate) bytes: u64,
}

/// All clients at once, one file each.
pub(super) async fn large(run: &Arc<Run>, work: Large) {
    let request_bytes = work.request_bytes.unwrap_or(u64::MAX);
    let mut crowd = Crowd::new(run);
    let started = run.tally().start();
    for k in 0..work.clients {
        let run = Arc::clone(run);
        crowd.add(async move {
            let mut client = Client::new(&run, k);
            let ended = client.upload(k, work.bytes, request_bytes).await;
            run.book(ended.map(|stored| (Some(stored), started.elapsed())));
        });
    }
    crowd.finish(work.clients).await;
}

/// One file as parallel uploads, which are joined at the end.
pub(super) async fn parts(run: &Arc<Run>, work: Parts) {
    let mut crowd = Crowd::new(run);
    let started = run.tally().start();
    let task = Arc::clone(run);
    crowd.add(async move {
        let ended = joined(&task, work).await;
        task.book(ended.map(|stored| (Some(stored), started.elapsed())));
    });
    crowd.finish(1).await;
}

async fn joined(run: &Arc<Run>, work: Parts) -> Result<Stored, Fault> {
    let mut sending = JoinSet::new();
    for part in 0..work.parts {
        let piece = piece_of(work, part);
        let mut client = Client::new(run, part);
        sending.spawn(async move {
            let created = client
                .create(piece.bytes, "Upload-Concat: partial\r\n")
                .await?;
            let location = created.location(&client.run)?;
            client.append(&location, 0, piece).await?;
            Ok::<_, Fault>((part, location))
        });
    }
    let mut locations = Vec::new();
    while let Some(ended) = sending.join_next().await {
        let lost = |error: tokio::task::JoinError| {
            Fault::new("fault of the load generator", error.to_string())
        };
        locations.push(ended.map_err(lost)??);
    }
    locations.sort_unstable();
    let locations: Vec<String> = locations
        .into_iter()
        .map(|(_, location)| location)
        .collect();
    let all_there = Instant::now();
    let mut client = Client::new(run, 0);
    let answer = client.join(&locations).await?;
    let ms = all_there.elapsed().as_secs_f64() * 1000.0;
    run.tally().figure("link_after_ms", json!(ms));
    let path = match run.fetch {
        Fetch::Location => Some(answer.location(run)?),
        Fetch::Answer | Fetch::Same => None,
    };
    Ok(Stored {
        k: 0,
        bytes: work.bytes,
        path,
    })
}

/// Part number `part`: all are of one length, but for the last.
fn piece_of(work: Parts, part: u64) -> Piece {
    let each = work.bytes / work.parts;
    let at = part * each;
    let is_last = part + 1 == work.parts;
    Piece {
        k: 0,
        at,
        bytes: if is_last { work.bytes - at } else { each },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_the_whole_file() {
        for (parts, bytes) in [(1, 1), (3, 10), (4, 1 << 30), (7, 7)] {
            let work = Parts { parts, bytes };
            let mut at = 0;
            for part in 0..parts {
                let piece = piece_of(work, part);
                assert_eq!(piece.at, at);
                assert!(piece.bytes > 0);
                at += piece.bytes;
            }
            assert_eq!(at, bytes);
        }
    }
}
