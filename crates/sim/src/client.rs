//! A client: it sends one file, whatever happens, and remembers everything that it was told.
//!
//! What a client knows outlives the server's processes, its requests do not. After a crash it asks
//! where its upload stands and goes on from there. Where its plan is over it behaves well, so that
//! it always comes to an end; if it does not, the server let it starve.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ddx_engine::{Append, Created, Engine, Error, NewUpload, Put, State};
use ddx_id::UploadKey;
use ddx_storage::conformance::Random;

use crate::held::{Excuse, Held, Next, judge};
use crate::plan::{End, Length, Plan, Request, Upload, Way};
use crate::settings::{RESUMABLE, WHOLE, reservation_expires};
use crate::world::World;

/// So often a client asks for room on a full disk before it gives up.
const NO_SPACE_TRIES: u32 = 30;

/// The pause before the next attempt.
pub(crate) const RETRY_AFTER: Duration = Duration::from_millis(300);

/// A failure may hold up the joining of complete parts for so long.
const JOIN_MAX: Duration = Duration::from_secs(60);

/// One client and what it was told.
pub struct Client {
    pub(crate) world: World,
    pub(crate) plan: Upload,
    pub(crate) bytes: Vec<u8>,
    pub(crate) hand_over_max: Duration,
    pub(crate) inline_bytes_max: u64,
    /// So long after it was made an upload may hold no space any more if it has no byte.
    pub(crate) reserved_for: Duration,
    /// Nothing is planned to go wrong but what clients do.
    is_faultless: bool,
    state: Mutex<Told>,
}

/// What a client remembers.
#[derive(Debug, Clone, Default)]
pub struct Told {
    /// Its uploads, one for each part.
    pub parts: Vec<Option<Held>>,
    /// The file joined from them.
    pub joined: Option<Held>,
    /// It needs nothing more.
    pub is_over: bool,
    /// It found no room, or its time was over.
    pub gave_up: bool,
    /// Requests to make something whose answer never came: so many files may be there that it knows
    /// nothing of.
    pub unknown: u64,
    /// Planned requests that are behind it, of each part.
    pub behind: Vec<usize>,
}

/// The bytes of a file, told by its number.
#[must_use]
pub fn bytes_of(seed: u64, number: u64, length_bytes: u64) -> Vec<u8> {
    let mut random = Random::new(seed.rotate_left(17) ^ (number + 1));
    let mut bytes = vec![0; length_bytes as usize];
    for word in bytes.chunks_mut(8) {
        let next = random.next_u64().to_le_bytes();
        word.copy_from_slice(&next[..word.len()]);
    }
    bytes
}

impl Client {
    /// The client of this upload.
    #[must_use]
    pub fn new(world: &World, plan: &Plan, upload: &Upload, hand_over_max: Duration) -> Self {
        world.count(|tally| tally.uploads += 1);
        let parts = upload.parts_bytes.len();
        Self {
            world: world.clone(),
            plan: upload.clone(),
            bytes: bytes_of(plan.seed, upload.number, upload.length_bytes()),
            hand_over_max,
            inline_bytes_max: plan.setting.inline_bytes_max,
            reserved_for: reservation_expires(&plan.setting),
            is_faultless: plan.faults.is_empty(),
            state: Mutex::new(Told {
                parts: vec![None; parts],
                behind: vec![0; parts],
                ..Told::default()
            }),
        }
    }

    /// What it was told.
    pub fn told(&self) -> MutexGuard<'_, Told> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for an answer as clients do: from a process that has ended none comes.
    pub(crate) async fn ask<T>(&self, answer: impl Future<Output = T>) -> T {
        let answer = answer.await;
        self.world.event("answer", self.plan.number, 0);
        if self.world.is_down() {
            std::future::pending::<()>().await;
        }
        answer
    }

    pub(crate) fn excuse(&self) -> Excuse {
        Excuse {
            failures: self.world.failures(),
            ..Excuse::default()
        }
    }

