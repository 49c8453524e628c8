//! aria2.

use anyhow::{Context, Result, ensure};
use ddx_testkit::{Cut, Fault, FaultProxy, MIB, Way};

use super::manual::{Terminal, bad_network, holiday, notes, through};

#[tokio::test]
async fn aria2_fetches_a_file_under_its_own_name() -> Result<()> {
    let terminal = Terminal::new("aria2")?;
    let sent = terminal.sent(&[]).await?;
    let title = "Fetch a file under its own name";
    terminal.run(title, &sent.link).await?.success()?;
    ensure!(terminal.names()? == ["holiday.mp4"]);
    terminal.holds("holiday.mp4", &holiday())
}

#[tokio::test]
async fn aria2_fetches_over_four_connections() -> Result<()> {
    let terminal = Terminal::new("aria2")?;
    let sent = terminal.sent(&[("Max-Downloads", "1")]).await?;
    let proxy = FaultProxy::start(terminal.server.address(), Fault::None).await?;
    let link = through(&proxy, &terminal, &sent.link);
    terminal
        .run("Fetch over four connections", &link)
        .await?
        .success()?;
    ensure!(proxy.connections() >= 4, "{}", proxy.connections());
    terminal.holds("holiday.mp4", &holiday())?;
    let again = terminal.client().get(&sent.link).await?;
    ensure!(again.status == 410, "the one download was not counted");
    Ok(())
}

#[tokio::test]
async fn aria2_fetches_the_rest_of_a_file() -> Result<()> {
    let terminal = Terminal::new("aria2")?;
    let sent = terminal.sent(&[]).await?;
    terminal.leave_a_part()?;
    let proxy = FaultProxy::start(terminal.server.address(), Fault::None).await?;
    proxy.set_on(Way::Answers, Fault::CutAfter(7 * MIB, Cut::Close)); // not enough for the whole
    let link = through(&proxy, &terminal, &sent.link);
    let title = "Fetch the rest of a file";
    for what in ["the rest", "all is there"] {
        let finished = terminal.run(title, &link).await?;
        finished.success().context(what)?;
        terminal.holds("holiday.mp4", &holiday()).context(what)?;
    }
    Ok(())
}

/// Four connections, each cut again and again.
#[tokio::test]
async fn aria2_fetches_over_a_bad_network() -> Result<()> {
    let terminal = Terminal::new("aria2")?;
    let sent = terminal.sent(&[]).await?;
    let proxy = bad_network(&terminal, Way::Answers).await?;
    proxy.set_on(Way::Answers, Fault::CutAfter(MIB, Cut::Close));
    let link = through(&proxy, &terminal, &sent.link);
    terminal
        .run("Fetch over a bad network", &link)
        .await?
        .success()?;
    ensure!(proxy.connections() > 8, "{}", proxy.connections());
    terminal.holds("holiday.mp4", &holiday())
}

#[tokio::test]
async fn aria2_fetches_all_files_under_one_link() -> Result<()> {
    let terminal = Terminal::new("aria2")?;
    let share = terminal.sent_both().await?;
    let title = "Fetch all files under one link";
    terminal.run(title, &share).await?.success()?;
    ensure!(terminal.names()? == ["holiday.mp4", "notes.txt"]);
    terminal.holds("holiday.mp4", &holiday())?;
    terminal.holds("notes.txt", &notes())
}
