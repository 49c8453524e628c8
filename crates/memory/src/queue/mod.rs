//! Who waits, and who is next.
//!
//! Fair per user, then per upload: next is the user who has had the least, and of the user's
//! uploads the one that has had the least, counted in byte·seconds held while others wait. That is
//! deficit round robin with the quantum let go to zero (start-time fair queueing): the same shares,
//! but the next one is found in a sorted set instead of by rounds over tens of thousands of users,
//! and a large holding needs no rounds to be paid off. Equals are served in the order of their
//! coming.
//!
//! There is no overtaking: when the next one's request does not fit, none behind is served before
//! it, or a stream of small requests would starve a large one. The one exception is a request that
//! waits for what its own upload holds, which would wait for ever and all others with it: see
//! `LedgerState::next_to_serve`. `ahead` in a [`Place`] is the number of requests that would be
//! served first if all hold equally long; it is exact when taken by [`Queue::rank_all`] and a bound
//! when a request comes in.
//!
//! Nothing here locks, reads a clock or wakes a task: the ledger does, under its one lock.

mod admission;
mod place;
mod service;
mod slab;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::task::Waker;
use std::time::Duration;

pub use admission::Admission;
pub use place::Place;

use crate::holder::Purpose;
use crate::{Holder, Refusal};
use service::{Round, Service};
use slab::Slab;

/// A stale key is brought up to date when it comes to the front; so many at once, to bound the time
/// under the lock.
const REFRESH_MAX: usize = 64;

#[derive(Debug)]
struct User {
    id: u64,
    service: Service,
    /// Of what it holds, what downloads hold.
    downloads_bytes: u64,
    /// Its uploads that wait: service had, oldest request, upload.
    order: BTreeSet<(u128, u64, u32)>,
    /// Uploads that hold or wait.
    uploads: u32,
    /// The key under which it stands in the queue's order.
    key: Option<(u128, u64)>,
    waiting: u32,
    /// Stands among the debtors already.
    listed: bool,
}

#[derive(Debug)]
struct Upload {
    holder: Holder,
    user: u32,
    service: Service,
    /// Its requests, oldest first.
    requests: BTreeSet<u64>,
    key: Option<(u128, u64)>,
    leases: u32,
    /// Requests granted and not yet fetched keep the slot as well.
    fetches: u32,
}

/// Where a request stands.
#[derive(Debug)]
pub(crate) enum State {
    Waiting,
    /// Bytes that are the waiter's already.
    Granted(u64),
    Refused(Refusal),
}

#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) upload: u32,
    pub(crate) holder: Holder,
    pub(crate) bytes: u64,
    pub(crate) purpose: Purpose,
    pub(crate) state: State,
    pub(crate) waker: Option<Waker>,
    ahead: u64,
    bytes_ahead: u64,
}

/// Users, uploads and requests.
#[derive(Debug)]
pub(crate) struct Queue {
    users: Slab<User>,
    by_user: HashMap<u64, u32>,
    uploads: Slab<Upload>,
    by_holder: HashMap<Holder, u32>,
    requests: BTreeMap<u64, Request>,
    /// Users that wait: service had, oldest request, user.
    order: BTreeSet<(u128, u64, u32)>,
    least: u128,
    round: Round,
    next_request: u64,
    waiting: u64,
    waiting_bytes: u64,
    /// Uploads that hold something.
    active: u64,
    /// Idle users whose debt is remembered until the round ends.
    debtors: Vec<u32>,
    debtors_max: usize,
}

impl Queue {
    pub(crate) fn new(debtors_max: usize) -> Self {
        Self {
            users: Slab::new(),
            by_user: HashMap::new(),
            uploads: Slab::new(),
            by_holder: HashMap::new(),
            requests: BTreeMap::new(),
            order: BTreeSet::new(),
            least: 0,
            round: Round::default(),
            next_request: 0,
            waiting: 0,
            waiting_bytes: 0,
            active: 0,
            debtors: Vec::new(),
            debtors_max,
        }
    }

    pub(crate) fn waiting(&self) -> u64 {
        self.waiting
    }

