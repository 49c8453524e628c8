//! The targets, one table.

mod catalog;
mod digest;
mod disposition;
mod download;
mod fields;
mod head;
mod ids;
mod multipart;
mod names;
mod origin;
mod plain;
mod probe;
mod settings;
mod tus;

use crate::target::Target;

/// Every target.
pub const TARGETS: &[Target] = &[
    Target {
        name: "catalog_file",
        run: catalog::file,
        mutations: 100,
        words: &["SQLite format 3\0", "\u{1}", "\u{0}\u{0}\u{10}\u{0}"],
    },
    Target {
        name: "catalog_row",
        run: catalog::row,
        mutations: 1_000,
        words: &["null", "int ", "text ", "blob ", "-1", "0123456789abcdef"],
    },
    Target {
        name: "digest_fields",
        run: digest::fields,
        mutations: 4_000,
        words: &[
            "sha-256=", "sha-512=", "md5=", "sha=", ":", "=:", ", ", ";a=1", "?1", "10",
        ],
    },
    Target {
        name: "digest_state",
        run: digest::state,
        mutations: 4_000,
        words: &["\u{1}", "\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}"],
    },
    Target {
        name: "disposition_read",
        run: disposition::read,
        mutations: 4_000,
        words: &[
            "form-data",
            "filename=",
            "filename*=",
            "UTF-8''",
            "iso-8859-1''",
            "%22",
            "%C3",
            "; name=",
        ],
    },
    Target {
        name: "disposition_written",
        run: disposition::written,
        mutations: 4_000,
        words: &[
            "text/html\n",
            "image/svg+xml\n",
            ".html",
            ".pdf",
            "\u{202e}",
            "\u{fc}",
            "%41",
            "\r\n",
        ],
    },
    Target {
        name: "download",
        run: download::run,
        mutations: 4_000,
        words: &[
            "range: bytes=",
            "if-range: ",
            "if-match: ",
            "if-none-match: ",
            "W/\"",
            "*",
            "\"tag\"",
            "HEAD ",
            "GET ",
        ],
    },
    Target {
        name: "fields",
        run: fields::syntax,
        mutations: 4_000,
        words: &[
            "\\\"",
            "a=b",
            "; ",
            ", ",
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "text/plain",
        ],
    },
    Target {
        name: "head",
        run: head::run,
        mutations: 4_000,
        words: &[
            "GET / HTTP/1.1",
            "PUT ",
            "\r\n",
            "\r\n\r\n",
            "\n\n",
            "\r\r\n",
            "Host: a",
            "\n ",
        ],
    },
    Target {
        name: "ids",
        run: ids::run,
        mutations: 4_000,
        words: &["aaaaaaaaaaaaaaaaaaaaaaaaaa", "7", "4"],
    },
    Target {
        name: "multipart",
        run: multipart::run,
        mutations: 3_000,
        words: &[
            "multipart/form-data; boundary=",
            "\r\n--XyZ",
            "--",
            "\r\n\r\n",
            "Content-Disposition: form-data; name=\"a\"",
            "; filename=\"b\"",
            "Content-Type: text/plain",
        ],
    },
    Target {
        name: "names",
        run: names::run,
        mutations: 4_000,
        words: &[
            "../", "./", "C:", "\\", "%2F", "%2e%2e", "\u{202e}", "\u{0}", "\u{85}",
        ],
    },
    Target {
        name: "negotiate",
        run: fields::negotiation,
        mutations: 4_000,
        words: &[
            "accept: ",
            "text/html",
            "application/json",
            "*/*",
            ";q=0.",
            ";q=1.001",
            ", ",
        ],
    },
    Target {
        name: "origin",
        run: origin::run,
        mutations: 4_000,
        words: &[
            "x-forwarded-for: ",
            "x-forwarded-host: ",
            "x-forwarded-proto: ",
            "x-forwarded-prefix: ",
            "forwarded: ",
            "for=",
            "host: ",
            "[::1]",
            "10.0.0.1",
            "unknown",
        ],
    },
    Target {
        name: "probe",
        run: probe::run,
        mutations: 400,
        words: &[
            "max",
            "\\040",
            " - cgroup2 ",
            " - cgroup ",
            "anon ",
            "0::/",
            ":memory:",
            " kB",
            "total=",
        ],
    },
    Target {
        name: "put",
        run: plain::run,
        mutations: 4_000,
        words: &[
            "content-length: ",
            "content-disposition: ",
            "max-days: ",
            "max-downloads: ",
            "repr-digest: ",
            "content-type: ",
            "%2e%2e%2f",
        ],
    },
    Target {
        name: "settings",
        run: settings::load,
        mutations: 500,
        words: &[
            "DDX_",
            "memory_limit = ",
            "listen = ",
            "\"none\"",
            "[",
            "[[x]]",
            "512MiB",
            "1h30m",
        ],
    },
    Target {
        name: "tus",
        run: tus::run,
        mutations: 4_000,
        words: &[
            "upload-metadata: ",
            "upload-concat: final;",
            "upload-checksum: sha1 ",
            "upload-length: ",
            "upload-defer-length: 1",
            "upload-offset: ",
            "tus-resumable: 1.0.0",
            "x-http-method-override: ",
            "content-type: application/offset+octet-stream",
            "/files/",
            ",filename YQ==",
        ],
    },
    Target {
        name: "units",
        run: settings::units,
        mutations: 4_000,
        words: &[
            "KiB",
            "EiB",
            "ms",
            "h",
            "w",
            "1.5",
            "_",
            ".999999999999999999",
        ],
    },
];
