//! Where a head ends: our scan against hyper's parser, and against itself in pieces.
//!
//! The scan decides which bytes hyper gets. Were it to stop short of the end, a request would hang
//! until it times out; were it to go past it, bytes of the body would be read as a next request.

#[path = "../../../crates/http/src/server/head.rs"]
#[allow(
    dead_code,
    reason = "the server looks at the request line as it comes; here it is parsed"
)]
mod scan;

use scan::HeadScan;

/// Fields that hyper takes (its own default), and some more so that the count decides nothing here.
const FIELDS_MAX: usize = 256;

pub(super) fn run(bytes: &[u8]) {
    let whole = end_of([bytes]);
    for size in [1, 2, 3, 7] {
        assert_eq!(end_of(bytes.chunks(size)), whole, "in pieces of {size}");
    }
    for cut in 0..bytes.len().min(256) {
        let (before, after) = bytes.split_at(cut);
        assert_eq!(end_of([before, after]), whole, "cut at {cut}");
    }
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut request = httparse::Request::new(&mut fields);
    let end = whole.map(|(end, _)| end);
    match (whole, request.parse(&bytes[..end.unwrap_or(bytes.len())])) {
        (Some((end, fields)), Ok(httparse::Status::Complete(parsed))) => {
            assert_eq!(parsed, end, "hyper's parser stops elsewhere");
            assert_eq!(
                fields,
                request.headers.len(),
                "fields that only one of them sees"
            );
        }
        (Some((end, _)), Ok(httparse::Status::Partial)) => {
            panic!("hyper's parser waits for bytes past {end}, and gets none")
        }
        (None, Ok(httparse::Status::Complete(parsed))) => {
            panic!("hyper's parser finds an end at {parsed}, and the scan none")
        }
        // Refused: whatever of it hyper gets, it answers 400.
        (_, Err(_)) | (None, Ok(httparse::Status::Partial)) => {}
    }
}

/// Where it ends, and how many fields it has.
fn end_of<'p>(pieces: impl IntoIterator<Item = &'p [u8]>) -> Option<(usize, usize)> {
    let mut scan = HeadScan::default();
    let mut before = 0;
    for piece in pieces {
        if let Some(end) = scan.end_in(piece) {
            assert!(
                scan.has_begun() && end <= piece.len(),
                "an end before a begin"
            );
            return Some((before + end, scan.fields()));
        }
        before += piece.len();
    }
    None
}
