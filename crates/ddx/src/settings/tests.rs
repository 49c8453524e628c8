//! Settings as an operator meets them: precedence, origins, and what is refused in which words.

#![allow(
    clippy::unwrap_used,
    reason = "a test that can't write its file has failed"
)]

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use super::{FlagValue, Loaded, Origin, Problems, SETTINGS, document, load};

fn variables(pairs: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
    pairs
        .iter()
        .map(|(name, value)| (OsString::from(name), OsString::from(value)))
        .collect()
}

fn flags(pairs: &[(&'static str, &str)]) -> Vec<FlagValue> {
    pairs
        .iter()
        .map(|(key, value)| (*key, (*value).to_owned()))
        .collect()
}

fn from_environment(pairs: &[(&str, &str)]) -> Result<Loaded, Problems> {
    load(&[], None, variables(pairs))
}

fn from_file(text: &str) -> (Result<Loaded, Problems>, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ddx.toml");
    std::fs::write(&path, text).unwrap();
    (load(&[], Some(&path), []), folder)
}

#[track_caller]
fn refused(result: Result<Loaded, Problems>, wanted: &[&str]) {
    let said = result.expect_err("was accepted").to_string();
    for part in wanted {
        assert!(said.contains(part), "should say `{part}`:\n{said}");
    }
}

#[test]
fn every_entry_of_the_table_is_sound() {
    let keys: BTreeSet<_> = SETTINGS.iter().map(|definition| definition.key).collect();
    let names: BTreeSet<_> = SETTINGS.iter().map(super::Definition::env).collect();
    assert_eq!(
        (keys.len(), names.len()),
        (SETTINGS.len(), SETTINGS.len()),
        "a key or variable stands twice"
    );
    for definition in SETTINGS {
        let key = definition.key;
        let bounds = definition
            .range
            .map(|(least, most)| [least, most])
            .into_iter()
            .flatten();
        for text in bounds.chain(definition.default) {
            definition
                .check(text, &Origin::Default)
                .unwrap_or_else(|problem| panic!("{problem}"));
        }
        let number = matches!(definition.kind.name, "SIZE" | "DURATION" | "COUNT");
        assert_eq!(
            number,
            definition.range.is_some(),
            "{key}: numbers have bounds, others have none"
        );
        assert!(
            definition.sentences().ends_with('.'),
            "{key}: its documentation is a sentence"
        );
        assert!(
            key.bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_'),
            "{key}"
        );
    }
}

#[test]
fn descriptions_are_short_and_have_no_word_of_the_code() {
    const PRIVATE: [&str; 18] = [
        "band",
        "books",
        "class",
        "descriptor",
        "granule",
        "house",
        "lane",
        "leased",
        "ledger",
        "nobody",
        "record",
        "room",
        "rung",
        "seat",
        "shall",
        "somebody",
        "stead",
        "whoever",
    ];
    for definition in SETTINGS {
        let (key, said) = (definition.key, definition.sentences());
        assert!(
            (20..=340).contains(&said.len()),
            "{key}: {} bytes: {said}",
            said.len()
        );
        for word in said.to_lowercase().split(|c: char| !c.is_alphabetic()) {
            assert!(!PRIVATE.contains(&word), "{key}: {word:?} in {said}");
        }
        let tells_what_without = definition.default.is_some()
            || said.contains("Without it")
            || definition.kind.name == "PATH";
        assert!(
            tells_what_without,
            "{key}: does not say what happens without it: {said}"
        );
    }
}

#[test]
fn the_defaults_are_what_the_product_promises() {
    let settings = load(&[], None, []).unwrap().settings;
    assert_eq!(settings.listen.to_string(), "127.0.0.1:8000");
    assert_eq!(settings.data_dir, Path::new("./data"));
    assert_eq!(settings.memory_limit_bytes, None);
    assert_eq!(settings.request_body_bytes_max, 95 << 20);
    assert_eq!(settings.upload_expires, Duration::from_secs(24 * 3600));
    assert_eq!(settings.cors_origins, ["*"]);
    assert!(settings.trusted_proxies.is_empty() && !settings.repr_digest_sha256);
}

#[test]
fn flags_win_over_environment_over_file_over_defaults() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ddx.toml");
    std::fs::write(
        &path,
        "waiters_max = 1\nranges_max = 2\n\nheaders_max = 30\n",
    )
    .unwrap();
    let environment = variables(&[
        ("DDX_RANGES_MAX", "3"),
        ("DDX_HEADERS_MAX", "31"),
        ("DDX_CONFIG", "/not/this/one"),
    ]);
    let loaded = load(&flags(&[("headers_max", "32")]), Some(&path), environment).unwrap();
    let settings = &loaded.settings;
    assert_eq!(
        (
            settings.waiters_max,
            settings.ranges_max,
            settings.headers_max
        ),
        (1, 3, 32)
    );
    assert_eq!(settings.path_depth_max, 32);
    let origin = |key| loaded.resolved.origin(key).to_string();
    assert_eq!(origin("waiters_max"), format!("{}:1", path.display()));
    assert_eq!(origin("ranges_max"), "DDX_RANGES_MAX");
    assert_eq!(origin("headers_max"), "--headers-max");
    assert_eq!(origin("path_depth_max"), "default");
}

#[test]
fn the_file_can_be_named_by_a_variable() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ddx.toml");
    std::fs::write(&path, "listen = \"[::1]:9\"\n").unwrap();
    let loaded = from_environment(&[("DDX_CONFIG", path.to_str().unwrap())]).unwrap();
    assert_eq!(loaded.settings.listen.to_string(), "[::1]:9");
    assert_eq!(loaded.file, Some(path));
    refused(
        from_environment(&[("DDX_CONFIG", "/not/there")]),
        &["/not/there", "No such file"],
    );
}