    fn new_upload(&self, part: Option<usize>, length_bytes: Option<u64>) -> NewUpload {
        let number = self.plan.number;
        NewUpload {
            owner: format!("user {}", self.plan.user),
            share_key: None,
            path: part.map_or_else(|| format!("{number}"), |part| format!("{number}/{part}")),
            content_type: None,
            metadata: String::new(),
            secret_metadata: None,
            is_part: part.is_some(),
            protocol: match self.plan.way {
                Way::Put { .. } => WHOLE,
                _ => RESUMABLE,
            },
            length_bytes,
            keep: None,
            max_downloads: None,
            with_sha256: number.is_multiple_of(5),
        }
    }

    pub(crate) fn part_name(&self, part: usize) -> String {
        format!("upload {} part {part}", self.plan.number)
    }

    /// Where a part begins in the file.
    pub(crate) fn begins(&self, part: usize) -> u64 {
        self.plan.parts_bytes[..part].iter().sum()
    }

    /// Lives until its file is where its plan wants it.
    pub async fn run(self: Arc<Self>, engine: Engine) {
        if self.told().is_over {
            return;
        }
        let wait = Duration::from_millis(self.plan.starts_ms).saturating_sub(self.world.elapsed());
        tokio::time::sleep(wait).await;
        if self.told().parts.iter().any(|held| {
            held.as_ref()
                .is_some_and(|held| !held.is_complete && held.acknowledged_bytes > 0)
        }) {
            self.world.count(|tally| tally.resumed += 1);
        }
        let leaves = matches!(self.plan.end, End::Cancel | End::Abandon);
        let arrives = match self.plan.is_followed && !leaves {
            true => tokio::join!(self.deliver(&engine), self.follow(&engine)).0,
            false => self.deliver(&engine).await,
        };
        if arrives {
            self.finish(&engine).await;
        } else {
            self.told().gave_up = true;
        }
        self.told().is_over = true;
    }

    /// Sends everything; false if it gave up, or was to.
    async fn deliver(&self, engine: &Engine) -> bool {
        let arrives = match self.plan.way {
            Way::Put { sized } => self.put(engine, sized).await,
            Way::Resumable(_) => self.send(engine, 0).await,
            Way::Joined { early } => self.join(engine, early).await,
        };
        if !arrives {
            self.told().gave_up = true;
        }
        arrives
    }

    async fn put(&self, engine: &Engine, sized: bool) -> bool {
        let mut no_space = 0;
        while self.told().parts[0].is_none() {
            let Some(plan) = self.next_request(0) else {
                return false;
            };
            let length_bytes = self.plan.length_bytes();
            let whole = Request { share: 256, ..plan };
            let (body, sent, expected) = self.body(0, 0, length_bytes, &whole);
            let mut excuse = self.excuse_of(&whole);
            excuse.is_wrong &= expected.is_some();
            excuse.is_unreserved = true;
            let put = Put {
                new: self.new_upload(None, sized.then_some(length_bytes)),
                expected,
            };
            self.told().unknown += 1;
            self.world.count(|tally| tally.requests += 1);
            let answer = engine.put(put, body);
            let Some(answer) = self.unless_gone(&whole, answer).await else {
                self.rest(&whole).await;
                continue;
            };
            match answer {
                Ok(created) => {
                    let mut held = Held::new(self.part_name(0), &created, length_bytes);
                    held.sent.push((0, sent));
                    if excuse.is_wrong {
                        self.world
                            .wrong(format!("{}: a wrong digest was accepted", held.name));
                    }
                    held.told(&self.world, &created.record);
                    if created.record.state != State::Complete {
                        self.world
                            .wrong(format!("{}: answered and not complete", held.name));
                    }
                    let mut told = self.told();
                    told.unknown -= 1;
                    told.parts[0] = Some(held);
                }
                Err(error) => {
                    // Where neither disk nor catalog failed, nothing stays.
                    if self.world.failures() == excuse.failures {
                        self.told().unknown -= 1;
                    }
                    let next = judge(&self.world, &self.part_name(0), None, excuse, &error);
                    no_space += u32::from(next == Next::NoSpace);
                    if no_space > NO_SPACE_TRIES {
                        return false;
                    }
                    tokio::time::sleep(RETRY_AFTER).await;
                }
            }
            self.rest(&whole).await;
        }
        true
    }

