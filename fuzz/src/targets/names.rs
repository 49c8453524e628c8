//! Names and paths: whatever they are, what is taken leads nowhere else and comes back from its
//! link.

use ddx_http::shared::names::{self, Limits};

pub(super) fn run(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let limits = Limits::default();
    if let Ok(path) = names::relative_path(&text, &limits) {
        assert_safe_path(&path);
    }
    if let Ok(path) = names::from_url_path(&text, &limits) {
        assert_safe_path(&path);
    }
    if let Ok(name) = names::name(&text, &limits) {
        assert!(
            name.len() <= 255 && !matches!(name.as_str(), "" | "." | ".."),
            "{name:?}"
        );
        assert!(!name.contains(['/', '\\']), "{name:?}");
        assert_eq!(
            names::name(&name, &limits).ok().as_deref(),
            Some(name.as_str())
        );
    }
    let encoded = names::encode_segment(&text);
    assert!(
        encoded
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-._~%".contains(&b))
    );
    assert_eq!(names::decode(&encoded), text);
    assert_eq!(names::clean(&names::clean(&text)), names::clean(&text));
}

/// A path that was taken is relative, leads nowhere else, shows as it is, and comes back from its
/// own link.
pub(super) fn assert_safe_path(path: &str) {
    let limits = Limits::default();
    assert!(!path.is_empty() && path.len() <= 1_024, "{path:?}");
    for part in path.split('/') {
        assert!(!matches!(part, "" | "." | ".."), "{path:?}");
        assert!(part.len() <= 255 && !part.contains('\\'), "{path:?}");
        assert!(!part.chars().any(char::is_control), "{path:?}");
    }
    assert_eq!(
        names::from_url_path(&names::encode_path(path), &limits)
            .ok()
            .as_deref(),
        Some(path)
    );
    assert!(path.ends_with(names::file_name(path)));
}
