//! A client that takes nothing of a file for a while, where hyper sends it: to HTTP/1.0, as nginx asks
//! unless it is told otherwise.

use std::io;

use super::idle::{Idle, IdleConnections};
use super::wire::{Patience, Wire};
use crate::socket;

/// Whether it does now.
#[derive(Debug)]
pub(super) struct Rests<'c> {
    connections: &'c IdleConnections,
    /// The kernel bears with it for as long as we do.
    is_borne: bool,
    idle: Option<Idle<'c>>,
}

impl<'c> Rests<'c> {
    /// It takes something.
    pub(super) fn new(connections: &'c IdleConnections) -> Self {
        Self {
            connections,
            is_borne: false,
            idle: None,
        }
    }

    /// Tells the kernel whether a client that takes nothing may rest.
    pub(super) fn bear(
        &mut self,
        wire: &Wire,
        is_blocked: bool,
        patience: &Patience,
    ) -> io::Result<()> {
        if !is_blocked {
            self.idle = None;
        }
        if is_blocked == self.is_borne {
            return Ok(());
        }
        self.is_borne = is_blocked;
        let time = match is_blocked {
            true => patience.write.saturating_add(patience.pause),
            false => patience.write,
        };
        socket::set_user_timeout(wire.stream(), time)
    }

    /// From now on its place is for others who want it.
    pub(super) fn begin(&mut self) {
        let connections = self.connections;
        self.idle.get_or_insert_with(|| connections.enter());
    }

    /// Returns when others want it.
    pub(super) async fn gives_place(&self) {
        match &self.idle {
            Some(idle) => idle.gives_place().await,
            None => std::future::pending().await,
        }
    }
}
