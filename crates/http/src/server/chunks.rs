//! Finds the end of a body that comes in chunks (RFC 9112, section 7.1), in bytes that come in any
//! pieces.
//!
//! hyper takes the chunks apart; here only their end is sought, so that the next head is looked at
//! before hyper gets it. Of what hyper refuses nothing needs to be recognised: such a body ends its
//! connection. Of what hyper takes the end found here is the same; a test holds the two together.

/// Where in a body the scan stands.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ChunkScan {
    at: At,
}

#[derive(Debug, Clone, Copy)]
enum At {
    /// The digits of a chunk's size.
    Size(u64),
    /// What follows them, to the line's end.
    AfterSize(u64),
    Data {
        left: u64,
    },
    /// The line's end after the data.
    DataEnd,
    /// A line after the last chunk: a trailer field, or the empty line that ends it all. Only CR LF
    /// ends one for hyper.
    Trailer {
        is_empty: bool,
        after_cr: bool,
    },
}

impl Default for At {
    fn default() -> Self {
        Self::Size(0)
    }
}

impl At {
    fn trailer() -> Self {
        Self::Trailer {
            is_empty: true,
            after_cr: false,
        }
    }
}

impl ChunkScan {
    /// Takes the next bytes; the number of them that still belong to the body when it ends within
    /// them.
    pub(super) fn end_in(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut index = 0;
        while let Some(byte) = bytes.get(index) {
            if let At::Data { left } = self.at {
                let here = usize::try_from(left)
                    .unwrap_or(usize::MAX)
                    .min(bytes.len() - index);
                index += here;
                self.at = match left - here as u64 {
                    0 => At::DataEnd,
                    left => At::Data { left },
                };
                continue;
            }
            index += 1;
            self.at = match (self.at, *byte) {
                (At::Size(0) | At::AfterSize(0), b'\n') => At::trailer(),
                (At::Size(left) | At::AfterSize(left), b'\n') => At::Data { left },
                (At::Size(size), byte) => match char::from(byte).to_digit(16) {
                    // hyper refuses what is larger.
                    Some(digit) => At::Size(size.saturating_mul(16).saturating_add(digit.into())),
                    None => At::AfterSize(size),
                },
                (At::DataEnd, b'\n') => At::Size(0),
                (
                    At::Trailer {
                        is_empty,
                        after_cr: true,
                    },
                    b'\n',
                ) => {
                    if is_empty {
                        return Some(index);
                    }
                    At::trailer()
                }
                (At::Trailer { is_empty, .. }, byte) => At::Trailer {
                    is_empty: is_empty && byte == b'\r',
                    after_cr: byte == b'\r',
                },
                (at, _) => at,
            };
        }
        None
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use std::convert::Infallible;

    use http_body::Body as _;
    use hyper::body::Incoming;
    use hyper::service::service_fn;
    use hyper_util::rt::TokioIo;
    use proptest::prelude::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    fn end(body: &[u8]) -> Option<usize> {
        ChunkScan::default().end_in(body)
    }

    #[test]
    fn the_end_is_found() {
        assert_eq!(end(b"3\r\nabc\r\n0\r\n\r\nGET"), Some(13));
        assert_eq!(end(b"3\r\n0\r\n\r\n0\r\n\r\n"), Some(13));
        assert_eq!(end(b"0\r\n\r\n"), Some(5));
        assert_eq!(
            end(b"a;x=\"0\"\r\n0123456789\r\n000 \r\nA: b\r\n\r\n"),
            Some(35)
        );
        assert_eq!(end(b"0\r\nA: b\r\n"), None);
    }

    /// The path of the second request, as hyper finds it after this body; None where it finds none.
    async fn next_by_hyper(body: &[u8]) -> Option<String> {
        let (mut client, server) = tokio::io::duplex(64 << 10);
        let seen = std::sync::Mutex::new(Vec::new());
        let service = service_fn(|request: http::Request<Incoming>| {
            seen.lock().unwrap().push(request.uri().path().to_owned());
            async {
                let mut body = std::pin::pin!(request.into_body());
                while let Some(Ok(_)) =
                    std::future::poll_fn(|cx| body.as_mut().poll_frame(cx)).await
                {}
                Ok::<_, Infallible>(http::Response::new(String::new()))
            }
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(server), service);
        let first = b"PUT /first HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
        client.write_all(&[first, body].concat()).await.unwrap();
        client.shutdown().await.unwrap();
        let mut answers = Vec::new();
        let (_, read) = tokio::join!(connection, client.read_to_end(&mut answers));
        read.unwrap();
        seen.into_inner().unwrap().into_iter().nth(1)
    }

    fn piece() -> impl Strategy<Value = &'static str> {
        prop::sample::select(
            &[
                "0\r\n",
                "3\r\nabc\r\n",
                "3\r\n\r\n0\r\n",
                "A;x\r\n0123456789\r\n",
                "2 \r\n\r\n\r\n",
                "1\n",
                "x",
                "\r\n",
                "\n",
                "T: u\r\n",
                "0\r\n\r\n",
                "00\r\n",
            ][..],
        )
    }

    proptest! {
        #[test]
        fn hyper_finds_the_same_end(
            pieces in prop::collection::vec(piece(), 0..8),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..5),
        ) {
            let body = format!("{}0\r\n\r\n", pieces.concat());
            let mut all = body.clone().into_bytes();
            // Where hyper finds a head, its path tells where it began.
            for number in 0..40 {
                all.extend_from_slice(format!("GET /{number} HTTP/1.1\r\n\r\n").as_bytes());
            }
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(all.len() + 1)).collect();
            cuts.extend([0, all.len()]);
            cuts.sort_unstable();
            let mut scan = ChunkScan::default();
            let found = cuts.windows(2).find_map(|cut| {
                scan.end_in(&all[cut[0]..cut[1]]).map(|end| cut[0] + end)
            });
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            if let Some(next) = runtime.block_on(next_by_hyper(&all)) {
                let found = found.unwrap();
                // Lines that are empty before a head belong to neither.
                let rest = String::from_utf8(all[found..].to_vec()).unwrap();
                let head = format!("GET {next} HTTP/1.1");
                prop_assert!(rest.trim_start_matches(['\r', '\n']).starts_with(&head), "{body:?} {next}");
            }
        }
    }
}
