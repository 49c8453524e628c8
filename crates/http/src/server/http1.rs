//! HTTP/1.1 on a plain connection: by hyper between requests and for short ones, past it for a long
//! body.
//!
//! hyper holds two buffers of 8 KiB for as long as it lives. A slow upload needs neither, so a
//! request with a long body takes the connection away from hyper as soon as its head is parsed:
//! hyper and its buffers go, the body is read from the socket, the answer is written by
//! [`super::late`], and a new hyper takes the next request once its first bytes are there. A
//! connection that has been idle for a moment rests without hyper, too. Ten thousand slow uploads
//! hold 160 MB less that way, and none has to give up its connection for it.
//!
//! Downloads go past hyper as well: their files are sent by the kernel, without a buffer of ours
//! ([`super::late`]).

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use axum::body::Body;
use http::{HeaderMap, HeaderValue, Method, Request, Response, Version, header};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioTimer;
use tokio::time::Instant;
use tower::ServiceExt;
use tracing::Instrument as _;

use super::body::{DirectBody, ResponseBody};
use super::carrier::Carrier;
use super::file_body::SendsFiles;
use super::gate::{BodyWay, STEP_BYTES};
use super::idle::Pauses;
use super::peer::Connection;
use super::request_memory::{BEGUN_AFTER, WithHyper};
use super::resting::{Client, Place, Taking, WatchedIo};
use super::shared::Shared;
use super::timeouts::Timeouts;
use super::unread::Watched;
use super::wire::Wire;
use super::wire::transport::Transport;
use super::{late, linger};
use crate::shared::problem::Problem;
use crate::shared::request_id::RequestSpan;
use crate::shared::strict;

/// A request that was taken from hyper, with the length of its body.
struct Late {
    request: Request<Incoming>,
    length_bytes: u64,
}

/// Why hyper's turn ended.
enum Turn {
    /// The connection is over.
    Over,
    /// Nothing is asked, and nothing has been for a while; or what is asked is not for this hyper.
    Rest,
    /// A request came that is better taken past hyper.
    Late(Box<Late>),
}

/// A connection that was idle for so long is not likely to be asked something in the next moment.
const REST_AFTER: Duration = Duration::from_secs(1);

impl Shared {
    pub(super) async fn http1(&self, wire: Arc<Wire>, peer: SocketAddr) {
        let from = Connection {
            peer,
            is_tls: false,
        };
        while self.has_next(&wire).await {
            if let Some((problem, is_head)) = wire.take_refusal() {
                if !Box::pin(self.refuse_head(&wire, problem, is_head, from)).await {
                    return;
                }
                break;
            }
            let Some(mut held) = self
                .unless_gone(&wire, self.request_memory.with_hyper())
                .await
            else {
                break;
            };
            // Boxed, each: of the two only one is alive at a time, and hyper's part is by far the
            // larger one.
            let turn = Box::pin(self.by_hyper(&wire, from, &mut held)).await;
            match turn {
                Turn::Over => break,
                Turn::Rest => {}
                Turn::Late(late) => {
                    wire.go_past(late.length_bytes);
                    let Some(_held) = self.unless_gone(&wire, held.past_hyper()).await else {
                        return;
                    };
                    if !Box::pin(self.past_hyper(&wire, late, from)).await {
                        break;
                    }
                }
            }
        }
        if wire.is_given_up() {
            return;
        }
        linger::close(wire.stream(), wire.has_unread(), self.lingers()).await;
    }

    pub(super) fn lingers(&self) -> linger::Linger {
        linger::Linger {
            time: self.limits.linger,
            bytes_max: self.limits.linger_bytes_max,
        }
    }

    pub(super) fn timeouts(&self) -> Timeouts {
        Timeouts {
            head: self.limits.header_timeout,
            idle: self.limits.idle_timeout,
            write: self.limits.write_timeout,
            pause: self.limits.write_pause_max,
            crowded: self.limits.write_timeout_crowded,
        }
    }

    /// Waits, with nothing but the socket and what has come of it, until the head of the next
    /// request is whole or refused, or the client closes.
    async fn has_next(&self, wire: &Wire) -> bool {
        loop {
            let until = wire
                .deadline(&self.timeouts())
                .map_or_else(Instant::now, Instant::from_std);
            let idle = (!wire.has_begun()).then(|| self.idle.enter());
            let gives_place = async {
                match &idle {
                    Some(idle) => idle.gives_place().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = self.closing.cancelled() => return false,
                gathered = wire.gather() => match gathered {
                    Ok(false) => {}
                    Ok(true) => return true,
                    Err(_) => return false,
                },
                // Unless its next request is here.
                () = gives_place => if !wire.has_arrived() {
                    return false;
                },
                () = tokio::time::sleep_until(until) => return false,
            }
        }
    }

    /// What a request that is here waits for; None where its client leaves, or the server stops.
    async fn unless_gone<T>(&self, wire: &Wire, wait: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            held = wait => Some(held),
            () = self.closing.cancelled() => None,
            () = wire.gone() => None,
        }
    }

