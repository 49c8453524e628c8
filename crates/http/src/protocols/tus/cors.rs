//! What pages of other origins may send and read.

use crate::route_group::Cors;

pub(super) const CORS: Cors = Cors {
    request_fields: &[
        "X-HTTP-Method-Override",
        "Tus-Resumable",
        "Upload-Length",
        "Upload-Offset",
        "Upload-Defer-Length",
        "Upload-Metadata",
        "Upload-Checksum",
        "Upload-Concat",
        // Clients that speak the IETF's draft as well ask by these which of the two is spoken.
        "Upload-Complete",
        "Upload-Incomplete",
        "Upload-Draft-Interop-Version",
    ],
    response_fields: &[
        "Location",
        "Tus-Version",
        "Tus-Resumable",
        "Tus-Max-Size",
        "Tus-Extension",
        "Tus-Checksum-Algorithm",
        "Upload-Offset",
        "Upload-Length",
        "Upload-Defer-Length",
        "Upload-Metadata",
        "Upload-Concat",
        "Upload-Expires",
        "Upload-Complete",
        "Upload-Incomplete",
        "Upload-Limit",
        "Upload-Draft-Interop-Version",
    ],
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocols::tus::headers;

    #[test]
    fn browsers_may_send_and_read_every_field() {
        let has = |names: &[&str], name: &str| names.iter().any(|n| n.eq_ignore_ascii_case(name));
        for name in [
            headers::UPLOAD_OFFSET,
            headers::UPLOAD_LENGTH,
            headers::UPLOAD_METADATA,
            headers::UPLOAD_CONCAT,
            headers::TUS_RESUMABLE,
            headers::UPLOAD_DEFER_LENGTH,
        ] {
            assert!(has(CORS.request_fields, name.as_str()), "{name}");
            assert!(has(CORS.response_fields, name.as_str()), "{name}");
        }
        assert!(has(CORS.request_fields, headers::UPLOAD_CHECKSUM.as_str()));
        assert!(has(CORS.request_fields, headers::METHOD_OVERRIDE.as_str()));
        assert!(has(CORS.response_fields, headers::UPLOAD_EXPIRES.as_str()));
    }
}
