//! HTTP/1.1 over TLS: by hyper, behind the same gate as on a plain connection.
//!
//! Bodies are not read past hyper here, since what comes has to be deciphered first. But each head
//! is gathered and looked at before hyper gets it, and a refusal is written past hyper.

use std::convert::Infallible;
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use http::Request;
use hyper::body::Incoming;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::service::service_fn;
use hyper_util::rt::TokioTimer;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio_rustls::server::TlsStream;

use super::gate::{BodyWay, Gate, Heads, Next, STEP_BYTES};
use super::idle::IdleConnections;
use super::peer::Connection;
use super::resting::{Client, OverSocket, Place, Taking, WatchedIo};
use super::shared::Shared;
use super::wire::Carrier;
use super::{late, linger};

/// Bytes asked of the stream at once, on the stack.
const READ_BYTES: usize = 8 * 1024;

#[derive(Debug)]
struct State {
    gate: Gate,
    /// hyper, waiting for the gate.
    reader: Option<Waker>,
    in_flight: bool,
    /// hyper has written all that it had to write since the last head and the last answer.
    is_flushed: bool,
}

/// The gate of an encrypted connection.
#[derive(Debug)]
pub(crate) struct SecureGate {
    state: Mutex<State>,
    /// Told when a request begins, and when one is over.
    moved: Notify,
}

impl SecureGate {
    fn new(heads: Arc<Heads>) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                gate: Gate::new(heads),
                reader: None,
                in_flight: false,
                is_flushed: false,
            }),
            moved: Notify::new(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn decide(&self, way: BodyWay) {
        let mut state = self.state();
        state.in_flight = true;
        state.gate.decide(way);
        if let Some(reader) = state.reader.take() {
            reader.wake();
        }
    }

    pub(super) fn answered(&self) {
        let mut state = self.state();
        state.in_flight = false;
        state.is_flushed = false;
        state.gate.is_over();
        drop(state);
        self.moved.notify_waiters();
    }

    /// Returns when the connection is to give its place while nothing is asked on it.
    async fn gives_place(&self, connections: &IdleConnections) {
        loop {
            let mut moved = pin!(self.moved.notified());
            moved.as_mut().enable();
            let is_idle = {
                let state = self.state();
                !state.in_flight && !state.gate.has_begun()
            };
            let idle = is_idle.then(|| connections.enter());
            match &idle {
                Some(idle) => tokio::select! {
                    () = idle.gives_place() => return,
                    () = moved => {}
                },
                None => moved.await,
            }
        }
    }

    /// Whether hyper holds nothing, and what comes next is not for it.
    fn is_done_with_hyper(&self) -> bool {
        let state = self.state();
        let is_between = state.is_flushed && !state.in_flight;
        is_between && (state.gate.is_refused() || state.gate.wants_another_hyper())
    }
}

/// hyper's side of the connection.
struct Transport<T> {
    stream: T,
    gate: Arc<SecureGate>,
}

impl<T: OverSocket> OverSocket for Transport<T> {
    fn socket(&self) -> &TcpStream {
        self.stream.socket()
    }
}

impl<T: AsyncRead + Unpin> Read for Transport<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            let most = {
                let mut state = this.gate.state();
                if state.gate.look() {
                    this.gate.moved.notify_waiters();
                }
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
                    Next::Read(most) => most.min(READ_BYTES),
                }
            };
            let mut bytes = [0; READ_BYTES];
            let mut read = ReadBuf::new(&mut bytes[..most]);
            ready!(Pin::new(&mut this.stream).poll_read(cx, &mut read))?;
            let came = read.filled();
            let passed = this.gate.state().gate.pass(came);
            buffer.put_slice(&came[..passed]);
            if passed > 0 || came.is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<T: AsyncWrite + Unpin> Write for Transport<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// hyper comes here once its own buffer is empty.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        self.gate.state().is_flushed = true;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl Shared {
    /// One connection, by one hyper after the other where heads of different lengths come.
    pub(super) async fn http1_over_tls(&self, mut stream: TlsStream<TcpStream>, from: Connection) {
        let gate = SecureGate::new(self.heads.clone());
        loop {
            let Some(back) = Box::pin(self.by_hyper_over_tls(stream, &gate, from)).await else {
                return;
            };
            stream = back;
            let refusal = gate.state().gate.take_refusal();
            if let Some((problem, is_head)) = refusal {
                let response = self.refusal_of_head(problem, is_head, from).await;
                let limits = self.lingers();
                let told = async {
                    let bytes = late::whole(response).await;
                    stream.write_all(&bytes).await?;
                    stream.shutdown().await
                };
                if let Ok(Ok(())) = tokio::time::timeout(self.limits.write_timeout, told).await {
                    linger::close(stream.get_ref().0, true, limits).await;
                }
                return;
            }
        }
    }

    /// Requests by hyper; the stream, where it goes on without this hyper.
    async fn by_hyper_over_tls(
        &self,
        stream: TlsStream<TcpStream>,
        gate: &Arc<SecureGate>,
        from: Connection,
    ) -> Option<TlsStream<TcpStream>> {
        let taking = Taking::new(self.patience());
        let service = service_fn(|request: Request<Incoming>| {
            taking.sends(self.app.may_have_file(request.uri().path()));
            let carrier = Carrier::Secure(gate.clone());
            let response = self.answer(request, from, carrier);
            async { Ok::<_, Infallible>(response.await) }
        });
        let head_bytes_max = gate.state().gate.size_hyper();
        let transport = Transport {
            stream,
            gate: gate.clone(),
        };
        let mut connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            // One figure for heads and for idling is all that hyper has; plain connections have
            // both (`wire`).
            .header_read_timeout(self.limits.idle_timeout)
            .half_close(false)
            .max_buf_size(head_bytes_max + usize::from(head_bytes_max > STEP_BYTES))
            .max_headers(self.limits.headers_max)
            .serve_connection(WatchedIo::new(transport, taking.clone()), service);
        let mut gives_place = pin!(gate.gives_place(&self.idle));
        let mut place = Place::new(&self.idle);
        let mut is_closing = false;
        loop {
            match taking.client(&self.ledger) {
                Client::Left => return None,
                client => place.is_free(client == Client::Rests),
            }
            let turn = std::future::poll_fn(|cx| match Pin::new(&mut connection).poll(cx) {
                Poll::Ready(_) => Poll::Ready(false),
                Poll::Pending if gate.is_done_with_hyper() => Poll::Ready(true),
                Poll::Pending => Poll::Pending,
            });
            tokio::select! {
                goes_on = turn => {
                    return goes_on.then(|| connection.into_parts().io.into_inner().stream);
                }
                () = place.is_wanted() => return None,
                () = tokio::time::sleep(taking.look_every()) => {}
                () = &mut gives_place, if !is_closing => {
                    is_closing = true;
                    Pin::new(&mut connection).graceful_shutdown();
                }
                () = self.closing.cancelled(), if !is_closing => {
                    is_closing = true;
                    Pin::new(&mut connection).graceful_shutdown();
                }
            }
        }
    }
}
