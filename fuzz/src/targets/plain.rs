//! A plain PUT: its path, then its fields.

use ddx_http::protocols::plain::headers::{self, Limits, Options};

use super::names::assert_safe_path;
use crate::request::Request;

pub(super) fn run(bytes: &[u8]) {
    let request = Request::read(bytes);
    let limits = Limits::default();
    if let Ok(put) = headers::put(&request.first, &request.headers, &limits) {
        assert_safe_path(&put.path);
        assert_options(&put.options, &limits);
        for digest in &put.digests {
            assert_eq!(digest.value.len(), digest.algorithm.output_bytes());
        }
        if let Some(media_type) = &put.content_type {
            assert!(media_type.len() <= 255 && media_type.is_ascii());
            assert_eq!(media_type.matches('/').count(), 1, "{media_type}");
        }
    }
    // The same options as a form's text fields.
    let mut options = Options::default();
    for (name, value) in &request.headers {
        if let Ok(text) = value.to_str() {
            let _ = options.set(name.as_str(), text, &limits);
        }
    }
    assert_options(&options, &limits);
}

fn assert_options(options: &Options, limits: &Limits) {
    assert!(
        options
            .max_downloads
            .is_none_or(|times| (1..=limits.downloads_max).contains(&times))
    );
    assert!(
        options
            .keep
            .is_none_or(|time| (86_400..=86_400 * limits.days_max).contains(&time.as_secs()))
    );
}
