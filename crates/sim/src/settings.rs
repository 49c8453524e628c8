//! How the engine is configured in a life.

use std::time::Duration;

use ddx_engine::{Config, Protocol};

use crate::plan::Setting;

/// An upload on which nothing happens is given up after this.
pub(crate) const UPLOAD_EXPIRES: Duration = Duration::from_secs(1_200);

/// A file goes after this.
pub(crate) const FILE_EXPIRES: Duration = Duration::from_secs(48 * 3_600);

/// How often the house is kept.
pub(crate) const HOUSEKEEPING_EVERY: Duration = Duration::from_secs(10);

/// So long space stays reserved for an upload to which nothing comes.
pub(crate) fn reservation_expires(setting: &Setting) -> Duration {
    Duration::from_millis(setting.upload_expires_ms / 4)
}

/// Uploads that one request carries.
pub(crate) const WHOLE: Protocol = Protocol {
    name: "whole",
    is_resumable: false,
};

/// Uploads that come in several requests.
pub(crate) const RESUMABLE: Protocol = Protocol {
    name: "resumable",
    is_resumable: true,
};

/// The engine as a plan configures it.
pub(crate) fn settings(setting: &Setting) -> Config {
    let upload_expires = Duration::from_millis(setting.upload_expires_ms);
    Config {
        protocols: vec![WHOLE, RESUMABLE],
        inline_bytes_max: setting.inline_bytes_max,
        buffer_bytes_min: setting.buffer_bytes_min,
        buffer_bytes_max: setting.buffer_bytes_max.max(setting.buffer_bytes_min),
        checkpoint_every: Duration::from_millis(setting.checkpoint_ms),
        checkpoint_bytes: setting.checkpoint_bytes,
        // Hours would outlast the life.
        body_pause: 2 * Config::default().body_idle,
        upload_expires,
        reservation_expires: reservation_expires(setting),
        file_expires: Some(FILE_EXPIRES),
        sha256_always: setting.sha256_always,
        housekeeping_every: HOUSEKEEPING_EVERY.min(upload_expires / 20),
        download_bytes: 4 * setting.buffer_bytes_min,
        ..Config::default()
    }
}
