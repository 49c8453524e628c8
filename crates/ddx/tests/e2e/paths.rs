//! Prefixes that can't be told from the server's own paths.

use anyhow::{Result, ensure};
use ddx_testkit::Turn;

use crate::setup;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_prefix_that_is_a_route_is_refused_by_both_commands() -> Result<()> {
    let _turn = Turn::shared()?;
    for prefix in ["/d", "/files/up", "/api", "/errors"] {
        for command in [
            &["config", "check"][..],
            &["serve", "--listen", "127.0.0.1:0"],
        ] {
            let args = [command, &["--path-prefix", prefix]].concat();
            let ended = setup().run_to_end(&args)?;
            let said = String::from_utf8_lossy(&ended.stderr);
            ensure!(!ended.status.success(), "{args:?}");
            ensure!(
                said.contains("one of the server's own paths") && !said.contains("panicked"),
                "{args:?}: {said}"
            );
        }
    }
    Ok(())
}