    pub(crate) fn waiting_bytes(&self) -> u64 {
        self.waiting_bytes
    }

    pub(crate) fn active(&self) -> u64 {
        self.active
    }

    /// No debt grows beyond what holding `ceiling` for half a minute costs.
    pub(crate) fn set_ceiling(&mut self, ceiling_bytes: u64) {
        self.round.debt_max = u128::from(ceiling_bytes) * 30_000_000;
    }

    /// The slot of an upload that holds or waits.
    pub(crate) fn find(&self, holder: Holder) -> Option<u32> {
        self.by_holder.get(&holder).copied()
    }

    /// The slot of an upload, made if need be. The caller must go on to `hold` or `enqueue`, or the
    /// slot leaks.
    pub(crate) fn slot(&mut self, holder: Holder) -> u32 {
        if let Some(slot) = self.find(holder) {
            return slot;
        }
        let user = match self.by_user.get(&holder.user) {
            Some(user) => *user,
            None => {
                let user = self.users.insert(User {
                    id: holder.user,
                    service: Service::default(),
                    downloads_bytes: 0,
                    order: BTreeSet::new(),
                    uploads: 0,
                    key: None,
                    waiting: 0,
                    listed: false,
                });
                self.by_user.insert(holder.user, user);
                user
            }
        };
        self.users.at_mut(user).uploads += 1;
        let slot = self.uploads.insert(Upload {
            holder,
            user,
            service: Service::default(),
            requests: BTreeSet::new(),
            key: None,
            leases: 0,
            fetches: 0,
        });
        self.by_holder.insert(holder, slot);
        slot
    }

    pub(crate) fn held(&self, slot: u32) -> u64 {
        self.uploads.at(slot).service.held
    }

    /// Whose it is.
    pub(crate) fn user_of(&self, slot: u32) -> u64 {
        self.uploads.at(slot).holder.user
    }

    /// What downloads of a user hold.
    pub(crate) fn downloads_bytes(&self, user: u64) -> u64 {
        let slot = self.by_user.get(&user);
        slot.map_or(0, |slot| self.users.at(*slot).downloads_bytes)
    }

    /// Counts what a download takes.
    pub(crate) fn download_takes(&mut self, slot: u32, bytes: u64) {
        let user = self.uploads.at(slot).user;
        self.users.at_mut(user).downloads_bytes += bytes;
    }

    /// Counts what a download gives back.
    pub(crate) fn download_gives_back(&mut self, slot: u32, bytes: u64) {
        let user = self.uploads.at(slot).user;
        self.users.at_mut(user).downloads_bytes -= bytes;
    }

    /// Σ of what all uploads hold; the ledger keeps its own sum, and compares at each sample of a
    /// debug build.
    pub(crate) fn held_in_all(&self) -> u64 {
        self.uploads.iter().map(|upload| upload.service.held).sum()
    }

    /// Users, uploads and requests that are remembered.
    #[cfg(test)]
    pub(crate) fn entries(&self) -> usize {
        self.uploads.len() + self.users.len() + self.requests.len()
    }

    /// A lease more. `leases` counts handles, bytes may be zero.
    pub(crate) fn hold(&mut self, slot: u32, bytes: u64, now: Duration, new_lease: bool) {
        let upload = self.uploads.at_mut(slot);
        let user = self.users.at_mut(upload.user);
        user.service.accrue(&self.round, now, self.least);
        upload
            .service
            .accrue(&self.round, now, user.service.least_below);
        if upload.service.held == 0 && bytes > 0 {
            self.active += 1;
        }
        upload.service.held += bytes;
        user.service.held += bytes;
        upload.leases += u32::from(new_lease);
    }

