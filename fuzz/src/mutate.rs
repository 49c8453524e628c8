//! Blind mutations of a corpus, the same ones on every machine: what the ordinary test tries
//! besides the seeds.
//!
//! It knows nothing of coverage and does not replace a run that does. It finds what one wrong byte,
//! one doubled or missing piece, or one word in the wrong place breaks, in a second, on every
//! change.

/// Longest input that is made, in bytes.
pub const INPUT_BYTES_MAX: usize = 4_096;

/// Bytes at which formats turn.
const TURNS: &[u8] = b"\0\t\n\r \"%,-./:;=?[\\]_{}\x7f\x80\xc3\xff09azAZ";

/// A stream of choices from a seed (xorshift64*): what matters is that it is the same everywhere,
/// not that it is random.
#[derive(Debug, Clone)]
pub struct Choices(u64);

impl Choices {
    /// Choices that this seed stands for.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    /// A number below `end`; 0 if `end` is 0.
    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % (end.max(1) as u64)).unwrap_or(0)
    }
}

/// A seed with one to eight changes.
pub fn mutate(seeds: &[Vec<u8>], words: &[&str], choices: &mut Choices) -> Vec<u8> {
    let mut bytes = pick(seeds, choices).cloned().unwrap_or_default();
    for _ in 0..=choices.below(8) {
        change(&mut bytes, seeds, words, choices);
    }
    bytes.truncate(INPUT_BYTES_MAX);
    bytes
}

fn pick<'a, T>(from: &'a [T], choices: &mut Choices) -> Option<&'a T> {
    from.get(choices.below(from.len()))
}

fn change(bytes: &mut Vec<u8>, seeds: &[Vec<u8>], words: &[&str], choices: &mut Choices) {
    let at = choices.below(bytes.len() + 1);
    let to = (at + 1 + choices.below(24)).min(bytes.len());
    match choices.below(9) {
        0 if at < bytes.len() => bytes[at] ^= 1 << choices.below(8),
        1 if at < bytes.len() => bytes[at] = pick(TURNS, choices).copied().unwrap_or(0),
        2 => bytes.insert(at, pick(TURNS, choices).copied().unwrap_or(0)),
        3 if at < to => drop(bytes.drain(at..to)),
        4 if at < to => {
            let piece = bytes[at..to].to_vec();
            let place = choices.below(bytes.len() + 1);
            bytes.splice(place..place, piece);
        }
        5 => {
            let word = pick(words, choices).copied().unwrap_or_default();
            bytes.splice(at..at, word.bytes());
        }
        6 => {
            let other = pick(seeds, choices).cloned().unwrap_or_default();
            let from = choices.below(other.len());
            bytes.truncate(at);
            bytes.extend_from_slice(&other[from..]);
        }
        7 => number(bytes, at, choices),
        _ => bytes.truncate(at),
    }
}

/// Puts a number where the next one stands, from those at which arithmetic breaks.
fn number(bytes: &mut Vec<u8>, at: usize, choices: &mut Choices) {
    const NUMBERS: &[&str] = &[
        "0",
        "1",
        "00",
        "-1",
        "+1",
        "255",
        "256",
        "65535",
        "4294967296",
        "9223372036854775807",
        "9223372036854775808",
        "18446744073709551615",
        "18446744073709551616",
        "340282366920938463463374607431768211456",
    ];
    let Some(start) = bytes[at..]
        .iter()
        .position(u8::is_ascii_digit)
        .map(|start| at + start)
    else {
        return;
    };
    let digits = bytes[start..]
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    let number = pick(NUMBERS, choices).copied().unwrap_or("0");
    bytes.splice(start..start + digits, number.bytes());
}
