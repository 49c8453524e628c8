//! What a request brings besides its body.

use ddx_digest::Algorithm;

use crate::upload::create::NewUpload;

/// A digest of a request's body, to be checked before any of the body counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// It came with the request's head.
    Known(Algorithm, Vec<u8>),
    /// It comes after the body, and only then tells its algorithm, so the body is read back to
    /// check it.
    Trailing,
}

/// What a request brings besides its body.
#[derive(Debug, Clone, Default)]
pub struct Append {
    /// Where the client thinks that the upload stands.
    pub offset: u64,
    /// How many bytes it announces; None where it does not say.
    pub announced_bytes: Option<u64>,
    /// The upload's length, if it is told now.
    pub length_bytes: Option<u64>,
    /// A digest of this body. Where it is wrong, nothing of the body is kept; where the body is
    /// cut, neither, since it can't be checked.
    pub expected: Option<Expected>,
    /// The end of this body is the end of the file, where the length is not known.
    pub is_last: bool,
    /// Whether the file's SHA-256 is wanted, where this body is all of it.
    pub with_sha256: bool,
}

/// What a plain upload brings besides its body.
#[derive(Debug, Clone)]
pub struct Put {
    /// The file to be made.
    pub new: NewUpload,
    /// A digest of the whole file.
    pub expected: Option<Expected>,
}
