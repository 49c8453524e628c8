//! Whose memory it is, and what for.

/// Whose memory it is: the queue is fair between users first, then between a user's uploads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Holder {
    /// A hash of the user's name or address.
    pub user: u64,
    /// The upload, unique within the user.
    pub upload: u64,
}

/// What a lease is for. An upload gives its memory back when the disk has written it; a download
/// only when its client has taken it, which may be never. So downloads together hold no more than
/// half, and none is the one that may go on at any pressure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    Upload,
    Download,
}
