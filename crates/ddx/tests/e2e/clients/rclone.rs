//! rclone.

use anyhow::{Result, ensure};
use ddx_testkit::Way;

use super::manual::{Terminal, bad_network, holiday, through};

#[tokio::test]
async fn rclone_fetches_a_file_under_its_own_name() -> Result<()> {
    let terminal = Terminal::new("rclone")?;
    let sent = terminal.sent(&[("Max-Downloads", "1")]).await?;
    let title = "Fetch a file under its own name";
    terminal.run(title, &sent.link).await?.success()?;
    terminal.holds("folder/holiday.mp4", &holiday())
}

#[tokio::test]
async fn rclone_fetches_a_file_under_another_name() -> Result<()> {
    let terminal = Terminal::new("rclone")?;
    let sent = terminal.sent(&[]).await?;
    let title = "Fetch a file under another name";
    terminal.run(title, &sent.link).await?.success()?;
    terminal.holds("folder/beach.mp4", &holiday())?;

    // Each try begins again, so none gets to the end.
    let proxy = bad_network(&terminal, Way::Answers).await?;
    std::fs::remove_dir_all(terminal.folder.join("folder"))?;
    let link = through(&proxy, &terminal, &sent.link);
    let cut = terminal.run(title, &link).await?;
    ensure!(cut.code != Some(0), "{cut:?}");
    ensure!(proxy.connections() == 3, "{} tries", proxy.connections());
    ensure!(terminal.holds("folder/beach.mp4", &holiday()).is_err());
    Ok(())
}

#[tokio::test]
async fn rclone_fetches_over_a_bad_network() -> Result<()> {
    let terminal = Terminal::new("rclone")?;
    let sent = terminal.sent(&[]).await?;
    let proxy = bad_network(&terminal, Way::Answers).await?;
    let link = through(&proxy, &terminal, &sent.link);
    terminal
        .run("Fetch over a bad network", &link)
        .await?
        .success()?;
    ensure!(proxy.connections() > 1, "it was never cut");
    terminal.holds("folder/holiday.mp4", &holiday())
}

#[tokio::test]
async fn rclone_can_not_list_the_files_under_one_link() -> Result<()> {
    let terminal = Terminal::new("rclone")?;
    let share = terminal.sent_both().await?;
    let title = "Not possible: list the files under one link";
    let refused = terminal.run(title, &share).await?;
    ensure!(
        refused.code != Some(0) && refused.stderr.contains("text/plain"),
        "{refused:?}"
    );
    Ok(())
}

#[tokio::test]
async fn rclone_can_not_send_a_file_with_webdav() -> Result<()> {
    let terminal = Terminal::with_files("rclone")?;
    let title = "Not possible: send a file with WebDAV";
    let refused = terminal.run(title, "").await?;
    ensure!(
        refused.code != Some(0) && refused.stderr.contains("/errors/method-refused"),
        "{refused:?}"
    );
    terminal.stores_nothing().await
}
