//! A server in a test: the real binary, memory boxes, mounted images, a disk whose power can be
//! cut, a fault proxy, real clients, a machine with a kernel of its own.
//!
//! End-to-end tests prove promises about a *process*: that it survives `kill -9`, that the kernel
//! never kills it for memory, that a cut connection costs nothing. None of that can be shown with a
//! router called in the test's own process, so everything here works from outside: the binary as
//! users run it, sockets, cgroups, file systems. Only what can't be had otherwise is written by
//! hand; the HTTP client is, since a test must be able to send half a header, or half a body and
//! then nothing, which no proper client will do.
//!
//! The kit shares no code with the server (its digests come from `blake3` itself, not from our own
//! crate around it): a fault in shared code would otherwise prove itself right.
//!
//! Not here: tests. They lie beside what they are about.
//!
//! ```no_run
//! use ddx_testkit::{Data, Setup};
//!
//! # async fn test() -> anyhow::Result<()> {
//! let server = Setup::new("target/debug/ddx").option("--memory-limit", "256MiB").start()?;
//! let client = server.client();
//! let data = Data::new(1, 100_000);
//! let link = client.put_for_link("a.bin", &data).await?;
//! client.fetch(&link, &data).await?;
//! # Ok(())
//! # }
//! ```
#![warn(missing_docs)]

mod client;
mod clock;
mod command;
mod data;
mod disk;
mod fault;
mod http;
mod image;
mod memory_box;
mod neighbour;
mod power;
mod proxy;
mod server;
mod status;
mod stream;
mod turn;
mod tus;
mod vm;

pub use client::{Client, Fetched};
pub use clock::FakeClock;
pub use command::{Finished, Run, clients_folder, node, python};
pub use data::{Data, blake3_hex, from_hex, to_hex};
pub use disk::{Call, DiskFaults, Rule, Trouble};
pub use fault::{Cut, Fault, FaultProxy, Way};
pub use http::{Body, Conn, Head, Pace, Request, Response, Sent};
pub use image::Image;
pub use memory_box::{MemoryBox, Usage};
pub use neighbour::{Neighbour, Thrashed};
pub use power::{PowerCut, PowerDisk};
pub use proxy::Proxy;
pub use server::{Exit, Server, Setup};
pub use status::Status;
pub use stream::{Event, Events};
pub use turn::Turn;
pub use tus::{Exchange, Part, Tus, Upload, crc32_checksum, metadata};
pub use vm::Vm;

/// One mebibyte, in bytes.
pub const MIB: u64 = 1024 * 1024;

/// Whether the long runs are asked for (`DDX_FULL=1`); without it the same tests run on smaller
/// figures.
pub fn full() -> bool {
    std::env::var("DDX_FULL").is_ok_and(|value| value == "1")
}

/// `small` by default, `large` when the long runs are asked for.
pub fn scaled(small: u64, large: u64) -> u64 {
    if full() { large } else { small }
}

/// A number from the environment, or `default`.
///
/// # Panics
/// When the variable is set to something that is no number: a typing error must not shorten a long
/// run.
pub fn from_env(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{name}={text} is not a whole number")),
        Err(_) => default,
    }
}
