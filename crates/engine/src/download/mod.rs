//! The way out of the bytes: segments → leased buffer → the connection.
//!
//! A download takes no lock, so it never holds up an upload and may begin while its file still
//! arrives: it then reads as far as the bytes have been written and waits for more. Its buffers are
//! leased like all others and come back when the connection has sent them, so a client that reads
//! slowly holds two buffers and no more.

mod layout;
pub(crate) mod open;
pub(crate) mod readers;
pub(crate) mod span;
mod stream;
