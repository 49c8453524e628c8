//! Each rule of the project is broken once, in a copy of the workspace's manifests with small
//! sources, and the chore must refuse it there and say where. A rule that was never seen to refuse
//! something is no rule.

#![allow(
    clippy::unwrap_used,
    reason = "a test that can't set up its folder has failed"
)]

use std::fs;

use project::Project;

mod circles;
mod project;

#[test]
fn the_project_as_it_stands_is_accepted() {
    Project::new().accepts();
}

#[test]
fn a_forbidden_import_is_refused() {
    Project::new()
        .append("crates/memory/src/lib.rs", "\nuse tokio::sync::Mutex;\n")
        .refuses("crates/memory/src/lib.rs:3: error: `ddx-memory` must not know `tokio`");
    Project::new()
        .append(
            "crates/engine/src/lib.rs",
            "fn f() { let _ = std::env::var(\"X\"); }\n",
        )
        .refuses("crates/engine/src/lib.rs:2: error: `ddx-engine` must not know `std::env`");
    Project::new()
        .append(
            "crates/engine/src/lib.rs",
            "use std::{collections::HashMap, env};\n",
        )
        .refuses("must not know `std::env`");
    Project::new()
        .append("crates/storage/src/lib.rs", "use ddx_catalog::Catalog;\n")
        .refuses("`ddx-storage` must not know `ddx-catalog`");
    Project::new()
        .append(
            "crates/http/src/lib.rs",
            "pub mod x { pub use rusqlite as db; }\n",
        )
        .refuses("`ddx-http` must not know `rusqlite`");
}

#[test]
fn the_word_in_a_comment_or_a_string_is_no_import() {
    Project::new()
        .append(
            "crates/memory/src/lib.rs",
            "// tokio::spawn would do\nconst A: &str = \"axum::Router\";\n",
        )
        .accepts();
}

#[test]
fn a_module_of_ones_own_may_be_called_as_a_crate_is() {
    Project::new()
        .append(
            "crates/memory/src/lib.rs",
            "mod config;\npub use config::Config;\n",
        )
        .accepts();
    Project::new()
        .append("crates/memory/src/lib.rs", "pub use config::Config;\n")
        .refuses("`ddx-memory` must not know `config`");
}

#[test]
fn a_forbidden_dependency_is_refused() {
    Project::new()
        .depend("crates/memory/Cargo.toml", "tokio.workspace = true")
        .refuses("`ddx-memory` must not know `tokio`");
    Project::new()
        .depend("crates/catalog/Cargo.toml", "ddx-storage.workspace = true")
        .refuses("`ddx-catalog` must not know `ddx-storage`");
    Project::new()
        .depend(
            "crates/engine/Cargo.toml",
            "web = { workspace = true, package = \"axum\" }",
        )
        .refuses("`ddx-engine` must not know `axum`");
}

#[test]
fn a_renamed_dependency_is_seen_in_the_sources() {
    // A dev-dependency may be there for tests; naming it in what is shipped is what is refused.
    Project::new()
        .append("crates/engine/Cargo.toml", "\n[target.'cfg(unix)'.dev-dependencies]\nweb = { workspace = true, package = \"axum\" }\n")
        .append("crates/engine/src/lib.rs", "use web::Router;\n")
        .refuses("`ddx-engine` must not know `axum`");
}

#[test]
fn the_test_kit_is_for_tests() {
    Project::new()
        .depend("crates/http/Cargo.toml", "ddx-testkit.workspace = true")
        .refuses("ddx-testkit is for tests");
}

#[test]
fn one_protocol_must_not_name_another() {
    let import = "//! Words of tus.\nuse crate::plain::Form;\n";
    Project::new()
        .write("crates/http/src/tus/wire.rs", import)
        .refuses("names `plain`, another protocol's module");
    let relative = "//! Words of tus.\nuse super::super::plain::Form;\n";
    Project::new()
        .write("crates/http/src/tus/wire.rs", relative)
        .refuses("names `plain`, another protocol's module");
    let own = "//! Words of tus.\nuse super::handlers::Form;\nuse crate::problem::Problem;\n";
    Project::new()
        .write("crates/http/src/tus/wire.rs", own)
        .accepts();
}

