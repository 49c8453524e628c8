//! tus 1.0.0, the resumable upload protocol, with all its extensions.

pub mod wire;
