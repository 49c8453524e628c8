//! Downloads: `/d/{share_id}` and `/d/{share_id}/{path}`.

pub mod byteranges;
pub mod disposition;
pub mod wire;
