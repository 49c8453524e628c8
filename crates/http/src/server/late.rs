//! An answer written without hyper, to a request that went past it.
//!
//! A status line, the fields, and a body: a file that the kernel sends from its cache, or frames
//! with a known length or in chunks (RFC 9112, section 7.1). No upgrades and no trailers; nothing
//! that goes this way has them.

use std::fmt::Write as _;
use std::fs::File;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use axum::body::Body;
use ddx_engine::Span;
use futures_util::FutureExt as _;
use http::{HeaderValue, Response, StatusCode, header};
use http_body::Body as _;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::file_body::{FileBody, Piece};
use super::idle::Pauses;
use super::socket;
use super::timeouts::Timeouts;
use super::wire::Wire;

/// Frames shorter than this are gathered before they are written.
const WRITE_BYTES: usize = 16 * 1024;

/// A client that takes nothing for so long has less kept ready for it.
const REST_AFTER: Duration = Duration::from_millis(250);

/// How often it is looked whether others wait for what it holds.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How the client knows where the body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    /// There is none.
    Bare,
    Length(u64),
    Chunks,
}

/// Writes the answer.
///
/// # Errors
/// The client is gone, took nothing for too long, or the body failed or is not as long as it was
/// told; the connection can't go on then.
pub(super) async fn write(
    wire: &Arc<Wire>,
    response: Response<Body>,
    timeouts: &Timeouts,
    pauses: Option<&Pauses>,
) -> io::Result<()> {
    let (mut head, body) = response.into_parts();
    let file = head.extensions.get::<FileBody>().and_then(FileBody::take);
    let framing = match &file {
        Some(file) => Framing::Length(file.length_bytes),
        None => framing_of(&head, &body),
    };
    match framing {
        Framing::Bare => drop(head.headers.remove(header::CONTENT_LENGTH)),
        Framing::Length(length) => {
            let length = HeaderValue::from(length);
            head.headers.insert(header::CONTENT_LENGTH, length);
        }
        Framing::Chunks => {
            let chunked = HeaderValue::from_static("chunked");
            head.headers.insert(header::TRANSFER_ENCODING, chunked);
        }
    }
    let head = head_bytes(&head);
    if let Some(file) = file {
        write_all(wire.stream(), &head, timeouts.write).await?;
        for piece in file.pieces {
            match piece {
                Piece::Frame(bytes) => write_all(wire.stream(), &bytes, timeouts.write).await?,
                Piece::File(range) => {
                    let span = file.download.span(range.first, range.last + 1);
                    let span = span.ok_or(io::ErrorKind::Unsupported)?;
                    send_file(wire, span, timeouts, pauses).await?;
                }
            }
        }
        return Ok(());
    }
    write_frames(wire, head, body, framing, timeouts.write).await
}

/// A short answer as it goes out, for connections that are not written to here.
pub(super) async fn whole(response: Response<Body>) -> Vec<u8> {
    let (mut head, body) = response.into_parts();
    // It is in memory already: nothing in it can fail or be too long.
    let body = axum::body::to_bytes(body, usize::MAX).await;
    let body = body.unwrap_or_default();
    let length = HeaderValue::from(body.len());
    head.headers.insert(header::CONTENT_LENGTH, length);
    let mut bytes = head_bytes(&head);
    bytes.extend_from_slice(&body);
    bytes
}

fn framing_of(head: &http::response::Parts, body: &Body) -> Framing {
    if matches!(
        head.status,
        StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED
    ) {
        return Framing::Bare;
    }
    let told = head.headers.get(header::CONTENT_LENGTH);
    let told = told.and_then(|value| value.to_str().ok()?.parse().ok());
    match body.size_hint().exact().or(told) {
        Some(length) => Framing::Length(length),
        None => Framing::Chunks,
    }
}

