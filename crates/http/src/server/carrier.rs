//! What carries a request that stays with hyper: a plain connection, or one that is encrypted.

use std::sync::Arc;

use super::gate::BodyWay;
use super::secure_gate::SecureGate;
use super::wire::Wire;

/// What carries a request.
#[derive(Debug)]
pub(crate) enum Carrier {
    Plain(Arc<Wire>),
    Secure(Arc<SecureGate>),
}

impl Carrier {
    /// Called once for each request that stays with hyper, as soon as hyper has parsed its head.
    pub(super) fn decide(&self, way: BodyWay) {
        match self {
            Self::Plain(wire) => wire.decide(way),
            Self::Secure(gate) => gate.decide(way),
        }
    }

    /// The answer's last byte has been handed to hyper.
    pub(crate) fn answered(&self) {
        match self {
            Self::Plain(wire) => wire.answered(),
            Self::Secure(gate) => gate.answered(),
        }
    }
}
