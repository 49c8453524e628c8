//! `multipart/form-data` (RFC 7578), field by field, as the bytes come.
//!
//! Own, and not multer: it reads its stream for as long as anything is ready, so what it holds is
//! decided by the sender (rwf2/multer#62), and memory here is the ledger's. This one holds one
//! frame of the transport, which it hands on in slices without copying, and at most one part's
//! head.
//!
//! Two halves: [`Parser`] is pure and is pushed frames, so that it can be tried with a body cut at
//! every byte; [`Form`] drives it over a stream.

mod head;
mod limits;
mod parser;

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use tokio::time::timeout;

pub use head::Part;
pub use limits::Limits;
pub use parser::{Event, Parser};

use crate::shared::problem::{Kind, Problem};

/// Why a form could not be read on.
#[derive(Debug, thiserror::Error)]
pub enum Error<E> {
    /// The form is refused.
    #[error(transparent)]
    Refused(#[from] Problem),
    /// The body's stream failed.
    #[error("the body failed")]
    Body(#[source] E),
}

/// A form over a stream of frames.
#[derive(Debug)]
pub struct Form<S> {
    stream: S,
    parser: Parser,
    /// Inside a part whose end was not reached.
    in_part: bool,
    /// The stream has ended, or all that counts has been read.
    ended: bool,
    /// Frames that have come.
    frames: u64,
    idle: Duration,
}

impl<S, E> Form<S>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
{
    /// A form with the boundary of this `Content-Type`.
    ///
    /// # Errors
    /// [`Kind::ContentTypeRefused`]; [`Kind::FormInvalid`] without a usable boundary.
    pub fn new(content_type: &str, stream: S, limits: Limits) -> Result<Self, Problem> {
        Ok(Self {
            stream,
            parser: Parser::new(content_type, limits)?,
            in_part: false,
            ended: false,
            frames: 0,
            idle: limits.idle,
        })
    }

    /// The next part; what was not read of the one before is skipped. `None`: the form was whole.
    ///
    /// # Errors
    /// [`Error::Refused`] with [`Kind::FormInvalid`], [`Kind::FormTooLarge`] or
    /// [`Kind::BodyStalled`]; [`Error::Body`].
    pub async fn next(&mut self) -> Result<Option<Part>, Error<E>> {
        self.in_time(Self::poll_next_part).await
    }

    /// The next bytes of the current part: a slice of one frame, never empty. `None`: the part has
    /// ended. How long to wait for them is for the caller to say, who may hold something meanwhile.
    ///
    /// # Errors
    /// As [`Form::next`].
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Error<E>> {
        poll_fn(|cx| self.poll_chunk(cx)).await
    }

    /// Polls until there is an outcome, or nothing has come for too long.
    async fn in_time<T>(
        &mut self,
        mut poll: impl FnMut(&mut Self, &mut Context<'_>) -> Poll<Result<T, Error<E>>>,
    ) -> Result<T, Error<E>> {
        loop {
            let before = self.frames;
            match timeout(self.idle, poll_fn(|cx| poll(self, cx))).await {
                Ok(outcome) => return outcome,
                // It is slow, and comes.
                Err(_) if self.frames > before => {}
                Err(_) => {
                    let seconds = self.idle.as_secs();
                    return Err(Problem::new(Kind::BodyStalled)
                        .detail(format!("No data arrived for {seconds} seconds."))
                        .limit(seconds)
                        .remedy("Send the form again.")
                        .into());
                }
            }
        }
    }

    /// The rest of the current part as text.
    ///
    /// # Errors
    /// As [`Form::next`]; [`Kind::FormTooLarge`] past [`Limits::text_bytes_max`];
    /// [`Kind::FormInvalid`] if it is not UTF-8.
    pub async fn text(&mut self) -> Result<String, Error<E>> {
        let max = self.parser.limits().text_bytes_max;
        let mut text = Vec::new();
        while let Some(chunk) = self.in_time(Self::poll_chunk).await? {
            if text.len() + chunk.len() > max {
                return Err(Problem::new(Kind::FormTooLarge)
                    .detail("A text field is too long.")
                    .limit(max)
                    .into());
            }
            text.extend_from_slice(&chunk);
        }
        String::from_utf8(text).map_err(|_| {
            Problem::new(Kind::FormInvalid)
                .detail("A text field is not UTF-8.")
                .into()
        })
    }

    /// [`Form::next`] for hand-written futures. To call it again after an error is not useful, and
    /// harmless.
    pub fn poll_next_part(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Part>, Error<E>>> {
        loop {
            match ready!(self.poll_event(cx))? {
                Some(Event::Part(part)) => {
                    self.in_part = true;
                    return Poll::Ready(Ok(Some(part)));
                }
                Some(Event::Data(_)) => {}
                Some(Event::PartEnd) => self.in_part = false,
                None => return Poll::Ready(Ok(None)),
            }
        }
    }

    /// [`Form::chunk`] for hand-written futures.
    pub fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Error<E>>> {
        if !self.in_part {
            return Poll::Ready(Ok(None));
        }
        match ready!(self.poll_event(cx))? {
            Some(Event::Data(bytes)) => Poll::Ready(Ok(Some(bytes))),
            // A part has an end before the next one begins: the parser sees to it.
            _ => {
                self.in_part = false;
                Poll::Ready(Ok(None))
            }
        }
    }

    /// The next event; `None` at the end of a whole form.
    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Event>, Error<E>>> {
        loop {
            if let Some(event) = self.parser.next()? {
                return Poll::Ready(Ok(Some(event)));
            }
            if self.ended || self.parser.is_past_margin() {
                return Poll::Ready(Ok(None));
            }
            match ready!(Pin::new(&mut self.stream).poll_next(cx)) {
                Some(Ok(frame)) => {
                    self.frames += 1;
                    self.parser.push(frame);
                }
                Some(Err(error)) => return Poll::Ready(Err(Error::Body(error))),
                None => {
                    self.parser.finish()?;
                    self.ended = true;
                }
            }
        }
    }
}
