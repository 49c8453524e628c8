//! The ways in and out: protocols, links, the API, the pages, and the connections under them.
//!
//! From below to above, and no file knows one above it:
//!
//! - `shared`: the words of HTTP that all speak: problem documents, fields, names, digests, hosts.
//! - [`server`]: connections, TLS, HTTP/1 and HTTP/2, and the bytes of bodies.
//! - `app`: the state that handlers share, who asks, and what they may.
//! - `listing`, [`delivery`], `pages`, `api`: what is answered.
//! - [`protocols`]: how files come, one folder each. `headers` in each is pure (fields and bytes
//!   in, values out), its handlers call the engine.
//! - `middleware` and [`router`](router()): what all requests pass, and all addresses put together.
//!
//! Not here: what becomes of an upload. The engine knows that, and no word of HTTP.
//!
//! How a program serves all of it from its own process: `crates/ddx/examples/embed.rs`. What is
//! served is told by one document:
//!
//! ```
//! let contract: serde_json::Value = serde_json::from_str(&ddx_http::openapi())?;
//! assert_eq!(contract["paths"]["/{name}"]["put"]["operationId"], "send_file");
//! # Ok::<(), serde_json::Error>(())
//! ```

mod api;
mod app;
mod contract;
pub mod delivery;
mod listing;
pub mod metrics;
mod middleware;
mod pages;
pub mod protocols;
mod route_group;
mod router;
pub mod server;
pub mod shared;
mod starting;

pub use app::{App, Config, CrossOrigin};
pub use router::{openapi, router};
pub use starting::starting;
