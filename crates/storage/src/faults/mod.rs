//! Disks that fail on purpose, for simulations here and in the rooms above.
//!
//! Real failures are rare and slow to provoke; an upload's life has to be run through thousands of
//! them. Two tools:
//!
//! - [`SimulatedDisk`]: a whole store in memory that knows what a real disk has not promised yet,
//!   and loses just that when its power is cut. It keeps the sentences of the conformance suite
//!   like any other store.
//! - [`FaultyStore`]: goes before any store, simulated or real, and makes chosen calls fail, stop
//!   half-way or wait.

mod content;
mod faulty;
mod simulated;

pub use faulty::{Call, Fault, FaultPlan, FaultyStore};
pub use simulated::SimulatedDisk;
