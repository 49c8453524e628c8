//! One connection: requests one after another, bodies through two threads.
//!
//! A body that fits into one buffer is written by the thread that read it: handing it over would
//! cost more than it overlaps.

use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};

use anyhow::{Context, Result, ensure};

use crate::file::{Buffer, BufferSetup, Writing};

const HEAD_BYTES_MAX: usize = 16 * 1024;
const FIELDS_MAX: usize = 64;

/// What a request wants, as far as this server understands one.
enum Wanted {
    Put {
        bytes: u64,
        expects: bool,
    },
    Get {
        name: String,
    },
    /// Something else, and the status that says so.
    No(&'static str),
}

/// A client's connection with the memory that it uses.
pub(crate) struct Connection<'a> {
    stream: TcpStream,
    dir: &'a Path,
    buffer_setup: BufferSetup,
    /// Bytes that came and belong to no request yet.
    ahead: Vec<u8>,
    buffers: Vec<Buffer>,
}

impl<'a> Connection<'a> {
    pub(crate) fn new(stream: TcpStream, dir: &'a Path, buffer_setup: BufferSetup) -> Self {
        Self {
            stream,
            dir,
            buffer_setup,
            ahead: Vec::new(),
            buffers: Vec::new(),
        }
    }

    /// Answers requests until the client goes or asks for something else than `PUT` and `GET`.
    pub(crate) fn serve(mut self) -> Result<()> {
        while let Some(wanted) = self.next()? {
            match wanted {
                Wanted::Put { bytes, expects } => self.put(bytes, expects)?,
                Wanted::Get { name } => self.get(&name)?,
                Wanted::No(status) => return self.answer(status, "Connection: close\r\n", status),
            }
        }
        Ok(())
    }

    /// Waits for a request's head. `None` is the end of the connection between two requests.
    fn next(&mut self) -> Result<Option<Wanted>> {
        loop {
            if let Some((wanted, end)) = parse(&self.ahead)? {
                self.ahead.drain(..end);
                return Ok(Some(wanted));
            }
            ensure!(
                self.ahead.len() < HEAD_BYTES_MAX,
                "a head is over {HEAD_BYTES_MAX} bytes"
            );
            let mut some = [0; 4096];
            let read = self.stream.read(&mut some).context("read a head")?;
            if read == 0 {
                ensure!(self.ahead.is_empty(), "a head was cut short");
                return Ok(None);
            }
            self.ahead.extend_from_slice(&some[..read]);
        }
    }

