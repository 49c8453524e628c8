//! tus 1.0.0: uploads that are created and sent on one connection.

use anyhow::{Result, ensure};
use ddx_testkit::{Client, Data, Request, Turn, Tus};

use crate::setup;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_requests_may_share_one_connection() -> Result<()> {
    let _turn = Turn::shared()?;
    let server = setup().start()?;
    let mut conn = server.client().connect().await?;
    for round in 0..20_u64 {
        let data = Data::new(round, 3000 + round);
        let created = conn
            .round(
                &Tus::request("POST", "/files").header("Upload-Length", data.len()),
                &[],
            )
            .await?
            .expect(201)?;
        let path = Client::path_of(created.field("location")?).to_owned();
        let patch = Tus::patch_head(&path, 0, data.len());
        let answer = conn.round(&patch, &data.all()).await?.expect(204)?;
        ensure!(
            !answer.closes(),
            "round {round}: a short body must not cost the connection"
        );
        let got = conn
            .round(
                &Request::new("GET", Client::path_of(created.field("x-url-share")?)),
                &[],
            )
            .await?
            .expect(200)?;
        ensure!(got.body == data.all());
    }
    Ok(())
}
