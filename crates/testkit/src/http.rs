//! HTTP/1.1 with every byte and every moment in the test's own hand.
//!
//! A proper client library repairs, retries, pools and refuses; a test of a server must be able to
//! send half a head, half a body and then nothing, to reset a connection, or to read an early
//! answer while it still sends. So this speaks HTTP/1.1 on one bare connection, and does nothing
//! that it was not told. It is no general client: it reads what a correct server may send (interim
//! answers, length, chunks, until the end) and errs on all else.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::ops::{Deref, Range};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::Data;

const HEAD_BYTES_MAX: usize = 64 * 1024;
const STEP_BYTES: usize = 256 * 1024;

/// A request's head.
#[derive(Debug, Clone)]
pub struct Request {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
}

impl Request {
    /// A request for `target` (path and query).
    pub fn new(method: &str, target: &str) -> Self {
        Self {
            method: method.to_owned(),
            target: target.to_owned(),
            headers: Vec::new(),
        }
    }

    /// Adds a header.
    pub fn header(mut self, name: &str, value: impl fmt::Display) -> Self {
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }

    /// Adds several headers.
    pub fn headers(mut self, headers: &[(&str, &str)]) -> Self {
        self.headers.extend(
            headers
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        );
        self
    }

    /// The method.
    pub fn method(&self) -> &str {
        &self.method
    }

    /// Path and query.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The header fields that the test gave, in their order.
    pub fn fields(&self) -> &[(String, String)] {
        &self.headers
    }

    /// Whether the test gave this header.
    pub fn has(&self, name: &str) -> bool {
        self.headers
            .iter()
            .any(|(key, _)| key.eq_ignore_ascii_case(name))
    }

    /// The same with `Content-Length` for this body, where there is one or the method has one, and
    /// the test gave no other end of it.
    pub fn with_length_of(self, body: &[u8]) -> Self {
        let has_end = self.has("content-length") || self.has("transfer-encoding");
        let has_body = !body.is_empty() || matches!(self.method(), "POST" | "PUT" | "PATCH");
        match has_body && !has_end {
            true => self.header("Content-Length", body.len()),
            false => self,
        }
    }

    /// The head as it goes over the wire; `Host` is added if the test gave none.
    pub fn head_bytes(&self, host: SocketAddr) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        if !self.has("host") {
            head.push_str(&format!("Host: {host}\r\n"));
        }
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        head.into_bytes()
    }
}

/// An answer's head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The status code.
    pub status: u16,
    /// Header fields in order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Interim answers (1xx) that came before.
    pub interim: Vec<Head>,
}

impl Head {
    /// The first field of that name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// The first field of that name, which must be there.
    pub fn field(&self, name: &str) -> Result<&str> {
        self.get(name)
            .with_context(|| format!("the answer has no {name}: {self:?}"))
    }

    /// A field that must be a whole number.
    pub fn number(&self, name: &str) -> Result<u64> {
        let text = self.field(name)?;
        text.parse()
            .with_context(|| format!("{name}: {text} is not a number"))
    }

    fn has_token(&self, name: &str, token: &str) -> bool {
        self.get(name).is_some_and(|value| {
            value
                .split(',')
                .any(|part| part.trim().eq_ignore_ascii_case(token))
        })
    }

    /// Whether the server will close the connection after this answer.
    pub fn closes(&self) -> bool {
        self.has_token("connection", "close")
    }

    fn parse(text: &str) -> Result<Self> {
        let mut lines = text.split("\r\n");
        let first = lines.next().unwrap_or("");
        ensure!(
            first.starts_with("HTTP/1.1 ") || first.starts_with("HTTP/1.0 "),
            "not an answer: {first:?}"
        );
        let status = first
            .get(9..12)
            .and_then(|code| code.parse().ok())
            .with_context(|| format!("no status in {first:?}"))?;
        let mut headers = Vec::new();
        for line in lines.filter(|line| !line.is_empty()) {
            let (name, value) = line
                .split_once(':')
                .with_context(|| format!("no colon in {line:?}"))?;
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        Ok(Self {
            status,
            headers,
            interim: Vec::new(),
        })
    }
}

/// A whole answer.
#[derive(Debug, Clone)]
pub struct Response {
    /// Its head, also by dereference.
    pub head: Head,
    /// Its content.
    pub body: Vec<u8>,
}

impl Deref for Response {
    type Target = Head;
    fn deref(&self) -> &Head {
        &self.head
    }
}

impl Response {
    /// The content as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The content as JSON.
    pub fn json(&self) -> Result<serde_json::Value> {
        serde_json::from_slice(&self.body)
            .with_context(|| format!("{} {}", self.status, self.text()))
    }

    /// Errs, with the whole answer, unless the status is the one expected.
    pub fn expect(self, status: u16) -> Result<Self> {
        ensure!(
            self.status == status,
            "expected {status}, got {} {:?}\n{}",
            self.status,
            self.head.headers,
            self.text()
        );
        Ok(self)
    }

    /// Errs unless this is a refusal as RFC 9457 has it, with this status and the members that say
    /// what to do.
    pub fn expect_problem(self, status: u16) -> Result<serde_json::Value> {
        let answer = self.expect(status)?;
        ensure!(
            answer
                .get("content-type")
                .is_some_and(|kind| kind.starts_with("application/problem+json")),
            "no problem document: {answer:?}"
        );
        let problem = answer.json()?;
        for member in ["type", "title", "detail"] {
            ensure!(
                problem[member]
                    .as_str()
                    .is_some_and(|text| !text.is_empty()),
                "no {member} in {problem}"
            );
        }
        ensure!(
            problem["status"] == status,
            "the document's status differs: {problem}"
        );
        Ok(problem)
    }
}

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