#[test]
fn a_crate_without_a_layer_is_refused() {
    let manifest = "[package]\nname = \"ddx-extra\"\nversion.workspace = true\nedition.workspace = true\n\
        rust-version.workspace = true\nlicense.workspace = true\n[lints]\nworkspace = true\n";
    for folder in ["bench", "crates"] {
        Project::new()
            .write(&format!("{folder}/extra/Cargo.toml"), manifest)
            .refuses("`ddx-extra` is in no layer");
    }
}

#[test]
fn what_measures_knows_nothing_of_what_is_measured() {
    Project::new()
        .depend("bench/load/Cargo.toml", "ddx-digest.workspace = true")
        .refuses("`ddx-load` must not know `ddx-digest`");
    Project::new()
        .append("bench/floor/src/lib.rs", "use tokio::net::TcpStream;\n")
        .refuses("`ddx-floor` must not know `tokio`");
}

#[test]
fn versions_stand_in_the_root_only() {
    Project::new()
        .depend("crates/http/Cargo.toml", "rand = \"0.9\"")
        .refuses("`rand` has a version of its own");
    Project::new()
        .depend("crates/http/Cargo.toml", "rand = { path = \"../rand\" }")
        .refuses("`rand` has a version of its own");
    let project = Project::new();
    let manifest =
        fs::read_to_string(project.folder.path().join("crates/http/Cargo.toml")).unwrap();
    let without_lints = manifest.replace("[lints]\nworkspace = true", "");
    project
        .write("crates/http/Cargo.toml", &without_lints)
        .refuses("take the workspace's lints");
}

#[test]
fn long_files_are_questioned_and_then_refused() {
    let lines = |count: usize| "//! Long.\n".to_owned() + &"// line\n".repeat(count - 1);
    assert!(
        !Project::new()
            .write("crates/http/src/a.rs", &lines(600))
            .accepts()
            .contains("600 lines")
    );
    assert!(
        Project::new()
            .write("crates/http/src/a.rs", &lines(601))
            .accepts()
            .contains("601 lines; is it one thing")
    );
    Project::new()
        .write("crates/http/src/a.rs", &lines(1_000))
        .accepts();
    Project::new()
        .write("crates/http/src/a.rs", &lines(1_001))
        .refuses("1001 lines; 1000 is the most");
    Project::new()
        .write("web/src/page.ts", &"let x;\n".repeat(1_001))
        .refuses("1001 lines");
}

#[test]
fn names_say_something() {
    Project::new()
        .write("crates/http/src/utils.rs", "//! Things.\n")
        .refuses("`utils` is no name");
    Project::new()
        .write("crates/http/src/common/mod.rs", "//! Things.\n")
        .refuses("`common` is no name");
    Project::new()
        .write("web/src/helpers/date.ts", "\n")
        .refuses("`helpers` is no name");
}

#[test]
fn every_module_begins_with_its_reason() {
    Project::new()
        .write("crates/http/src/a.rs", "use std::fmt;\n//! Late.\n")
        .refuses("crates/http/src/a.rs:1: error: begins with no `//!` comment");
    Project::new()
        .write(
            "crates/http/src/a.rs",
            "#![allow(\n    dead_code\n)]\n\n//! In time.\n",
        )
        .accepts();
}