    fn put(&mut self, bytes: u64, expects: bool) -> Result<()> {
        if expects {
            self.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let (mut writing, name) = Writing::new(self.dir)?;
        let taken = if bytes <= self.buffer_setup.bytes as u64 {
            self.take_here(bytes, &mut writing)
        } else {
            self.take_in_two(bytes, &mut writing)
        };
        if let Err(error) = taken {
            writing.abandon();
            return Err(error);
        }
        let digest = writing.finish()?;
        let fields = format!("Location: /{name}\r\n");
        self.answer("201 Created", &fields, &digest.to_hex())
    }

    fn take_here(&mut self, bytes: u64, writing: &mut Writing) -> Result<()> {
        let mut buffer = self
            .buffers
            .pop()
            .unwrap_or_else(|| Buffer::new(self.buffer_setup.bytes));
        let mut left = bytes;
        let read = fill(&mut self.stream, &mut self.ahead, &mut buffer, &mut left);
        if read.is_ok() && bytes > 0 {
            writing.take(&mut buffer)?;
        }
        buffer.filled = 0;
        self.buffers.push(buffer);
        read
    }

    /// One thread reads while the other one hashes and writes; the buffers go round between them.
    fn take_in_two(&mut self, bytes: u64, writing: &mut Writing) -> Result<()> {
        let (give_full, full): (Sender<Buffer>, Receiver<Buffer>) = channel();
        let (give_empty, empty) = channel();
        while self.buffers.len() < self.buffer_setup.count {
            self.buffers.push(Buffer::new(self.buffer_setup.bytes));
        }
        for buffer in self.buffers.drain(..) {
            give_empty.send(buffer)?;
        }
        let (stream, ahead) = (&mut self.stream, &mut self.ahead);
        let (read, written) = std::thread::scope(|scope| {
            let writer = scope.spawn(move || -> Result<()> {
                for mut buffer in full {
                    writing.take(&mut buffer)?;
                    // After the last byte buffers are not waited for; they come back through the
                    // channel.
                    let _ = give_empty.send(buffer);
                }
                Ok(())
            });
            let mut left = bytes;
            let mut read = Ok(());
            while left > 0 && read.is_ok() {
                // The writer failed if it took its ends of the channels with it; it says why.
                let Ok(mut buffer) = empty.recv() else { break };
                read = fill(stream, ahead, &mut buffer, &mut left);
                if read.is_ok() && give_full.send(buffer).is_err() {
                    break;
                }
            }
            drop(give_full);
            (read, writer.join())
        });
        self.buffers.extend(empty.try_iter());
        written.map_err(|_| anyhow::anyhow!("the writing thread panicked"))??;
        read
    }

    fn get(&mut self, name: &str) -> Result<()> {
        let is_ours = name
            .bytes()
            .all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
        let file = File::open(self.dir.join(name)).ok().filter(|_| is_ours);
        let Some(file) = file.filter(|_| !name.is_empty()) else {
            return self.answer("404 Not Found", "", "no such file");
        };
        let bytes = file.metadata()?.len();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {bytes}\r\n\r\n");
        self.stream.write_all(head.as_bytes())?;
        let mut at = 0;
        while at < bytes {
            let count = usize::try_from(bytes - at).unwrap_or(usize::MAX);
            let sent = rustix::fs::sendfile(&self.stream, &file, Some(&mut at), count)?;
            ensure!(sent > 0, "{name} became shorter while it was sent");
        }
        Ok(())
    }

    fn answer(&mut self, status: &str, fields: &str, text: &str) -> Result<()> {
        let bytes = text.len() + 1;
        let answer =
            format!("HTTP/1.1 {status}\r\nContent-Length: {bytes}\r\n{fields}\r\n{text}\n");
        self.stream.write_all(answer.as_bytes()).context("answer")
    }
}

/// Fills the buffer, or puts the rest of the body into it.
fn fill(
    stream: &mut TcpStream,
    ahead: &mut Vec<u8>,
    buffer: &mut Buffer,
    left: &mut u64,
) -> Result<()> {
    loop {
        let want = usize::try_from(*left).unwrap_or(usize::MAX);
        let rest = buffer.rest();
        let want = want.min(rest.len());
        if want == 0 {
            return Ok(());
        }
        let got = if ahead.is_empty() {
            stream.read(&mut rest[..want]).context("read a body")?
        } else {
            let got = want.min(ahead.len());
            rest[..got].copy_from_slice(&ahead[..got]);
            ahead.drain(..got);
            got
        };
        ensure!(got > 0, "a body was cut {left} bytes before its end");
        buffer.filled += got;
        *left -= got as u64;
    }
}

/// The request and the length of its head, once all of it is there.
fn parse(bytes: &[u8]) -> Result<Option<(Wanted, usize)>> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut request = httparse::Request::new(&mut fields);
    let httparse::Status::Complete(end) = request.parse(bytes)? else {
        return Ok(None);
    };
    let field = |name: &str| {
        let mut all = request.headers.iter();
        all.find(|field| field.name.eq_ignore_ascii_case(name))
            .and_then(|field| std::str::from_utf8(field.value).ok())
            .map(str::trim)
    };
    let path = request.path.unwrap_or_default();
    let wanted = match request.method {
        Some("GET") => Wanted::Get {
            name: path.trim_start_matches('/').to_owned(),
        },
        Some("PUT") => match field("content-length").map(str::parse) {
            Some(Ok(bytes)) => Wanted::Put {
                bytes,
                expects: field("expect").is_some_and(|it| it.eq_ignore_ascii_case("100-continue")),
            },
            Some(Err(_)) => Wanted::No("400 Bad Request"),
            None => Wanted::No("411 Length Required"),
        },
        _ => Wanted::No("405 Method Not Allowed"),
    };
    Ok(Some((wanted, end)))
}
