//! Finds the end of a request's head in bytes that come in any pieces.
//!
//! It recognises exactly the blank line that ends a head for hyper's parser: lines end in LF, a CR before it is part of the
//! line's end, and blank lines before the request line are skipped. Should the two ever disagree, nothing is mixed up: the
//! transport hands hyper no byte past the end found here, so hyper either waits for more of a head (and the time-out for
//! heads ends the connection) or parses a head that is shorter still.

/// Where in a head the scan stands.
#[derive(Debug, Default)]
pub(super) struct HeadScan {
    began: bool,
    line_bytes: usize,
    /// How much of the line's beginning is that of [`LENGTH`].
    length_bytes: usize,
    names_length: bool,
}

/// The field that tells a length, as it begins its line.
const LENGTH: &[u8] = b"content-length:";

impl HeadScan {
    /// Whether a byte of the request line has been seen.
    pub(super) fn has_begun(&self) -> bool {
        self.began
    }

    /// Whether a field tells the body's length. hyper keeps that from us where the body comes in
    /// chunks, too.
    pub(super) fn names_length(&self) -> bool {
        self.names_length
    }

    /// Takes the next bytes; the number of them that still belong to the head when it ends within them.
    pub(super) fn end_in(&mut self, bytes: &[u8]) -> Option<usize> {
        for (index, byte) in bytes.iter().enumerate() {
            match byte {
                b'\n' if self.began && self.line_bytes == 0 => return Some(index + 1),
                b'\n' => (self.line_bytes, self.length_bytes) = (0, 0),
                b'\r' => {}
                _ => {
                    self.began = true;
                    if self.length_bytes == self.line_bytes
                        && LENGTH.get(self.line_bytes) == Some(&byte.to_ascii_lowercase())
                    {
                        self.length_bytes += 1;
                        self.names_length |= self.length_bytes == LENGTH.len();
                    }
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
    fn a_length_is_seen_in_whatever_pieces_it_comes() {
        let names = |fields: &str| {
            let head = format!("PUT /content-length: HTTP/1.1\r\n{fields}\r\n\r\n");
            let seen: Vec<bool> = (0..head.len())
                .map(|cut| {
                    let mut scan = HeadScan::default();
                    let first = scan.end_in(&head.as_bytes()[..cut]);
                    assert_eq!(first, None, "{fields}");
                    assert!(scan.end_in(&head.as_bytes()[cut..]).is_some());
                    scan.names_length()
                })
                .collect();
            assert!(seen.iter().all(|names| *names == seen[0]), "{fields}");
            seen[0]
        };
        assert!(names("Content-Length: 3"));
        assert!(names("A: b\ncontent-LENGTH:"));
        for other in [
            "A: b",
            "X-Content-Length: 3",
            "Content-Lengths: 3",
            "A: content-length: 3",
        ] {
            assert!(!names(other), "{other}");
        }
    }

    /// The rule in one sentence: without its CRs, a head ends with the first empty line after a line that is not empty.
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
