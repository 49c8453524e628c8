//! The path before all of the server's own, cut off in one place.
//!
//! Folders of a sender may be named as the server's own paths are. So nothing is ever searched for
//! inside a path: the prefix ends where it ends, and the route begins there.

/// What stands behind `prefix` in `path`, or the whole path where the prefix is not before it. A
/// prefix ends with a segment: `/sharex` is not below `/share`.
pub(crate) fn below<'p>(prefix: &str, path: &'p str) -> &'p str {
    match path.strip_prefix(prefix) {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => rest,
        _ => path,
    }
}

#[cfg(test)]
mod tests {
    use super::below;

    #[test]
    fn a_prefix_is_cut_once_and_at_its_end() {
        for (prefix, path, rest) in [
            ("", "/a", "/a"),
            ("/share", "/share/a", "/a"),
            ("/share", "/share", ""),
            ("/share", "/share/share/a", "/share/a"),
            ("/share", "/sharex", "/sharex"),
            ("/share", "/a/share/b", "/a/share/b"),
        ] {
            assert_eq!(below(prefix, path), rest, "{prefix} {path}");
        }
    }
}
