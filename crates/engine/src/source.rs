//! Where an upload's bytes come from: a socket, a frame stream, a test.
//!
//! Waiting and taking are two steps, so that a connection that sends nothing holds no buffer: first
//! `ready`, without any memory of ours, then a lease, then `take` into it.

use std::future::Future;

use ddx_digest::Algorithm;
use futures_util::FutureExt as _;

/// What came of one attempt to take bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// This many bytes, at least one.
    Bytes(usize),
    /// None now; wait for `ready`.
    Nothing,
    /// The body has ended, whole as far as its transport can tell.
    End,
}

/// The body was cut: the client went away, or its framing broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the body was cut")]
pub struct Cut;

/// The body of one request.
pub trait Source: Send + 'static {
    /// Resolves when `take` has something to say. It may resolve too early, never too late.
    /// Dropping the future loses nothing.
    ///
    /// # Errors
    /// When the body was cut.
    fn ready(&mut self) -> impl Future<Output = Result<(), Cut>> + Send;

    /// As [`Source::ready`], for a body that has paused for long: false where others want what its
    /// connection costs.
    ///
    /// # Errors
    /// When the body was cut.
    fn ready_or_unwanted(&mut self) -> impl Future<Output = Result<bool, Cut>> + Send {
        async {
            self.ready().await?;
            Ok(true)
        }
    }

    /// From now on `ready` may wait until so many bytes are here, or all that are left. It is a
    /// hint, for a transport where each wake-up costs; 1 in the beginning.
    fn set_low_water(&mut self, bytes: u64) {
        let _ = bytes;
    }

    /// Whether bytes have arrived that were not taken yet, or the end. Nothing that is still under
    /// way is waited for.
    fn has_arrived(&mut self) -> impl Future<Output = bool> + Send {
        async {
            // What the transport has is known only after the runtime has asked it.
            tokio::task::yield_now().await;
            matches!(self.ready().now_or_never(), Some(Ok(())))
        }
    }

    /// Takes what is here, without waiting.
    ///
    /// # Errors
    /// When the body was cut. What came before has been taken by then.
    fn take(&mut self, into: &mut [u8]) -> Result<Taken, Cut>;

    /// The digest that the client sent after the body, once `take` has said [`Taken::End`].
    fn trailing_digest(&mut self) -> Option<(Algorithm, Vec<u8>)> {
        None
    }
}
