//! Requests from the time they join the queue until their waiter has its answer.

use std::task::Waker;
use std::time::Duration;

use super::{Queue, Request, RequestState};
use crate::Refusal;
use crate::holder::Purpose;

impl Queue {
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
                state: RequestState::Waiting,
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
        request.state = RequestState::Granted(bytes);
        request.waker.take()
    }

    /// Answers the request with a refusal.
    pub(crate) fn refuse(&mut self, number: u64, why: Refusal) -> Option<Waker> {
        let slot = self.leave(number)?;
        self.uploads.at_mut(slot).fetches += 1;
        self.place_upload(slot);
        self.end_round_if_over();
        let request = self.requests.get_mut(&number)?;
        request.state = RequestState::Refused(why);
        request.waker.take()
    }

    /// All that wait, oldest first.
    pub(crate) fn waiting_numbers(&self) -> Vec<u64> {
        self.requests
            .iter()
            .filter(|(_, request)| matches!(request.state, RequestState::Waiting))
            .map(|(number, _)| *number)
            .collect()
    }

    /// The waiter takes its answer, or goes away: either way the request is over. Bytes of a
    /// granted one stay held under its slot, the caller makes a lease of them or gives them back.
    pub(crate) fn finish(&mut self, number: u64) -> Option<Request> {
        let waits = matches!(self.requests.get(&number)?.state, RequestState::Waiting);
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
            matches!(request.state, RequestState::Waiting),
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
}
