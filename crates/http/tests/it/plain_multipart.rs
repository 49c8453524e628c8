//! Forms: cut at every byte, against a model that splits the whole body at once, and beyond every
//! limit.

use std::convert::Infallible;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use ddx_http::protocols::plain::multipart::{Error, Event, Form, Limits, Parser, Part};
use ddx_http::shared::problem::{Kind, Problem};
use futures_util::stream;
use proptest::prelude::*;

const TYPE: &str = "multipart/form-data; boundary=XyZ";

type Read = Vec<(Part, Vec<u8>)>;

fn parse(frames: &[&[u8]], limits: Limits) -> Result<Read, Problem> {
    let mut parser = Parser::new(TYPE, limits)?;
    let mut read: Read = Vec::new();
    let mut open = false;
    for frame in frames {
        parser.push(Bytes::copy_from_slice(frame));
        while let Some(event) = parser.next()? {
            match event {
                Event::Part(part) => {
                    assert!(!open);
                    open = true;
                    read.push((part, Vec::new()));
                }
                Event::Data(bytes) => {
                    assert!(open && !bytes.is_empty());
                    read.last_mut().unwrap().1.extend_from_slice(&bytes);
                }
                Event::PartEnd => {
                    assert!(open);
                    open = false;
                }
            }
        }
    }
    parser.finish()?;
    Ok(read)
}

fn whole(body: &[u8]) -> Result<Read, Kind> {
    parse(&[body], Limits::default()).map_err(|problem| problem.kind())
}

fn part(name: &str, filename: Option<&str>, content_type: Option<&str>) -> Part {
    Part {
        name: name.to_owned(),
        filename: filename.map(str::to_owned),
        content_type: content_type.map(str::to_owned),
    }
}

/// Two files and a text field, with what looks like a boundary inside the data.
const BODY: &[u8] = b"preamble\r\n--XyZ\r\nContent-Disposition: form-data; name=\"a\"; filename=\"a;\\\"1.txt\"\r\n\
Content-Type: Text/Plain; charset=utf-8\r\n\r\n\
one\r\n--Xy\r\n--XyA\r\r\n--\r\n-\r\n\r\n--XyZ \t\r\ncontent-disposition:form-data;name=t\r\n\r\n\r\n--XyZ\r\n\
Content-Disposition: form-data; name=\"b\"; filename*=UTF-8''%C3%BC\r\nX-Other: y\r\n\r\n\r\n--Xy\r\n--XyZ--\r\nepilogue --XyZ";

fn expected() -> Read {
    vec![
        (
            part("a", Some("a;\"1.txt"), Some("text/plain")),
            b"one\r\n--Xy\r\n--XyA\r\r\n--\r\n-\r\n".to_vec(),
        ),
        (part("t", None, None), Vec::new()),
        (part("b", Some("\u{fc}"), None), b"\r\n--Xy".to_vec()),
    ]
}

#[test]
fn a_form_is_the_same_however_it_is_cut() {
    assert_eq!(whole(BODY).unwrap(), expected());
    for cut in 0..=BODY.len() {
        let (before, after) = BODY.split_at(cut);
        assert_eq!(
            parse(&[before, after], Limits::default()).unwrap(),
            expected(),
            "cut at {cut}"
        );
    }
    for size in 1..40 {
        let frames: Vec<&[u8]> = BODY.chunks(size).collect();
        assert_eq!(
            parse(&frames, Limits::default()).unwrap(),
            expected(),
            "frames of {size}"
        );
    }
}

#[test]
fn a_form_that_ends_early_is_refused_wherever_it_ends() {
    let end = BODY.len() - b"\r\nepilogue --XyZ".len();
    for cut in 0..end {
        assert_eq!(whole(&BODY[..cut]), Err(Kind::FormInvalid), "ends at {cut}");
    }
    for cut in end..BODY.len() {
        assert_eq!(whole(&BODY[..cut]).unwrap(), expected(), "ends at {cut}");
    }
}

#[test]
fn forms_of_clients_are_read() {
    // curl -F file=@a -F k=v
    let curl = b"--XyZ\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\nContent-Type: application/octet-stream\r\n\r\nhello\n\r\n--XyZ\r\nContent-Disposition: form-data; name=\"k\"\r\n\r\nv\r\n--XyZ--\r\n";
    assert_eq!(
        whole(curl).unwrap(),
        [
            (
                part("file", Some("a"), Some("application/octet-stream")),
                b"hello\n".to_vec()
            ),
            (part("k", None, None), b"v".to_vec()),
        ]
    );
    assert_eq!(whole(b"--XyZ--").unwrap(), [], "FormData without an entry");
    // A part without the empty line's own break before the delimiter.
    let bare = b"--XyZ\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n--XyZ--";
    assert_eq!(whole(bare).unwrap(), [(part("a", None, None), Vec::new())]);
    let empty = b"--XyZ\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n\r\n--XyZ--";
    assert_eq!(whole(empty).unwrap(), [(part("a", None, None), Vec::new())]);
    let hyphens = b"--XyZ\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n--Xy\r\n--XyZ--";
    assert_eq!(
        whole(hyphens).unwrap(),
        [(part("a", None, None), b"--Xy".to_vec())]
    );
}

