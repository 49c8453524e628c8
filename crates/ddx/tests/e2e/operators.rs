//! What is about the server itself is told to its operators only.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ddx_testkit::{Request, Server, Turn};

use crate::setup;

const TOKEN: &str = "a-token-for-operators";

/// The default networks begin with all of 127.0.0.0/8; here only one address of it is an
/// operator's.
fn started() -> Result<(Server, tempfile::TempDir)> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("token");
    std::fs::write(&file, format!("{TOKEN}\n"))?;
    let server = setup()
        .option("--operator-networks", "127.0.0.1")
        .option("--operator-token-file", file.to_string_lossy())
        .start()?;
    Ok((server, folder))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_token_counts_and_is_not_in_the_log() -> Result<()> {
    let _turn = Turn::shared()?;
    let (mut server, _folder) = started()?;
    let far = server.client().from(Ipv4Addr::new(127, 0, 0, 2));
    for (token, status) in [(TOKEN, 200), ("a-token-for-operatorS", 404)] {
        let asked = Request::new("GET", "/metrics");
        let asked = asked.header("Authorization", format!("Bearer {token}"));
        far.send(&asked, &[]).await?.expect(status)?;
    }
    // What is stopped has written its whole log.
    server.terminate(Duration::from_secs(30))?;
    ensure!(!server.log().contains(TOKEN), "the log has the token");
    Ok(())
}

#[test]
fn a_token_that_can_be_guessed_is_not_started_with() -> Result<()> {
    let _turn = Turn::shared()?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("token");
    std::fs::write(&file, "only-15-letters")?;
    let setup = setup()
        .option("--operator-token-file", file.to_string_lossy())
        .data_dir(folder.path().join("data"));
    let error = setup.start().err().context("it started")?;
    let said = format!("{error:#}");
    ensure!(
        said.contains("15 characters") && said.contains("16"),
        "{said}"
    );
    ensure!(!said.contains("only-15-letters"), "{said}");
    Ok(())
}