    async fn join(&self, engine: &Engine, early: bool) -> bool {
        let parts = self.plan.parts_bytes.len();
        if early {
            for part in 0..parts {
                if !self.make(engine, part).await {
                    return false;
                }
            }
            if self.plan.end != End::Cancel && !self.make_joined(engine).await {
                return false;
            }
        }
        let sends = (0..parts).map(|part| self.send(engine, part));
        let arrive = futures_util::future::join_all(sends).await;
        arrive.into_iter().all(|arrives| arrives)
            && self.make_joined(engine).await
            && self.joined_is_complete(engine).await
    }

    /// Makes a part's upload, if it is not made; false if there is no room.
    pub(crate) async fn make(&self, engine: &Engine, part: usize) -> bool {
        let is_part = matches!(self.plan.way, Way::Joined { .. });
        let length_bytes = self.plan.parts_bytes[part];
        let tells = !matches!(
            self.plan.way,
            Way::Resumable(Length::WithBytes | Length::AtTheEnd)
        );
        let mut no_space = 0;
        while self.told().parts[part].is_none() {
            let new = self.new_upload(is_part.then_some(part), tells.then_some(length_bytes));
            let answer = self.create(engine.create(new)).await;
            match answer {
                Ok(created) => {
                    let mut held = Held::new(self.part_name(part), &created, length_bytes);
                    held.told(&self.world, &created.record);
                    self.told().parts[part] = Some(held);
                }
                Err(Next::NoSpace) => {
                    no_space += 1;
                    if no_space > NO_SPACE_TRIES {
                        return false;
                    }
                    tokio::time::sleep(RETRY_AFTER).await;
                }
                Err(_) => tokio::time::sleep(RETRY_AFTER).await,
            }
        }
        true
    }

    /// Asks for something to be made; its answer may never come.
    async fn create(
        &self,
        answer: impl Future<Output = Result<Created, Error>>,
    ) -> Result<Created, Next> {
        self.told().unknown += 1;
        let mut excuse = self.excuse();
        excuse.is_unreserved = true;
        // Some close their connection before the answer comes, wherever the request is by then.
        let patience = match self.world.below(6) {
            0 => Duration::from_millis(self.world.below(150)),
            _ => Duration::MAX,
        };
        let Ok(answer) = tokio::time::timeout(patience, self.ask(answer)).await else {
            self.world.count(|tally| tally.gone_clients += 1);
            if self.is_faultless {
                // Nothing may stay of it; with faults, what could not be removed expires.
                self.told().unknown -= 1;
            }
            return Err(Next::Again);
        };
        if answer.is_ok() || self.world.failures() == excuse.failures {
            self.told().unknown -= 1;
        }
        let name = format!("creation of upload {}", self.plan.number);
        answer.map_err(|error| {
            // What is made of parts that may be gone need not be made.
            let told = self.told().clone();
            let mut parts = told.parts.into_iter().flatten();
            let held = parts.find(|part| part.may_have_expired(&self.world));
            judge(&self.world, &name, held.as_ref(), excuse, &error)
        })
    }

    async fn make_joined(&self, engine: &Engine) -> bool {
        while self.told().joined.is_none() {
            let keys: Vec<UploadKey> = {
                let told = self.told();
                told.parts
                    .iter()
                    .flatten()
                    .map(|held| held.upload_key)
                    .collect()
            };
            let joined = engine.join(self.new_upload(None, None), &keys);
            match self.create(joined).await {
                Ok(created) => {
                    let name = format!("upload {} joined", self.plan.number);
                    let mut held = Held::new(name, &created, self.plan.length_bytes());
                    held.told(&self.world, &created.record);
                    self.told().joined = Some(held);
                }
                Err(Next::Gone) => return false,
                Err(_) => tokio::time::sleep(RETRY_AFTER).await,
            }
        }
        true
    }