    /// Answers a head that hyper has not seen. Whether the client took it.
    async fn refuse_head(
        &self,
        wire: &Arc<Wire>,
        problem: Problem,
        is_head: bool,
        from: Connection,
    ) -> bool {
        let response = self.refusal_of_head(problem, is_head, from).await;
        late::write(wire, response, &self.timeouts(), None)
            .await
            .is_ok()
    }

    pub(super) async fn refusal_of_head(
        &self,
        problem: Problem,
        is_head: bool,
        from: Connection,
    ) -> Response<Body> {
        let mut request = strict::refused_request(problem, is_head);
        request.extensions_mut().insert(from);
        let Ok(mut response) = self.app.router().oneshot(request).await;
        if is_head {
            *response.body_mut() = Body::empty();
        }
        response
    }

    /// Requests by hyper, until one comes that is better taken past it, or none does.
    async fn by_hyper(&self, wire: &Arc<Wire>, from: Connection, held: &mut WithHyper<'_>) -> Turn {
        let taken: Mutex<Option<Box<Late>>> = Mutex::new(None);
        let taken = || taken.lock().unwrap_or_else(PoisonError::into_inner);
        let timeouts = self.timeouts();
        let taking = Taking::new(timeouts);
        let service = service_fn(|request: Request<Incoming>| {
            taking.sends(self.app.may_have_file(request.uri().path()));
            let late = self.late_bytes(wire, &request);
            let response = match late {
                Some(length_bytes) => {
                    *taken() = Some(Box::new(Late {
                        request,
                        length_bytes,
                    }));
                    None
                }
                None => {
                    let carrier = Carrier::Plain(wire.clone());
                    Some(self.answer(request, from, carrier))
                }
            };
            async {
                match response {
                    Some(response) => Ok::<_, Infallible>(response.await),
                    // hyper is dropped before it could ask again.
                    None => std::future::pending().await,
                }
            }
        });
        let head_bytes_max = wire.size_hyper();
        let mut connection = std::pin::pin!(
            hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(None)
                .half_close(false)
                // A buffer that is full before its head ends is too small for hyper.
                .max_buf_size(head_bytes_max + usize::from(head_bytes_max > STEP_BYTES))
                .max_headers(self.limits.headers_max)
                .serve_connection(
                    WatchedIo::new(Transport(wire.clone()), taking.clone()),
                    service
                )
        );
        let mut is_closing = false;
        let begun_at = Instant::now() + BEGUN_AFTER;
        let mut has_begun = false;
        let mut place = Place::new(&self.idle);
        let turn = loop {
            let now = Instant::now();
            let client = taking.client(&self.ledger);
            // What is asked next has no time-out while the answer before is not taken.
            let deadline = match taking.is_blocked() {
                true => None,
                false => wire.deadline(&timeouts).map(Instant::from_std),
            };
            if client == Client::Left || deadline.is_some_and(|deadline| deadline <= now) {
                break Turn::Over;
            }
            place.is_free(client == Client::Rests);
            let look_at = now + taking.look_every();
            let look_at = deadline.map_or(look_at, |deadline| look_at.min(deadline));
            let turn = std::future::poll_fn(|cx| match connection.as_mut().poll(cx) {
                Poll::Ready(_) => Poll::Ready(Turn::Over),
                // What hyper still has to send of the answer before goes out first.
                Poll::Pending if wire.is_free_of_hyper() => match taken().take() {
                    Some(late) => Poll::Ready(Turn::Late(late)),
                    None => Poll::Pending,
                },
                Poll::Pending if wire.is_done_with_hyper() => Poll::Ready(Turn::Rest),
                Poll::Pending => Poll::Pending,
            });
            tokio::select! {
                turn = turn => break turn,
                () = self.closing.cancelled(), if !is_closing => {
                    is_closing = true;
                    connection.as_mut().graceful_shutdown();
                }
                () = place.is_wanted() => break Turn::Over,
                () = tokio::time::sleep_until(begun_at), if !has_begun => {
                    has_begun = true;
                    held.has_begun();
                }
                // Not before hyper has looked at the socket: one that rested has something on it
                // now.
                () = tokio::time::sleep_until(look_at) => {
                    let since = wire.rests_since();
                    if since.is_some_and(|since| since.elapsed() >= REST_AFTER) {
                        break Turn::Rest;
                    }
                }
            }
        };
        if taking.is_blocked() {
            wire.give_up();
        }
        turn
    }

    /// The length of the body of a request that goes past hyper; None where it stays.
    fn late_bytes(&self, wire: &Wire, request: &Request<Incoming>) -> Option<u64> {
        if request.version() != Version::HTTP_11 || !wire.can_go_past() {
            return None;
        }
        match body_way(request.body()) {
            BodyWay::Known(length) => (length >= self.limits.tap_bytes_min).then_some(length),
            BodyWay::None => (request.method() == Method::GET
                && self.app.may_have_file(request.uri().path()))
            .then_some(0),
            BodyWay::Chunks => None,
        }
    }

