//! The order of those who wait: users by what they received, and of each its uploads.

use std::time::Duration;

use super::{Queue, Request, RequestState};

/// A stale key is brought up to date when it comes to the front; so many at once, to bound the time
/// under the lock.
const REFRESH_MAX: usize = 64;

impl Queue {
    /// Puts the upload, and its user, where their service says.
    pub(super) fn place_upload(&mut self, slot: u32) {
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
            // Held against the key, not against what stood before: others let it accrue as well.
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

    /// Where a request stands, by the last ranking.
    pub(crate) fn standing(&self, number: u64) -> Option<(u64, u64, u64)> {
        let request = self.requests.get(&number)?;
        matches!(request.state, RequestState::Waiting).then_some((
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
