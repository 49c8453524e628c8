//! The rules of records and states, as pure functions that every backend applies inside its
//! transaction.
//!
//! They stand here and not in each backend, so that two backends can't differ in what they accept;
//! a backend may assert them once more in its own language, as SQLite does with checks and
//! triggers.

use ddx_id::FileId;

use crate::{Checkpoint, Completion, Error, ErrorKind, Kind, NewFile, Segment, State};

/// What a change has to know of the file as it stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Standing {
    pub(crate) kind: Kind,
    pub(crate) state: State,
    pub(crate) length_bytes: Option<u64>,
    pub(crate) offset_bytes: u64,
}

fn invalid<T>(detail: impl Into<String>) -> Result<T, Error> {
    Err(Error::new(ErrorKind::Invalid, detail))
}

fn total(segments: &[Segment]) -> Option<u64> {
    segments
        .iter()
        .try_fold(0_u64, |sum, segment| sum.checked_add(segment.length_bytes))
}

/// Whether bytes and length of a complete file agree.
fn whole(
    kind: Kind,
    length_bytes: u64,
    segments: &[Segment],
    inline: Option<&Vec<u8>>,
) -> Result<(), Error> {
    let Some(inline) = inline else {
        return match total(segments) {
            Some(sum) if sum == length_bytes => Ok(()),
            sum => invalid(format!(
                "segments hold {sum:?} bytes, the file has {length_bytes}"
            )),
        };
    };
    if !segments.is_empty() {
        return invalid("a file has inline bytes or segments, not both");
    }
    if kind == Kind::Partial && !inline.is_empty() {
        return invalid("a part's bytes are not inline: a final could not refer to them");
    }
    if inline.len() as u64 != length_bytes {
        return invalid(format!(
            "{} inline bytes, the file has {length_bytes}",
            inline.len()
        ));
    }
    Ok(())
}

/// Whether a new file's record is consistent; see [`crate::FileRecord`].
pub(crate) fn check_new(new: &NewFile) -> Result<(), Error> {
    let file = &new.record;
    if file.kind != Kind::Final && !file.parts.is_empty() {
        return invalid("only a final has parts");
    }
    if file.state != State::Complete && new.inline.is_some() {
        return invalid("only a complete file has inline bytes");
    }
    if file.state != State::Complete && file.completed_at.is_some() {
        return invalid("completed_at of a file that is not complete");
    }
    match (file.state, file.kind) {
        (State::Failed, _) => invalid("a file is not made in failed state"),
        (State::Receiving, Kind::Final) => invalid("a final joins, it does not receive"),
        (State::Joining, Kind::Whole | Kind::Partial) => invalid("only a final joins"),
        (State::Joining, Kind::Final) if file.offset_bytes != 0 => {
            invalid("a joining final has no offset")
        }
        (State::Joining, Kind::Final) => Ok(()),
        (State::Receiving, Kind::Whole | Kind::Partial) => match file.length_bytes {
            Some(length) if file.offset_bytes > length => {
                invalid("the offset is beyond the length")
            }
            _ => Ok(()),
        },
        (State::Complete, kind) => {
            if file.length_bytes != Some(file.offset_bytes) || file.completed_at.is_none() {
                return invalid("a complete file has offset = length and completed_at");
            }
            if !file.digest_state.is_empty() {
                return invalid("a complete file has no digest state");
            }
            whole(kind, file.offset_bytes, &file.segments, new.inline.as_ref())
        }
    }
}

/// Whether a checkpoint may be made.
pub(crate) fn check_checkpoint(now: &Standing, next: &Checkpoint) -> Result<(), Error> {
    if now.state != State::Receiving {
        return Err(Error::new(
            ErrorKind::Gone,
            format!("checkpoint of a file that is {:?}", now.state),
        ));
    }
    if next.offset_bytes < now.offset_bytes {
        return invalid(format!(
            "the offset would go back from {} to {}",
            now.offset_bytes, next.offset_bytes
        ));
    }
    let length = match (now.length_bytes, next.length_bytes) {
        (Some(known), Some(given)) if known != given => {
            return invalid(format!("the length is {known} and would become {given}"));
        }
        (known, given) => known.or(given),
    };
    match length {
        Some(length) if next.offset_bytes > length => invalid(format!(
            "the offset {} is beyond the length {length}",
            next.offset_bytes
        )),
        _ => Ok(()),
    }
}

/// Finals that expire before this hear of a part's progress, and their parts with them; the others
/// would gain less than an eighth of its time by it. So a checkpoint seldom writes more rows than
/// its own.
pub(crate) fn family_due_before(at: i64, expires_at: i64) -> i64 {
    expires_at.saturating_sub(expires_at.saturating_sub(at).max(0) / 8)
}

