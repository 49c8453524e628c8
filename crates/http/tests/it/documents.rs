//! Whole answers that clients rely on, as snapshots.

use anyhow::Result;
use ddx_testkit::{Data, Request, Tus};

use crate::support::snapshot::{shown, shown_head, types};
use crate::support::{TestApp, new_share, path_of};

/// What a file's content is, so that its digest is the same in each run.
fn data() -> Data {
    Data::new(1, 10)
}

#[tokio::test]
async fn a_listing() -> Result<()> {
    let app = TestApp::start().await?;
    let client = app.client();
    let (share_id, share_key) = new_share(&client).await?;
    let tus = Tus::new(&client);
    for (name, sent) in [("complete.txt", 10), ("begun.bin", 3)] {
        let names = ddx_testkit::metadata(&[
            ("filename", name),
            ("filetype", "text/plain"),
            ("share", &share_key),
        ]);
        let upload = tus
            .create_with(Some(10), &[("Upload-Metadata", &names)])
            .await?;
        tus.patch(&upload.path, &data(), 0..sent)
            .await?
            .expect(204)?;
    }
    let listing = client.get(&format!("/api/v1/shares/{share_id}")).await?;
    insta::assert_snapshot!(shown(&listing)?);
    Ok(())
}

#[tokio::test]
async fn the_status() -> Result<()> {
    let app = TestApp::start().await?;
    let status = app.client().get("/api/v1/system/upload-status").await?;
    insta::assert_snapshot!(types(&status, &["doubts", "limits", "last_ms_ago"])?);
    Ok(())
}

#[tokio::test]
async fn options_of_tus() -> Result<()> {
    let app = TestApp::start().await?;
    let options = Request::new("OPTIONS", "/files");
    insta::assert_snapshot!(shown(&app.client().send(&options, b"").await?)?);
    Ok(())
}

#[tokio::test]
async fn what_pages_of_other_sites_may_read() -> Result<()> {
    let app = TestApp::start().await?;
    let options = Request::new("OPTIONS", "/files");
    let answer = app.client().send(&options, b"").await?;
    let fields = answer.field("access-control-expose-headers")?;
    insta::assert_snapshot!(fields.replace(", ", "\n"));
    Ok(())
}

#[tokio::test]
async fn a_creation_by_tus() -> Result<()> {
    let app = TestApp::start().await?;
    let upload = Tus::new(&app.client()).create(Some(10), "a.txt").await?;
    insta::assert_snapshot!(shown(&upload.created)?);
    Ok(())
}

#[tokio::test]
async fn a_patch_by_tus() -> Result<()> {
    let app = TestApp::start().await?;
    let tus = Tus::new(&app.client());
    let upload = tus.create(Some(10), "a.txt").await?;
    insta::assert_snapshot!(shown(&tus.patch(&upload.path, &data(), 0..10).await?)?);
    Ok(())
}

#[tokio::test]
async fn a_head_by_tus() -> Result<()> {
    let app = TestApp::start().await?;
    let tus = Tus::new(&app.client());
    let upload = tus.create(Some(10), "a.txt").await?;
    insta::assert_snapshot!(shown(&tus.head(&upload.path).await?)?);
    Ok(())
}

#[tokio::test]
async fn a_put_answered_with_a_link() -> Result<()> {
    let app = TestApp::start().await?;
    insta::assert_snapshot!(shown(&app.client().put("a.txt", &data()).await?)?);
    Ok(())
}

#[tokio::test]
async fn a_put_answered_with_json() -> Result<()> {
    let app = TestApp::start().await?;
    let json = [("Accept", "application/json")];
    insta::assert_snapshot!(shown(
        &app.client().put_with("a.txt", &data(), &json).await?
    )?);
    Ok(())
}

#[tokio::test]
async fn a_download() -> Result<()> {
    let app = TestApp::start().await?;
    let client = app.client();
    let link = client.put_for_link("a.txt", &data()).await?;
    insta::assert_snapshot!(shown_head(&client.fetch(&link, &data()).await?));
    Ok(())
}

#[tokio::test]
async fn a_part_of_a_download() -> Result<()> {
    let app = TestApp::start().await?;
    let client = app.client();
    let link = client.put_for_link("a.txt", &data()).await?;
    let part = Request::new("GET", path_of(&link)).header("Range", "bytes=2-5");
    insta::assert_snapshot!(shown_head(&client.send(&part, b"").await?));
    Ok(())
}
