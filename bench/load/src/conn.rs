//! One bare connection: heads and bodies out, answers in, each byte once.
//!
//! Written on the socket itself because every layer above would be measured along with the server:
//! long bodies go from the pool by `sendfile`, small ones together with their head in one call,
//! downloads into one buffer that is used again. While a body is sent the other direction is
//! watched, since a server may answer, and refuse, before its end (RFC 9112, 9.5).

use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr};

use tokio::io::{AsyncReadExt, Interest};
use tokio::net::{TcpSocket, TcpStream};

use crate::fault::Fault;
use crate::head::{self, Content, Head};
use crate::pool::{POOL_BYTES, Pool};

/// Bytes that one call of `sendfile` may move, so that one fast reader does not keep all others
/// waiting.
const STEP_BYTES: u64 = 1 << 20;
/// Room that is made for an answer at first.
const ANSWER_BYTES: usize = 1024;
/// Of an answer's content so much is kept, for its first line and for messages.
const KEPT_BYTES_MAX: usize = 16 * 1024;

/// An open connection.
#[derive(Debug)]
pub(crate) struct Conn {
    stream: TcpStream,
    /// What came and was not yet looked at.
    buffer: Vec<u8>,
}

/// What became of sending a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sent {
    /// All of it went.
    Whole,
    /// A final answer came before its end.
    Stopped,
}

/// Which bytes of which file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Piece {
    /// The file's number.
    pub(crate) k: u64,
    /// Where it begins in the file.
    pub(crate) at: u64,
    /// Its length.
    pub(crate) bytes: u64,
}

impl Conn {
    /// Connects, from `source` if given.
    pub(crate) async fn open(peer: SocketAddr, source: Option<IpAddr>) -> Result<Self, Fault> {
        let open = async {
            let socket = match peer {
                SocketAddr::V4(_) => TcpSocket::new_v4()?,
                SocketAddr::V6(_) => TcpSocket::new_v6()?,
            };
            if let Some(source) = source {
                socket.bind(SocketAddr::new(source, 0))?;
            }
            let stream = socket.connect(peer).await?;
            stream.set_nodelay(true)?;
            Ok(stream)
        };
        let stream = open.await.map_err(|error| Fault::io("connect", &error))?;
        Ok(Self {
            stream,
            buffer: Vec::new(),
        })
    }

    /// Whether the server has ended this connection while nothing was asked.
    pub(crate) fn is_over(&mut self) -> bool {
        !self.buffer.is_empty() || !matches!(self.read_now(), Ok(None))
    }

