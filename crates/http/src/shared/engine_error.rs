//! From the engine's refusals to problem documents: one exhaustive match, so that a new refusal
//! can't be forgotten.

use ddx_engine::Error;

use crate::shared::operators::coarse;
use crate::shared::problem::{Kind, Problem};
use crate::shared::size::{size, size_at_least};
use std::time::Duration;

/// When a request that met a passing failure is worth another try.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// When it is worth another try where the operator has to mount a disk.
const RETRY_AFTER_MOUNT: Duration = Duration::from_secs(60);

/// The problem that the client is told. What concerns the operator only is logged here.
#[deny(
    clippy::wildcard_enum_match_arm,
    clippy::match_wildcard_for_single_variants
)]
pub(crate) fn problem(error: Error) -> Problem {
    match error {
        Error::NotFound => Problem::new(Kind::NotFound),
        Error::Expired => Problem::new(Kind::FileExpired),
        Error::OffsetMismatch { expected, provided } => Problem::new(Kind::WrongOffset)
            .detail(format!(
                "The upload is at byte {expected}, but the request starts at byte {provided}."
            ))
            .limit(expected)
            .value(provided),
        Error::LengthMismatch { known, given } => Problem::new(Kind::LengthInvalid)
            .detail(format!(
                "The upload's length is at least {known} bytes, but the request says {given}."
            ))
            .limit(known)
            .value(given),
        Error::PastLength { length_bytes } => Problem::new(Kind::BeyondLength)
            .detail(format!(
                "The upload's length is {length_bytes} bytes, but more were sent."
            ))
            .limit(length_bytes),
        Error::TooLarge { limit_bytes } => Problem::too_large(limit_bytes),
        Error::ChecksumMismatch { algorithm } => {
            Problem::new(Kind::ChecksumMismatch).value(algorithm)
        }
        Error::ChecksumMissing => Problem::new(Kind::ChecksumInvalid)
            .detail("The announced checksum trailer did not arrive."),
        Error::NoSpace {
            needed_bytes,
            free_bytes,
            floor_bytes,
        } => Problem::new(Kind::NoSpace)
            .detail(format!(
                "Not enough space (about {} free, {} needed).",
                size(coarse(free_bytes.saturating_sub(floor_bytes))),
                size_at_least(needed_bytes)
            ))
            .limit(coarse(free_bytes.saturating_sub(floor_bytes)))
            .value(needed_bytes),
        Error::ReadOnly => Problem::new(Kind::ReadOnly).retry_after(RETRY_AFTER_MOUNT),
        Error::QueueFull {
            waiting,
            retry_after,
        } => Problem::new(Kind::QueueFull)
            .limit(waiting)
            .retry_after(retry_after),
        Error::Closing => Problem::new(Kind::ShuttingDown).retry_after(RETRY_AFTER),
        Error::Superseded => Problem::new(Kind::TakenOver),
        Error::ClientGone => Problem::new(Kind::BodyInvalid).detail("The body ended early."),
        Error::Stalled { after } => Problem::new(Kind::BodyStalled)
            .detail(format!("No data arrived for {} seconds.", after.as_secs()))
            .limit(after.as_secs()),
        Error::NotAppendable => Problem::new(Kind::FinalUpload),
        Error::PartUnknown { place } => Problem::new(Kind::ConcatPart).detail(format!(
            "Part {place} doesn't exist or is not a partial upload."
        )),
        Error::PartRepeated { place } => {
            Problem::new(Kind::ConcatPart).detail(format!("Part {place} is listed twice."))
        }
        Error::TooManyParts { count, limit } => {
            Problem::new(Kind::TooManyParts).limit(limit).value(count)
        }
        Error::NameTaken => Problem::new(Kind::NameTaken),
        Error::DownloadsUsedUp { limit } => Problem::new(Kind::DownloadsUsedUp).limit(limit),
        Error::DownloadTaken => Problem::new(Kind::DownloadTaken).retry_after(RETRY_AFTER_MOUNT),
        Error::TooManyReaders { limit } => Problem::new(Kind::NoMemory)
            .detail(format!(
                "Too many people are downloading files with a download limit (limit {limit})."
            ))
            .limit(limit)
            .retry_after(RETRY_AFTER_MOUNT),
        Error::TooManyOfReader { limit } => Problem::new(Kind::TooManyOfOne)
            .detail(format!(
                "Too many downloads of files with a download limit from your address (limit {limit})."
            ))
            .limit(limit)
            .retry_after(RETRY_AFTER_MOUNT),
        Error::NoMemory {
            needed_bytes,
            free_bytes,
            retry_after,
        } => Problem::new(Kind::NoMemory).limit(free_bytes).value(needed_bytes).retry_after(retry_after),
        Error::Damaged { .. } => Problem::new(Kind::FileDamaged),
        Error::Storage(_) | Error::Catalog(_) => {
            tracing::error!(error = &error as &dyn std::error::Error, "a request failed by an error of the server; its client was told so; if this repeats, see to the disk and report it");
            Problem::new(Kind::StorageUnavailable).retry_after(RETRY_AFTER)
        }
        Error::Internal(_) => {
            tracing::error!(error = &error as &dyn std::error::Error, "a request failed by an error of the server; its client was told so; if this repeats, see to the disk and report it");
            Problem::new(Kind::Internal)
        }
    }
}

/// The same for a share, whose absence has a name of its own.
pub(crate) fn share_problem(error: Error) -> Problem {
    match error {
        Error::NotFound => Problem::new(Kind::ShareNotFound),
        other => problem(other),
    }
}

/// The same for an upload's URL, whose absence has a name of its own.
pub(crate) fn upload_problem(error: Error) -> Problem {
    match error {
        Error::NotFound => Problem::new(Kind::UploadNotFound),
        Error::Expired => Problem::new(Kind::UploadExpired),
        other => problem(other),
    }
}

/// What stays of an upload whose body was cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stays {
    /// All that arrived.
    Bytes,
    /// What stood before this body, which came with a checksum that can't be checked now.
    Upload,
    /// Nothing: its client has no way to continue it.
    Nothing,
}

impl Stays {
    const fn text(self) -> &'static str {
        match self {
            Self::Bytes => "what was received is kept",
            Self::Upload => "this part was not kept because its checksum cannot be checked",
            Self::Nothing => "nothing was kept",
        }
    }

    const fn remedy(self) -> &'static str {
        match self {
            Self::Bytes | Self::Upload => "Get the offset with HEAD and continue there.",
            Self::Nothing => "Send the file again from the start.",
        }
    }
}

/// The problem of a body that may have been cut: it tells what is true for this one.
pub(crate) fn body_problem(error: Error, stays: Stays) -> Problem {
    let why = match &error {
        Error::Closing => "The server is about to stop".to_owned(),
        Error::ClientGone => "The body ended early".to_owned(),
        Error::Stalled { after } => format!("No data arrived for {} seconds", after.as_secs()),
        Error::Superseded => "A newer request is sending this upload".to_owned(),
        _ if stays == Stays::Nothing => return problem(error),
        _ => return upload_problem(error),
    };
    problem(error)
        .detail(format!("{why}; {}.", stays.text()))
        .remedy(stays.remedy())
}
