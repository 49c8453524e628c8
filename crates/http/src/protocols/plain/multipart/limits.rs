//! Limits on a form.

use std::time::Duration;

/// Limits on a form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Parts, files and text fields together. Default 1,000.
    pub parts_max: usize,
    /// Bytes of one part's head. Default 8,192.
    pub head_bytes_max: usize,
    /// Bytes of one text field's value. Default 4,096.
    pub text_bytes_max: usize,
    /// Bytes before the first boundary, and after the last one. Default 4,096 each; clients send
    /// none, or a line break.
    pub margin_bytes_max: usize,
    /// How long nothing may come where no file is being sent. Default 60 s.
    pub idle: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            parts_max: 1_000,
            head_bytes_max: 8_192,
            text_bytes_max: 4_096,
            margin_bytes_max: 4_096,
            idle: Duration::from_secs(60),
        }
    }
}
