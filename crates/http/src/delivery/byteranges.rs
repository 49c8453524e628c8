//! `multipart/byteranges`: the frames around several ranges of one file (RFC 9110 §14.6).
//!
//! The frames are made before the first byte is sent, since only then is the answer's exact
//! Content-Length known, and without it a client can't tell a cut answer from a complete one. They
//! are small: one line of type and one of position a range, and the number of ranges is limited
//! where they are read.

use bytes::Bytes;
use http::HeaderValue;

use crate::server::{Piece, Span};

/// The answer's body as a list of pieces.
#[derive(Debug, Clone)]
pub struct Byteranges {
    content_type: HeaderValue,
    content_length: u64,
    pieces: Vec<Piece>,
}

impl Byteranges {
    /// Frames `spans` of a file of `length` bytes and of type `content_type`.
    ///
    /// `boundary`: letters and digits, at most 70, and random, since it is not looked whether it
    /// stands in the file: 128 bits are enough.
    #[must_use]
    pub fn new(spans: &[Span], length: u64, content_type: &HeaderValue, boundary: &str) -> Self {
        let boundary: String = boundary
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .take(70)
            .collect();
        let file_type = content_type.to_str().unwrap_or("application/octet-stream");
        let mut pieces = Vec::with_capacity(spans.len() * 2 + 1);
        let mut content_length = 0;
        let mut frame = |text: String, pieces: &mut Vec<Piece>| {
            let text = Bytes::from(text);
            content_length += text.len() as u64;
            pieces.push(Piece::Frame(text));
        };
        for (at, span) in spans.iter().enumerate() {
            // The line break before a boundary belongs to the boundary; before the first one there
            // is nothing to break.
            let line_break = if at == 0 { "" } else { "\r\n" };
            frame(
                format!(
                    "{line_break}--{boundary}\r\nContent-Type: {file_type}\r\nContent-Range: bytes {}-{}/{length}\r\n\r\n",
                    span.first, span.last
                ),
                &mut pieces,
            );
            pieces.push(Piece::File(*span));
        }
        frame(format!("\r\n--{boundary}--\r\n"), &mut pieces);
        let content_length = content_length + spans.iter().map(|span| span.bytes()).sum::<u64>();
        Self {
            content_type: HeaderValue::try_from(format!(
                "multipart/byteranges; boundary={boundary}"
            ))
            .unwrap_or(HeaderValue::from_static("multipart/byteranges")),
            content_length,
            pieces,
        }
    }

    /// The answer's `Content-Type`.
    #[must_use]
    pub fn content_type(&self) -> HeaderValue {
        self.content_type.clone()
    }

    /// The answer's `Content-Length`.
    #[must_use]
    pub fn content_length(&self) -> u64 {
        self.content_length
    }

    /// The body, in order.
    #[must_use]
    pub fn into_pieces(self) -> Vec<Piece> {
        self.pieces
    }
}
