//! Limits of a request.

/// What a tus request may ask for at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Largest upload, in bytes; `None`: as large as the disk holds. Default `None`.
    pub file_bytes_max: Option<u64>,
    /// Bytes of `Upload-Metadata`, as it stands in the header. Default 8,192. It is kept and sent
    /// back by HEAD.
    pub metadata_bytes_max: usize,
    /// Pairs in `Upload-Metadata`. Default 64.
    pub metadata_pairs_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            file_bytes_max: None,
            metadata_bytes_max: 8_192,
            metadata_pairs_max: 64,
        }
    }
}