async fn write_frames(
    wire: &Wire,
    mut bytes: Vec<u8>,
    body: Body,
    framing: Framing,
    timeouts: Duration,
) -> io::Result<()> {
    let stream = wire.stream();
    let mut body = pin!(body);
    let mut sent = 0;
    if framing == Framing::Bare {
        return write_all(stream, &bytes, timeouts).await;
    }
    loop {
        let mut next = pin!(std::future::poll_fn(|cx| body.as_mut().poll_frame(cx)));
        let frame = match next.as_mut().now_or_never() {
            Some(frame) => frame,
            None => {
                // What is there goes out first: the client learns that its file is about to come.
                write_all(stream, &bytes, timeouts).await?;
                bytes.clear();
                unless_gone(wire, next).await?
            }
        };
        let Some(frame) = frame else {
            break;
        };
        let Ok(data) = frame.map_err(io::Error::other)?.into_data() else {
            continue;
        };
        if data.is_empty() {
            continue; // as a chunk it would be the end
        }
        sent += data.len() as u64;
        if framing == Framing::Chunks {
            bytes.extend_from_slice(format!("{:x}\r\n", data.len()).as_bytes());
        }
        if data.len() < WRITE_BYTES {
            bytes.extend_from_slice(&data);
        } else {
            write_all(stream, &bytes, timeouts).await?;
            bytes.clear();
            write_all(stream, &data, timeouts).await?;
        }
        if framing == Framing::Chunks {
            bytes.extend_from_slice(b"\r\n");
        }
        if bytes.len() >= WRITE_BYTES || framing == Framing::Chunks {
            write_all(stream, &bytes, timeouts).await?;
            bytes.clear();
        }
    }
    if framing == Framing::Chunks {
        bytes.extend_from_slice(b"0\r\n\r\n");
    }
    write_all(stream, &bytes, timeouts).await?;
    match framing {
        Framing::Length(length) if length != sent => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

/// What a future brings, unless the client goes before.
async fn unless_gone<T>(wire: &Wire, future: impl Future<Output = T>) -> io::Result<T> {
    tokio::select! {
        biased;
        out = future => Ok(out),
        () = wire.gone() => Err(io::ErrorKind::ConnectionAborted.into()),
    }
}

/// Lets the kernel send the file. On a thread that may block, since what is not in its cache comes
/// from the disk.
async fn send_file(
    wire: &Arc<Wire>,
    mut span: Span,
    timeouts: &Timeouts,
    pauses: Option<&Pauses>,
) -> io::Result<()> {
    while let Some(turn) = unless_gone(wire, span.turn())
        .await?
        .map_err(io::Error::other)?
    {
        let sender = wire.clone();
        let turn = tokio::task::spawn_blocking(move || {
            turn.run(|file, offset, count| send_some(sender.stream(), file, offset, count))
        });
        let turned = turn.await.map_err(io::Error::other)?;
        let turned = turned.inspect_err(|error| match error.kind() {
            // The client is gone: that is its own affair.
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
                tracing::debug!(%error, "a download was cut off by an error of the server; its client can go on where it was cut");
            }
            _ => tracing::warn!(%error, "a download was cut off by an error of the server; its client can go on where it was cut"),
        })?;
        let is_blocked = turned.is_blocked();
        span.turned(turned);
        if is_blocked {
            taken(wire, &mut span, timeouts, pauses).await?;
        }
    }
    // The last bytes hold their memory until they are on their way.
    while !is_writable(wire.stream())? {
        taken(wire, &mut span, timeouts, pauses).await?;
    }
    Ok(())
}

/// Waits until the client takes more. One that takes nothing must not keep others from what it
/// holds.
async fn taken(
    wire: &Wire,
    span: &mut Span,
    timeouts: &Timeouts,
    pauses: Option<&Pauses>,
) -> io::Result<()> {
    let stream = wire.stream();
    if let Ok(taken) = timeout(REST_AFTER, stream.writable()).await {
        return taken;
    }
    span.rest().await;
    socket::set_user_timeout(stream, timeouts.in_all())?;
    let rested = rest(wire, span, timeouts, pauses).await;
    if rested.is_ok() {
        return socket::set_user_timeout(stream, timeouts.write);
    }
    wire.give_up();
    rested
}

/// Waits for as long as the client is borne with: at first in any case, then while it lives and
/// others do not want its place, and not for long where they want what it holds.
async fn rest(
    wire: &Wire,
    span: &Span,
    timeouts: &Timeouts,
    pauses: Option<&Pauses>,
) -> io::Result<()> {
    let stream = wire.stream();
    let since = Instant::now();
    let may_pause = async |pauses: &Pauses| {
        tokio::time::sleep(timeouts.write).await;
        pauses.unwanted().await;
    };
    let mut unwanted = pin!(async {
        match pauses {
            Some(pauses) => may_pause(pauses).await,
            None => tokio::time::sleep(timeouts.write).await,
        }
    });
    loop {
        tokio::select! {
            biased;
            taken = timeout(LOOK_EVERY.min(timeouts.write), stream.writable()) => {
                if let Ok(taken) = taken {
                    return taken;
                }
            }
            () = unwanted.as_mut() => break,
        }
        let waits = since.elapsed();
        if waits >= timeouts.crowded && span.is_asked_back() {
            tracing::debug!("a download that nobody takes gives way to others");
            break;
        }
        let pauses_for = waits.saturating_sub(timeouts.write);
        if waits >= timeouts.write && (pauses_for >= timeouts.pause || !socket::is_alive(stream)) {
            break;
        }
    }
    Err(io::ErrorKind::TimedOut.into())
}

/// Whether the send queue has room. Where it has none the stream is not writable for tokio either,
/// until the kernel says so.
fn is_writable(stream: &TcpStream) -> io::Result<bool> {
    let now = Timespec::default();
    let mut queue = [PollFd::new(stream, PollFlags::OUT)];
    let looked = stream.try_io(Interest::WRITABLE, || match poll(&mut queue, Some(&now))? {
        0 => Err(io::ErrorKind::WouldBlock.into()),
        _ => Ok(()),
    });
    match looked {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(error),
    }
}

fn send_some(stream: &TcpStream, file: &File, mut offset: u64, count: usize) -> io::Result<usize> {
    stream.try_io(Interest::WRITABLE, || {
        Ok(rustix::fs::sendfile(
            stream,
            file,
            Some(&mut offset),
            count,
        )?)
    })
}

fn head_bytes(head: &http::response::Parts) -> Vec<u8> {
    let mut line = String::with_capacity(512);
    let reason = head.status.canonical_reason().unwrap_or_default();
    // Writing to a String cannot fail.
    let _ = write!(line, "HTTP/1.1 {} {reason}\r\n", head.status.as_str());
    let mut bytes = line.into_bytes();
    let mut field = |name: &str, value: &[u8]| {
        bytes.extend_from_slice(name.as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value);
        bytes.extend_from_slice(b"\r\n");
    };
    for (name, value) in &head.headers {
        field(name.as_str(), value.as_bytes());
    }
    if !head.headers.contains_key(header::DATE) {
        field(
            "date",
            httpdate::fmt_http_date(SystemTime::now()).as_bytes(),
        );
    }
    bytes.extend_from_slice(b"\r\n");
    bytes
}

pub(super) async fn write_all(
    stream: &TcpStream,
    mut bytes: &[u8],
    timeouts: Duration,
) -> io::Result<()> {
    while !bytes.is_empty() {
        timeout(timeouts, stream.writable()).await??;
        match stream.try_write(bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

    async fn written(response: Response<Body>) -> (String, bool) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let (client, server) = tokio::join!(TcpStream::connect(address), listener.accept());
        let (mut client, (server, _)) = (client.expect("connects"), server.expect("accepts"));
        let ledger = ddx_memory::Ledger::on_this_machine(ddx_memory::Config::default());
        let limits = super::super::Limits::default().of_heads();
        let heads = crate::server::gate::Heads::new(limits, ledger.expect("a ledger"));
        let wire = Wire::new(server, heads);
        let soon = Duration::from_secs(5);
        let timeouts = Timeouts {
            head: soon,
            idle: soon,
            write: soon,
            pause: soon,
            crowded: soon,
        };
        let is_whole = write(&wire, response, &timeouts, None).await.is_ok();
        drop(wire);
        let mut text = String::new();
        client.read_to_string(&mut text).await.expect("it is text");
        (text, is_whole)
    }

    fn response(status: u16, body: Body) -> Response<Body> {
        Response::builder()
            .status(status)
            .header("x-one", "1")
            .header("date", "Thu, 01 Jan 1970 00:00:00 GMT")
            .body(body)
            .expect("a response")
    }

    #[tokio::test]
    async fn an_answer_with_a_length_has_an_end() {
        let told = written(response(201, Body::from("link\n"))).await;
        let want = "HTTP/1.1 201 Created\r\nx-one: 1\r\ndate: Thu, 01 Jan 1970 00:00:00 GMT\r\ncontent-length: 5\r\n\r\nlink\n";
        assert_eq!(told, (want.to_owned(), true));
    }

    #[tokio::test]
    async fn an_answer_without_content_tells_no_length() {
        let told = written(response(204, Body::empty())).await;
        let want =
            "HTTP/1.1 204 No Content\r\nx-one: 1\r\ndate: Thu, 01 Jan 1970 00:00:00 GMT\r\n\r\n";
        assert_eq!(told, (want.to_owned(), true));
    }

    fn pieces(pieces: &'static [&'static str]) -> Body {
        let pieces = pieces.iter().map(|piece| match *piece {
            "" => Err(io::Error::other("the disk")),
            piece => Ok(bytes::Bytes::from(piece)),
        });
        Body::from_stream(futures_util::stream::iter(pieces))
    }

    #[tokio::test]
    async fn an_answer_whose_length_nobody_knows_goes_in_chunks() {
        let (text, is_whole) = written(response(200, pieces(&["a", "bc"]))).await;
        assert!(text.contains("transfer-encoding: chunked\r\n"), "{text}");
        assert!(
            text.ends_with("\r\n\r\n1\r\na\r\n2\r\nbc\r\n0\r\n\r\n"),
            "{text}"
        );
        assert!(is_whole);
    }

    #[tokio::test]
    async fn a_body_that_fails_is_never_taken_for_whole() {
        let (text, is_whole) = written(response(200, pieces(&["a", ""]))).await;
        assert!(text.ends_with("1\r\na\r\n") && !is_whole, "{text}");
        let mut short = response(200, pieces(&["a"]));
        short
            .headers_mut()
            .insert("content-length", HeaderValue::from(2));
        let (text, is_whole) = written(short).await;
        assert!(
            text.ends_with("content-length: 2\r\n\r\na") && !is_whole,
            "{text}"
        );
    }
}
