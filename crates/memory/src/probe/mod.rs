//! What the machine has: the host, our control groups on every level, our own process.
//!
//! Two mistakes are common and both are avoided here. `current − inactive_file` takes freshly
//! dirtied pages (and pages given up with `MADV_FREE`) for free, though they can't be had at once.
//! Plain `current` counts clean page cache, so a gate built on it shuts for good while nothing is
//! wrong. What counts is *hard* usage: what the kernel can't take back without writing it somewhere
//! first, see [`v1`] and [`v2`].
//!
//! Parsing is pure functions on text; only [`Machine`] opens files, below a root directory of its
//! choice, so that whole trees can be tested.

mod cgroup;
mod files;
mod host;
mod machine;
mod mountinfo;
mod peak;
mod search;
mod v1;
mod v2;

pub use machine::Machine;
