//! HTTP/1.1 with every byte and every moment in the test's own hand.
//!
//! A proper client library repairs, retries, pools and refuses; a test of a server must be able to
//! send half a head, half a body and then nothing, to reset a connection, or to read an early
//! answer while it still sends. So this speaks HTTP/1.1 on one bare connection, and does nothing
//! that it was not told. It is no general client: it reads what a correct server may send (interim
//! answers, length, chunks, until the end) and errs on all else.

mod request;
mod response;

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::Data;

pub use request::Request;
pub use response::{Head, Response};

const HEAD_BYTES_MAX: usize = 64 * 1024;
const STEP_BYTES: usize = 256 * 1024;

/// How the rest of an answer's content is marked off.
#[derive(Debug)]
pub enum Body {
    /// So many bytes are left.
    Length(u64),
    /// Chunks; so many bytes are left of the current one, `None` before the first.
    Chunked(Option<u64>),
    /// All until the connection's end.
    UntilClose,
    /// Nothing is left.
    Done,
}

/// How fast to send.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Bytes per step.
    pub step_bytes: usize,
    /// Pause after each step.
    pub pause: Duration,
}

/// What became of sending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    /// Bytes handed to the kernel.
    pub bytes: u64,
    /// Whether all of them went; `false` means that an answer came before, and was the reason to
    /// stop.
    pub whole: bool,
}

/// One bare connection.
#[derive(Debug)]
pub struct Conn {
    stream: TcpStream,
    peer: SocketAddr,
    buffer: Vec<u8>,
    interim: Vec<Head>,
    /// How long any single wait may last.
    pub patience: Duration,
}