#[test]
fn malformed_forms_are_refused() {
    let with_head = |head: &str| whole(format!("--XyZ\r\n{head}\r\n\r\nx\r\n--XyZ--").as_bytes());
    for head in [
        "",
        "Content-Type: text/plain",
        "Content-Disposition: attachment; name=a",
        "Content-Disposition: form-data",
        "Content-Disposition: form-data; name=a\r\nContent-Disposition: form-data; name=b",
        "Content-Disposition: form-data; name=a\r\n folded",
        "Content-Disposition: form-data; name=a\r\nno field",
        "Content-Disposition: form-data; name=a\r\nContent-Transfer-Encoding: base64",
    ] {
        assert_eq!(with_head(head), Err(Kind::FormInvalid), "{head:?}");
    }
    assert!(
        with_head("Content-Disposition: form-data; name=a\r\nContent-Transfer-Encoding: binary")
            .is_ok()
    );
    for body in [
        "",
        "hello",
        "--XyZ",
        "--XyZ-",
        "--XyZ-x",
        "--XyZx\r\n",
        "--XyZ\n",
        "--XyZ \rx",
        "x--XyZ--",
    ] {
        assert_eq!(whole(body.as_bytes()), Err(Kind::FormInvalid), "{body:?}");
    }
}

#[test]
fn the_content_type_must_be_a_forms() {
    let kind = |content_type: &str| {
        Parser::new(content_type, Limits::default())
            .map(|_| ())
            .map_err(|p| p.kind())
    };
    assert_eq!(
        kind("Multipart/Form-Data; charset=x; Boundary=\"a b'()+_,-./:=?\""),
        Ok(())
    );
    assert_eq!(kind("multipart/form-data"), Err(Kind::FormInvalid));
    assert_eq!(
        kind("multipart/form-data; boundary="),
        Err(Kind::FormInvalid)
    );
    assert_eq!(
        kind(&format!("multipart/form-data; boundary={}", "a".repeat(71))),
        Err(Kind::FormInvalid)
    );
    assert_eq!(
        kind("multipart/form-data; boundary=\"a\tb\""),
        Err(Kind::FormInvalid)
    );
    assert_eq!(
        kind("multipart/mixed; boundary=a"),
        Err(Kind::ContentTypeRefused)
    );
    assert_eq!(kind("application/json"), Err(Kind::ContentTypeRefused));
}

#[test]
fn limits_hold_to_the_byte_in_any_frames() {
    const HEAD: &str = "Content-Disposition: form-data; name=a";
    let body = format!("ab\r\n--XyZ\r\n{HEAD}\r\n\r\nx\r\n--XyZ\r\n{HEAD}\r\n\r\ny\r\n--XyZ--");
    let try_with = |limits: Limits| {
        let at_once = parse(&[body.as_bytes()], limits)
            .map(|read| read.len())
            .map_err(|p| p.kind());
        let frames: Vec<&[u8]> = body.as_bytes().chunks(1).collect();
        assert_eq!(
            parse(&frames, limits)
                .map(|read| read.len())
                .map_err(|p| p.kind()),
            at_once
        );
        at_once
    };
    let limits = Limits::default();
    assert_eq!(
        try_with(Limits {
            parts_max: 2,
            ..limits
        }),
        Ok(2)
    );
    assert_eq!(
        try_with(Limits {
            parts_max: 1,
            ..limits
        }),
        Err(Kind::FormTooLarge)
    );
    assert_eq!(
        try_with(Limits {
            head_bytes_max: HEAD.len(),
            ..limits
        }),
        Ok(2)
    );
    assert_eq!(
        try_with(Limits {
            head_bytes_max: HEAD.len() - 1,
            ..limits
        }),
        Err(Kind::FormTooLarge)
    );
    assert_eq!(
        try_with(Limits {
            margin_bytes_max: 2,
            ..limits
        }),
        Ok(2)
    );
    assert_eq!(
        try_with(Limits {
            margin_bytes_max: 1,
            ..limits
        }),
        Err(Kind::FormInvalid)
    );
}

/// Polls once; nothing here waits on anything but the stream, which is always ready.
fn now<T>(future: impl Future<Output = T>) -> T {
    // For the time limit, which is never met.
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().build().unwrap();
    let _clock = runtime.enter();
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("it waits although the stream is ready"),
    }
}

fn form(
    body: &[u8],
    size: usize,
) -> Form<impl futures_util::Stream<Item = Result<Bytes, Infallible>> + Unpin + use<>> {
    let frames: Vec<_> = body
        .chunks(size)
        .map(|frame| Ok(Bytes::copy_from_slice(frame)))
        .collect();
    Form::new(TYPE, stream::iter(frames), Limits::default()).unwrap()
}