#[test]
fn the_old_names_of_the_buffer_counts_still_work() {
    let pairs = [
        ("PARALLEL_UPLOAD_MAX_BUFFERS_4GB", "7"),
        ("PARALLEL_UPLOAD_MAX_BUFFERS_16GB", "70"),
    ];
    let settings = from_environment(&pairs).unwrap().settings;
    assert_eq!(
        (
            settings.buffers_max_4gb,
            settings.buffers_max_8gb,
            settings.buffers_max_16gb
        ),
        (Some(7), None, Some(70))
    );
    refused(
        from_environment(&[("PARALLEL_UPLOAD_MAX_BUFFERS_32GB", "1")]),
        &["PARALLEL_UPLOAD_MAX_BUFFERS_32GB", "did you mean"],
    );
}

#[test]
fn a_refusal_names_limit_value_place_and_remedy() {
    refused(
        from_environment(&[("DDX_MEMORY_LIMIT", "4MiB")]),
        &[
            "memory_limit",
            "\"4MiB\"",
            "DDX_MEMORY_LIMIT",
            "below the least, 16MiB",
            "as 512MiB",
            "from 16MiB to 1PiB",
        ],
    );
    refused(
        from_environment(&[("DDX_IDLE_TIMEOUT", "75")]),
        &["has no unit", "as 90s or 1h30m"],
    );
    refused(
        load(&flags(&[("ranges_max", "5000")]), None, []),
        &["--ranges-max", "above the most, 1000"],
    );
    let (result, _folder) = from_file("# first\nlog_format = \"xml\"\n");
    refused(result, &["ddx.toml:2", "neither human nor json"]);
}

#[test]
fn all_problems_are_told_at_once() {
    let pairs = [
        ("DDX_LISTEN", "nowhere"),
        ("DDX_WAITERS_MAX", "0"),
        ("DDX_COLOUR", "red"),
    ];
    refused(
        from_environment(&pairs),
        &["nowhere", "waiters_max", "DDX_COLOUR"],
    );
}

#[test]
fn unknown_names_are_errors_that_suggest_the_nearest() {
    refused(
        from_environment(&[("DDX_MEMORY_LIMT", "1GiB")]),
        &["DDX_MEMORY_LIMT", "did you mean `DDX_MEMORY_LIMIT`?"],
    );
    refused(
        from_environment(&[("DDX_COLOUR", "red")]),
        &["DDX_COLOUR", "`ddx config print` lists them all"],
    );
    let (result, _folder) = from_file("listen = \"127.0.0.1:1\"\ndata-dir = \"x\"\n");
    refused(
        result,
        &["ddx.toml:2", "`data-dir`", "did you mean `data_dir`?"],
    );
    let (result, _folder) = from_file("[memory]\nlimit = \"1GiB\"\n");
    refused(result, &["`memory`, which is no setting"]);
}

