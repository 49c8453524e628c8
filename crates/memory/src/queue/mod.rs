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
mod order;
mod place;
mod requests;
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
pub(crate) enum RequestState {
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
    pub(crate) state: RequestState,
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

    pub(super) fn forget_if_idle(&mut self, slot: u32) {
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

    pub(super) fn drop_user(&mut self, slot: u32) {
        let id = self.users.at(slot).id;
        self.by_user.remove(&id);
        self.users.remove(slot);
    }
}
