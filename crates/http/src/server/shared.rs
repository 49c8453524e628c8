//! What all connections of a server share.

use std::sync::Arc;

use ddx_memory::Ledger;
use tokio_util::sync::CancellationToken;

use super::gate::Heads;
use super::idle::IdleConnections;
use super::limits::Limits;
use super::quota::Quota;
use super::request_memory::RequestMemory;
use super::served::Served;

pub(super) struct Shared {
    pub(super) limits: Limits,
    pub(super) tls: Option<tokio_rustls::TlsAcceptor>,
    pub(super) app: Arc<Served>,
    pub(super) ledger: Ledger,
    pub(super) heads: Arc<Heads>,
    pub(super) http2_quota: Arc<Quota>,
    pub(super) request_memory: RequestMemory,
    pub(super) idle: Arc<IdleConnections>,
    pub(super) closing: CancellationToken,
}
