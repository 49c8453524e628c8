//! The life of an upload and of a share.
