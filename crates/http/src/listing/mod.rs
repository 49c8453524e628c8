//! The files of a share, one after the other: a listing of any length takes a bounded amount of
//! memory.
//!
//! The catalog gives a small page at a time, and the next is asked for when the client has taken
//! this one.

mod file;

use std::collections::VecDeque;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use ddx_engine::{Engine, Error, FileSummary, Kind};
use ddx_id::{FileId, ShareId};
use ddx_memory::Charge;
use futures_util::Stream;
use http::header;

pub(crate) use file::File;

use crate::shared::gzip::Gzip;

/// Files in a page. Their texts are bounded by [`ddx_engine::PAGE_TEXT_BYTES`].
const PAGE_ROWS: u32 = 32;

/// Files in a page that is only glanced at.
const GLANCE_ROWS: u32 = 4;

/// What a page holds at most: 32 files of some 300 bytes each, their texts and the last one's
/// excess, as the catalog gives them and once more as they are drawn.
pub(crate) const PAGE_BYTES: u64 = 24 << 10;

/// A body is drawn in pieces of about so much, each when the client has taken the one before. No
/// more than hyper buffers for a connection, so that the charge outlasts all but that.
pub(crate) const PIECE_BYTES: usize = 8 << 10;

/// Files that are still to be told.
#[derive(Debug)]
pub(crate) struct Listing {
    source: Source,
    page: VecDeque<FileSummary>,
    page_rows: u32,
    _charge: Option<Charge>,
}

/// Where the next page comes from.
#[derive(Debug)]
enum Source {
    /// A share, after this path.
    Share {
        share_id: ShareId,
        after: Option<String>,
    },
    /// These files.
    Files(VecDeque<FileId>),
}

impl Listing {
    /// The files of a share after the path `after`, parts of joined files left out.
    pub(crate) fn of_share(share_id: ShareId, after: Option<String>, charge: Charge) -> Self {
        let source = Source::Share { share_id, after };
        let mut listing = Self::of(source, PAGE_ROWS);
        listing.go_on(charge);
        listing
    }

    fn of(source: Source, page_rows: u32) -> Self {
        Self {
            source,
            page: VecDeque::new(),
            page_rows,
            _charge: None,
        }
    }

    /// The same, to look at a few files at once and not for long: what its request holds anyway
    /// covers that.
    pub(crate) fn glance_at(share_id: ShareId) -> Self {
        let after = None;
        Self::of(Source::Share { share_id, after }, GLANCE_ROWS)
    }

    /// These files in their order, looked at one by one: what their request holds covers that.
    pub(crate) fn of_files(files: VecDeque<FileId>) -> Self {
        Self::of(Source::Files(files), 1)
    }

    /// All further files are looked at, for as long as that takes.
    pub(crate) fn go_on(&mut self, charge: Charge) {
        self.page_rows = PAGE_ROWS;
        self._charge = Some(charge);
    }

    /// One file, whatever it is.
    pub(crate) fn of_file(file: FileSummary, charge: Charge) -> Self {
        let mut listing = Self::of(Source::Files(VecDeque::new()), 1);
        listing.page.push_back(file);
        listing.go_on(charge);
        listing
    }

    /// The next file.
    ///
    /// # Errors
    /// If the catalog fails.
    pub(crate) async fn next(&mut self, engine: &Engine) -> Result<Option<FileSummary>, Error> {
        loop {
            if let Some(file) = self.page.pop_front() {
                return Ok(Some(file));
            }
            match &mut self.source {
                Source::Files(files) => {
                    let Some(file_id) = files.pop_front() else {
                        return Ok(None);
                    };
                    match engine.file(file_id).await {
                        Ok(record) => return Ok(Some(record.into())),
                        Err(Error::NotFound) => {}
                        Err(error) => return Err(error),
                    }
                }
                Source::Share { share_id, after } => {
                    let page = engine.share_files(*share_id, after.clone(), self.page_rows);
                    let page = page.await?;
                    match page.last() {
                        Some(last) => *after = Some(last.path.clone()),
                        None => self.source = Source::Files(VecDeque::new()),
                    }
                    let shown = page.into_iter().filter(|file| file.kind != Kind::Partial);
                    self.page = shown.collect();
                }
            }
        }
    }
}

/// How files become an answer's body.
pub(crate) trait Draw: Send + 'static {
    /// Draws a file; false where the answer ends before it.
    fn file(&mut self, file: &FileSummary, into: &mut Vec<u8>) -> bool;

    /// Draws what comes after the last file.
    fn end(&mut self, into: &mut Vec<u8>);
}

struct Drawing<D> {
    engine: Engine,
    listing: Listing,
    draw: D,
    /// Where the client takes it compressed.
    gzip: Option<Gzip>,
    is_over: bool,
}

impl<D: Draw> Drawing<D> {
    /// A piece, from what was drawn of it already.
    async fn piece(&mut self, mut drawn: Vec<u8>) -> Result<Bytes, Error> {
        while !self.is_over && drawn.len() < PIECE_BYTES {
            let file = self.listing.next(&self.engine).await?;
            let goes_on = file.is_some_and(|file| self.draw.file(&file, &mut drawn));
            if !goes_on {
                self.draw.end(&mut drawn);
                self.is_over = true;
            }
        }
        match &mut self.gzip {
            Some(gzip) => Ok(gzip.piece(&drawn, self.is_over).into()),
            None => Ok(drawn.into()),
        }
    }
}

/// Answers with a listing of this type that begins with `head`. `is_packed`: the client takes gzip.
///
/// # Errors
/// If the catalog fails before there is anything to answer. Later it breaks the body off.
pub(crate) async fn answer(
    engine: &Engine,
    listing: Listing,
    is_packed: bool,
    media_type: &'static str,
    head: Vec<u8>,
    draw: impl Draw,
) -> Result<Response, Error> {
    let gzip = is_packed.then(Gzip::default);
    let coding = gzip
        .is_some()
        .then_some([(header::CONTENT_ENCODING, "gzip")]);
    let fields = [
        (header::CONTENT_TYPE, media_type),
        (header::CACHE_CONTROL, "no-store"),
        (header::VARY, "Accept-Encoding"),
    ];
    let mut drawing = Drawing {
        engine: engine.clone(),
        listing,
        draw,
        gzip,
        is_over: false,
    };
    let first = drawing.piece(head).await?;
    let body = if drawing.is_over {
        Body::from(first)
    } else {
        Body::from_stream(pieces(first, drawing))
    };
    Ok((fields, coding, body).into_response())
}

fn pieces(
    first: Bytes,
    drawing: Drawing<impl Draw>,
) -> impl Stream<Item = Result<Bytes, Error>> + Send {
    let state = (Some(first), drawing);
    futures_util::stream::try_unfold(state, |(first, mut drawing)| async move {
        let piece = match first {
            Some(first) => first,
            None if drawing.is_over => return Ok(None),
            None => drawing.piece(Vec::new()).await?,
        };
        Ok(Some((piece, (None, drawing))))
    })
}
