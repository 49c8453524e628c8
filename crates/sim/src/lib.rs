//! The whole server under a simulated clock, disk, network and memory, driven by one seed.
//!
//! The engine and the ledger are the real ones. Around them: a disk that loses what was not synced
//! ([`ddx_storage::faults::SimulatedDisk`]), a catalog that loses what was not committed
//! ([`catalog`]), memory that others take ([`machine`]), bodies that trickle, stall and break off
//! ([`body`]), and clients that remember everything that they were told ([`client`]). One seed
//! makes a plan ([`plan`]); a life ([`life`]) runs it on one thread, in simulated time, through as
//! many ends of the process as the plan wants, and says which promise was broken. The same seed
//! gives the same life, event by event.
//!
//! Not here: real disks, sockets and processes. The end-to-end tests have those.
//!
//! ```
//! use ddx_sim::{Plan, live};
//!
//! let plan = Plan::of(7);
//! let life = live(&plan, false);
//! assert_eq!(life.wrong, None, "no promise was broken");
//! assert_eq!(life.trace, live(&plan, false).trace, "and it can be lived again");
//! ```

pub mod body;
pub mod catalog;
pub mod client;
pub mod held;
mod last;
pub mod life;
pub mod machine;
pub mod plan;
pub mod read;
mod send;
mod server;
mod settings;
pub mod shrink;
pub mod tally;
pub mod world;

pub use life::{Outcome, live};
pub use plan::Plan;
pub use shrink::shrink;
pub use tally::Tally;
