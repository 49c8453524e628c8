//! How a client brings the bytes of one upload to the server: request by request, honest or not.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ddx_engine::{Algorithm, Append, Engine, Error, Expected, FileRecord};
use tokio::time::{Instant, sleep, timeout};

use crate::body::{Body, Last, Sent};
use crate::client::{Client, append_of};
use crate::held::{Excuse, Held, Next, judge};
use crate::plan::{Digest, End, Ending, Length, Request, Way};

/// So often a client asks for room on a full disk before it gives up.
const NO_SPACE_TRIES: u32 = 30;

/// The pause before the next attempt.
const RETRY_AFTER: Duration = Duration::from_millis(300);

/// A client that gets no answer and can send nothing asks anew after this.
const PATIENCE: Duration = Duration::from_secs(2);

impl Client {
    /// The next request of a part's plan; an honest one after them. None if the client leaves now.
    pub(crate) fn next_request(&self, part: usize) -> Option<Request> {
        let mut told = self.told();
        let parts = told.behind.len();
        let index = told.behind[part] * parts + part;
        match self.plan.requests.get(index) {
            Some(request) => {
                told.behind[part] += 1;
                Some(*request)
            }
            None if matches!(self.plan.end, End::Abandon | End::Cancel) => None,
            None => Some(Request::honest()),
        }
    }

    pub(crate) fn excuse_of(&self, plan: &Request) -> Excuse {
        Excuse {
            is_cut: matches!(plan.ending, Ending::Cut(_) | Ending::Gone(_)),
            is_stalled: matches!(plan.ending, Ending::Stall(_)),
            is_wrong: plan.digest == Digest::Wrong,
            ..self.excuse()
        }
    }

    /// A body of `count` bytes of a part from `at`, as the plan wants it, and the digest that goes
    /// with it.
    pub(crate) fn body(
        &self,
        part: usize,
        at: u64,
        count: u64,
        plan: &Request,
    ) -> (Body, Arc<Sent>, Option<Expected>) {
        // An upload of one part is the whole file.
        let mut bytes = self.part_bytes(part)[at as usize..(at + count) as usize].to_vec();
        let mut checksum = ddx_digest::Checksum::new(Algorithm::Sha1);
        checksum.update(&bytes);
        let digest = checksum.finalize();
        let (last, keeps) = match plan.ending {
            Ending::Whole | Ending::Gone(_) => (Last::End, 256),
            Ending::Cut(keeps) => (Last::Cut, keeps),
            Ending::Stall(keeps) => (Last::Stall, keeps),
        };
        bytes.truncate((count * keeps / 256) as usize);
        let (expected, trailer) = match plan.digest {
            Digest::Without => (None, None),
            Digest::Right => (Some(Expected::Known(Algorithm::Sha1, digest)), None),
            Digest::Trailing => (Some(Expected::Trailing), Some((Algorithm::Sha1, digest))),
            Digest::Wrong => {
                let place = bytes.len() / 2;
                match bytes.get_mut(place) {
                    Some(byte) => *byte ^= 0x40,
                    None => return self.body(part, at, count, &without_digest(plan)),
                }
                (Some(Expected::Known(Algorithm::Sha1, digest)), None)
            }
        };
        let sent = Arc::<Sent>::default();
        let body = Body {
            world: self.world.clone(),
            number: self.plan.number,
            bytes,
            at: 0,
            here: 0,
            low_water: 1,
            chunk: plan.chunk_bytes as usize,
            pause: Duration::from_millis(plan.pause_ms),
            gone_after: match plan.ending {
                Ending::Gone(after) => Some(Duration::from_millis(after)),
                _ => None,
            },
            began: Instant::now(),
            next: None,
            last,
            trailer,
            sent: sent.clone(),
            expires_at: self.told().parts[part]
                .as_ref()
                .and_then(|held| held.expires_at),
        };
        (body, sent, expected)
    }

    /// The answer, unless the client goes away first.
    pub(crate) async fn unless_gone<T>(
        &self,
        plan: &Request,
        answer: impl Future<Output = T>,
    ) -> Option<T> {
        let Ending::Gone(after) = plan.ending else {
            return Some(self.ask(answer).await);
        };
        let answer = timeout(Duration::from_millis(after), self.ask(answer)).await;
        if answer.is_err() {
            self.world.count(|tally| tally.gone_clients += 1);
        }
        answer.ok()
    }