    /// Bytes given back.
    pub(crate) fn give_back(&mut self, slot: u32, bytes: u64, now: Duration, lease_ends: bool) {
        let upload = self.uploads.at_mut(slot);
        let user = self.users.at_mut(upload.user);
        user.service.accrue(&self.round, now, self.least);
        upload
            .service
            .accrue(&self.round, now, user.service.least_below);
        debug_assert!(
            upload.service.held >= bytes,
            "an upload gives back more than it holds"
        );
        if upload.service.held > 0 && upload.service.held == bytes {
            self.active -= 1;
        }
        upload.service.held -= bytes;
        user.service.held -= bytes;
        if lease_ends {
            upload.leases -= 1;
            self.forget_if_idle(slot);
        }
    }

    /// A request joins the queue.
    pub(crate) fn enqueue(
        &mut self,
        slot: u32,
        bytes: u64,
        now: Duration,
        purpose: Purpose,
    ) -> u64 {
        if self.waiting == 0 {
            self.begin_round(now);
        }
        let number = self.next_request;
        self.next_request += 1;
        let upload = self.uploads.at_mut(slot);
        let user = self.users.at_mut(upload.user);
        user.service.accrue(&self.round, now, self.least);
        upload
            .service
            .accrue(&self.round, now, user.service.least_below);
        if user.waiting == 0 {
            user.service.no_credit(self.least);
        }
        if upload.requests.is_empty() {
            upload.service.no_credit(user.service.least_below);
        }
        // Others are served in turn: of each waiting user at most as many as this one has before
        // it.
        let before = u64::from(user.waiting);
        let others = self.order.len() as u64 - u64::from(user.key.is_some());
        let ahead = (others * (before + 1) + before).min(self.waiting);
        let mean = self.waiting_bytes.checked_div(self.waiting).unwrap_or(0);
        user.waiting += 1;
        upload.requests.insert(number);
        self.requests.insert(
            number,
            Request {
                upload: slot,
                holder: upload.holder,
                bytes,
                purpose,
                state: State::Waiting,
                waker: None,
                ahead,
                bytes_ahead: ahead * mean,
            },
        );
        self.waiting += 1;
        self.waiting_bytes += bytes;
        self.place_upload(slot);
        number
    }

    fn begin_round(&mut self, now: Duration) {
        self.round.number += 1;
        self.round.contended = true;
        self.round.started = now;
        self.least = 0;
    }

    fn end_round(&mut self) {
        self.round.contended = false;
        for user in std::mem::take(&mut self.debtors) {
            self.users.at_mut(user).listed = false;
            if self.users.at(user).uploads == 0 {
                self.drop_user(user);
            }
        }
    }

    /// Puts the upload, and its user, where their service says.
    fn place_upload(&mut self, slot: u32) {
        let upload = self.uploads.at_mut(slot);
        let user = self.users.at_mut(upload.user);
        if let Some((service, oldest)) = upload.key.take() {
            user.order.remove(&(service, oldest, slot));
        }
        if let Some(oldest) = upload.requests.first().copied() {
            upload.key = Some((upload.service.received, oldest));
            user.order.insert((upload.service.received, oldest, slot));
        }
        let user = upload.user;
        self.place_user(user);
    }

    fn place_user(&mut self, slot: u32) {
        let user = self.users.at_mut(slot);
        if let Some((service, oldest)) = user.key.take() {
            self.order.remove(&(service, oldest, slot));
        }
        // The oldest request of the upload that is next stands for the user among equals.
        if let Some((_, oldest, _)) = user.order.first().copied() {
            user.key = Some((user.service.received, oldest));
            self.order.insert((user.service.received, oldest, slot));
        }
    }

    /// The request that is next.
    pub(crate) fn head(&mut self, now: Duration) -> Option<u64> {
        let mut front = self.order.first()?.2;
        for _ in 0..REFRESH_MAX {
            let user = self.users.at_mut(front);
            user.service.accrue(&self.round, now, self.least);
            // Held against the key, not against the sheet before: others settle the sheet as well.
            if user
                .key
                .is_some_and(|(service, _)| service == user.service.received)
            {
                break;
            }
            self.place_user(front);
            front = self.order.first()?.2;
        }
        let mut upload = self.users.at(front).order.first()?.2;
        for _ in 0..REFRESH_MAX {
            let least = self.users.at(front).service.least_below;
            let entry = self.uploads.at_mut(upload);
            entry.service.accrue(&self.round, now, least);
            if entry
                .key
                .is_some_and(|(service, _)| service == entry.service.received)
            {
                break;
            }
            self.place_upload(upload);
            upload = self.users.at(front).order.first()?.2;
        }
        self.uploads.at(upload).requests.first().copied()
    }

