//! hyper's side of a connection: it reads what the gate lets through, and writes to the socket.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use hyper::rt::{Read, ReadBufCursor, Write};
use tokio::net::TcpStream;

use super::{READ_BYTES, Wire};
use crate::server::gate::Next;
use crate::server::resting::OverSocket;

/// hyper's side of the connection.
#[derive(Debug)]
pub(crate) struct Transport(pub(crate) Arc<Wire>);

impl Read for Transport {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let wire = &self.0;
        loop {
            {
                let mut state = wire.state();
                state.look();
                match state.gate.next(buffer.remaining()) {
                    Next::Nothing => {
                        state.reader = Some(cx.waker().clone());
                        return Poll::Pending;
                    }
                    Next::Give(most) => {
                        state.is_flushed = false;
                        state.gate.give(most, |bytes| buffer.put_slice(bytes));
                        return Poll::Ready(Ok(()));
                    }
                    Next::Read(_) => {}
                }
            }
            ready!(wire.stream.poll_read_ready(cx))?;
            let mut bytes = [0; READ_BYTES];
            let mut state = wire.state();
            let Next::Read(most) = state.gate.next(buffer.remaining()) else {
                continue;
            };
            match wire.stream.try_read(&mut bytes[..most.min(READ_BYTES)]) {
                Ok(count) => {
                    let passed = state.gate.pass(&bytes[..count]);
                    buffer.put_slice(&bytes[..passed]);
                    if passed > 0 || count == 0 {
                        return Poll::Ready(Ok(()));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl OverSocket for Transport {
    fn socket(&self) -> &TcpStream {
        &self.0.stream
    }
}

impl Transport {
    fn poll_write_with(
        &self,
        cx: &mut Context<'_>,
        write: impl Fn(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.0.stream.poll_write_ready(cx))?;
            match write(&self.0.stream) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
        }
    }
}

impl Write for Transport {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_with(cx, |stream| stream.try_write(bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_with(cx, |stream| stream.try_write_vectored(slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// hyper comes here once its own buffer is empty.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.state().is_flushed = true;
        Poll::Ready(Ok(()))
    }

    /// The connection is closed by its driver, after what lingers has been read (`linger`).
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
