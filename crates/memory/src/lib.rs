//! The memory ledger: what the machine has, who holds it, who waits.
