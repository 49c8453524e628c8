//! Files whose names are nearly addresses of the server's own, sent by curl.

use anyhow::{Context, Result};
use ddx_testkit::{Data, Request, Run, Turn};

use crate::{file_of, setup};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn curl_sends_a_file_whatever_its_name() -> Result<()> {
    let _turn = Turn::shared()?;
    let server = setup().start()?;
    let client = server.client();
    let names = [
        "files", "d", "metrics", "healthz", "readyz", "api.txt", "delete", "errors",
    ];
    for (seed, name) in (1..).zip(names) {
        let data = Data::new(seed, 1_000);
        let file = file_of(&server, name, &data)?;
        for folder in ["/", "/files/", "/d/", "/d/x/", "/delete/", "/errors/"] {
            let sent = Run::curl()
                .args(["-f", "-T"])
                .args([file.as_os_str()])
                .arg(server.url(folder))
                .finish()
                .await?
                .success()
                .with_context(|| format!("{name} to {folder}"))?;
            client.fetch(sent.stdout.trim(), &data).await?;
        }
    }
    let api = Request::new("PUT", "/api/v1/limits").header("Content-Length", 0);
    client.send(&api, &[]).await?.expect_problem(405)?;
    Ok(())
}