    pub(crate) async fn rest(&self, plan: &Request) {
        sleep(Duration::from_millis(plan.rest_ms)).await;
    }

    /// Sends a part until it is complete; false if the client left or gave up.
    pub(crate) async fn send(&self, engine: &Engine, part: usize) -> bool {
        if !self.make(engine, part).await {
            return false;
        }
        let mut no_space = 0;
        loop {
            match self.stand(engine, part).await {
                None => return false,
                Some(held) if held.is_complete => return true,
                Some(_) => {}
            }
            let Some(plan) = self.next_request(part) else {
                return self.leave(engine, part).await;
            };
            match self.request(engine, part, &plan).await {
                None => {}
                Some(Next::Again) => sleep(RETRY_AFTER).await,
                Some(Next::NoSpace) => {
                    no_space += 1;
                    if no_space > NO_SPACE_TRIES {
                        return false;
                    }
                    sleep(RETRY_AFTER).await;
                }
                Some(Next::Gone) => return self.expired(),
            }
            self.rest(&plan).await;
        }
    }

    fn held(&self, part: usize) -> Held {
        let held = self.told().parts[part].clone();
        held.expect("an upload is made before anything is asked of it")
    }

    fn keep(&self, part: usize, change: impl FnOnce(&mut Held)) {
        if let Some(held) = &mut self.told().parts[part] {
            change(held);
        }
    }

    /// Whether nothing has come for so long that its space may have been given back.
    fn may_be_unreserved(&self, part: usize) -> bool {
        // The request may have to wait for a moment before it is looked at.
        let lasts = self.reserved_for.saturating_sub(RETRY_AFTER * 10);
        let made_at = self.held(part).created_at;
        self.world.is_over(Some(made_at + lasts.as_millis() as i64))
    }

    fn expired(&self) -> bool {
        self.world.count(|tally| tally.expired += 1);
        false
    }

    async fn leave(&self, engine: &Engine, part: usize) -> bool {
        if self.plan.end == End::Cancel {
            self.remove(engine, &self.held(part)).await;
        }
        false
    }

    /// Asks where a part stands; the request that writes to it must leave within a bound. None if
    /// it is gone, and may be.
    async fn stand(&self, engine: &Engine, part: usize) -> Option<Held> {
        loop {
            let held = self.held(part);
            let excuse = self.excuse();
            let answer = self.ask(engine.head(held.upload_key));
            let Ok(answer) = timeout(self.hand_over_max, answer).await else {
                let name = &held.name;
                self.world.wrong(format!(
                    "{name}: no answer where it stands: its writer did not leave"
                ));
                return None;
            };
            match answer {
                Ok(record) => {
                    self.keep(part, |held| held.told(&self.world, &record));
                    return Some(self.held(part));
                }
                Err(error) => {
                    let next = judge(&self.world, &held.name, Some(&held), excuse, &error);
                    if next == Next::Gone {
                        self.expired();
                        return None;
                    }
                }
            }
            sleep(RETRY_AFTER).await;
        }
    }

    fn append(&self, part: usize, at: u64, count: u64) -> Append {
        let length_bytes = self.plan.parts_bytes[part];
        let mut append = append_of(at, count);
        match self.plan.way {
            Way::Resumable(Length::WithBytes) => append.length_bytes = Some(length_bytes),
            Way::Resumable(Length::AtTheEnd) => append.is_last = at + count == length_bytes,
            _ => {}
        }
        if (at + self.plan.number).is_multiple_of(3) {
            append.announced_bytes = None;
        }
        append
    }

    /// One request for a part, and its twin if it has one. What to do next if it was refused.
    async fn request(&self, engine: &Engine, part: usize, plan: &Request) -> Option<Next> {
        let held = self.held(part);
        let at = held.acknowledged_bytes;
        let left = held.length_bytes - at;
        let count = (left * plan.share / 256).max(1).min(left);
        let Some(twin_ms) = plan.twin_ms else {
            return self.one(engine, part, at, count, plan, false).await;
        };
        self.world.count(|tally| tally.twins += 1);
        let second = async {
            sleep(Duration::from_millis(twin_ms)).await;
            // The client does not know how far its first request got, and asks.
            self.stand(engine, part).await?;
            let held = self.held(part);
            let at = held.acknowledged_bytes;
            let count = held.length_bytes - at;
            self.one(engine, part, at, count, &Request::honest(), false)
                .await
        };
        let (first, second) = tokio::join!(self.one(engine, part, at, count, plan, true), second);
        second.or(first)
    }

