//! A catalog whose commits take simulated time and are lost when the process ends before them.
//!
//! As the real one it answers reads with what was there a moment ago, and writes in one place:
//! changes that come while a transaction commits wait and go into the next together. The process
//! may end before a commit (nothing of it is kept), or after it and before its answers (all of it
//! is kept, and no client was told). What was answered is there. A commit that failed with an I/O
//! error was told to have failed, and comes back if the process ends before another has succeeded.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ddx_catalog::reference::{Reference, Verdict};
use ddx_catalog::{
    Answer, Catalog, Checkpoint, Completion, Error, ErrorKind, FileRecord, FileSummary, Kind,
    NewFile, OwnerTotals, PAGE_ROWS_MAX, PAGE_TEXT_BYTES, ShareRecord, State, Totals, Work,
};
use ddx_id::{DeleteKey, FileId, KeyHash, SegmentId, ShareId, ShareKey, UploadKey};
use tokio::sync::{mpsc, oneshot};

use crate::plan::{CatalogFault, Fault, Plan};
use crate::world::World;

/// The records, which outlive every process.
#[derive(Debug, Clone, Default)]
pub struct Records {
    durable: Arc<Mutex<Reference>>,
    /// What a commit that failed would have made of them.
    ghost: Arc<Mutex<Option<Reference>>>,
}

impl Records {
    /// What is durable.
    pub fn lock(&self) -> MutexGuard<'_, Reference> {
        lock(&self.durable)
    }

    fn ghost(&self) -> MutexGuard<'_, Option<Reference>> {
        lock(&self.ghost)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What becomes of a change.
enum Fate<'a> {
    Kept(&'a mut Reference),
    Refused(ErrorKind),
    /// Told as this error, and made of what may come back.
    Ghost(&'a mut Reference, ErrorKind),
}

/// A change that waits for its commit: done with the records, or told that the commit failed.
type Change = Box<dyn FnOnce(Fate<'_>) -> Box<dyn FnOnce() + Send> + Send>;

/// A catalog of one process.
pub struct SimulatedCatalog {
    world: World,
    records: Records,
    queue: mpsc::UnboundedSender<Change>,
    is_closed: AtomicBool,
    counters: Arc<Counters>,
}

#[derive(Default)]
struct Counters {
    commits: AtomicU64,
    operations: AtomicU64,
}

fn error(kind: ErrorKind) -> Error {
    Error::new(kind, "in the simulation")
}

impl SimulatedCatalog {
    /// Opens it, in the runtime of its process.
    #[must_use]
    pub fn open(world: &World, plan: &Plan, records: &Records) -> Self {
        let faults = plan.faults.iter().filter_map(|fault| match fault {
            Fault::Catalog { commit, how } => Some((*commit, *how)),
            _ => None,
        });
        if let Some(ghost) = records.ghost().take() {
            *records.lock() = ghost;
        }
        let (queue, waiting) = mpsc::unbounded_channel();
        let counters = Arc::<Counters>::default();
        let writer = Writer {
            world: world.clone(),
            records: records.clone(),
            faults: faults.collect(),
            counters: counters.clone(),
        };
        tokio::spawn(writer.run(waiting));
        Self {
            world: world.clone(),
            records: records.clone(),
            queue,
            is_closed: AtomicBool::new(false),
            counters,
        }
    }

    fn check_open(&self) -> Result<(), Error> {
        if self.is_closed.load(Ordering::Relaxed) {
            return Err(error(ErrorKind::Closed));
        }
        Ok(())
    }

    fn change<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Reference) -> Verdict<T> + Send + 'static,
    ) -> Answer<'_, T> {
        Box::pin(async move {
            self.check_open()?;
            let (answer, answered) = oneshot::channel();
            let change: Change = Box::new(move |fate| {
                let verdict = match fate {
                    Fate::Kept(records) => change(records),
                    Fate::Refused(kind) => Err(kind),
                    Fate::Ghost(records, kind) => change(records).and(Err(kind)),
                };
                Box::new(move || drop(answer.send(verdict)))
            });
            self.queue
                .send(change)
                .map_err(|_| error(ErrorKind::Closed))?;
            answered
                .await
                .map_err(|_| error(ErrorKind::Closed))?
                .map_err(error)
        })
    }

    fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Reference) -> T + Send + 'static,
    ) -> Answer<'_, T> {
        Box::pin(async move {
            self.check_open()?;
            tokio::task::yield_now().await;
            self.world.event("look", 0, 0);
            if self.world.is_down() {
                // No client is told anything any more.
                std::future::pending::<()>().await;
            }
            let answer = read(&self.records.lock());
            // What was read is of that moment, and may be old when it comes.
            let took = self.world.next_read();
            if !took.is_zero() {
                tokio::time::sleep(took).await;
            }
            Ok(answer)
        })
    }

    fn find(
        &self,
        is_it: impl Fn(&FileRecord) -> bool + Send + 'static,
    ) -> Answer<'_, Option<FileRecord>> {
        self.read(move |records| records.files.iter().find(|file| is_it(file)).cloned())
    }
}