#[test]
fn variables_that_nobody_typed_are_left_alone() {
    let pairs = [
        ("DDX_SERVICE_HOST", "10.0.0.1"),
        ("DDX_PORT", "tcp://10.0.0.1:8000"),
        ("DDX_PORT_8000_TCP", "tcp://10.0.0.1:8000"),
        ("DDX_TEST_PYTHON", "x"),
        ("DDX_BIN", "x"),
        ("DDX_PUBLIC_URL", ""),
        ("HOME", "/root"),
    ];
    assert_eq!(from_environment(&pairs).unwrap().settings.public_url, None);
}

#[test]
fn toml_values_of_every_shape_are_read() {
    let (result, _folder) = from_file(
        "request_body_bytes_max = 1_000_000\nrepr_digest_sha256 = true\ntrusted_proxies = [\"10.0.0.0/8\", \"::1\"]\n\
         header_bytes_max = 0x4000\nfile_expires = '7d'\n",
    );
    let settings = result.unwrap().settings;
    assert_eq!(
        (settings.request_body_bytes_max, settings.header_bytes_max),
        (1_000_000, 16_384)
    );
    assert!(settings.repr_digest_sha256);
    assert_eq!(settings.trusted_proxies.len(), 2);
    assert_eq!(settings.file_expires, Some(Duration::from_secs(7 * 86_400)));
    let (result, _folder) = from_file("waiters_max = 1.5\n");
    refused(result, &["\"1.5\"", "neither a string", "a whole number"]);
    let (result, _folder) = from_file("waiters_max = \n");
    refused(result, &["ddx.toml", "line 1"]);
}

#[test]
fn none_takes_a_value_away() {
    let environment = variables(&[("DDX_FILE_EXPIRES", "7d"), ("DDX_TRUSTED_PROXIES", "::1")]);
    let settings = load(
        &flags(&[("file_expires", "none"), ("trusted_proxies", "none")]),
        None,
        environment,
    )
    .unwrap()
    .settings;
    assert_eq!(settings.file_expires, None);
    assert!(settings.trusted_proxies.is_empty());
    refused(
        from_environment(&[("DDX_LISTEN", "none")]),
        &["is no address with a port"],
    );
}

#[test]
fn settings_that_contradict_each_other_are_refused() {
    refused(
        from_environment(&[("DDX_TLS_CERT", "a.pem")]),
        &["tls_key is not"],
    );
    refused(
        from_environment(&[("DDX_MEMORY_LIMIT", "1GiB"), ("DDX_MEMORY_RESERVE", "1GiB")]),
        &["leaves nothing", "1GiB"],
    );
    refused(
        from_environment(&[("DDX_MEMORY_LIMIT", "1GiB"), ("DDX_MEMORY_CEILING", "2GiB")]),
        &["2GiB", "1GiB"],
    );
    refused(
        from_environment(&[("DDX_CORS_ORIGINS", "*,https://a.org")]),
        &["give * alone"],
    );
    let pairs = [
        ("DDX_PUBLIC_URL", "https://a.org"),
        ("DDX_PATH_PREFIX", "/up"),
    ];
    refused(from_environment(&pairs), &["https://a.org/up"]);
}

#[test]
fn what_is_printed_can_be_given_back() {
    let pairs = [
        ("DDX_MEMORY_LIMIT", "2GiB"),
        ("DDX_LOG", "info,ddx_engine=debug"),
        ("DDX_DATA_DIR", "C:\\\"x\""),
    ];
    let first = from_environment(&pairs).unwrap();
    let printed = document::in_force(&first);
    assert!(
        printed.contains("memory_limit = \"2GiB\" # DDX_MEMORY_LIMIT"),
        "{printed}"
    );
    assert!(
        printed.contains("# file_expires is not set # default"),
        "{printed}"
    );
    let (second, _folder) = from_file(&printed);
    let second = second.unwrap();
    assert_eq!(
        format!("{:?}", first.settings),
        format!("{:?}", second.settings)
    );
}

#[test]
fn the_document_has_every_setting() {
    let text = document::markdown();
    for definition in SETTINGS {
        assert!(
            text.contains(&format!("| `{}` |", definition.key)),
            "{}",
            definition.key
        );
    }
    assert!(text.contains("`PARALLEL_UPLOAD_MAX_BUFFERS_4GB`"));
}