#[test]
fn a_stream_is_read_field_by_field_and_skipped_where_not_wanted() {
    for size in [1, 7, 4096] {
        let mut form = form(BODY, size);
        assert_eq!(now(form.chunk()).unwrap(), None, "before the first part");
        assert_eq!(now(form.next()).unwrap().unwrap().name, "a");
        assert!(
            now(form.chunk()).unwrap().is_some(),
            "and the rest is skipped"
        );
        assert_eq!(now(form.next()).unwrap().unwrap().name, "t");
        assert_eq!(now(form.text()).unwrap(), "");
        assert_eq!(now(form.next()).unwrap().unwrap().name, "b");
        let mut data = Vec::new();
        while let Some(chunk) = now(form.chunk()).unwrap() {
            data.extend_from_slice(&chunk);
        }
        assert_eq!(data, b"\r\n--Xy");
        assert_eq!(now(form.chunk()).unwrap(), None, "the end stays the end");
        assert_eq!(now(form.next()).unwrap(), None);
        assert_eq!(now(form.next()).unwrap(), None);
    }
}

#[test]
fn a_text_field_has_its_limit() {
    let body = |bytes: usize| {
        [
            &b"--XyZ\r\nContent-Disposition: form-data; name=a\r\n\r\n"[..],
            &vec![b'x'; bytes],
            b"\r\n--XyZ--",
        ]
        .concat()
    };
    let text = |bytes: usize| {
        let mut form = form(&body(bytes), 1000);
        now(form.next()).unwrap().unwrap();
        now(form.text())
    };
    assert_eq!(text(4096).unwrap().len(), 4096);
    assert!(
        matches!(text(4097), Err(Error::Refused(problem)) if problem.kind() == Kind::FormTooLarge)
    );
}

#[test]
fn what_comes_after_the_form_is_not_read_for_ever() {
    let frames =
        stream::iter([Ok::<_, Infallible>(Bytes::from_static(b"--XyZ--"))]).chain_forever();
    let mut form = Form::new(TYPE, frames, Limits::default()).unwrap();
    assert_eq!(now(form.next()).unwrap(), None);
}

trait ChainForever: futures_util::Stream + Sized {
    fn chain_forever(self) -> std::pin::Pin<Box<dyn futures_util::Stream<Item = Self::Item>>>;
}

impl<S> ChainForever for S
where
    S: futures_util::Stream<Item = Result<Bytes, Infallible>> + 'static,
{
    fn chain_forever(self) -> std::pin::Pin<Box<dyn futures_util::Stream<Item = Self::Item>>> {
        use futures_util::StreamExt as _;
        Box::pin(self.chain(stream::repeat_with(|| {
            Ok(Bytes::from_static(&[b'e'; 1000]))
        })))
    }
}

#[test]
fn a_broken_stream_is_told_apart_from_a_broken_form() {
    let frames = stream::iter([Ok(Bytes::from_static(b"--XyZ\r\nContent-")), Err("gone")]);
    let mut form = Form::new(TYPE, frames, Limits::default()).unwrap();
    assert!(matches!(now(form.next()), Err(Error::Body("gone"))));
    let mut form = self::form(b"--XyZ\r\nContent-", 3);
    assert!(
        matches!(now(form.next()), Err(Error::Refused(problem)) if problem.kind() == Kind::FormInvalid)
    );
}

/// The definition, on the whole body at once.
fn model(parts: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, data) in parts {
        body.extend_from_slice(b"--XyZ\r\n");
        body.extend_from_slice(
            format!("Content-Disposition: form-data; name=\"{name}\"\r\n\r\n").as_bytes(),
        );
        body.extend_from_slice(data);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--XyZ--\r\n");
    body
}

proptest! {
    #[test]
    fn what_was_put_in_comes_out(
        parts in prop::collection::vec(("[a-z]{1,5}", "(\r|\n|-|X|y|\r\n--|--Xy|a){0,30}"), 0..5),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let parts: Vec<(String, Vec<u8>)> = parts.into_iter().map(|(name, data)| (name, data.into_bytes())).collect();
        let body = model(&parts);
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(body.len() + 1)).collect();
        cuts.extend([0, body.len()]);
        cuts.sort_unstable();
        let frames: Vec<&[u8]> = cuts.windows(2).map(|cut| &body[cut[0]..cut[1]]).collect();
        let read = parse(&frames, Limits::default()).unwrap();
        let read: Vec<(String, Vec<u8>)> = read.into_iter().map(|(part, data)| (part.name, data)).collect();
        prop_assert_eq!(read, parts);
    }

    #[test]
    fn any_bytes_are_answered_the_same_however_they_are_cut(
        body in "(--XyZ|\r\n|\r|\n|-|Content-Disposition: form-data; name=a|: |x|\u{fc}){0,25}",
        cut in any::<prop::sample::Index>(),
    ) {
        let body = body.as_bytes();
        let (before, after) = body.split_at(cut.index(body.len() + 1));
        prop_assert_eq!(parse(&[before, after], Limits::default()), parse(&[body], Limits::default()));
    }

    #[test]
    fn any_frames_are_answered(frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..30), 0..10), content_type in any::<String>()) {
        let frames: Vec<&[u8]> = frames.iter().map(Vec::as_slice).collect();
        let _ = parse(&frames, Limits::default());
        let _ = Parser::new(&content_type, Limits::default());
        let _ = Parser::new(&format!("multipart/form-data; boundary={content_type}"), Limits::default());
    }
}
