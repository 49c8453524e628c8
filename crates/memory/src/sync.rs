//! The one place where locks and threads come from.
//!
//! Everything that two threads may touch goes through these names, so that `tests/model.rs` can
//! compile the very same modules against a model checker's types (it declares the modules again by
//! path, with a `sync` of its own). A feature flag was rejected: features unify over a workspace,
//! and a checker's mutex outside a checker panics.

pub(crate) use std::sync::{Arc, Mutex, MutexGuard};
pub(crate) use std::thread;
