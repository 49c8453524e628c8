//! Finds the end of a request's head in bytes that come in any pieces.
//!
//! It recognises exactly the blank line that ends a head for hyper's parser: lines end in LF, a CR
//! before it is part of the line's end, and blank lines before the request line are skipped. Where
//! the parser finds another end in these bytes, the head is refused (`head_check`).

/// Where in a head the scan stands.
#[derive(Debug, Default)]
pub(super) struct HeadScan {
    began: bool,
    line_bytes: usize,
    /// Lines that have ended, the request line among them.
    lines: usize,
}

impl HeadScan {
    /// Whether a byte of the request line has been seen.
    pub(super) fn has_begun(&self) -> bool {
        self.began
    }

    /// Bytes of the request line, as long as it has not ended.
    pub(super) fn request_line_bytes(&self) -> Option<usize> {
        (self.lines == 0).then_some(self.line_bytes)
    }

    /// Fields, the last one perhaps not whole.
    pub(super) fn fields(&self) -> usize {
        (self.lines + usize::from(self.line_bytes > 0)).saturating_sub(1)
    }

    /// Takes the next bytes; the number of them that still belong to the head when it ends within
    /// them.
    pub(super) fn end_in(&mut self, bytes: &[u8]) -> Option<usize> {
        for (index, byte) in bytes.iter().enumerate() {
            match byte {
                b'\n' if self.began && self.line_bytes == 0 => return Some(index + 1),
                b'\n' => {
                    self.lines += usize::from(self.began);
                    self.line_bytes = 0;
                }
                b'\r' => {}
                _ => {
                    self.began = true;
                    self.line_bytes += 1;
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn end(bytes: &[u8]) -> Option<usize> {
        HeadScan::default().end_in(bytes)
    }

    #[test]
    fn the_end_is_found() {
        assert_eq!(end(b"GET / HTTP/1.1\r\nHost: a\r\n\r\nbody"), Some(27));
        assert_eq!(end(b"\r\n\r\nGET / HTTP/1.1\r\n\r\n"), Some(22));
        assert_eq!(end(b"GET / HTTP/1.1\n\nbody"), Some(16));
        assert_eq!(end(b"GET / HTTP/1.1\r\nHost: a\r\n"), None);
        assert_eq!(end(b"\r\n\r\n\r\n"), None);
    }

    #[test]
    fn lines_are_counted_in_whatever_pieces_they_come() {
        let head = b"\r\nGET / HTTP/1.1\r\nHost: a\r\nX: ";
        for cut in 0..head.len() {
            let mut scan = HeadScan::default();
            assert_eq!(scan.end_in(&head[..cut]), None);
            assert_eq!(scan.end_in(&head[cut..]), None);
            assert_eq!((scan.fields(), scan.request_line_bytes()), (2, None));
        }
        let mut scan = HeadScan::default();
        assert_eq!(scan.end_in(b"\nGET /a"), None);
        assert_eq!((scan.fields(), scan.request_line_bytes()), (0, Some(6)));
    }

    /// The rule in one sentence: without its CRs, a head ends with the first empty line after a
    /// line that is not empty.
    fn model(bytes: &[u8]) -> Option<usize> {
        let (mut began, mut empty) = (false, true);
        for (at, byte) in bytes.iter().enumerate().filter(|(_, byte)| **byte != b'\r') {
            if *byte != b'\n' {
                (began, empty) = (true, false);
            } else if began && empty {
                return Some(at + 1);
            } else {
                empty = true;
            }
        }
        None
    }

    proptest! {
        #[test]
        fn any_bytes_in_any_pieces_end_where_the_rule_says(
            bytes in prop::collection::vec(prop::sample::select(&b"\r\n\r\n\n :aG\0\xff"[..]), 0..60),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        ) {
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let mut scan = HeadScan::default();
            let found = cuts.windows(2).find_map(|cut| scan.end_in(&bytes[cut[0]..cut[1]]).map(|end| cut[0] + end));
            prop_assert_eq!(found, model(&bytes));
            prop_assert_eq!(scan.has_begun(), bytes[..found.unwrap_or(bytes.len())].iter().any(|byte| !b"\r\n".contains(byte)));
        }
    }

    #[test]
    fn every_split_gives_the_same_end() {
        let head = b"\r\nPUT /a HTTP/1.1\r\nContent-Length: 4\r\nX: \r\n\r\n\r\n\r\n\n";
        let whole = end(head).expect("the head ends");
        for first in 0..head.len() {
            for second in first..head.len() {
                let mut scan = HeadScan::default();
                let mut before = 0;
                let mut found = None;
                for piece in [&head[..first], &head[first..second], &head[second..]] {
                    if let Some(end) = scan.end_in(piece) {
                        found = Some(before + end);
                        break;
                    }
                    before += piece.len();
                }
                assert_eq!(found, Some(whole), "split at {first} and {second}");
            }
        }
    }
}
