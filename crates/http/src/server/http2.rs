//! HTTP/2, by hyper: what a connection is charged, when it is idle, and what one of its streams may
//! hold.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use ddx_memory::Ledger;
use http::{Method, Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tower::ServiceExt as _;

use super::body::ResponseBody;
use super::frames::GOODBYE;
use super::head_check::decoded_bytes;
use super::idle::Pauses;
use super::inflow::{Inflow, Metered, REST_BYTES};
use super::linger::REFUSED;
use super::peer::Connection;
use super::quota::{Quota, QuotaCharge};
use super::resting::{Client, OverSocket, Taking, WatchedIo};
use super::shared::Shared;
use super::streams::Streams;
use super::wire::Wire;
use super::wire::transport::Transport;
use super::{late, linger};
use crate::shared::strict;

/// What connections of HTTP/2 have beside what every connection has gets one part in so many:
/// others must be able to connect, whatever these hold.
const PART: u64 = 2;

/// What a stream's tasks and its request hold beside the fields.
const STREAM_BYTES: u64 = 16 << 10;

/// A head that is longer than the limit by no more than this is answered with a document; beyond
/// it, by hyper with a bare status.
const OVERLONG_BYTES: usize = 64 << 10;

/// A connection that is not read from while there is no memory answers no ping meanwhile. The
/// kernel ends those whose client has gone: they do not confirm the ping's bytes either.
const PONG_WITHIN: Duration = Duration::from_secs(3600);

pub(super) fn quota(ledger: Ledger) -> Arc<Quota> {
    Quota::new(ledger, PART)
}

impl Shared {
    pub(super) async fn http2_plain(&self, wire: Arc<Wire>, from: Connection) {
        if let Ok(rest) = self.http2_quota.take(REST_BYTES) {
            return self.http2(Transport(wire), from, rest).await;
        }
        tracing::debug!(peer = %from.peer, "no memory for another HTTP/2 connection");
        let said = late::write_all(wire.stream(), GOODBYE, self.limits.write_timeout).await;
        if said.is_ok() {
            linger::close(wire.stream(), true, REFUSED).await;
        }
    }

    pub(super) async fn http2_over_tls(&self, mut stream: TlsStream<TcpStream>, from: Connection) {
        if let Ok(rest) = self.http2_quota.take(REST_BYTES) {
            return self.http2(TokioIo::new(stream), from, rest).await;
        }
        tracing::debug!(peer = %from.peer, "no memory for another HTTP/2 connection");
        let said = async {
            stream.write_all(GOODBYE).await?;
            stream.shutdown().await
        };
        if let Ok(Ok(())) = tokio::time::timeout(self.limits.write_timeout, said).await {
            linger::close(stream.get_ref().0, true, REFUSED).await;
        }
    }

    /// `_rest`: what the connection is charged for its rest.
    async fn http2<T>(&self, io: T, from: Connection, _rest: QuotaCharge)
    where
        T: hyper::rt::Read + hyper::rt::Write + OverSocket + Unpin,
    {
        let limits = &self.limits;
        let window_bytes = u64::from(limits.http2_window_bytes);
        let inflow = Inflow::new(self.http2_quota.clone(), window_bytes);
        let timeouts = self.timeouts();
        let taking = Taking::new(timeouts);
        let io = WatchedIo::new(io, taking.clone());
        let io = Metered::new(io, inflow.clone());
        let service = service_fn(|request: Request<Incoming>| {
            let is_file = self.app.may_have_file(request.uri().path());
            // Where streams are mixed, each has its own timeouts (`streams`).
            if is_file {
                taking.sends(true);
            }
            let response = self.stream(request, from, &inflow);
            async move {
                let (response, charged) = response?.await;
                let response = response.map(|body| Streams::answer(body, is_file, charged));
                Ok::<_, h2::Error>(response)
            }
        });
        let streams = Streams::new(self.ledger.clone(), timeouts);
        let header_bytes_max = limits.header_bytes_max.saturating_add(OVERLONG_BYTES);
        let mut connection = pin!(
            hyper::server::conn::http2::Builder::new(streams.clone())
                .timer(TokioTimer::new())
                .initial_stream_window_size(limits.http2_stream_window_bytes)
                .initial_connection_window_size(limits.http2_window_bytes)
                .max_concurrent_streams(limits.http2_streams_max)
                .max_send_buf_size(64 << 10)
                .max_header_list_size(u32::try_from(header_bytes_max).unwrap_or(u32::MAX))
                .keep_alive_interval(limits.idle_timeout / 2)
                .keep_alive_timeout(PONG_WITHIN)
                .serve_connection(io, service)
        );
        // What the socket does is seen only where the connection is polled.
        let is_left = async {
            while taking.client(&self.ledger) != Client::Left {
                tokio::time::sleep(taking.look_every()).await;
            }
        };
        tokio::select! {
            _ = connection.as_mut() => {}
            () = is_left => {}
            () = self.closing.cancelled() => {
                connection.as_mut().graceful_shutdown();
                let _ = connection.await;
            }
            // Others want in, and this one has not asked for anything for a while.
            () = async {
                tokio::select! {
                    () = streams.gives_place(&self.idle) => {}
                    () = streams.give_way(&self.http2_quota, limits.write_timeout_crowded) => {}
                }
            } => {
                connection.as_mut().graceful_shutdown();
                // A client that rests would not take the end of its files in time.
                let within = match streams.are_any() {
                    true => Duration::ZERO,
                    false => limits.write_timeout_crowded,
                };
                let _ = tokio::time::timeout(within, connection).await;
            }
            // A client that answers our pings and asks for nothing is idle all the same.
            () = streams.are_idle_for(limits.idle_timeout) => {
                connection.as_mut().graceful_shutdown();
                let _ = tokio::time::timeout(limits.header_timeout, connection).await;
            }
        }
    }

    /// One stream: its answer, and what it is charged until that is gone. Where no more can be
    /// charged it is reset, which a client knows to try again (RFC 9113, section 8.7): an answer
    /// would be held for as long as the client does not take it.
    fn stream(
        &self,
        request: Request<Incoming>,
        from: Connection,
        inflow: &Arc<Inflow>,
    ) -> Result<impl Future<Output = (Response<ResponseBody>, QuotaCharge)> + use<>, h2::Error>
    {
        let share = self
            .http2_quota
            .take(STREAM_BYTES + decoded_bytes(request.headers()) as u64)
            .map_err(|_| h2::Reason::REFUSED_STREAM)?;
        let (mut head, incoming) = request.into_parts();
        if let Err(problem) = self.heads.limits.check_decoded(&head.uri, &head.headers) {
            let is_head = head.method == Method::HEAD;
            let version = head.version;
            (head, _) = strict::refused_request(problem, is_head).into_parts();
            head.version = version;
        }
        let (body, left) = match http_body::Body::is_end_stream(&incoming) {
            true => (Body::empty(), None),
            false => {
                let (body, left) = inflow.body(incoming);
                (Body::new(body), Some((left, inflow.clone())))
            }
        };
        let app = self.app.router();
        let pauses = Pauses(self.idle.clone());
        let lingers = self.lingers();
        Ok(async move {
            let mut request = Request::from_parts(head, body);
            request.extensions_mut().insert(from);
            request.extensions_mut().insert(pauses);
            let Ok(response) = app.oneshot(request).await;
            if let Some((left, inflow)) = left {
                left.drain(&inflow, lingers);
            }
            (response.map(|body| ResponseBody::new(body, None)), share)
        })
    }
}
