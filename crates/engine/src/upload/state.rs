//! The states of an upload, as a pure state machine.
//!
//! It holds no file, no record and no clock; it only knows which step may follow which. Everything
//! that changes an upload goes through it, so a rule such as "an offset that was answered is never
//! taken back" stands in one place and is asserted at each step.
//!
//! ```text
//!             declare length
//!                ┌────┐
//!                ▼    │       last byte durable, digests right
//!   created ─▶ Receiving ───────────────────────────────────▶ Complete
//!                │    ▲                                          ▲
//!                └────┘ bytes durable                            │
//!   created from parts ─▶ Joining ───────────────────────────────┘ all parts complete
//! ```
//!
//! Deleting and expiring end an upload at any point; they need no state, since the record goes.

use ddx_catalog::{FileRecord, Kind, State};

use crate::error::Error;

/// One upload, as far as its rules go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct UploadState {
    kind: Kind,
    state: State,
    length_bytes: Option<u64>,
    durable_bytes: u64,
}

impl UploadState {
    /// As a record tells it.
    pub(crate) fn of(record: &FileRecord) -> Self {
        let upload = Self {
            kind: record.kind,
            state: record.state,
            length_bytes: record.length_bytes,
            durable_bytes: record.offset_bytes,
        };
        upload.check();
        upload
    }

    fn check(&self) {
        if let Some(length) = self.length_bytes {
            assert!(
                self.durable_bytes <= length,
                "an upload never holds more than its length: {self:?}"
            );
        }
        if self.state == State::Complete {
            assert_eq!(
                self.length_bytes,
                Some(self.durable_bytes),
                "a complete upload is whole: {self:?}"
            );
        }
        assert!(
            self.state != State::Joining || self.kind == Kind::Final,
            "only an upload made of parts is joined: {self:?}"
        );
    }

    /// May bytes from `offset` be added?
    pub(crate) fn may_append(&self, offset: u64) -> Result<(), Error> {
        match (self.kind, self.state) {
            (Kind::Final, _) | (_, State::Joining | State::Failed) => Err(Error::NotAppendable),
            (_, State::Complete | State::Receiving) if offset != self.durable_bytes => {
                Err(Error::OffsetMismatch {
                    expected: self.durable_bytes,
                    provided: offset,
                })
            }
            // Offset = length: an empty request that comes late changes nothing and is no error (a
            // client whose answer was lost).
            (_, State::Complete | State::Receiving) => Ok(()),
        }
    }

    /// The client tells the length, perhaps again.
    pub(crate) fn declare(&mut self, length: u64) -> Result<(), Error> {
        match self.length_bytes {
            Some(known) if known != length => {
                return Err(Error::LengthMismatch {
                    known,
                    given: length,
                });
            }
            Some(_) => {}
            None if length < self.durable_bytes => {
                return Err(Error::LengthMismatch {
                    known: self.durable_bytes,
                    given: length,
                });
            }
            None => self.length_bytes = Some(length),
        }
        self.check();
        Ok(())
    }

    /// A request announces `bytes` more: do they fit?
    pub(crate) fn may_hold(&self, bytes: u64) -> Result<(), Error> {
        match self.length_bytes {
            Some(length_bytes) if bytes > length_bytes - self.durable_bytes => {
                Err(Error::PastLength { length_bytes })
            }
            _ => Ok(()),
        }
    }

    /// Bytes that still fit; None where the length is not known yet.
    pub(crate) fn remaining_bytes(&self) -> Option<u64> {
        self.length_bytes.map(|length| length - self.durable_bytes)
    }

    /// All bytes up to `offset` will survive a power cut.
    pub(crate) fn made_durable(&mut self, offset: u64) {
        assert_eq!(
            self.state,
            State::Receiving,
            "only a receiving upload grows"
        );
        assert!(
            offset >= self.durable_bytes,
            "an offset is never taken back: {offset} < {}",
            self.durable_bytes
        );
        self.durable_bytes = offset;
        self.check();
    }

    /// Whether every byte is there.
    pub(crate) fn is_whole(&self) -> bool {
        self.length_bytes == Some(self.durable_bytes)
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.state == State::Complete
    }

    pub(crate) fn durable_bytes(&self) -> u64 {
        self.durable_bytes
    }

    pub(crate) fn length_bytes(&self) -> Option<u64> {
        self.length_bytes
    }