    /// All parts are there: so is the file, at once.
    async fn joined_is_complete(&self, engine: &Engine) -> bool {
        let asked_at = self.world.elapsed();
        loop {
            let Some(mut held) = self.told().joined.clone() else {
                return false;
            };
            let excuse = self.excuse();
            match self.ask(engine.upload(held.upload_key)).await {
                Ok(record) => {
                    let lost_part = record.state == State::Failed
                        && self
                            .told()
                            .parts
                            .iter()
                            .flatten()
                            .any(|part| part.may_have_expired(&self.world));
                    if lost_part {
                        self.world.count(|tally| tally.expired += 1);
                        return false;
                    }
                    held.told(&self.world, &record);
                    if record.state == State::Complete {
                        self.told().joined = Some(held);
                        return true;
                    }
                    // It is joined by the request that brought the last part; only a failure or a
                    // crash can keep it from it, and not for long.
                    let waited = self.world.elapsed() - asked_at;
                    let is_calm = self.world.failures().0 == 0 && self.world.process() == 1;
                    if waited
                        > if is_calm {
                            self.hand_over_max
                        } else {
                            JOIN_MAX
                        }
                    {
                        self.world
                            .wrong(format!("{}: its parts are complete, it is not", held.name));
                    }
                }
                Err(error) => {
                    let next = judge(&self.world, &held.name, Some(&held), excuse, &error);
                    if next == Next::Gone {
                        return false;
                    }
                }
            }
            tokio::time::sleep(RETRY_AFTER).await;
        }
    }

    /// The upload that the file is in the end.
    #[must_use]
    pub fn file(&self) -> Option<Held> {
        let told = self.told();
        match self.plan.way {
            Way::Joined { .. } => told.joined.clone(),
            _ => told.parts[0].clone(),
        }
    }

    /// Reads the whole file back, then does with it what the plan says.
    async fn finish(&self, engine: &Engine) {
        let Some(held) = self.file() else {
            return self
                .world
                .wrong(format!("upload {} came to nothing", self.plan.number));
        };
        if !held.is_complete {
            return self
                .world
                .wrong(format!("{}: all was sent, it is not complete", held.name));
        }
        if !self.compare(engine, &held, true).await {
            self.told().gave_up = true;
            return;
        }
        if self.plan.end == End::Delete {
            self.remove(engine, &held).await;
        }
    }

    /// Ends an upload or a file, and sees that it has ended.
    pub(crate) async fn remove(&self, engine: &Engine, held: &Held) {
        let mut held = held.clone();
        held.is_removed = true;
        {
            let mut told = self.told();
            let all = told.parts.iter_mut().flatten();
            all.filter(|other| other.file_id == held.file_id)
                .for_each(|other| other.is_removed = true);
            if let Some(joined) = told
                .joined
                .as_mut()
                .filter(|joined| joined.file_id == held.file_id)
            {
                joined.is_removed = true;
            }
        }
        loop {
            let excuse = self.excuse();
            let ended = match held.is_complete {
                true => self.ask(engine.delete(held.delete_key)).await.map(drop),
                false => self.ask(engine.cancel(held.upload_key)).await,
            };
            match ended {
                Ok(()) => break,
                Err(error) => {
                    if judge(&self.world, &held.name, Some(&held), excuse, &error) == Next::Gone {
                        break;
                    }
                }
            }
            tokio::time::sleep(RETRY_AFTER).await;
        }
        if !matches!(
            self.ask(engine.file(held.file_id)).await,
            Err(Error::NotFound)
        ) {
            self.world
                .wrong(format!("{}: deleted, and still there", held.name));
        }
        self.world.count(|tally| tally.deleted += 1);
    }
}

/// What an append says besides its body.
pub(crate) fn append_of(offset: u64, bytes: u64) -> Append {
    Append {
        offset,
        announced_bytes: Some(bytes),
        ..Append::default()
    }
}
