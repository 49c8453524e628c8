//! The least of HTTP/2 (RFC 9113) that a client needs to be a nuisance.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use ddx_testkit::{Data, Server};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Far above the limits of a server that is told to wait for seconds.
const PATIENCE: Duration = Duration::from_secs(30);

/// A connection, and what was said on it.
pub(crate) struct Http2 {
    stream: TcpStream,
}

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const ACK: u8 = 1;
const INITIAL_WINDOW_SIZE: u16 = 4;

pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Http2 {
    /// With an initial window of so many bytes for each answer.
    pub(crate) async fn open(server: &Server, window: u32) -> Result<Self> {
        let mut stream = TcpStream::connect(server.address()).await?;
        stream
            .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            .await?;
        let mut settings = INITIAL_WINDOW_SIZE.to_be_bytes().to_vec();
        settings.extend(window.to_be_bytes());
        let mut http2 = Self { stream };
        http2.send(SETTINGS, 0, 0, &settings).await?;
        Ok(http2)
    }

    async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Result<()> {
        let length = u32::try_from(payload.len())?.to_be_bytes();
        let mut frame = length[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        self.stream.write_all(&frame).await?;
        Ok(())
    }

    /// Asks, by fields that are not compressed (RFC 7541, 6.2.2).
    pub(crate) async fn ask(
        &mut self,
        stream: u32,
        method: &str,
        path: &str,
        ends: bool,
    ) -> Result<()> {
        let mut fields = Vec::new();
        let pseudo = [
            (":method", method),
            (":scheme", "http"),
            (":path", path),
            (":authority", "a"),
        ];
        for (name, value) in pseudo {
            fields.push(0);
            for text in [name, value] {
                fields.push(u8::try_from(text.len())?); // below 127: one byte
                fields.extend(text.as_bytes());
            }
        }
        let flags = END_HEADERS | if ends { END_STREAM } else { 0 };
        self.send(HEADERS, flags, stream, &fields).await
    }

    /// The next frame; None at the end of the connection. Pings and settings are acknowledged on
    /// the way.
    pub(crate) async fn next(&mut self) -> Result<Option<Frame>> {
        loop {
            let mut head = [0; 9];
            match self.stream.read_exact(&mut head).await {
                Ok(_) => {}
                Err(error)
                    if matches!(
                        error.kind(),
                        std::io::ErrorKind::UnexpectedEof | std::io::ErrorKind::ConnectionReset
                    ) =>
                {
                    return Ok(None);
                }
                Err(error) => return Err(error.into()),
            }
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; length as usize];
            self.stream.read_exact(&mut payload).await?;
            let frame = Frame {
                kind: head[3],
                flags: head[4],
                stream: u32::from_be_bytes([head[5], head[6], head[7], head[8]]),
                payload,
            };
            // Where the server has closed meanwhile, the next frame tells.
            match frame.kind {
                PING if frame.flags & ACK == 0 => {
                    drop(self.send(PING, ACK, 0, &frame.payload).await);
                }
                SETTINGS if frame.flags & ACK == 0 => {
                    drop(self.send(SETTINGS, ACK, 0, &[]).await);
                }
                _ => return Ok(Some(frame)),
            }
        }
    }

    /// Answers pings, and sends some, until the server closes; the kinds of frames that came.
    pub(crate) async fn until_closed(mut self) -> Result<Vec<u8>> {
        let mut kinds = Vec::new();
        let end = Instant::now() + PATIENCE;
        loop {
            ensure!(Instant::now() < end, "the connection stays open: {kinds:?}");
            match timeout(Duration::from_millis(400), self.next()).await {
                Ok(frame) => match frame? {
                    Some(frame) => kinds.push(frame.kind),
                    None => return Ok(kinds),
                },
                // The server may have closed a moment ago.
                Err(_) => drop(self.send(PING, 0, 0, b"are-you?").await),
            }
        }
    }

    /// Lets the server send so many bytes more.
    pub(crate) async fn grant(&mut self, stream: u32, bytes: u32) -> Result<()> {
        for stream in [0, stream] {
            self.send(WINDOW_UPDATE, 0, stream, &bytes.to_be_bytes())
                .await?;
        }
        Ok(())
    }

    /// Reads an answer's content from this byte up to another, and that it is this data's; the next
    /// byte.
    pub(crate) async fn read(&mut self, data: &Data, mut at: u64, until: u64) -> Result<u64> {
        while at < until {
            let frame = timeout(PATIENCE, self.next())
                .await
                .context("nothing comes")??;
            let frame = frame.with_context(|| format!("the connection ends at byte {at}"))?;
            ensure!(frame.kind != RST_STREAM, "the stream is reset at byte {at}");
            if frame.kind == DATA {
                let differs = data.first_difference(at, &frame.payload);
                ensure!(differs.is_none(), "other bytes at {at}");
                at += frame.payload.len() as u64;
            }
        }
        Ok(at)
    }
}