impl Conn {
    /// Connects, from `source` if given (all of 127.0.0.0/8 is ours to use: one address, one user).
    pub async fn open(peer: SocketAddr, source: Option<IpAddr>) -> Result<Self> {
        let socket = if peer.is_ipv4() {
            TcpSocket::new_v4()?
        } else {
            TcpSocket::new_v6()?
        };
        if let Some(source) = source {
            socket.bind(SocketAddr::new(source, 0))?;
        }
        let stream = timeout(Duration::from_secs(30), socket.connect(peer))
            .await
            .context("connecting takes over 30 s")?
            .context("connect")?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            peer,
            buffer: Vec::new(),
            interim: Vec::new(),
            patience: Duration::from_secs(60),
        })
    }

    /// Sets how long any single wait may last.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Sends bytes as they are.
    pub async fn send(&mut self, bytes: &[u8]) -> Result<()> {
        timeout(self.patience, self.stream.write_all(bytes))
            .await
            .context("the server does not take more bytes")?
            .context("send")
    }

    /// Sends a request's head.
    pub async fn send_head(&mut self, request: &Request) -> Result<()> {
        let head = request.head_bytes(self.peer);
        self.send(&head).await
    }

    /// Sends a range of `data`, and stops when a final answer comes before the end, as RFC 9110
    /// asks of a client.
    pub async fn send_data(
        &mut self,
        data: &Data,
        range: Range<u64>,
        pace: Option<Pace>,
    ) -> Result<Sent> {
        let mut step = vec![0_u8; pace.map_or(STEP_BYTES, |pace| pace.step_bytes)];
        let mut at = range.start;
        while at < range.end {
            let take = usize::try_from((range.end - at).min(step.len() as u64))?;
            data.fill(at, &mut step[..take]);
            let went = self.send_watching(&step[..take]).await?;
            at += went as u64;
            if went < take {
                return Ok(Sent {
                    bytes: at - range.start,
                    whole: false,
                });
            }
            if let Some(pace) = pace {
                tokio::time::sleep(pace.pause).await;
            }
        }
        Ok(Sent {
            bytes: at - range.start,
            whole: true,
        })
    }

    /// Sends `bytes` until they are gone or a final answer has begun to come; tells how many went.
    async fn send_watching(&mut self, bytes: &[u8]) -> Result<usize> {
        let mut sent = 0;
        while sent < bytes.len() {
            let ready = timeout(
                self.patience,
                self.stream.ready(Interest::READABLE | Interest::WRITABLE),
            )
            .await
            .context("the server does not take more bytes")??;
            if ready.is_readable() {
                let mut some = [0_u8; 4096];
                match self.stream.try_read(&mut some) {
                    Ok(0) => {
                        ensure!(
                            !self.buffer.is_empty(),
                            "the server closed after {sent} bytes of this step, without an answer"
                        );
                        return Ok(sent);
                    }
                    Ok(n) => self.buffer.extend_from_slice(&some[..n]),
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                    Err(error) => return Err(error).context("while sending"),
                }
                self.set_interim_aside()?;
                if !self.buffer.is_empty() {
                    return Ok(sent);
                }
            }
            if ready.is_writable() {
                match self.stream.try_write(&bytes[sent..]) {
                    Ok(n) => sent += n,
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                    Err(error) => return Err(error).context("send"),
                }
            }
        }
        Ok(sent)
    }

    fn take_head(&mut self) -> Result<Option<Head>> {
        let Some(end) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") else {
            ensure!(
                self.buffer.len() < HEAD_BYTES_MAX,
                "the answer's head is over {HEAD_BYTES_MAX} bytes"
            );
            return Ok(None);
        };
        let text = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
        self.buffer.drain(..end + 4);
        Head::parse(&text).map(Some)
    }

    fn set_interim_aside(&mut self) -> Result<()> {
        while self.buffer.starts_with(b"HTTP/1.1 1") {
            let Some(head) = self.take_head()? else {
                return Ok(());
            };
            self.interim.push(head);
        }
        Ok(())
    }

    /// The interim answers that came so far, without waiting for more.
    pub fn interim_so_far(&self) -> &[Head] {
        &self.interim
    }

    /// Waits for the next interim answer; errs when a final one comes instead.
    pub async fn next_interim(&mut self) -> Result<Head> {
        let known = self.interim.len();
        loop {
            self.set_interim_aside()?;
            if let Some(head) = self.interim.get(known) {
                return Ok(head.clone());
            }
            ensure!(
                !self.buffer.windows(4).any(|four| four == b"\r\n\r\n"),
                "a final answer came: {}",
                String::from_utf8_lossy(&self.buffer)
            );
            ensure!(
                self.read_more().await? > 0,
                "the server closed before an interim answer"
            );
        }
    }

    async fn read_more(&mut self) -> Result<usize> {
        let mut some = vec![0_u8; 64 * 1024];
        let read = timeout(self.patience, self.stream.read(&mut some))
            .await
            .with_context(|| format!("no answer within {:?}", self.patience))?
            .context("receive")?;
        self.buffer.extend_from_slice(&some[..read]);
        Ok(read)
    }

    /// Waits for the final answer's head.
    pub async fn head(&mut self) -> Result<Head> {
        loop {
            self.set_interim_aside()?;
            if let Some(mut head) = self.take_head()? {
                head.interim = std::mem::take(&mut self.interim);
                return Ok(head);
            }
            ensure!(
                self.read_more().await? > 0,
                "the server closed without an answer; it had sent {:?}",
                String::from_utf8_lossy(&self.buffer)
            );
        }
    }

    /// How the content that follows `head` is marked off.
    pub fn body_of(head: &Head, method: &str) -> Result<Body> {
        if method == "HEAD" || head.status == 204 || head.status == 304 {
            return Ok(Body::Done);
        }
        if head.has_token("transfer-encoding", "chunked") {
            return Ok(Body::Chunked(None));
        }
        match head.get("content-length") {
            Some(_) => Ok(Body::Length(head.number("content-length")?)),
            None => Ok(Body::UntilClose),
        }
    }

    /// The next piece of content; `None` at its end. A content that is cut short is an error.
    pub async fn next(&mut self, body: &mut Body) -> Result<Option<Vec<u8>>> {
        loop {
            match body {
                Body::Done | Body::Length(0) => {
                    *body = Body::Done;
                    return Ok(None);
                }
                Body::Length(left) => {
                    if let Some(piece) = self.piece(*left).await? {
                        *left -= piece.len() as u64;
                        return Ok(Some(piece));
                    }
                    bail!("the content is cut {left} bytes before its end");
                }
                Body::UntilClose => return self.piece(u64::MAX).await,
                Body::Chunked(None) => {
                    let size = self.line().await?;
                    let size = u64::from_str_radix(size.split(';').next().unwrap_or("").trim(), 16)
                        .with_context(|| format!("chunk size {size:?}"))?;
                    *body = Body::Chunked(Some(size));
                    if size == 0 {
                        while !self.line().await?.is_empty() {}
                        *body = Body::Done;
                    }
                }
                Body::Chunked(Some(0)) => {
                    ensure!(self.line().await?.is_empty(), "no line end after a chunk");
                    *body = Body::Chunked(None);
                }
                Body::Chunked(Some(left)) => {
                    let piece = self
                        .piece(*left)
                        .await?
                        .context("the content is cut within a chunk")?;
                    *left -= piece.len() as u64;
                    return Ok(Some(piece));
                }
            }
        }
    }

    async fn piece(&mut self, at_most: u64) -> Result<Option<Vec<u8>>> {
        if self.buffer.is_empty() && self.read_more().await? == 0 {
            return Ok(None);
        }
        let take = usize::try_from(at_most)
            .unwrap_or(usize::MAX)
            .min(self.buffer.len());
        if take == self.buffer.len() {
            return Ok(Some(std::mem::take(&mut self.buffer)));
        }
        Ok(Some(self.buffer.drain(..take).collect()))
    }

    async fn line(&mut self) -> Result<String> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|two| two == b"\r\n") {
                let line = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
                self.buffer.drain(..end + 2);
                return Ok(line);
            }
            ensure!(
                self.read_more().await? > 0,
                "the content is cut before a line's end"
            );
        }
    }

    /// Waits for the whole answer to a request with that method.
    pub async fn response(&mut self, method: &str) -> Result<Response> {
        let head = self.head().await?;
        let mut kind = Self::body_of(&head, method)?;
        let mut body = Vec::new();
        while let Some(piece) = self.next(&mut kind).await? {
            body.extend_from_slice(&piece);
        }
        Ok(Response { head, body })
    }

    /// Sends a request with a small body and waits for its answer; `Content-Length` is added if
    /// there is a body.
    pub async fn round(&mut self, request: &Request, body: &[u8]) -> Result<Response> {
        let request = request.clone().with_length_of(body);
        let mut bytes = request.head_bytes(self.peer);
        bytes.extend_from_slice(body);
        self.send(&bytes).await?;
        self.response(request.method()).await
    }

    /// Waits until the server closes the connection, and tells how long that took. Bytes that come
    /// are thrown away.
    pub async fn await_close(&mut self) -> Result<Duration> {
        let started = Instant::now();
        let mut some = [0_u8; 4096];
        loop {
            match timeout(self.patience, self.stream.read(&mut some))
                .await
                .context("the server keeps the connection open")?
            {
                Ok(0) | Err(_) => return Ok(started.elapsed()),
                Ok(_) => {}
            }
        }
    }

    /// Says that no more will be sent, and stays open for the answer.
    pub async fn finish_sending(&mut self) -> Result<()> {
        self.stream.shutdown().await.context("shut down sending")
    }

    /// Ends the connection with a reset instead of a close.
    pub fn reset(self) -> Result<()> {
        rustix::net::sockopt::set_socket_linger(&self.stream, Some(Duration::ZERO))?;
        Ok(())
    }
}