    /// Sends a head and as much of a body as is in `more`, together.
    pub(crate) async fn send(&mut self, head: &[u8], more: &[&[u8]]) -> Result<Sent, Fault> {
        let mut slices: Vec<IoSlice<'_>> = Vec::with_capacity(1 + more.len());
        slices.push(IoSlice::new(head));
        slices.extend(more.iter().map(|bytes| IoSlice::new(bytes)));
        let mut rest = slices.as_mut_slice();
        IoSlice::advance_slices(&mut rest, 0);
        while !rest.is_empty() {
            match self.stream.try_write_vectored(rest) {
                Ok(sent) => IoSlice::advance_slices(&mut rest, sent),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let both = Interest::READABLE | Interest::WRITABLE;
                    let ready = self.stream.ready(both).await;
                    let ready = ready.map_err(|error| Fault::io("send", &error))?;
                    if ready.is_readable() && self.is_answered()? {
                        return Ok(Sent::Stopped);
                    }
                }
                Err(error) => return self.after(&error),
            }
        }
        Ok(Sent::Whole)
    }

    /// Sends a piece of a file without a copy.
    pub(crate) async fn send_piece(&mut self, pool: &Pool, piece: Piece) -> Result<Sent, Fault> {
        let (mut at, end) = (piece.at, piece.at + piece.bytes);
        let mut since_yield = 0;
        while at < end {
            let both = Interest::READABLE | Interest::WRITABLE;
            let ready = self.stream.ready(both).await;
            let ready = ready.map_err(|error| Fault::io("send", &error))?;
            if ready.is_readable() && self.is_answered()? {
                return Ok(Sent::Stopped);
            }
            if !ready.is_writable() {
                continue;
            }
            let place = Pool::place(piece.k, at);
            let step = (end - at).min(STEP_BYTES);
            let step = usize::try_from(step).unwrap_or(0).min(POOL_BYTES - place);
            let mut offset = place as u64;
            let moved = self.stream.try_io(Interest::WRITABLE, || {
                rustix::fs::sendfile(&self.stream, pool.file(), Some(&mut offset), step)
                    .map_err(io::Error::from)
            });
            match moved {
                Ok(moved) => {
                    at += moved as u64;
                    since_yield += moved as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return self.after(&error),
            }
            if since_yield >= STEP_BYTES {
                since_yield = 0;
                tokio::task::yield_now().await;
            }
        }
        Ok(Sent::Whole)
    }

    /// Sending failed: an answer that came before explains it better than the error does.
    fn after(&mut self, error: &io::Error) -> Result<Sent, Fault> {
        match self.is_answered() {
            Ok(true) => Ok(Sent::Stopped),
            _ => Err(Fault::io("send", error)),
        }
    }

    /// Whether a final answer has begun to come. Interim ones are set aside.
    pub(crate) fn is_answered(&mut self) -> Result<bool, Fault> {
        while let Some(read) = self.read_now()? {
            if read == 0 {
                return match self.buffer.is_empty() {
                    true => Err(Fault::closed("while the body was sent")),
                    false => Ok(true),
                };
            }
        }
        while self.buffer.starts_with(b"HTTP/1.1 1") {
            match head::parse(&self.buffer)? {
                Some((_, end)) => drop(self.buffer.drain(..end)),
                None => return Ok(false),
            }
        }
        Ok(!self.buffer.is_empty())
    }

    /// Reads what is there. `None` is nothing for now, 0 the end.
    fn read_now(&mut self) -> Result<Option<usize>, Fault> {
        self.buffer.reserve(ANSWER_BYTES);
        match self.stream.try_read_buf(&mut self.buffer) {
            Ok(read) => Ok(Some(read)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(Fault::io("receive", &error)),
        }
    }

    async fn read_more(&mut self) -> Result<usize, Fault> {
        self.buffer.reserve(ANSWER_BYTES);
        let read = self.stream.read_buf(&mut self.buffer).await;
        read.map_err(|error| Fault::io("receive", &error))
    }

    /// Waits for the next head and takes it if it is an interim one: its status. `None` is a final
    /// one, which is left to be read.
    pub(crate) async fn next_interim(&mut self) -> Result<Option<u16>, Fault> {
        loop {
            match head::parse(&self.buffer)? {
                Some((head, end)) if head.is_interim() => {
                    self.buffer.drain(..end);
                    return Ok(Some(head.status));
                }
                Some(_) => return Ok(None),
                None => self.read_head().await?,
            }
        }
    }

    /// Reads on within a head.
    async fn read_head(&mut self) -> Result<(), Fault> {
        if self.read_more().await? > 0 {
            return Ok(());
        }
        Err(match self.buffer.is_empty() {
            true => Fault::closed("where one was due"),
            false => Fault::malformed("a head that is cut short"),
        })
    }

    /// Waits for the final answer's head.
    pub(crate) async fn head(&mut self) -> Result<Head, Fault> {
        loop {
            match head::parse(&self.buffer)? {
                Some((head, end)) => {
                    self.buffer.drain(..end);
                    if !head.is_interim() {
                        return Ok(head);
                    }
                }
                None => self.read_head().await?,
            }
        }
    }

    /// Reads the content to its end and keeps its beginning.
    pub(crate) async fn text(&mut self, head: &Head) -> Result<String, Fault> {
        let mut kept = Vec::new();
        let mut content = head.content();
        loop {
            let took = content.take(&self.buffer, |bytes| {
                let room = KEPT_BYTES_MAX - kept.len();
                kept.extend_from_slice(&bytes[..room.min(bytes.len())]);
            })?;
            self.buffer.drain(..took);
            if content == Content::Done {
                break;
            }
            if self.read_more().await? == 0 {
                if content == Content::UntilClose {
                    break;
                }
                return Err(Fault::new("cut answer", "the content of an answer"));
            }
        }
        Ok(String::from_utf8_lossy(&kept).into_owned())
    }

    /// Reads the content to its end through `scratch`, and shows each part of it to `sink`.
    pub(crate) async fn content(
        &mut self,
        head: &Head,
        scratch: &mut [u8],
        mut sink: impl FnMut(&[u8]),
    ) -> Result<(), Fault> {
        let mut content = head.content();
        let took = content.take(&self.buffer, &mut sink)?;
        self.buffer.drain(..took);
        while content != Content::Done {
            let read = self.stream.read(scratch).await;
            let read = read.map_err(|error| Fault::io("receive", &error))?;
            if read == 0 && content == Content::UntilClose {
                break;
            }
            if read == 0 {
                return Err(Fault::new("cut answer", "a download"));
            }
            let took = content.take(&scratch[..read], &mut sink)?;
            self.buffer.extend_from_slice(&scratch[took..read]);
        }
        Ok(())
    }

    /// Waits for the server to end the connection; gives the status that it told before, if any.
    pub(crate) async fn ended(&mut self) -> Option<u16> {
        let mut kept = Vec::new();
        while let Ok(1..) = self.read_more().await {
            // A head is at the front; what follows it only has to be taken away.
            let room = head::HEAD_BYTES_MAX.saturating_sub(kept.len());
            kept.extend(self.buffer.drain(..).take(room));
        }
        let mut rest = kept.as_slice();
        while let Ok(Some((head, end))) = head::parse(rest) {
            if !head.is_interim() {
                return Some(head.status);
            }
            rest = &rest[end..];
        }
        None
    }
}