    async fn one(
        &self,
        engine: &Engine,
        part: usize,
        at: u64,
        count: u64,
        plan: &Request,
        has_newer: bool,
    ) -> Option<Next> {
        let (body, sent, expected) = self.body(part, at, count, plan);
        let mut excuse = self.excuse_of(plan);
        excuse.is_wrong &= expected.is_some();
        excuse.has_newer = has_newer;
        excuse.is_unreserved = !matches!(
            self.plan.way,
            Way::Resumable(Length::AtOnce) | Way::Joined { .. }
        ) || self.plan.parts_bytes[part] <= self.inline_bytes_max
            // A segment without a durable byte goes with the power, and its reservation with it, or
            // after some time.
            || at == 0 && (self.world.tally().power_cuts > 0 || self.may_be_unreserved(part));
        if !excuse.is_wrong {
            self.keep(part, |held| held.sent.push((at, sent.clone())));
        }
        self.count(plan, excuse.is_wrong);
        let append = Append {
            expected,
            ..self.append(part, at, count)
        };
        let upload_key = self.held(part).upload_key;
        let answer = engine.append(upload_key, append, body);
        let answer = match plan.ending {
            Ending::Stall(_) if plan.rest_ms == 0 && !has_newer => {
                excuse.has_newer = true;
                let answer = self.ask(answer);
                let mut answer = std::pin::pin!(answer);
                match timeout(PATIENCE, &mut answer).await {
                    Ok(answer) => Some(answer),
                    Err(_) => {
                        // It asks anew on another connection, and the old request must come to its
                        // end.
                        self.stand(engine, part).await?;
                        let ended = timeout(self.hand_over_max, &mut answer).await;
                        if ended.is_err() {
                            self.world.wrong(format!(
                                "{}: the older of two requests stays",
                                self.part_name(part)
                            ));
                        }
                        ended.ok()
                    }
                }
            }
            _ => self.unless_gone(plan, answer).await,
        };
        self.answered(part, excuse, answer?, &sent)
    }

    fn answered(
        &self,
        part: usize,
        excuse: Excuse,
        answer: Result<FileRecord, Error>,
        sent: &Sent,
    ) -> Option<Next> {
        match answer {
            Ok(record) => {
                if excuse.is_wrong && sent.taken_bytes.load(Ordering::Relaxed) > 0 {
                    self.world.wrong(format!(
                        "{}: a wrong digest was accepted",
                        self.part_name(part)
                    ));
                }
                self.keep(part, |held| match excuse.has_newer {
                    true => held.told_late(&self.world, &record),
                    false => held.told(&self.world, &record),
                });
                None
            }
            Err(error) => {
                if let Error::OffsetMismatch { expected, .. } = error {
                    self.keep(part, |held| {
                        if !excuse.has_newer || expected > held.acknowledged_bytes {
                            held.told_offset(&self.world, expected);
                        }
                    });
                }
                self.world.count(|tally| {
                    tally.superseded += u64::from(matches!(error, Error::Superseded));
                    tally.stalled_bodies += u64::from(matches!(error, Error::Stalled { .. }));
                    tally.cut_bodies += u64::from(matches!(error, Error::ClientGone));
                });
                let held = self.held(part);
                let is_gone = matches!(error, Error::NotFound | Error::Expired);
                if is_gone && !held.is_removed && sent.is_in_time.load(Ordering::Relaxed) {
                    self.world.wrong(format!(
                        "{}: expired under a body that came in time",
                        held.name
                    ));
                }
                Some(judge(&self.world, &held.name, Some(&held), excuse, &error))
            }
        }
    }

    fn count(&self, plan: &Request, is_wrong: bool) {
        self.world.event("request", self.plan.number, plan.share);
        self.world.count(|tally| {
            tally.requests += 1;
            tally.wrong_digests += u64::from(is_wrong);
        });
    }
}

fn without_digest(plan: &Request) -> Request {
    Request {
        digest: Digest::Without,
        ..*plan
    }
}
