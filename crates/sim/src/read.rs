//! What a client reads: its file once it is complete, and on the way there.

use std::time::Duration;

use ddx_engine::{Engine, Error, FileRecord, State};
use ddx_id::FileId;
use futures_util::StreamExt;

use crate::client::{Client, RETRY_AFTER};
use crate::held::{Held, Next, judge};

impl Client {
    /// Reads a complete file back and compares every byte; false if it is gone, and may be.
    pub(crate) async fn compare(&self, engine: &Engine, held: &Held, counts: bool) -> bool {
        loop {
            let excuse = self.excuse();
            let read = self.ask(read_all(engine, held.file_id)).await;
            match read {
                Ok((record, bytes)) => {
                    self.check_file(&held.name, &record, &bytes);
                    self.world.count(|tally| {
                        tally.compared_bytes += bytes.len() as u64;
                        if counts {
                            tally.files += 1;
                            tally.inline_files += u64::from(record.inline);
                            tally.joined_files += u64::from(!record.parts.is_empty());
                        }
                    });
                    return true;
                }
                Err(error) => {
                    let next = judge(&self.world, &held.name, Some(held), excuse, &error);
                    if next == Next::Gone {
                        self.world.count(|tally| tally.expired += 1);
                        return false;
                    }
                }
            }
            tokio::time::sleep(RETRY_AFTER).await;
        }
    }

    /// A complete file must be what this client sent, whichever client asks.
    pub fn check_file(&self, name: &str, record: &FileRecord, bytes: &[u8]) {
        let expected = self.bytes_at(&record.path);
        let mut hasher = ddx_digest::FileHasher::new();
        hasher.update(expected);
        let mut crc64 = ddx_digest::Crc64::new();
        crc64.update(expected);
        let late = !record.parts.is_empty() || record.sha256.is_none();
        let digest_is_right = match record.blake3 {
            Some(blake3) => blake3 == hasher.finalize(),
            None => late || record.kind == ddx_engine::Kind::Partial,
        };
        if record.state != State::Complete {
            self.world
                .wrong(format!("{name}: was complete, is {:?}", record.state));
        } else if bytes != expected {
            let lost = bytes
                .iter()
                .zip(expected)
                .filter(|(one, two)| one != two)
                .count()
                + expected.len().saturating_sub(bytes.len());
            self.world.count(|tally| tally.lost_bytes += lost as u64);
            self.world.wrong(format!(
                "{name}: {lost} of {} bytes are others",
                expected.len()
            ));
        } else if !digest_is_right || record.crc64 != crc64.value() {
            self.world
                .wrong(format!("{name}: its digest is not that of its bytes"));
        }
    }

    /// The bytes that belong at this path.
    fn bytes_at(&self, path: &str) -> &[u8] {
        let part = path.split_once('/').and_then(|(_, part)| part.parse().ok());
        match part {
            None => &self.bytes,
            Some(part) => self.part_bytes(part),
        }
    }

    pub(crate) fn part_bytes(&self, part: usize) -> &[u8] {
        let begins = self.begins(part) as usize;
        &self.bytes[begins..begins + self.plan.parts_bytes[part] as usize]
    }

    /// Downloads the file while it arrives: what comes is what was sent.
    pub(crate) async fn follow(&self, engine: &Engine) {
        let mut at = 0usize;
        loop {
            tokio::time::sleep(RETRY_AFTER).await;
            if self.told().gave_up {
                return;
            }
            let Some(held) = self.file() else {
                continue;
            };
            let excuse = self.excuse();
            let followed = tokio::select! {
                biased;
                followed = self.follow_from(engine, &held, &mut at) => followed,
                () = self.given_up() => return,
            };
            match followed {
                Ok(()) if at == self.bytes.len() => return,
                Ok(()) => self
                    .world
                    .wrong(format!("{}: a download ended at {at}", held.name)),
                Err(error) => {
                    if judge(&self.world, &held.name, Some(&held), excuse, &error) == Next::Gone {
                        return;
                    }
                }
            }
        }
    }

    async fn given_up(&self) {
        while !self.told().gave_up {
            tokio::time::sleep(RETRY_AFTER).await;
        }
    }

    async fn follow_from(&self, engine: &Engine, held: &Held, at: &mut usize) -> Result<(), Error> {
        let record = self.ask(engine.file(held.file_id)).await?;
        let download = engine
            .open(record, &format!("reader {}", self.plan.user))
            .await?;
        let mut stream = std::pin::pin!(download.stream(*at as u64, None));
        while let Some(chunk) = self.ask(stream.next()).await {
            let chunk = chunk?;
            let expected = self.bytes.get(*at..*at + chunk.len());
            if expected != Some(&chunk[..]) {
                self.world.wrong(format!(
                    "{}: at {at} a download gave other bytes",
                    held.name
                ));
            }
            *at += chunk.len();
            self.world
                .count(|tally| tally.followed_bytes += chunk.len() as u64);
            let pause = self.world.below(20);
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
        Ok(())
    }
}

/// A file's record and all its bytes.
///
/// # Errors
/// The engine's.
pub async fn read_all(engine: &Engine, file_id: FileId) -> Result<(FileRecord, Vec<u8>), Error> {
    let record = engine.file(file_id).await?;
    let download = engine.open(record.clone(), "a reader").await?;
    let mut stream = std::pin::pin!(download.stream(0, Some(record.offset_bytes)));
    let mut bytes = Vec::with_capacity(record.offset_bytes as usize);
    while let Some(chunk) = stream.next().await {
        bytes.extend_from_slice(&chunk?);
    }
    Ok((record, bytes))
}
