//! Where bytes live: the segment store, on a local disk.
