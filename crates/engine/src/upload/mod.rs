//! The life of an upload: from its record to the whole file.
//!
//! [`create`] makes the record, [`append`] takes a body for it: [`lock`] has one request write at a
//! time, [`session`] is what this request does, [`receive`] moves its bytes from the socket
//! ([`body`]) to the disk ([`segment_writer`]), and [`completion`] records what is whole. [`small`]
//! is the short way for small files, [`join`] makes one file of parts. [`state`] knows which step
//! may follow which.

pub(crate) mod append;
pub(crate) mod body;
pub(crate) mod completion;
pub(crate) mod create;
pub(crate) mod digests;
pub(crate) mod join;
pub(crate) mod live;
pub(crate) mod lock;
mod names;
pub(crate) mod receive;
pub(crate) mod segment_writer;
pub(crate) mod session;
mod small;
pub(crate) mod state;