    /// The first request in order whose upload holds something, or holds nothing.
    pub(crate) fn first_that_holds(&self, something: bool) -> Option<u64> {
        let users = self.order.iter().map(|(_, _, user)| self.users.at(*user));
        users
            .flat_map(|user| user.order.iter())
            .map(|(_, _, upload)| self.uploads.at(*upload))
            .find(|upload| (upload.service.held > 0) == something)
            .and_then(|upload| upload.requests.first().copied())
    }

    /// The first request in order of which this is true. As long as those before it.
    pub(crate) fn first(&self, is_wanted: impl Fn(&Request) -> bool) -> Option<u64> {
        let users = self.order.iter().map(|(_, _, user)| self.users.at(*user));
        users
            .flat_map(|user| user.order.iter())
            .filter_map(|(_, _, upload)| self.uploads.at(*upload).requests.first().copied())
            .find(|number| self.request(*number).is_some_and(&is_wanted))
    }

    /// Whether the next that waits has had less than this upload: its user less than this one's,
    /// or, of one user, itself.
    pub(crate) fn is_turn_of_another(&mut self, slot: u32, now: Duration) -> bool {
        let Some(next) = self.head(now).and_then(|number| self.request(number)) else {
            return false;
        };
        let next = next.upload;
        let (mine, theirs) = (self.accrued(slot, now), self.accrued(next, now));
        if self.uploads.at(slot).user == self.uploads.at(next).user {
            mine.1 > theirs.1
        } else {
            mine.0 > theirs.0
        }
    }

    /// What an upload's user, and the upload among its user's, have had until now.
    fn accrued(&mut self, slot: u32, now: Duration) -> (u128, u128) {
        let upload = self.uploads.at_mut(slot);
        let user = self.users.at_mut(upload.user);
        user.service.accrue(&self.round, now, self.least);
        upload
            .service
            .accrue(&self.round, now, user.service.least_below);
        (user.service.received, upload.service.received)
    }

    pub(crate) fn request(&self, number: u64) -> Option<&Request> {
        self.requests.get(&number)
    }

    pub(crate) fn request_mut(&mut self, number: u64) -> Option<&mut Request> {
        self.requests.get_mut(&number)
    }

    /// Gives the request its bytes; it stays in the table until its waiter fetches them. The bytes
    /// are held from now.
    pub(crate) fn grant(&mut self, number: u64, bytes: u64, now: Duration) -> Option<Waker> {
        let slot = self.leave(number)?;
        self.hold(slot, bytes, now, true);
        let upload = self.uploads.at_mut(slot);
        upload.fetches += 1;
        let user = self.users.at_mut(upload.user);
        self.least = self.least.max(user.service.received);
        user.service.least_below = user.service.least_below.max(upload.service.received);
        upload.service.charge_ahead(bytes);
        user.service.charge_ahead(bytes);
        self.place_upload(slot);
        self.end_round_if_over();
        let request = self.requests.get_mut(&number)?;
        request.state = State::Granted(bytes);
        request.waker.take()
    }

    /// Answers the request with a refusal.
    pub(crate) fn refuse(&mut self, number: u64, why: Refusal) -> Option<Waker> {
        let slot = self.leave(number)?;
        self.uploads.at_mut(slot).fetches += 1;
        self.place_upload(slot);
        self.end_round_if_over();
        let request = self.requests.get_mut(&number)?;
        request.state = State::Refused(why);
        request.waker.take()
    }

    /// All that wait, oldest first.
    pub(crate) fn waiting_numbers(&self) -> Vec<u64> {
        self.requests
            .iter()
            .filter(|(_, request)| matches!(request.state, State::Waiting))
            .map(|(number, _)| *number)
            .collect()
    }