struct Writer {
    world: World,
    records: Records,
    faults: BTreeMap<u64, CatalogFault>,
    counters: Arc<Counters>,
}

impl Writer {
    async fn run(self, mut waiting: mpsc::UnboundedReceiver<Change>) {
        let mut batch = Vec::new();
        while waiting.recv_many(&mut batch, 64).await > 0 {
            let (number, pause) = self.world.next_commit();
            self.world
                .event("commit begins", number, batch.len() as u64);
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
            self.world.event("commit", number, 0);
            if self.world.is_down() {
                return;
            }
            let answers = self.commit(number, &mut batch);
            self.world.event("committed", number, 0);
            if self.world.is_down() {
                return;
            }
            answers.into_iter().for_each(|answer| answer());
        }
    }

    fn commit(&self, number: u64, batch: &mut Vec<Change>) -> Vec<Box<dyn FnOnce() + Send>> {
        self.counters.commits.fetch_add(1, Ordering::Relaxed);
        self.counters
            .operations
            .fetch_add(batch.len() as u64, Ordering::Relaxed);
        let fault = self.faults.get(&number).map(|fault| match fault {
            CatalogFault::Full => ErrorKind::Full,
            CatalogFault::Busy => ErrorKind::Busy,
            CatalogFault::Io => ErrorKind::Io,
        });
        if let Some(kind) = fault {
            self.world.failed(false);
            self.world.count(|tally| tally.catalog_errors += 1);
            if kind != ErrorKind::Io {
                let refuse = |change: Change| change(Fate::Refused(kind));
                return batch.drain(..).map(refuse).collect();
            }
            let mut ghost = self.records.lock().clone();
            let haunt = |change: Change| change(Fate::Ghost(&mut ghost, kind));
            let answers = batch.drain(..).map(haunt).collect();
            *self.records.ghost() = Some(ghost);
            self.world.haunted();
            return answers;
        }
        let mut records = self.records.lock();
        let answers = batch
            .drain(..)
            .map(|change| change(Fate::Kept(&mut records)));
        let answers = answers.collect();
        self.records.ghost().take();
        answers
    }
}

fn page<T>(rows: impl Iterator<Item = T>, limit: u32) -> Vec<T> {
    rows.take(limit.min(PAGE_ROWS_MAX) as usize).collect()
}

