//! The pure half: frames in, events out.
//!
//! A delimiter is a line break, two hyphens and the boundary. A boundary has no carriage return, so
//! the delimiter has just one, its first byte. That makes a delimiter that is split over frames
//! easy: only how many of its bytes have been seen is remembered, and if the next byte is another,
//! those bytes were data and are handed on from the delimiter itself. Nothing of the body is copied
//! or kept.

use bytes::{Buf, Bytes, BytesMut};
use memchr::memmem::Finder;

use super::head::{self, Part, refused};
use super::limits::Limits;
use crate::shared::problem::{Kind, Problem};

/// Spaces and tabs that may stand between a boundary and its line break (RFC 2046's padding), in
/// bytes.
const PADDING_BYTES_MAX: usize = 64;

/// What the body says next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A part begins.
    Part(Part),
    /// Bytes of the part; never empty.
    Data(Bytes),
    /// The part has ended.
    PartEnd,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before the first boundary.
    Preamble,
    /// Right after a boundary.
    Boundary,
    /// In a part's head.
    Head,
    /// In a part's bytes.
    Data,
    /// After the last boundary.
    Epilogue,
    /// The form was refused; there is nothing more to say.
    Refused,
}

/// What a look for the delimiter found.
enum Found {
    /// These bytes are before it, or can't belong to it.
    Bytes(Bytes),
    /// It.
    Delimiter,
    /// Nothing yet.
    More,
}

/// Reads one form.
#[derive(Debug)]
pub struct Parser {
    limits: Limits,
    delimiter: Bytes,
    finder: Finder<'static>,
    state: State,
    /// How many bytes of the delimiter the input so far ends with.
    matched: usize,
    /// How many of these were not input of this part: the line break that ends a head may begin a
    /// delimiter.
    lent: usize,
    /// What was pushed and not read.
    input: Bytes,
    /// A head, or what follows a boundary, until it is whole.
    held: BytesMut,
    parts: usize,
    margin_bytes: usize,
}

impl Parser {
    /// A parser for the boundary of this `Content-Type`.
    ///
    /// # Errors
    /// [`Kind::ContentTypeRefused`]; [`Kind::FormInvalid`] without a usable boundary.
    pub fn new(content_type: &str, limits: Limits) -> Result<Self, Problem> {
        let delimiter = Bytes::from(format!("\r\n--{}", head::boundary(content_type)?));
        Ok(Self {
            limits,
            finder: Finder::new(&delimiter).into_owned(),
            delimiter,
            state: State::Preamble,
            // The first boundary needs no line break before it if it begins the body.
            matched: 2,
            lent: 2,
            input: Bytes::new(),
            held: BytesMut::new(),
            parts: 0,
            margin_bytes: 0,
        })
    }

    /// The limits that it holds the form to.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// More of the body. Call it when [`Parser::next`] has nothing to say; input that is left is
    /// not lost, but copied.
    pub fn push(&mut self, frame: Bytes) {
        if self.input.is_empty() {
            self.input = frame;
        } else {
            let mut joined = BytesMut::with_capacity(self.input.len() + frame.len());
            joined.extend_from_slice(&self.input);
            joined.extend_from_slice(&frame);
            self.input = joined.freeze();
        }
    }

