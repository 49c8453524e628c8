//! Who reads a file whose number of downloads is limited.

use ddx_id::LeaseId;

/// A part of a BLAKE3 digest: of fixed size, however long the text is that a client sent.
pub(super) type Mark = [u8; 16];

/// Who reads, as far as can be told.
#[derive(Debug, Clone)]
pub struct Reader {
    /// The lease that the client says is its own.
    pub lease: Option<LeaseId>,
    pub(super) client: Mark,
    pub(super) traits: Mark,
}

impl Reader {
    /// A reader by the client's address, or network, and the name of its program.
    #[must_use]
    pub fn new(lease: Option<LeaseId>, client: &str, agent: &str) -> Self {
        let mark = |hasher: &blake3::Hasher| {
            let mut mark = Mark::default();
            hasher.finalize_xof().fill(&mut mark);
            mark
        };
        let mut hasher = blake3::Hasher::new();
        hasher.update(client.as_bytes());
        let client = mark(&hasher);
        // No address has this byte, so that no two pairs are one.
        hasher.update(&[0]).update(agent.as_bytes());
        Self {
            lease,
            client,
            traits: mark(&hasher),
        }
    }
}