#[test]
fn unfinished_work_is_refused() {
    for (code, wanted) in [
        ("fn f() { todo!() }", "`todo!` marks unfinished work"),
        (
            "fn f() { unimplemented!(\"later\") }",
            "`unimplemented!` marks unfinished work",
        ),
        ("fn f() { dbg!(1); }", "`dbg!` marks unfinished work"),
        (
            "#[test] #[ignore] fn f() {}",
            "an ignored test proves nothing",
        ),
        (
            "#[ignore = \"slow\"] fn f() {}",
            "an ignored test proves nothing",
        ),
    ] {
        Project::new()
            .write("crates/http/src/a.rs", &format!("//! A.\n{code}\n"))
            .refuses(wanted);
    }
    Project::new()
        .write("web/e2e/a.spec.ts", "test.skip(\"x\", () => {});\n")
        .refuses("leaves tests out");
}

#[test]
fn lock_files_name_no_host() {
    let line = "{\n      \"resolved\": \"https://mirror.example/x.tgz\",\n}\n";
    Project::new()
        .write("web/package-lock.json", line)
        .refuses("web/package-lock.json:2: error: names the host");
    Project::new()
        .write(
            "Cargo.lock",
            "source = \"registry+https://mirror.example/index\"\n",
        )
        .refuses("names the host");
    Project::new()
        .write(
            "Cargo.lock",
            "source = \"registry+https://github.com/rust-lang/crates.io-index\"\n",
        )
        .accepts();
    Project::new()
        .write(
            "tests/clients/requirements.txt",
            "--index-url https://mirror.example/simple\n",
        )
        .refuses("names the host");
    Project::new()
        .write("web/.npmrc", "registry=https://mirror.example/\n")
        .refuses("names the host");
}

#[test]
fn a_comment_that_is_wide_or_stiff_is_refused() {
    let wide = "word ".repeat(20);
    for (path, text, line) in [
        (
            "crates/engine/src/lib.rs",
            format!("//! A crate.\n/// {wide}\n"),
            2,
        ),
        ("web/src/wide.ts", format!("  // {wide}\n"), 1),
        ("scripts/wide.py", format!("#   {wide}\n"), 1),
    ] {
        let wide = format!("{path}:{line}: error: a comment of");
        Project::new().write(path, &text).refuses(&wide);
    }
    Project::new()
        .append("crates/engine/src/lib.rs", "// Whoever reads it.\n")
        .refuses("crates/engine/src/lib.rs:2: error: `Whoever`: say which");
    let address = format!("// https://{}\n// {}\n", "a".repeat(100), "ü".repeat(90));
    Project::new()
        .write("web/src/narrow.ts", &address)
        .accepts();
}

#[test]
fn a_private_word_in_what_operators_read_is_refused() {
    for (source, line) in [
        (
            "fn f() { tracing::warn!(%error, \"the lane is gone\"); }\n",
            2,
        ),
        (
            "fn f() {\n tracing::error!(\n \"nobody \\\n  listens\" ); }\n",
            4,
        ),
        ("fn f() { tracing::info!(lane = 7, \"opened\"); }\n", 2),
        ("fn f() { info!(%rung, \"opened\"); }\n", 2),
        ("fn f() { anyhow::bail!(\"two granules of {lane}\"); }\n", 2),
        (
            "fn f() { g().with_context(|| format!(\"in {x} rooms\"))?; }\n",
            2,
        ),
        ("#[error(\"the books are wrong\")]\nstruct E;\n", 2),
    ] {
        Project::new()
            .append("crates/engine/src/lib.rs", source)
            .refuses(&format!(
                "crates/engine/src/lib.rs:{line}: error: operators read this"
            ));
    }
    // Names in the code, comments, other texts, placeholders and tests are not read by operators.
    Project::new()
        .append(
            "crates/engine/src/lib.rs",
            "// the lane\nfn f(lane: u8, c: char) { tracing::warn!(bytes = lane.rung(), \"{lane} of it\"); g(\"lane\", c == '\"'); \
             tracing::debug!(\"lane\"); }\n#[cfg(test)]\nmod tests { fn f() { anyhow::bail!(\"lane\") } }\n",
        )
        .accepts();
}