    /// One request without hyper. Whether the connection can carry another one.
    async fn past_hyper(&self, wire: &Arc<Wire>, late: Box<Late>, from: Connection) -> bool {
        let (head, incoming) = late.request.into_parts();
        drop(incoming);
        let wants_close = has_token(&head.headers, &header::CONNECTION, "close");
        let tap = DirectBody::new(
            wire.clone(),
            has_token(&head.headers, &header::EXPECT, "100-continue"),
        );
        let mut request = Request::from_parts(head, Body::new(tap.frames()));
        request.extensions_mut().insert(from);
        request.extensions_mut().insert(tap);
        request.extensions_mut().insert(SendsFiles);
        let pauses = Pauses(self.idle.clone());
        request.extensions_mut().insert(pauses.clone());
        let Ok(mut response) = self.app.router().oneshot(request).await;
        let may_go_on = wire.body_left() == 0
            && !wants_close
            && !has_token(response.headers(), &header::CONNECTION, "close")
            && !self.closing.is_cancelled();
        if !may_go_on {
            response
                .headers_mut()
                .insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        let timeouts = self.timeouts();
        let span = RequestSpan::of(&response);
        let written = late::write(wire, response, &timeouts, Some(&pauses)).instrument(span);
        let written = Box::pin(written).await;
        // Where the body is over nothing is left to be read, and the end of the connection has
        // nothing to wait for.
        let is_over = written.is_ok() && wire.body_left() == 0 && wire.begin_anew();
        is_over && may_go_on
    }

    /// One request by hyper.
    pub(super) fn answer(
        &self,
        request: Request<Incoming>,
        from: Connection,
        carrier: Carrier,
    ) -> impl Future<Output = Response<ResponseBody>> + use<> {
        let app = self.app.router();
        carrier.decide(body_way(request.body()));
        let (head, incoming) = request.into_parts();
        // A client that was not asked to go on sends nothing more.
        let may_drop = !has_token(&head.headers, &header::EXPECT, "100-continue");
        let (body, watched) = if !incoming.is_end_stream() {
            let watched = Watched::new(incoming);
            (watched.body(), Some(watched))
        } else {
            (Body::new(incoming), None)
        };
        let mut request = Request::from_parts(head, body);
        request.extensions_mut().insert(from);
        request.extensions_mut().insert(Pauses(self.idle.clone()));
        async move {
            let Ok(mut response) = app.oneshot(request).await;
            if let Some(watched) = watched {
                watched.tell(response.headers_mut(), may_drop).await;
            }
            response.map(|body| ResponseBody::new(body, Some(carrier)))
        }
    }
}

/// Whether a field that is a list of words has this one.
fn has_token(headers: &HeaderMap, name: &header::HeaderName, word: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|token| token.trim().eq_ignore_ascii_case(word))
}

fn body_way(body: &Incoming) -> BodyWay {
    if body.is_end_stream() {
        return BodyWay::None;
    }
    match body.size_hint().exact() {
        Some(length) => BodyWay::Known(length),
        None => BodyWay::Chunks,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::super::served::Served;
    use super::*;
    use crate::server::{Limits, Server};
    use axum::Router;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpSocket};
    use tokio_util::sync::CancellationToken;

    /// hyper has it all and the client takes none of it: longer than a connection that rests is
    /// left to hyper.
    #[tokio::test]
    async fn an_answer_that_is_not_taken_for_a_while_comes_whole() {
        const BYTES: usize = 4 << 20;
        let app = Arc::new(Served::new(axum::Router::new(), |_| false));
        app.is_ready(Router::new().fallback(async || {
            // hyper finds nothing to send meanwhile, and says so.
            tokio::task::yield_now().await;
            vec![b'x'; BYTES]
        }));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let closing = CancellationToken::new();
        let server = Server {
            listener,
            limits: Limits::default(),
            tls: None,
            app,
            ledger: ddx_memory::Ledger::on_this_machine(ddx_memory::Config::default()).unwrap(),
            trusted_proxies: crate::shared::origin::Networks::default(),
            connections: Arc::default(),
        };
        let server = tokio::spawn(server.run(closing.clone()));
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(8 << 10).unwrap();
        let mut client = socket.connect(address).await.unwrap();
        let request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        client.write_all(request).await.unwrap();
        // Time is what is tested: nothing tells when hyper would be taken for idle.
        tokio::time::sleep(REST_AFTER * 2 + Limits::default().header_timeout / 4).await;
        let mut answer = Vec::new();
        while answer.len() < BYTES {
            let count = client.read_buf(&mut answer).await.unwrap();
            assert_ne!(count, 0, "cut after {} bytes", answer.len());
        }
        drop(client);
        closing.cancel();
        server.await.unwrap();
    }
}
