//! Heads of answers, and how the content behind them is marked off.

use crate::fault::Fault;

/// A head longer than this is refused.
pub(crate) const HEAD_BYTES_MAX: usize = 32 * 1024;
const FIELDS_MAX: usize = 96;
/// A line with a chunk's size, or a trailer, longer than this is refused.
const LINE_BYTES_MAX: usize = 8 * 1024;

/// What an answer's head says, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Head {
    /// Its status.
    pub(crate) status: u16,
    /// `Location`, as given.
    pub(crate) location: Option<String>,
    /// `Upload-Offset`.
    pub(crate) offset: Option<u64>,
    length: Option<u64>,
    is_chunked: bool,
    /// Whether no further request can be sent on this connection.
    pub(crate) is_last: bool,
}

/// Reads a head at the start of `bytes`, and tells its length; `None` while it is not all there.
pub(crate) fn parse(bytes: &[u8]) -> Result<Option<(Head, usize)>, Fault> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut response = httparse::Response::new(&mut fields);
    let end = match response.parse(bytes) {
        Ok(httparse::Status::Complete(end)) => end,
        Ok(httparse::Status::Partial) if bytes.len() > HEAD_BYTES_MAX => {
            return Err(Fault::malformed(format!(
                "a head over {HEAD_BYTES_MAX} bytes"
            )));
        }
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(error) => return Err(Fault::malformed(format!("a head that is none: {error}"))),
    };
    let mut head = Head {
        status: response.code.unwrap_or_default(),
        is_last: response.version == Some(0),
        ..Head::default()
    };
    for field in response.headers.iter() {
        let value = String::from_utf8_lossy(field.value);
        let value = value.trim();
        let number = || {
            let told = || Fault::malformed(format!("{}: {value}", field.name));
            value.parse::<u64>().map(Some).map_err(|_| told())
        };
        match field.name.to_ascii_lowercase().as_str() {
            "location" => head.location = Some(value.to_owned()),
            "upload-offset" => head.offset = number()?,
            "content-length" => head.length = number()?,
            "transfer-encoding" => head.is_chunked = has_token(value, "chunked"),
            "connection" if has_token(value, "close") => head.is_last = true,
            "connection" if has_token(value, "keep-alive") => head.is_last = false,
            _ => {}
        }
    }
    Ok(Some((head, end)))
}

fn has_token(value: &str, token: &str) -> bool {
    value
        .split(',')
        .any(|item| item.trim().eq_ignore_ascii_case(token))
}

impl Head {
    /// Whether more answers to the same request follow.
    pub(crate) fn is_interim(&self) -> bool {
        (100..200).contains(&self.status)
    }

    /// Whether the request was done.
    pub(crate) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The content that follows (none of our requests is a `HEAD`).
    pub(crate) fn content(&self) -> Content {
        match self.length {
            _ if self.is_interim() || matches!(self.status, 204 | 304) => Content::Done,
            _ if self.is_chunked => Content::Size(Vec::new()),
            Some(0) => Content::Done,
            Some(left) => Content::Length(left),
            None => Content::UntilClose,
        }
    }
}

/// How the rest of a content is marked off.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// So many bytes are left.
    Length(u64),
    /// All until the connection's end.
    UntilClose,
    /// The line with a chunk's size, as far as it is known.
    Size(Vec<u8>),
    /// So many bytes are left of a chunk.
    Chunk(u64),
    /// The end of a chunk's line, as far as it is known.
    ChunkEnd(Vec<u8>),
    /// A line behind the last chunk, as far as it is known.
    Trailer(Vec<u8>),
    /// Nothing is left.
    Done,
}

impl Content {
    /// Takes what belongs to the content from the front of `bytes`; gives how many were taken. Only
    /// the content itself goes to `sink`.
    pub(crate) fn take(
        &mut self,
        bytes: &[u8],
        mut sink: impl FnMut(&[u8]),
    ) -> Result<usize, Fault> {
        let mut at = 0;
        while at < bytes.len() && *self != Self::Done {
            let rest = &bytes[at..];
            match self {
                Self::Done => {}
                Self::UntilClose => {
                    sink(rest);
                    at = bytes.len();
                }
                Self::Length(left) | Self::Chunk(left) => {
                    let took = usize::try_from(*left).unwrap_or(usize::MAX).min(rest.len());
                    sink(&rest[..took]);
                    *left -= took as u64;
                    at += took;
                    match self {
                        Self::Length(0) => *self = Self::Done,
                        Self::Chunk(0) => *self = Self::ChunkEnd(Vec::new()),
                        _ => {}
                    }
                }
                Self::Size(line) | Self::ChunkEnd(line) | Self::Trailer(line) => {
                    line.push(rest[0]);
                    at += 1;
                    if rest[0] == b'\n' {
                        *self = self.after_line()?;
                    } else if line.len() > LINE_BYTES_MAX {
                        return Err(Fault::malformed("a chunk's line that does not end"));
                    }
                }
            }
        }
        Ok(at)
    }