/// Whether a file may be completed.
pub(crate) fn check_completion(now: &Standing, last: &Completion) -> Result<(), Error> {
    if !matches!(now.state, State::Receiving | State::Joining) {
        return Err(Error::new(
            ErrorKind::Gone,
            format!("completion of a file that is {:?}", now.state),
        ));
    }
    match now.length_bytes {
        Some(known) if known != last.length_bytes => {
            return invalid(format!(
                "the length is {known} and would become {}",
                last.length_bytes
            ));
        }
        _ => {}
    }
    if now.offset_bytes > last.length_bytes {
        return invalid(format!(
            "{} bytes are durable, the length would be {}",
            now.offset_bytes, last.length_bytes
        ));
    }
    whole(
        now.kind,
        last.length_bytes,
        &last.segments,
        last.inline.as_ref(),
    )
}

/// A part as a final sees it when it is completed.
pub(crate) struct PartStanding {
    pub(crate) file_id: FileId,
    /// `None` if it is not there any more.
    pub(crate) state: Option<(Kind, State)>,
    pub(crate) segments: Vec<Segment>,
}

/// Whether a final's segments are those of its parts, each of them complete. Checked in the
/// transaction that completes it: a part that is deleted meanwhile takes its segments along, and no
/// final may refer to those.
pub(crate) fn check_joined(parts: &[PartStanding], segments: &[Segment]) -> Result<(), Error> {
    for part in parts {
        match part.state {
            Some((Kind::Partial, State::Complete)) => {}
            None => {
                return Err(Error::new(
                    ErrorKind::Gone,
                    format!("part {:02x?} is gone", part.file_id),
                ));
            }
            Some((Kind::Partial, state)) => return invalid(format!("a part is {state:?}")),
            Some((kind, _)) => return invalid(format!("a part is a {kind:?} upload")),
        }
    }
    let filled = |segment: &&Segment| segment.length_bytes > 0;
    let joined = parts.iter().flat_map(|part| &part.segments).filter(filled);
    if joined.eq(segments.iter().filter(filled)) {
        Ok(())
    } else {
        invalid("the segments are not those of the parts")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECEIVING: Standing = Standing {
        kind: Kind::Whole,
        state: State::Receiving,
        length_bytes: Some(10),
        offset_bytes: 4,
    };

    fn kind_of(result: Result<(), Error>) -> Option<ErrorKind> {
        result.err().map(|error| error.kind())
    }

    #[test]
    fn an_offset_goes_forward_up_to_the_length_and_only_while_receiving() {
        let to = |offset_bytes| Checkpoint {
            offset_bytes,
            ..Checkpoint::default()
        };
        assert_eq!(kind_of(check_checkpoint(&RECEIVING, &to(4))), None);
        assert_eq!(kind_of(check_checkpoint(&RECEIVING, &to(10))), None);
        assert_eq!(
            kind_of(check_checkpoint(&RECEIVING, &to(3))),
            Some(ErrorKind::Invalid)
        );
        assert_eq!(
            kind_of(check_checkpoint(&RECEIVING, &to(11))),
            Some(ErrorKind::Invalid)
        );
        for state in [State::Joining, State::Complete, State::Failed] {
            let now = Standing { state, ..RECEIVING };
            assert_eq!(
                kind_of(check_checkpoint(&now, &to(5))),
                Some(ErrorKind::Gone)
            );
        }
    }

    #[test]
    fn a_final_has_the_segments_of_its_parts_in_order() {
        let segment = |name, length_bytes| Segment {
            segment_id: [name; 16].into(),
            length_bytes,
            crc64: 0,
        };
        let part = |segments| PartStanding {
            file_id: [0; 16].into(),
            state: Some((Kind::Partial, State::Complete)),
            segments,
        };
        let parts = [
            part(vec![segment(1, 5)]),
            part(vec![segment(2, 0)]),
            part(vec![segment(3, 7), segment(4, 1)]),
        ];
        let right = [segment(1, 5), segment(3, 7), segment(4, 1)];
        assert_eq!(kind_of(check_joined(&parts, &right)), None);
        let swapped = [segment(3, 7), segment(1, 5), segment(4, 1)];
        assert_eq!(
            kind_of(check_joined(&parts, &swapped)),
            Some(ErrorKind::Invalid)
        );
        assert_eq!(
            kind_of(check_joined(&parts, &right[..2])),
            Some(ErrorKind::Invalid)
        );
        let gone = PartStanding {
            file_id: [0; 16].into(),
            state: None,
            segments: Vec::new(),
        };
        assert_eq!(kind_of(check_joined(&[gone], &[])), Some(ErrorKind::Gone));
    }
}
