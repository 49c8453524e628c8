//! One connection: its socket, and which protocol it speaks.

use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

use super::limits::Limits;
use super::peer::Connection;
use super::shared::Shared;
use super::socket;
use super::wire::Wire;

/// A connection on which nothing moves is asked for a sign of life after this, then this often, so
/// many times: a client that has gone without a word is known to have gone within two minutes.
const KEEP_ALIVE: TcpKeepalive = TcpKeepalive::new()
    .with_time(Duration::from_secs(60))
    .with_interval(Duration::from_secs(15))
    .with_retries(4);

/// Sets what a connection needs of its socket.
///
/// The kernel ends one whose client has taken nothing for so long; it is told otherwise where a
/// file may rest (`resting`). It asks clients that are silent for a sign of life. And it takes no
/// more than the client is about to get: left alone, a send queue grows to megabytes that may never
/// be taken.
pub(super) fn set_options(socket: &impl AsFd, limits: &Limits) -> std::io::Result<()> {
    let queue = u32::try_from(limits.send_queue_bytes).unwrap_or(u32::MAX);
    let reference = SockRef::from(socket);
    reference.set_tcp_keepalive(&KEEP_ALIVE)?;
    reference.set_tcp_notsent_lowat(queue)?;
    socket::set_user_timeout(socket, limits.write_timeout)?;
    // Answers are small and written whole: waiting to fill a packet only adds latency.
    reference.set_tcp_nodelay(true)
}

impl Shared {
    pub(super) async fn connection(&self, stream: TcpStream, peer: SocketAddr) {
        // Linux gives a connection its listener's options. Other kernels that speak its calls may
        // not.
        let is_set = stream.nodelay().is_ok_and(|is_set| is_set);
        if !is_set && set_options(&stream, &self.limits).is_err() {
            return;
        }
        match &self.tls {
            // Boxed, so that a plain connection is not as large as an encrypted one.
            Some(tls) => Box::pin(self.encrypted(tls, stream, peer)).await,
            None => self.plain(stream, peer).await,
        }
    }

    async fn plain(&self, stream: TcpStream, peer: SocketAddr) {
        let wire = Wire::new(stream, self.heads.clone());
        let idle = self.idle.enter();
        let gives_place = async {
            idle.gives_place().await;
            // Unless its first request is here.
            if wire.has_arrived() {
                std::future::pending().await
            }
        };
        let http2 = tokio::select! {
            () = self.closing.cancelled() => return,
            () = gives_place => return,
            http2 = tokio::time::timeout(self.limits.idle_timeout, wire.speaks_http2()) => http2,
        };
        drop(idle);
        match http2 {
            Ok(Ok(false)) => self.http1(wire, peer).await,
            Ok(Ok(true)) => {
                let from = Connection {
                    peer,
                    is_tls: false,
                };
                Box::pin(self.http2_plain(wire, from)).await;
            }
            Ok(Err(_)) | Err(_) => {}
        }
    }

    async fn encrypted(
        &self,
        tls: &tokio_rustls::TlsAcceptor,
        stream: TcpStream,
        peer: SocketAddr,
    ) {
        let from = Connection { peer, is_tls: true };
        // Until it is over nothing is asked.
        let idle = self.idle.enter();
        let handshake = tokio::time::timeout(self.limits.header_timeout, tls.accept(stream));
        let stream = tokio::select! {
            () = idle.gives_place() => return,
            stream = handshake => stream,
        };
        drop(idle);
        let Ok(Ok(stream)) = stream else {
            return;
        };
        if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
            return self.http2_over_tls(stream, from).await;
        }
        self.http1_over_tls(stream, from).await;
    }
}
