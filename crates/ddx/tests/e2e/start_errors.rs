//! What is printed when the server does not start: short, with the path or the value that is wrong,
//! and with what to do.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ddx_testkit::{Image, MIB, Turn};

use crate::setup;
use crate::transport::certificate;

/// Words that only the code uses, and old ones.
const FOREIGN: [&str; 20] = [
    "band",
    "books",
    "generation",
    "granule",
    "house",
    "lane",
    "ledger",
    "life",
    "nobody",
    "panicked",
    "probe",
    "recovery",
    "room",
    "rung",
    "runtime",
    "seat",
    "shall",
    "somebody",
    "tap",
    "whoever",
];

/// Lines of a refusal: what is wrong, and what to do. A faulty configuration file is shown beside.
const LINES_MAX: usize = 2;
const LINES_MAX_WITH_FILE: usize = 6;
const LINE_CHARS_MAX: usize = 400;

/// A line of shell that starts it, what must be named, and what must be among the remedies.
struct Case {
    what: &'static str,
    line: String,
    named: String,
    remedy: &'static str,
}

fn binary() -> std::ffi::OsString {
    std::env::var_os("DDX_BIN").unwrap_or_else(|| env!("CARGO_BIN_EXE_ddx").into())
}

/// Starts it by a line of shell in which `"$@"` stands for `ddx serve`, and looks at what it
/// prints.
fn check(case: &Case) -> Result<()> {
    let output = Command::new("sh")
        .args(["-c", &case.line, "sh", "timeout", "-s", "KILL", "60"])
        .arg(binary())
        .arg("serve")
        .output()?;
    let said = String::from_utf8(output.stderr)?;
    // Lines of the log may come before.
    let told = said.find("ddx: ").map_or(&*said, |at| &said[at..]);
    println!("{}: {told}", case.what);
    ensure!(
        matches!(output.status.code(), Some(1 | 2)),
        "{}: {}: {told}",
        case.what,
        output.status
    );
    let lines: Vec<&str> = told.lines().collect();
    let most = if told.contains("TOML") {
        LINES_MAX_WITH_FILE
    } else {
        LINES_MAX
    };
    ensure!(
        lines.first().is_some_and(|line| line.starts_with("ddx: ")) && lines.len() <= most,
        "{}: {told}",
        case.what
    );
    for line in &lines {
        ensure!(
            line.chars().count() <= LINE_CHARS_MAX,
            "{}: {line}",
            case.what
        );
    }
    ensure!(
        told.contains(&case.named),
        "{}: no {:?} in {told}",
        case.what,
        case.named
    );
    ensure!(
        told.contains(case.remedy),
        "{}: no {:?} in {told}",
        case.what,
        case.remedy
    );
    // A path may have any word.
    let own = told.replace(&case.named, "");
    for word in own.to_lowercase().split(|c: char| !c.is_alphanumeric()) {
        ensure!(
            !FOREIGN.contains(&word),
            "{}: {word:?} in {told}",
            case.what
        );
    }
    Ok(())
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// Runs `script` of Python, which prepares what is wrong.
fn prepare(script: &str, path: &Path) -> Result<()> {
    let status = Command::new("python3")
        .args(["-c", script])
        .arg(path)
        .status()?;
    ensure!(status.success(), "{script}");
    Ok(())
}

/// A data folder that a server has used and left.
fn used(below: &Path, name: &str) -> Result<PathBuf> {
    let folder = below.join(name);
    let mut server = setup().data_dir(&folder).start()?;
    let ended = server.terminate(Duration::from_secs(20))?;
    ensure!(ended.status.success(), "{ended:?}");
    Ok(folder)
}

const AS_OTHER: &str = "setpriv --reuid 61234 --regid 61234 --clear-groups";

fn with_args(what: &'static str, args: &str, named: &str, remedy: &'static str) -> Case {
    let line = format!("exec \"$@\" --listen 127.0.0.1:0 {args}");
    Case {
        what,
        line,
        named: named.to_owned(),
        remedy,
    }
}

fn over(what: &'static str, folder: &Path, remedy: &'static str) -> Case {
    let folder = shown(folder);
    with_args(what, &format!("--data-dir {folder}"), &folder, remedy)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_cannot_be_had_is_told() -> Result<()> {
    let _turn = Turn::shared()?;
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let address = taken.local_addr()?.to_string();
    let listen = |what, address: &str, remedy| Case {
        what,
        line: format!("exec \"$@\" --listen {address}"),
        named: address.to_owned(),
        remedy,
    };
    check(&listen("taken", &address, "--listen"))?;
    check(&listen("not of this machine", "192.0.2.1:8000", "--listen"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_data_folder_that_cannot_be_used_is_told() -> Result<()> {
    let _turn = Turn::shared()?;
    let scratch = tempfile::tempdir()?;
    let at = |name: &str| scratch.path().join(name);
    std::fs::write(at("file"), b"x")?;
    std::fs::create_dir(at("half"))?;
    std::fs::write(at("half").join("segments"), b"x")?;
    check(&over(
        "nowhere",
        Path::new("/proc/nowhere"),
        "check the path",
    ))?;
    check(&over("a file", &at("file"), "no folder"))?;
    check(&over("below a file", &at("file").join("x"), "no folder"))?;
    check(&over("segments is a file", &at("half"), "no folder"))?;

    let image = Image::new(64 * MIB)?;
    std::fs::create_dir(image.path().join("empty"))?;
    image.remount("ro")?;
    check(&over(
        "read-only",
        &image.path().join("new"),
        "mount its disk for writing",
    ))?;
    check(&over(
        "read-only and empty",
        &image.path().join("empty"),
        "mount its disk for writing",
    ))?;

    let running = setup().start()?;
    check(&over("in use", running.data_dir(), "stop the other server"))
}

/// As another user, since root may write everywhere.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_data_folder_of_another_user_is_told() -> Result<()> {
    let _turn = Turn::shared()?;
    let scratch = tempfile::tempdir()?;
    std::os::unix::fs::chown(scratch.path(), Some(61_234), Some(61_234))?;
    // Executed under a name that this user can reach.
    let copy = scratch.path().join("ddx");
    std::fs::copy(binary(), &copy)?;
    let folder = scratch.path().join("roots");
    std::fs::create_dir(&folder)?;
    check(&Case {
        what: "of another user",
        line: format!(
            "exec {AS_OTHER} {} serve --listen 127.0.0.1:0 --data-dir {}",
            copy.display(),
            folder.display()
        ),
        named: shown(&folder),
        remedy: "chown 61234:61234",
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_catalog_that_cannot_be_used_is_told() -> Result<()> {
    let _turn = Turn::shared()?;
    let scratch = tempfile::tempdir()?;
    let damaged = used(scratch.path(), "damaged")?;
    prepare(
        "import sys;open(sys.argv[1]+'/catalog.sqlite3','r+b').write(b'x'*100)",
        &damaged,
    )?;
    check(&over("damaged", &damaged, "newest good copy"))?;

    let newer = used(scratch.path(), "newer")?;
    prepare(
        "import sqlite3,sys;sqlite3.connect(sys.argv[1]+'/catalog.sqlite3').execute('pragma user_version=99')",
        &newer,
    )?;
    check(&over("newer", &newer, "run the newer program"))?;

    let emptied = used(scratch.path(), "emptied")?;
    std::fs::write(emptied.join("catalog.sqlite3"), b"")?;
    check(&over("emptied", &emptied, "--accept-older-catalog"))?;

    let gone = scratch.path().join("gone");
    std::fs::create_dir_all(gone.join("segments/aa"))?;
    std::fs::write(gone.join("segments/aa").join("a".repeat(26)), b"bytes")?;
    check(&over("gone", &gone, "put the catalog back"))?;

    let foreign = scratch.path().join("foreign");
    std::fs::create_dir(&foreign)?;
    prepare(
        "import sqlite3,sys;sqlite3.connect(sys.argv[1]+'/catalog.sqlite3').execute('create table t(x)')",
        &foreign,
    )?;
    check(&over("of another program", &foreign, "newest good copy"))?;

    let folder = scratch.path().join("folder");
    std::fs::create_dir_all(folder.join("catalog.sqlite3"))?;
    check(&over("a folder", &folder, "read and write"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_and_files_that_cannot_be_used_are_told() -> Result<()> {
    let _turn = Turn::shared()?;
    let scratch = tempfile::tempdir()?;
    let write = |name: &str, text: &str| -> Result<String> {
        std::fs::write(scratch.path().join(name), text)?;
        Ok(shown(&scratch.path().join(name)))
    };
    let (none, text) = (shown(&scratch.path().join("none")), write("text", "x\n")?);
    let toml = write("c.toml", "memory_limit = [\n")?;
    let own = certificate(scratch.path()).await?;
    let (cert, key) = (shown(&own.0), shown(&own.1));
    let others = tempfile::tempdir()?;
    let other_key = shown(&certificate(others.path()).await?.1);
    for case in [
        with_args(
            "no number",
            "--workers many",
            "workers = \"many\"",
            "write a whole number",
        ),
        with_args("too little", "--memory-limit 1KiB", "1KiB", "from 16MiB"),
        with_args("no level", "--log '['", "log = \"[\"", "write"),
        with_args(
            "no file of settings",
            &format!("--config {none}"),
            &none,
            "--config",
        ),
        with_args(
            "no TOML",
            &format!("--config {toml}"),
            &toml,
            "correct the file",
        ),
        with_args(
            "one of two",
            &format!("--tls-cert {cert}"),
            "tls_key",
            "give both",
        ),
        with_args(
            "no certificate",
            &format!("--tls-cert {none} --tls-key {key}"),
            &none,
            "--tls-cert",
        ),
        with_args(
            "no PEM",
            &format!("--tls-cert {text} --tls-key {key}"),
            &text,
            "--tls-cert",
        ),
        with_args(
            "no key",
            &format!("--tls-cert {cert} --tls-key {text}"),
            &text,
            "--tls-key",
        ),
        with_args(
            "another's key",
            &format!("--tls-cert {cert} --tls-key {other_key}"),
            &other_key,
            "--tls-key",
        ),
        with_args(
            "no token",
            &format!("--operator-token-file {none}"),
            &none,
            "openssl rand",
        ),
        with_args(
            "a short token",
            &format!("--operator-token-file {text}"),
            &text,
            "openssl rand",
        ),
    ] {
        check(&case)?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_that_are_too_low_are_told() -> Result<()> {
    let _turn = Turn::shared()?;
    let scratch = tempfile::tempdir()?;
    let folder = shown(&scratch.path().join("data"));
    let start = format!("exec \"$@\" --listen 127.0.0.1:0 --data-dir {folder}");
    for files in [12, 31] {
        check(&Case {
            what: "few files",
            line: format!("ulimit -n {files}; {start}"),
            named: format!("only {files} files"),
            remedy: "ulimit -n",
        })?;
    }
    check(&Case {
        what: "little address space",
        line: format!("ulimit -v 30000; {start}"),
        named: "threads".to_owned(),
        remedy: "ulimit -v",
    })?;
    // A soft limit is raised.
    let output = Command::new("sh")
        .args(["-c", "ulimit -S -n 12; exec timeout 60 \"$@\"", "sh"])
        .arg(binary())
        .args([
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--data-dir",
            "/proc/nowhere",
        ])
        .output()?;
    let told = String::from_utf8(output.stderr).context("no text")?;
    ensure!(
        told.contains("/proc/nowhere") && !told.contains("panicked"),
        "{told}"
    );
    Ok(())
}
