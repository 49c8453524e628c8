//! HTTP/1.1 over TLS: by hyper, behind the same gate as on a plain connection.
//!
//! Bodies are not read past hyper here, since what comes has to be deciphered first. But each head
//! is gathered and looked at before hyper gets it, and a refusal is written past hyper.

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;

use http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioTimer;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::carrier::Carrier;
use super::gate::STEP_BYTES;
use super::peer::Connection;
use super::resting::{Client, Place, Taking, WatchedIo};
use super::secure_gate::{SecureGate, Transport};
use super::shared::Shared;
use super::{late, linger};

impl Shared {
    /// Serves one connection. hyper has one buffer size for its whole life, so a head that needs
    /// another size gets a new hyper over the same stream.
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

    /// Serves requests by one hyper. Gives the stream back where the connection goes on without it:
    /// with the next hyper, or with a refusal.
    async fn by_hyper_over_tls(
        &self,
        stream: TlsStream<TcpStream>,
        gate: &Arc<SecureGate>,
        from: Connection,
    ) -> Option<TlsStream<TcpStream>> {
        let taking = Taking::new(self.timeouts());
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
            // hyper has one limit for the wait for a head and for the head itself. Plain
            // connections have two (`wire`).
            .header_read_timeout(self.limits.idle_timeout)
            .half_close(false)
            // A buffer that is full before its head ends is too small for hyper.
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
