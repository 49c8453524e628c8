//! A form: the content type in the first line, the body behind it. Cut anywhere, it reads the same.

use bytes::Bytes;
use ddx_http::protocols::plain::multipart::{Event, Limits, Parser, Part};
use ddx_http::shared::problem::Kind;

use crate::mutate::Choices;
use crate::request::line;

#[derive(Debug, PartialEq)]
struct Read {
    parts: Vec<(Part, Vec<u8>, bool)>,
    end: Result<(), Kind>,
}

const LIMITS: Limits = Limits {
    parts_max: 8,
    head_bytes_max: 200,
    text_bytes_max: 64,
    margin_bytes_max: 100,
    idle: std::time::Duration::from_secs(60),
};

pub(super) fn run(bytes: &[u8]) {
    let (content_type, body) = line(bytes);
    let content_type = String::from_utf8_lossy(content_type);
    if Parser::new(&content_type, LIMITS).is_err() {
        return;
    }
    let whole = read(&content_type, [body]);
    assert!(whole.parts.len() <= LIMITS.parts_max);
    for size in [1, 2, 5, 31] {
        assert_eq!(
            read(&content_type, body.chunks(size)),
            whole,
            "in frames of {size}"
        );
    }
    let mut choices = Choices::new(body.len() as u64);
    for _ in 0..4 {
        let mut frames = Vec::new();
        let mut rest = body;
        while !rest.is_empty() {
            let (frame, after) = rest.split_at(rest.len().min(1 + choices.below(40)));
            frames.push(frame);
            rest = after;
        }
        assert_eq!(read(&content_type, frames), whole, "in uneven frames");
    }
}

fn read<'f>(content_type: &str, frames: impl IntoIterator<Item = &'f [u8]>) -> Read {
    let mut parser = Parser::new(content_type, LIMITS).expect("it was taken before");
    let mut read = Read {
        parts: Vec::new(),
        end: Ok(()),
    };
    for frame in frames {
        parser.push(Bytes::copy_from_slice(frame));
        loop {
            match parser.next() {
                Ok(Some(event)) => note(event, &mut read),
                Ok(None) => break,
                Err(problem) => {
                    read.end = Err(problem.kind());
                    return read;
                }
            }
        }
    }
    read.end = parser.finish().map_err(|problem| problem.kind());
    read
}

fn note(event: Event, read: &mut Read) {
    let open = read.parts.last_mut().filter(|(_, _, ended)| !ended);
    match (event, open) {
        (Event::Part(part), None) => read.parts.push((part, Vec::new(), false)),
        (Event::Data(bytes), Some((_, data, _))) => {
            assert!(!bytes.is_empty(), "bytes that are none");
            data.extend_from_slice(&bytes);
        }
        (Event::PartEnd, Some((_, _, ended))) => *ended = true,
        (event, open) => panic!("{event:?} with {open:?} open"),
    }
}
