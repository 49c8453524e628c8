//! A gzip stream (RFC 1952) that holds no compressor between its pieces.
//!
//! A compressor's state is some 300 KB, and a client may leave an answer unread for as long as it
//! likes. So each piece is compressed by itself, to whole deflate blocks that refer to nothing
//! before them, and only a checksum is kept.

use std::io::{self, Write as _};

use flate2::write::DeflateEncoder;
use flate2::{Compression, Crc};

/// Compressed by deflate, at no time, in a hurry, on an unknown system.
const HEAD: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 255];

/// What stands before a block that is not compressed: every piece before it ends with a whole byte.
const STORED_BYTES: usize = 5;

#[derive(Debug, Default)]
pub(crate) struct Gzip {
    sum: Crc,
    has_begun: bool,
}

impl Gzip {
    /// The next piece, compressed. The last one ends the stream.
    pub(crate) fn piece(&mut self, plain: &[u8], is_last: bool) -> Vec<u8> {
        self.written(plain, is_last)
            .expect("writing into a vector does not fail")
    }

    /// A piece that is too short to be worth a compressor: as it is, in blocks of that kind (RFC
    /// 1951 §3.2.4).
    pub(crate) fn short(&mut self, plain: &[u8]) -> Vec<u8> {
        let mut packed = Vec::with_capacity(plain.len() + HEAD.len() + STORED_BYTES);
        self.begin(&mut packed);
        self.sum.update(plain);
        for block in plain.chunks(usize::from(u16::MAX)) {
            let length = u16::try_from(block.len()).expect("a chunk is no longer than this");
            packed.push(0);
            packed.extend_from_slice(&length.to_le_bytes());
            packed.extend_from_slice(&(!length).to_le_bytes());
            packed.extend_from_slice(block);
        }
        packed
    }

    fn begin(&mut self, packed: &mut Vec<u8>) {
        if !self.has_begun {
            packed.extend_from_slice(&HEAD);
            self.has_begun = true;
        }
    }

    fn written(&mut self, plain: &[u8], is_last: bool) -> io::Result<Vec<u8>> {
        let mut packed = Vec::with_capacity(plain.len() / 2 + 64);
        self.begin(&mut packed);
        self.sum.update(plain);
        let mut deflate = DeflateEncoder::new(packed, Compression::fast());
        deflate.write_all(plain)?;
        if !is_last {
            deflate.flush()?;
            return Ok(std::mem::take(deflate.get_mut()));
        }
        let mut packed = deflate.finish()?;
        packed.extend_from_slice(&self.sum.sum().to_le_bytes());
        packed.extend_from_slice(&self.sum.amount().to_le_bytes());
        Ok(packed)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use flate2::read::GzDecoder;
    use proptest::prelude::*;

    use super::*;

    fn packed(pieces: &[Vec<u8>], short: &[bool]) -> Vec<u8> {
        let mut gzip = Gzip::default();
        let last = pieces.len() - 1;
        let pieces = pieces.iter().zip(short).enumerate();
        let packed = pieces.map(|(at, (piece, is_short))| match *is_short && at < last {
            true => gzip.short(piece),
            false => gzip.piece(piece, at == last),
        });
        packed.collect::<Vec<_>>().concat()
    }

    #[test]
    fn a_piece_can_be_read_before_the_next_one_comes() {
        let mut gzip = Gzip::default();
        let mut packed = gzip.piece(&[7; 3_000], false);
        packed.extend(gzip.short(&vec![8; 70_000]));
        let mut plain = vec![0; 73_000];
        GzDecoder::new(packed.as_slice())
            .read_exact(&mut plain)
            .expect("all is there");
        assert_eq!((plain[2_999], plain[3_000], plain[72_999]), (7, 8, 8));
    }

    proptest! {
        #[test]
        fn any_pieces_are_one_stream(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..5_000), 1..6),
            short in prop::collection::vec(any::<bool>(), 6),
        ) {
            // Not one byte may follow: a browser reads the first member only.
            let packed = packed(&pieces, &short);
            let mut decoder = GzDecoder::new(packed.as_slice());
            let mut plain = Vec::new();
            decoder.read_to_end(&mut plain).expect("it is gzip");
            prop_assert_eq!(plain, pieces.concat());
            prop_assert!(decoder.into_inner().is_empty());
        }
    }

    #[test]
    fn a_listing_becomes_a_fraction_of_its_size() {
        let line = |n: u32| {
            format!("{{\"file_id\":\"{n:08}\",\"state\":\"complete\",\"size_bytes\":{n}}},")
        };
        let piece: Vec<u8> = (0..150).flat_map(|n| line(n).into_bytes()).collect();
        let packed = packed(&[piece.clone(), piece.clone(), piece.clone()], &[false; 3]);
        assert!(
            packed.len() < piece.len() * 3 / 4,
            "{} of {}",
            packed.len(),
            piece.len() * 3
        );
    }
}