    /// The next event; `None`: more input is needed.
    ///
    /// # Errors
    /// [`Kind::FormInvalid`], [`Kind::FormTooLarge`]. After that it has nothing more to say.
    #[allow(
        clippy::should_implement_trait,
        reason = "it is a step that can fail, not an iterator"
    )]
    pub fn next(&mut self) -> Result<Option<Event>, Problem> {
        let event = self.step();
        if event.is_err() {
            self.state = State::Refused;
            self.input.clear();
        }
        event
    }

    /// The body has ended.
    ///
    /// # Errors
    /// [`Kind::FormInvalid`] if the last boundary did not come.
    pub fn finish(&mut self) -> Result<(), Problem> {
        // A form without any part is one boundary with hyphens; a body without a byte is no form.
        if self.state == State::Epilogue {
            return Ok(());
        }
        self.state = State::Refused;
        Err(refused("The form ends early."))
    }

    /// After the last boundary more came than is looked at: the rest of the body says nothing.
    #[must_use]
    pub fn is_past_margin(&self) -> bool {
        self.state == State::Epilogue && self.margin_bytes > self.limits.margin_bytes_max
    }

    fn step(&mut self) -> Result<Option<Event>, Problem> {
        loop {
            match self.state {
                State::Preamble => match self.find() {
                    Found::Bytes(bytes) => self.skip_preamble(bytes.len())?,
                    Found::Delimiter => self.state = State::Boundary,
                    Found::More => return Ok(None),
                },
                State::Boundary => {
                    if !self.after_boundary()? {
                        return Ok(None);
                    }
                }
                State::Head => return self.head(),
                State::Data => match self.find() {
                    Found::Bytes(bytes) => return Ok(Some(Event::Data(bytes))),
                    Found::Delimiter => {
                        self.state = State::Boundary;
                        return Ok(Some(Event::PartEnd));
                    }
                    Found::More => return Ok(None),
                },
                State::Epilogue => {
                    self.margin_bytes = self.margin_bytes.saturating_add(self.input.len());
                    self.input.clear();
                    return Ok(None);
                }
                State::Refused => return Ok(None),
            }
        }
    }

    /// Bytes up to the delimiter, then the delimiter.
    fn find(&mut self) -> Found {
        if self.input.is_empty() {
            return Found::More;
        }
        if self.matched > 0 {
            let missing = &self.delimiter[self.matched..];
            let common = missing
                .iter()
                .zip(self.input.iter())
                .take_while(|(a, b)| a == b)
                .count();
            if common == missing.len() {
                self.input.advance(common);
                (self.matched, self.lent) = (0, 0);
                return Found::Delimiter;
            }
            if common == self.input.len() {
                self.input.clear();
                self.matched += common;
                return Found::More;
            }
            // It was data after all. What of the input was like the delimiter holds no carriage
            // return, so no delimiter begins in it; it is found to be data below, with the rest.
            let seen = self.delimiter.slice(self.lent..self.matched);
            (self.matched, self.lent) = (0, 0);
            if !seen.is_empty() {
                return Found::Bytes(seen);
            }
        }
        match self.finder.find(&self.input) {
            Some(0) => {
                self.input.advance(self.delimiter.len());
                Found::Delimiter
            }
            Some(at) => Found::Bytes(self.input.split_to(at)),
            None => {
                // Only the last carriage return can begin a delimiter that is cut off: one before
                // it would contain it.
                let from = self.input.len().saturating_sub(self.delimiter.len() - 1);
                let cut = memchr::memrchr(b'\r', &self.input[from..])
                    .map(|at| from + at)
                    .filter(|at| self.delimiter.starts_with(&self.input[*at..]));
                let Some(at) = cut else {
                    return Found::Bytes(std::mem::take(&mut self.input));
                };
                self.matched = self.input.len() - at;
                self.input.truncate(at);
                if self.input.is_empty() {
                    Found::More
                } else {
                    Found::Bytes(std::mem::take(&mut self.input))
                }
            }
        }
    }

    fn skip_preamble(&mut self, bytes: usize) -> Result<(), Problem> {
        self.margin_bytes = self.margin_bytes.saturating_add(bytes);
        if self.margin_bytes > self.limits.margin_bytes_max {
            return Err(refused("The form does not start with its boundary.")
                .limit(self.limits.margin_bytes_max));
        }
        Ok(())
    }

    /// Decides what a boundary was: the last one, or one before a part. False: more input is
    /// needed.
    fn after_boundary(&mut self) -> Result<bool, Problem> {
        while !self.input.is_empty() {
            self.held.extend_from_slice(&self.input.split_to(1));
            match self.held.as_ref() {
                b"--" => {
                    self.held.clear();
                    self.margin_bytes = 0;
                    self.state = State::Epilogue;
                    return Ok(true);
                }
                b"-" => {}
                held => match without_padding(held) {
                    b"\r\n" => {
                        // The head's end is an empty line; a part without any head is just that
                        // line.
                        self.held.clear();
                        self.held.extend_from_slice(b"\r\n");
                        self.state = State::Head;
                        return Ok(true);
                    }
                    b"" | b"\r" if held.len() <= PADDING_BYTES_MAX => {}
                    _ => return Err(refused("A boundary is followed by other text.")),
                },
            }
        }
        Ok(false)
    }

    fn head(&mut self) -> Result<Option<Event>, Problem> {
        // The end may be split over frames, so the search begins before what is new.
        let from = self.held.len().saturating_sub(3);
        let room = (self.limits.head_bytes_max + 6).saturating_sub(self.held.len());
        let taken = self.input.len().min(room);
        self.held.extend_from_slice(&self.input[..taken]);
        let Some(end) = memchr::memmem::find(&self.held[from..], b"\r\n\r\n").map(|at| from + at)
        else {
            if taken < self.input.len() || room == 0 {
                return Err(Problem::new(Kind::FormTooLarge)
                    .detail("The headers of a part are too long.")
                    .limit(self.limits.head_bytes_max));
            }
            self.input.clear();
            return Ok(None);
        };
        // What was held too much is still in the input.
        let surplus = self.held.len() - (end + 4);
        self.input.advance(taken - surplus);
        self.parts += 1;
        if self.parts > self.limits.parts_max {
            return Err(Problem::new(Kind::FormTooLarge)
                .detail("The form has too many parts.")
                .limit(self.limits.parts_max));
        }
        let part = head::part(self.held.get(2..end).unwrap_or_default())?;
        self.held.clear();
        // The empty line's break may begin the delimiter: a part without a byte.
        (self.matched, self.lent) = (2, 2);
        self.state = State::Data;
        Ok(Some(Event::Part(part)))
    }
}

fn without_padding(held: &[u8]) -> &[u8] {
    let padding = held
        .iter()
        .take_while(|b| matches!(b, b' ' | b'\t'))
        .count();
    &held[padding..]
}
