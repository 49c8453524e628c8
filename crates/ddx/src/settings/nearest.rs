//! The known name that is most like a mistyped one.

/// The name with the fewest edits from `typed`, if it is near enough to be what was meant: a third
/// of its letters.
pub(crate) fn nearest<'a>(
    typed: &str,
    names: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let typed = typed.to_lowercase().replace('-', "_");
    names
        .into_iter()
        .map(|name| {
            let known = name.to_lowercase().replace('-', "_");
            (strsim::osa_distance(&typed, &known), name)
        })
        .min_by_key(|(edits, _)| *edits)
        .filter(|(edits, name)| *edits <= name.len().div_ceil(3))
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_guess_must_be_near() {
        let names = ["memory_limit", "memory_reserve", "listen"];
        assert_eq!(nearest("memory-limits", names), Some("memory_limit"));
        assert_eq!(nearest("LISEN", names), Some("listen"));
        assert_eq!(
            nearest("lisetn", names),
            Some("listen"),
            "a swap is one edit"
        );
        assert_eq!(nearest("colour", names), None);
    }
}