    /// The waiter takes its answer, or goes away: either way the request is over. Bytes of a
    /// granted one stay held under its slot, the caller makes a lease of them or gives them back.
    pub(crate) fn finish(&mut self, number: u64) -> Option<Request> {
        let waits = matches!(self.requests.get(&number)?.state, State::Waiting);
        if waits {
            let slot = self.leave(number)?;
            self.place_upload(slot);
            self.end_round_if_over();
        }
        let request = self.requests.remove(&number)?;
        if !waits {
            self.uploads.at_mut(request.upload).fetches -= 1;
        }
        self.forget_if_idle(request.upload);
        Some(request)
    }

    /// Takes a waiting request out of the counts; its slot must be placed anew.
    fn leave(&mut self, number: u64) -> Option<u32> {
        let request = self.requests.get(&number)?;
        debug_assert!(
            matches!(request.state, State::Waiting),
            "request {number} is answered twice"
        );
        let slot = request.upload;
        self.waiting -= 1;
        self.waiting_bytes -= request.bytes;
        let upload = self.uploads.at_mut(slot);
        upload.requests.remove(&number);
        self.users.at_mut(upload.user).waiting -= 1;
        Some(slot)
    }

    fn end_round_if_over(&mut self) {
        if self.waiting == 0 && self.round.contended {
            self.end_round();
        }
    }

    fn forget_if_idle(&mut self, slot: u32) {
        let upload = self.uploads.at(slot);
        if upload.leases > 0 || upload.fetches > 0 || !upload.requests.is_empty() {
            return;
        }
        let user_slot = upload.user;
        self.by_holder.remove(&upload.holder);
        self.uploads.remove(slot);
        let user = self.users.at_mut(user_slot);
        user.uploads -= 1;
        if user.uploads > 0 {
            return;
        }
        if user.listed {
            return;
        }
        let in_debt = self.round.contended && user.service.received > self.least;
        if in_debt && self.debtors.len() < self.debtors_max {
            user.listed = true;
            self.debtors.push(user_slot);
        } else {
            self.drop_user(user_slot);
        }
    }

    fn drop_user(&mut self, slot: u32) {
        let id = self.users.at(slot).id;
        self.by_user.remove(&id);
        self.users.remove(slot);
    }

    /// Where a request stands, by the last ranking.
    pub(crate) fn standing(&self, number: u64) -> Option<(u64, u64, u64)> {
        let request = self.requests.get(&number)?;
        matches!(request.state, State::Waiting).then_some((
            request.ahead,
            request.bytes_ahead,
            request.bytes,
        ))
    }

    /// Works out how many stand before each: they are sorted as if the users took turns and, within
    /// a user, its uploads. Requests of one turn stand in the order of the users.
    pub(crate) fn rank_all(&mut self) {
        if self.waiting == 0 {
            return;
        }
        let mut turns: Vec<(usize, usize, u64)> = Vec::with_capacity(self.waiting as usize);
        for (standing, (_, _, user)) in self.order.iter().enumerate() {
            let own = self.in_order(*user);
            turns.extend(
                own.into_iter()
                    .enumerate()
                    .map(|(turn, number)| (turn, standing, number)),
            );
        }
        turns.sort_unstable();
        let mut bytes_ahead = 0;
        for (ahead, (_, _, number)) in turns.into_iter().enumerate() {
            let Some(request) = self.requests.get_mut(&number) else {
                continue;
            };
            request.ahead = ahead as u64;
            request.bytes_ahead = bytes_ahead;
            bytes_ahead += request.bytes;
        }
    }

    /// A user's requests as its uploads take turns.
    fn in_order(&self, user: u32) -> Vec<u64> {
        let mut turns: Vec<(usize, usize, u64)> = Vec::new();
        for (standing, (_, _, upload)) in self.users.at(user).order.iter().enumerate() {
            let own = self.uploads.at(*upload).requests.iter().enumerate();
            turns.extend(own.map(|(turn, number)| (turn, standing, *number)));
        }
        turns.sort_unstable();
        turns.into_iter().map(|(_, _, number)| number).collect()
    }
}