    /// The last step: every byte is durable and every digest was right.
    pub(crate) fn completed(&mut self) {
        assert!(self.is_whole(), "only what is whole is complete: {self:?}");
        assert_ne!(self.state, State::Failed, "a failed upload stays failed");
        self.state = State::Complete;
        self.check();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn receiving(length_bytes: Option<u64>) -> UploadState {
        UploadState {
            kind: Kind::Whole,
            state: State::Receiving,
            length_bytes,
            durable_bytes: 0,
        }
    }

    #[test]
    fn an_upload_from_first_to_last_byte() {
        let mut upload = receiving(None);
        assert!(matches!(
            upload.may_append(1),
            Err(Error::OffsetMismatch {
                expected: 0,
                provided: 1
            })
        ));
        upload.may_append(0).expect("it starts at zero");
        upload.made_durable(10);
        assert!(matches!(
            upload.declare(9),
            Err(Error::LengthMismatch {
                known: 10,
                given: 9
            })
        ));
        upload.declare(12).expect("the length may be told late");
        assert!(matches!(
            upload.declare(13),
            Err(Error::LengthMismatch {
                known: 12,
                given: 13
            })
        ));
        assert!(matches!(
            upload.may_hold(3),
            Err(Error::PastLength { length_bytes: 12 })
        ));
        upload.may_hold(2).expect("two bytes fit");
        upload.made_durable(12);
        assert!(upload.is_whole());
        upload.completed();
        assert!(upload.is_complete());
    }

    #[test]
    #[should_panic(expected = "never taken back")]
    fn an_offset_is_never_taken_back() {
        let mut upload = receiving(None);
        upload.made_durable(10);
        upload.made_durable(9);
    }

    #[test]
    #[should_panic(expected = "only what is whole")]
    fn what_is_not_whole_is_not_complete() {
        let mut upload = receiving(Some(10));
        upload.made_durable(9);
        upload.completed();
    }

    #[test]
    fn what_is_joined_takes_no_bytes() {
        let upload = UploadState {
            kind: Kind::Final,
            state: State::Joining,
            length_bytes: None,
            durable_bytes: 0,
        };
        assert!(matches!(upload.may_append(0), Err(Error::NotAppendable)));
    }

    proptest! {
        /// Whatever a record says, each step is allowed exactly where the rules say so, and nothing
        /// ever goes back.
        #[test]
        fn every_step_is_allowed_where_the_rules_say_and_nowhere_else(
            kind in prop::sample::select(vec![Kind::Whole, Kind::Partial, Kind::Final]),
            state in prop::sample::select(vec![State::Receiving, State::Joining, State::Complete, State::Failed]),
            remaining in prop::option::of(0u64..20),
            durable_bytes in 0u64..20,
            steps in prop::collection::vec((0u8..4, 0u64..40), 0..30),
        ) {
            prop_assume!(state != State::Joining || kind == Kind::Final);
            let remaining = if state == State::Complete { Some(0) } else { remaining };
            let mut upload = UploadState { kind, state, length_bytes: remaining.map(|remaining| durable_bytes + remaining), durable_bytes };
            upload.check();
            for (step, figure) in steps {
                let before = upload;
                match step {
                    0 => {
                        let fits = before.length_bytes.map_or(figure >= before.durable_bytes, |known| known == figure);
                        prop_assert_eq!(upload.declare(figure).is_ok(), fits);
                        prop_assert!(fits || upload == before, "a refusal changes nothing");
                    }
                    1 => {
                        let fits = upload.may_hold(figure).is_ok();
                        prop_assert_eq!(fits, upload.remaining_bytes().is_none_or(|remaining| figure <= remaining));
                        if fits && upload.state == State::Receiving {
                            upload.made_durable(before.durable_bytes + figure);
                        }
                    }
                    2 => {
                        let grows = kind != Kind::Final && matches!(upload.state, State::Receiving | State::Complete);
                        prop_assert_eq!(upload.may_append(figure).is_ok(), grows && figure == upload.durable_bytes);
                    }
                    _ if upload.is_whole() && upload.state != State::Failed => upload.completed(),
                    _ => {}
                }
                prop_assert!(upload.durable_bytes >= before.durable_bytes);
                prop_assert!(before.length_bytes.is_none() || upload.length_bytes == before.length_bytes);
                prop_assert!(upload.state == before.state || upload.state == State::Complete);
            }
        }

        #[test]
        fn no_order_of_steps_breaks_a_rule(steps in prop::collection::vec((0u8..4, 0u64..40), 0..40)) {
            let mut upload = receiving(None);
            for (step, figure) in steps {
                match step {
                    0 => { let _ = upload.declare(figure); }
                    1 if upload.may_append(upload.durable_bytes).is_ok() && upload.may_hold(figure).is_ok() && !upload.is_complete() => {
                        upload.made_durable(upload.durable_bytes + figure);
                    }
                    2 if upload.is_whole() && !upload.is_complete() => upload.completed(),
                    _ => prop_assert!(upload.may_append(upload.durable_bytes + figure + 1).is_err()),
                }
                prop_assert!(upload.length_bytes.is_none_or(|length| upload.durable_bytes <= length));
                prop_assert!(!upload.is_complete() || upload.is_whole());
            }
        }
    }
}
