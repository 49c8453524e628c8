//! Names and relative paths: what is cleaned, what is refused, and that both hold for any text.

use ddx_http::shared::names::{self, Limits};
use ddx_http::shared::problem::Kind;
use proptest::prelude::*;

fn name(given: &str) -> Result<String, Kind> {
    names::name(given, &Limits::default()).map_err(|problem| problem.kind())
}

fn path(given: &str) -> Result<String, Kind> {
    names::relative_path(given, &Limits::default()).map_err(|problem| problem.kind())
}

#[test]
fn names_are_shown_as_given() {
    for given in [
        "a.txt",
        "Ünïcödé 🦀.tar.gz",
        " lead",
        "trail ",
        ".hidden",
        "...",
        "CON",
        "a.",
        "مرحبا.pdf",
        "e\u{301}",
    ] {
        assert_eq!(name(given).as_deref(), Ok(given));
        assert_eq!(path(given).as_deref(), Ok(given));
    }
}

#[test]
fn a_senders_path_gives_its_last_part() {
    assert_eq!(name("C:\\fakepath\\a.txt").as_deref(), Ok("a.txt"));
    assert_eq!(name("/home/me/a.txt").as_deref(), Ok("a.txt"));
    assert_eq!(name("dir/").as_deref(), Ok("dir"));
    assert_eq!(
        name("a: notes.txt").as_deref(),
        Ok("a: notes.txt"),
        "no drive"
    );
    assert_eq!(name("../../etc/passwd").as_deref(), Ok("passwd"));
}

#[test]
fn paths_are_made_plain() {
    assert_eq!(path("/dir/b.txt").as_deref(), Ok("dir/b.txt"));
    assert_eq!(path("./dir//b.txt").as_deref(), Ok("dir/b.txt"));
    assert_eq!(path("dir\\b.txt").as_deref(), Ok("dir/b.txt"));
    assert_eq!(path("a/./b/").as_deref(), Ok("a/b"));
    assert_eq!(path("a/C:/b").as_deref(), Ok("a/C:/b"), "no drive there");
}

#[test]
fn what_leads_elsewhere_is_refused() {
    for given in [
        "..", "a/../b", "..\\a", "a/..", "C:\\a", "c:/a/b", "", "/", "./.", "   ", "a/ /b",
    ] {
        assert_eq!(path(given), Err(Kind::NameRefused), "{given:?}");
    }
    for given in ["", "..", ".", "/", "a/..", " "] {
        assert_eq!(name(given), Err(Kind::NameRefused), "{given:?}");
    }
}

#[test]
fn unshowable_characters_become_a_line() {
    assert_eq!(name("Icon\r").as_deref(), Ok("Icon_"));
    assert_eq!(name("a\0b\u{1b}[31m").as_deref(), Ok("a_b_[31m"));
    assert_eq!(name("a\u{202e}gpj.exe").as_deref(), Ok("a_gpj.exe"));
    assert_eq!(name("a\u{85}\u{2028}b").as_deref(), Ok("a__b"));
}

#[test]
fn limits_count_bytes() {
    assert!(name(&"ü".repeat(127)).is_ok());
    assert_eq!(name(&"ü".repeat(128)), Err(Kind::NameTooLong));
    assert_eq!(path(&"a/".repeat(65)), Err(Kind::NameTooLong));
    assert_eq!(
        path(&vec!["a".repeat(200); 6].join("/")),
        Err(Kind::NameTooLong)
    );
    let problem = names::name(&"a".repeat(256), &Limits::default()).unwrap_err();
    let json: serde_json::Value = serde_json::from_slice(&problem.to_json()).unwrap();
    assert_eq!(
        (json["limit"].as_u64(), json["value"].as_u64()),
        (Some(255), Some(256))
    );
}

#[test]
fn url_paths_are_decoded_once() {
    let decoded = |encoded| names::from_url_path(encoded, &Limits::default()).map_err(|p| p.kind());
    assert_eq!(decoded("/a%20b.txt").as_deref(), Ok("a b.txt"));
    assert_eq!(decoded("dir%2Fa.txt").as_deref(), Ok("dir/a.txt"));
    assert_eq!(decoded("a%2520b").as_deref(), Ok("a%20b"));
    assert_eq!(decoded("100%").as_deref(), Ok("100%"));
    assert_eq!(decoded("a%FFb").as_deref(), Ok("a\u{fffd}b"));
    assert_eq!(decoded("%2e%2e%2fb"), Err(Kind::NameRefused));
    assert_eq!(
        names::encode_path("dir (1)/ü.txt"),
        "dir%20%281%29/%C3%BC.txt"
    );
    assert_eq!(names::file_name("dir/a.txt"), "a.txt");
}

proptest! {
    #[test]
    fn a_path_is_plain_and_stays_so(given in any::<String>()) {
        if let Ok(cleaned) = path(&given) {
            prop_assert!(cleaned.len() <= 1_024);
            for part in cleaned.split('/') {
                prop_assert!(!matches!(part, "" | "." | ".."));
                prop_assert!(part.len() <= 255 && !part.contains('\\') && !part.chars().any(char::is_control));
            }
            prop_assert_eq!(path(&cleaned), Ok(cleaned.clone()));
            prop_assert_eq!(names::from_url_path(&names::encode_path(&cleaned), &Limits::default()).unwrap(), cleaned);
        }
    }

    #[test]
    fn paths_of_odd_parts(given in "[a./\\\\: \u{202e}]{0,12}") {
        if let Ok(cleaned) = path(&given) {
            prop_assert_eq!(path(&cleaned), Ok(cleaned));
        }
        if let Ok(cleaned) = name(&given) {
            prop_assert_eq!(name(&cleaned), Ok(cleaned));
        }
    }

    #[test]
    fn links_are_plain_ascii(given in any::<String>()) {
        let encoded = names::encode_segment(&given);
        prop_assert!(encoded.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~%".contains(&b)));
        prop_assert_eq!(names::decode(&encoded), given);
    }

    #[test]
    fn any_url_path_is_answered(given in "\\PC*") {
        let _ = names::from_url_path(&given, &Limits::default());
    }
}
