//! Settings that are right by themselves and wrong together.

use super::units::write_size;
use super::{Problem, Settings};

/// Everything that can't be at the same time.
pub(super) fn conflicts(settings: &Settings) -> Vec<Problem> {
    let mut found = Vec::new();
    let mut refuse = |text: String| found.push(Problem::Conflict(text));
    match (&settings.tls_cert, &settings.tls_key) {
        (Some(_), None) => {
            refuse("tls_cert is set and tls_key is not: give both, or neither".to_owned())
        }
        (None, Some(_)) => {
            refuse("tls_key is set and tls_cert is not: give both, or neither".to_owned())
        }
        _ => {}
    }
    if let (Some(limit), Some(reserve)) =
        (settings.memory_limit_bytes, settings.memory_reserve_bytes)
        && reserve >= limit
    {
        let (limit, reserve) = (write_size(limit), write_size(reserve));
        refuse(format!(
            "memory_reserve ({reserve}) leaves nothing of memory_limit ({limit}): make it smaller"
        ));
    }
    if let (Some(limit), Some(ceiling)) =
        (settings.memory_limit_bytes, settings.memory_ceiling_bytes)
        && ceiling > limit
    {
        let (limit, ceiling) = (write_size(limit), write_size(ceiling));
        refuse(format!(
            "memory_ceiling ({ceiling}) is above memory_limit ({limit}): make it smaller"
        ));
    }
    if settings.cors_origins.len() > 1 && settings.cors_origins.iter().any(|origin| origin == "*") {
        refuse(
            "cors_origins has * beside other origins: give * alone, or the origins alone"
                .to_owned(),
        );
    }
    if let Some(url) = &settings.public_url
        && !settings.path_prefix.is_empty()
        && !url.ends_with(&settings.path_prefix)
    {
        let prefix = &settings.path_prefix;
        refuse(format!(
            "public_url ({url}) does not end with path_prefix ({prefix}): links would miss it; write {url}{prefix}"
        ));
    }
    found
}
