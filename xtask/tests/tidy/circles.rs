//! Circles of files and sideways re-exports, planted in a crate of the copy.

use crate::project::Project;

const LIB: &str = "crates/digest/src/lib.rs";
const A: &str = "crates/digest/src/a.rs";
const B: &str = "crates/digest/src/b.rs";

/// A project in which the crate of digests has the modules `a` and `b`.
fn with_two(a: &str, b: &str) -> Project {
    let project = Project::new();
    project
        .append(LIB, "mod a;\nmod b;\n")
        .write(A, &format!("//! First.\n{a}"))
        .write(B, &format!("//! Second.\n{b}"));
    project
}

#[test]
fn two_files_that_import_each_other_are_refused_with_the_names() {
    let circle = [
        "crates/digest/src/a.rs:2: error: a circle of 2 files",
        "crates/digest/src/a.rs -> crates/digest/src/b.rs: Cup, fill",
        "crates/digest/src/b.rs -> crates/digest/src/a.rs: SIPS_MAX",
    ];
    for (a, b) in [
        (
            "use crate::b::{Cup, fill};\npub(crate) const SIPS_MAX: u8 = 1;\n",
            "use super::a::SIPS_MAX;\npub(crate) struct Cup;\npub(crate) fn fill() {}\n",
        ),
        // Paths in code, and through a name of the module, count as imports do.
        (
            "fn f(_: crate::b::Cup) {\n crate::b::fill() }\npub(crate) const SIPS_MAX: u8 = 1;\n",
            "use crate::a as sips;\nfn g() -> u8 { sips::SIPS_MAX }\npub(crate) struct Cup;\n",
        ),
    ] {
        for wanted in circle {
            with_two(a, b).refuses(wanted);
        }
    }
    with_two(
        "use crate::b::Cup;\npub(crate) struct Saucer;\n",
        "pub(crate) struct Cup;\n",
    )
    .accepts();
}

#[test]
fn a_circle_through_a_re_export_is_refused() {
    let project = with_two(
        "use crate::b::Cup;\n",
        "use crate::tray::Spoon;\npub(crate) struct Cup;\n",
    );
    project
        .append(LIB, "mod tray;\n")
        .write(
            "crates/digest/src/tray/mod.rs",
            "//! Declares.\nmod spoon;\npub(crate) use spoon::Spoon;\n",
        )
        .write(
            "crates/digest/src/tray/spoon.rs",
            "//! A spoon.\nuse crate::a::Sugar;\npub(crate) struct Spoon(Sugar);\n",
        );
    project.refuses("crates/digest/src/a.rs:2: error: a circle of 3 files");
    project.refuses("crates/digest/src/b.rs -> crates/digest/src/tray/spoon.rs: Spoon");
}

#[test]
fn a_circle_through_a_glob_is_refused() {
    let project = with_two(
        "use crate::b::*;\nfn f(_: Cup) {}\npub(crate) struct Sugar;\n",
        "use crate::a::Sugar;\npub(crate) struct Cup;\n",
    );
    project.refuses("crates/digest/src/a.rs:2: error: a circle of 2 files");
}

#[test]
fn a_circle_in_tests_only_is_accepted() {
    with_two(
        "use crate::b::Cup;\npub(crate) struct Sugar;\n",
        "pub(crate) struct Cup;\n#[cfg(test)]\nmod tests {\n use crate::a::Sugar;\n fn f(_: Sugar) {}\n}\n",
    )
    .accepts();
    with_two(
        "use crate::b::Cup;\npub(crate) struct Sugar;\n",
        "pub(crate) struct Cup;\n#[cfg(test)]\nuse crate::a::Sugar;\n#[cfg(test)]\nmod tests;\n",
    )
    .write(
        "crates/digest/src/b/tests.rs",
        "//! Tests.\nuse crate::a::Sugar;\n",
    )
    .accepts();
    // What stands behind the test code counts again.
    with_two(
        "use crate::b::Cup;\npub(crate) struct Sugar;\n",
        "#[cfg(test)]\nmod tests { fn f() {} }\nuse crate::a::Sugar;\npub(crate) struct Cup;\n",
    )
    .refuses("a circle of 2 files");
}

#[test]
fn a_parent_that_only_declares_and_re_exports_is_accepted() {
    let project = Project::new();
    let parent = "crates/digest/src/tray/mod.rs";
    let declares = "//! Declares.\nmod cup;\nmod spoon;\npub(crate) use cup::Cup;\n";
    project
        .append(LIB, "mod tray;\n")
        .write(parent, declares)
        .write(
            "crates/digest/src/tray/cup.rs",
            "//! A cup.\nuse super::spoon::Spoon;\npub(crate) struct Cup(Spoon);\n",
        )
        .write(
            "crates/digest/src/tray/spoon.rs",
            "//! A spoon.\npub(crate) struct Spoon;\n",
        );
    project.accepts();
    // A child that uses what the parent defines, while the parent uses the child, ties them.
    project
        .append(parent, "pub(crate) struct Tray(Cup);\n")
        .accepts();
    project
        .append("crates/digest/src/tray/cup.rs", "fn f(_: super::Tray) {}\n")
        .refuses("crates/digest/src/tray/mod.rs -> crates/digest/src/tray/cup.rs: Cup");
}

#[test]
fn a_sideways_re_export_is_refused() {
    let cup = "pub(crate) struct Cup;\n";
    for re_export in [
        "pub(crate) use super::b::Cup;\n",
        "pub use crate::b::Cup as Mug;\n",
        "pub use crate::b::*;\n",
    ] {
        with_two(re_export, cup).refuses("crates/digest/src/a.rs:2: error: re-exports `crate::b");
    }
    // The root of a crate and a parent may; so may a re-export of another crate's name.
    with_two("pub(crate) use std::sync::Mutex;\n", cup)
        .append(LIB, "pub use b::Cup;\n")
        .accepts();
}
