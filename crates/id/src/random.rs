//! Chance, from the operating system.

use crate::base32;

/// Fills it with random bytes from the operating system.
///
/// # Panics
/// Where the operating system has no random source, in which case no secret could be made at all.
pub fn fill(into: &mut [u8]) {
    getrandom::fill(into).expect("the operating system gives random bytes");
}

/// Bytes of a new id.
pub(crate) fn bytes() -> [u8; 16] {
    let mut bytes = [0; 16];
    fill(&mut bytes);
    bytes
}

/// A text of the form of an id, for what is named once and looked up by nothing: a request, the
/// boundary between the parts of an answer.
///
/// # Panics
/// As [`fill`].
#[must_use]
pub fn random_text() -> String {
    base32::with_text(&bytes(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_comes_twice() {
        let texts: std::collections::HashSet<String> = (0..1_000).map(|_| random_text()).collect();
        assert_eq!(texts.len(), 1_000);
        assert!(texts.iter().all(|text| base32::parse(text).is_ok()));
    }
}