impl Catalog for SimulatedCatalog {
    fn create_share(&self, share: ShareRecord) -> Answer<'_, ()> {
        self.change(move |records| records.create_share(share))
    }

    fn share(&self, share_id: ShareId) -> Answer<'_, Option<ShareRecord>> {
        self.read(move |records| {
            let mut shares = records.shares.iter();
            shares.find(|share| share.share_id == share_id).copied()
        })
    }

    fn share_by_key(&self, share_key_hash: KeyHash<ShareKey>) -> Answer<'_, Option<ShareRecord>> {
        self.read(move |records| {
            let mut shares = records.shares.iter();
            shares
                .find(|share| share.share_key_hash == share_key_hash && !share_key_hash.is_none())
                .copied()
        })
    }

    fn share_files(
        &self,
        share_id: ShareId,
        after: Option<String>,
        limit: u32,
    ) -> Answer<'_, Vec<FileSummary>> {
        self.read(move |records| {
            let files = records.share_files(share_id).into_iter();
            let files = files.filter(|file| after.as_ref().is_none_or(|after| file.path > *after));
            let mut text_bytes = 0;
            let files = files.map(FileSummary::from).take_while(|file| {
                let is_open = text_bytes < PAGE_TEXT_BYTES;
                text_bytes += file.text_bytes();
                is_open
            });
            page(files, limit)
        })
    }

    fn forget_empty_shares(&self, created_before: i64, limit: u32) -> Answer<'_, u64> {
        self.change(move |records| Ok(records.forget_empty_shares(created_before, limit)))
    }

    fn create(&self, new: NewFile) -> Answer<'_, ()> {
        self.change(move |records| records.create(&new))
    }

    fn file(&self, file_id: FileId) -> Answer<'_, Option<FileRecord>> {
        self.find(move |file| file.file_id == file_id)
    }

    fn file_by_upload_key(&self, hash: KeyHash<UploadKey>) -> Answer<'_, Option<FileRecord>> {
        self.find(move |file| file.upload_key_hash == hash && !hash.is_none())
    }

    fn file_by_delete_key(&self, hash: KeyHash<DeleteKey>) -> Answer<'_, Option<FileRecord>> {
        self.find(move |file| file.delete_key_hash == hash && !hash.is_none())
    }

    fn file_by_path(&self, share_id: ShareId, path: String) -> Answer<'_, Option<FileRecord>> {
        self.find(move |file| file.share_id == share_id && file.path == path)
    }

    fn inline(&self, file_id: FileId) -> Answer<'_, Option<Vec<u8>>> {
        self.read(move |records| {
            let mut inline = records.inline.iter();
            inline
                .find(|(id, _)| *id == file_id)
                .map(|(_, bytes)| bytes.clone())
        })
    }

    fn checkpoint(&self, checkpoint: Checkpoint) -> Answer<'_, ()> {
        self.change(move |records| records.checkpoint(&checkpoint))
    }

    fn complete(&self, completion: Completion) -> Answer<'_, ()> {
        self.change(move |records| records.complete(&completion))
    }

    fn fail(&self, file_id: FileId, reason: String, failed_at: i64) -> Answer<'_, ()> {
        self.change(move |records| records.fail(file_id, &reason, failed_at))
    }

    fn finals_waiting_for(
        &self,
        part_file_id: FileId,
        after: Option<FileId>,
        limit: u32,
    ) -> Answer<'_, Vec<FileRecord>> {
        self.read(move |records| {
            let waiting = records.waiting_for(part_file_id);
            let mut files: &[FileRecord] = &records.files;
            if let Some(at) = files.iter().position(|file| Some(file.file_id) == after) {
                files = &files[at + 1..];
            }
            let is_waiting = |file: &&FileRecord| waiting.contains(&file.file_id);
            page(files.iter().filter(is_waiting).cloned(), limit)
        })
    }

    fn set_digest(
        &self,
        file_id: FileId,
        blake3: [u8; 32],
        sha256: Option<[u8; 32]>,
    ) -> Answer<'_, ()> {
        self.change(move |records| records.set_digest(file_id, blake3, sha256))
    }

    fn set_damage(&self, file_id: FileId, damage: String) -> Answer<'_, ()> {
        self.change(move |records| records.set_damage(file_id, &damage))
    }

    fn set_limits(
        &self,
        file_id: FileId,
        max_downloads: Option<u64>,
        expires_at: Option<i64>,
    ) -> Answer<'_, ()> {
        self.change(move |records| records.set_limits(file_id, max_downloads, expires_at))
    }

    fn pending_digests(&self, limit: u32) -> Answer<'_, Vec<FileRecord>> {
        self.read(move |records| {
            let pending = |file: &&FileRecord| {
                file.state == State::Complete
                    && file.kind != Kind::Partial
                    && file.blake3.is_none()
                    && file.damage.is_none()
            };
            let mut files: Vec<_> = records.files.iter().filter(pending).cloned().collect();
            files.sort_by_key(|file| (file.completed_at, file.file_id));
            page(files.into_iter(), limit)
        })
    }

    fn delete(&self, file_id: FileId) -> Answer<'_, Option<FileRecord>> {
        self.change(move |records| Ok(records.delete(file_id)))
    }

    fn pending_deletions(&self, limit: u32) -> Answer<'_, Vec<SegmentId>> {
        self.read(move |records| page(records.pending_deletions.iter().copied(), limit))
    }

    fn forget_segments(&self, segments: Vec<SegmentId>) -> Answer<'_, ()> {
        self.change(move |records| {
            records
                .pending_deletions
                .retain(|pending| !segments.contains(pending));
            Ok(())
        })
    }

    fn expired(&self, now: i64, skip: u32, limit: u32) -> Answer<'_, Vec<FileId>> {
        self.read(move |records| {
            let ids = records.expired(now).into_iter().skip(skip as usize);
            page(ids.map(|(_, id)| id), limit)
        })
    }

    fn delete_expired(&self, now: i64, files: Vec<FileId>) -> Answer<'_, Vec<FileRecord>> {
        self.change(move |records| Ok(records.delete_expired(now, &files)))
    }

    fn reserved_unbegun(&self, before: i64, limit: u32) -> Answer<'_, Vec<FileId>> {
        self.read(move |records| {
            let ids = records.reserved_unbegun(before).into_iter();
            page(ids.map(|(_, file_id)| file_id), limit)
        })
    }

    fn unfinished(&self, limit: u32, after: Option<FileId>) -> Answer<'_, Vec<FileRecord>> {
        self.read(move |records| {
            let files = records.unfinished().into_iter();
            page(
                files.filter(|file| after.is_none_or(|after| file.file_id > after)),
                limit,
            )
        })
    }

    fn files_of_segment(&self, segment_id: SegmentId, limit: u32) -> Answer<'_, Vec<FileRecord>> {
        self.read(move |records| {
            let refers = |file: &&FileRecord| {
                let segments = &mut file.segments.iter();
                segments.any(|segment| segment.segment_id == segment_id)
            };
            page(records.files.iter().filter(refers).cloned(), limit)
        })
    }

    fn knows_segment(&self, segment_id: SegmentId) -> Answer<'_, bool> {
        self.read(move |records| records.knows(segment_id))
    }

    fn segments(&self, limit: u32, after: Option<SegmentId>) -> Answer<'_, Vec<SegmentId>> {
        self.read(move |records| {
            let segments = records.segments().into_iter();
            page(
                segments.filter(|segment| after.is_none_or(|after| *segment > after)),
                limit,
            )
        })
    }

    fn owner_totals(&self, owner: String) -> Answer<'_, OwnerTotals> {
        self.read(move |records| records.owner_totals(&owner))
    }

    fn totals(&self) -> Answer<'_, Totals> {
        self.read(Reference::totals)
    }

    fn count_download(&self, file_id: FileId, now: i64) -> Answer<'_, bool> {
        self.change(move |records| records.count_download(file_id, now))
    }

    fn backup(&self, to: PathBuf) -> Answer<'_, ()> {
        Box::pin(async move {
            self.check_open()?;
            let text = format!("{:#?}", self.records.lock());
            let made = std::fs::File::create_new(&to)
                .and_then(|mut file| std::io::Write::write_all(&mut file, text.as_bytes()));
            made.map_err(|failure| match failure.kind() {
                std::io::ErrorKind::AlreadyExists => error(ErrorKind::Taken),
                _ => error(ErrorKind::Io),
            })
        })
    }

    fn check(&self) -> Answer<'_, ()> {
        self.read(|_| ())
    }

    fn close(&self) -> Answer<'_, ()> {
        Box::pin(async move {
            // The queue is served in its order: when this is answered, so is all that came before.
            match self.change(|_| Ok(())).await {
                Err(error) if error.kind() != ErrorKind::Closed => return Err(error),
                _ => {}
            }
            self.is_closed.store(true, Ordering::Relaxed);
            Ok(())
        })
    }

    fn settle(&self) -> Answer<'_, ()> {
        Box::pin(async {
            let is_in_doubt = self.records.ghost().is_some();
            match is_in_doubt {
                true => self.change(|_| Ok(())).await,
                false => Ok(()),
            }
        })
    }

    fn work(&self) -> Work {
        Work {
            commits: self.counters.commits.load(Ordering::Relaxed),
            operations: self.counters.operations.load(Ordering::Relaxed),
            log_bytes: 0,
        }
    }
}
