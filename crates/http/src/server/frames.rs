//! Counts the bytes of bodies among the frames of HTTP/2 (RFC 9113, section 4.1), in bytes that
//! come in any pieces.

/// What a client sends before its first frame.
const PREFACE_BYTES: u64 = 24;

/// Length, type, flags, stream.
const HEADER_BYTES: usize = 9;

/// The type of the frames that carry bodies.
const DATA: u8 = 0;

/// An empty frame of settings, which a server sends first, and the end of the connection because it
/// is one too many (`ENHANCE_YOUR_CALM`): a client can tell it from a fault of the network.
pub(super) const GOODBYE: &[u8] = &[
    0, 0, 0, 4, 0, 0, 0, 0, 0, // SETTINGS
    0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 11, // GOAWAY
];

/// Where in the frames the scan stands.
#[derive(Debug, Default)]
pub(super) struct FrameScan {
    preface_bytes: u64,
    header: [u8; HEADER_BYTES],
    header_bytes: usize,
    payload_left: u64,
}

impl FrameScan {
    /// Takes the next bytes; how many of them are of bodies, padding among them.
    pub(super) fn data_in(&mut self, mut bytes: &[u8]) -> u64 {
        let preface = usize::try_from(PREFACE_BYTES - self.preface_bytes).unwrap_or(0);
        let preface = preface.min(bytes.len());
        self.preface_bytes += preface as u64;
        bytes = &bytes[preface..];
        let mut data = 0;
        while !bytes.is_empty() {
            if self.header_bytes < HEADER_BYTES {
                let count = (HEADER_BYTES - self.header_bytes).min(bytes.len());
                let into = &mut self.header[self.header_bytes..][..count];
                into.copy_from_slice(&bytes[..count]);
                self.header_bytes += count;
                bytes = &bytes[count..];
                let [a, b, c, ..] = self.header;
                self.payload_left = u64::from(u32::from_be_bytes([0, a, b, c]));
            } else {
                let here = usize::try_from(self.payload_left).unwrap_or(usize::MAX);
                let here = here.min(bytes.len());
                if self.header[3] == DATA {
                    data += here as u64;
                }
                self.payload_left -= here as u64;
                bytes = &bytes[here..];
            }
            if self.header_bytes == HEADER_BYTES && self.payload_left == 0 {
                self.header_bytes = 0;
            }
        }
        data
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_counted_in_whatever_pieces_they_come() {
        let mut sent = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        let mut frame = |kind: u8, payload: &[u8]| {
            sent.extend_from_slice(&[0, 0, u8::try_from(payload.len()).unwrap_or(0), kind]);
            sent.extend_from_slice(&[0; 5]);
            sent.extend_from_slice(payload);
        };
        frame(4, b"");
        frame(1, b"\0\0\0\0\0\0headers");
        frame(0, b"body");
        frame(0, b"");
        frame(6, b"12345678");
        frame(0, b"more of it");
        for first in 0..sent.len() {
            for second in first..sent.len() {
                let mut scan = FrameScan::default();
                let pieces = [&sent[..first], &sent[first..second], &sent[second..]];
                let data: u64 = pieces.into_iter().map(|piece| scan.data_in(piece)).sum();
                assert_eq!(data, 14, "cut at {first} and {second}");
            }
        }
    }
}