    fn after_line(&self) -> Result<Self, Fault> {
        let (Self::Size(line) | Self::ChunkEnd(line) | Self::Trailer(line)) = self else {
            return Ok(Self::Done);
        };
        let text = String::from_utf8_lossy(line);
        let text = text.trim();
        Ok(match self {
            Self::Size(_) => {
                let size = text.split(';').next().unwrap_or_default().trim();
                match u64::from_str_radix(size, 16) {
                    Ok(0) => Self::Trailer(Vec::new()),
                    Ok(size) => Self::Chunk(size),
                    Err(_) => return Err(Fault::malformed(format!("a chunk of size `{size}`"))),
                }
            }
            Self::ChunkEnd(_) if text.is_empty() => Self::Size(Vec::new()),
            Self::ChunkEnd(_) => return Err(Fault::malformed("a chunk longer than its size")),
            _ if text.is_empty() => Self::Done,
            _ => Self::Trailer(Vec::new()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(text: &str) -> Head {
        let (head, end) = parse(text.as_bytes()).unwrap().unwrap();
        assert_eq!(end, text.len());
        head
    }

    #[test]
    fn a_head_is_read_once_it_is_all_there() {
        let text =
            "HTTP/1.1 201 Created\r\nlocation: /a\r\nUPLOAD-OFFSET: 7\r\nContent-Length: 3\r\n\r\n";
        for end in 0..text.len() {
            assert_eq!(parse(&text.as_bytes()[..end]).unwrap(), None, "{end}");
        }
        let head = whole(text);
        assert_eq!((head.status, head.offset), (201, Some(7)));
        assert_eq!(head.location.as_deref(), Some("/a"));
        assert!(head.is_success() && !head.is_interim() && !head.is_last);
        assert_eq!(head.content(), Content::Length(3));
    }

    #[test]
    fn it_is_known_which_answer_is_the_last_one() {
        assert!(whole("HTTP/1.1 200 OK\r\nConnection: foo, Close\r\n\r\n").is_last);
        assert!(whole("HTTP/1.0 200 OK\r\n\r\n").is_last);
        assert!(!whole("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\n").is_last);
        assert!(whole("HTTP/1.1 100 Continue\r\n\r\n").is_interim());
    }

    #[test]
    fn what_is_no_head_is_refused() {
        assert!(parse(b"SSH-2.0-OpenSSH\r\n\r\n").is_err());
        assert!(parse(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n").is_err());
        let endless = format!("HTTP/1.1 200 OK\r\nA: {}", "x".repeat(HEAD_BYTES_MAX));
        assert!(parse(endless.as_bytes()).is_err());
    }

    /// Content that comes in steps of so many bytes, and what of the input was left over.
    fn taken(head: &str, body: &str, step: usize) -> Result<(String, usize, bool), Fault> {
        let mut content = whole(head).content();
        let (mut got, mut at) = (Vec::new(), 0);
        while at < body.len() && content != Content::Done {
            let end = (at + step).min(body.len());
            at += content.take(&body.as_bytes()[at..end], |bytes| {
                got.extend_from_slice(bytes)
            })?;
        }
        let text = String::from_utf8(got).unwrap();
        Ok((text, body.len() - at, content == Content::Done))
    }

    #[test]
    fn content_is_marked_off_in_each_way_however_it_is_cut() {
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        for step in 1..40 {
            let body = "5;x=y\r\nhello\r\n0A\r\n, world!!!\r\n0\r\nA: b\r\n\r\nHTTP";
            assert_eq!(
                taken(chunked, body, step).unwrap(),
                ("hello, world!!!".to_owned(), 4, true)
            );
            let length = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
            assert_eq!(
                taken(length, "helloHTTP", step).unwrap(),
                ("hello".to_owned(), 4, true)
            );
            assert_eq!(
                taken("HTTP/1.1 200 OK\r\n\r\n", "hello", step).unwrap(),
                ("hello".to_owned(), 0, false)
            );
        }
        assert!(taken(chunked, "zz\r\n", 9).is_err());
        assert!(taken(chunked, "1\r\nab\r\n", 9).is_err());
        let none = "HTTP/1.1 204 No Content\r\nContent-Length: 9\r\n\r\n";
        assert_eq!(whole(none).content(), Content::Done);
    }
}
