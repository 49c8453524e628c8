//! What every handler shares: the state, who asks, and what they may.
//!
//! It knows none of those that use it.

mod allowance;
mod base;
mod client;
mod memory;
mod operator;
mod state;

pub(crate) use allowance::{allow_length, allow_upload};
pub(crate) use base::{CREATED_FIELDS, PublicBase};
pub(crate) use client::{Client, peer};
pub(crate) use memory::{charge_answer, no_memory};
pub(crate) use operator::Operator;
pub use state::{App, Config, CrossOrigin};
