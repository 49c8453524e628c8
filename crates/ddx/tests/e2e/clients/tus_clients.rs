//! The tus clients that people have: tus-js-client, Uppy, tuspy, tus_client.
//!
//! A client that is not installed is a failure with the remedy, never a skip.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ddx_testkit::{Client, Data, MIB, Turn, Tus, node, python};
use serde_json::Value;

use crate::{file_of, ledger_at_zero, setup};

const TUS_JS_BYTES: u64 = 12 * MIB + 345;

/// Runs one mode of the tus-js-client script on a new server; what it reported, and the link it was
/// given.
async fn tus_js(
    mode: &str,
    check: impl AsyncFnOnce(&ddx_testkit::Server, &Data, &Value) -> Result<()>,
) -> Result<()> {
    let _turn = Turn::shared()?;
    let server = setup().start()?;
    let data = Data::new(mode.len() as u64, TUS_JS_BYTES);
    let file = file_of(&server, "js.bin", &data)?;
    let finished = node("tus-js.mjs")?
        .args([mode, &server.url("/files")])
        .arg(&file)
        .within(Duration::from_secs(90))
        .finish()
        .await?
        .success()
        .context("tus-js-client")?;
    check(&server, &data, &finished.last_json()?).await?;
    ledger_at_zero(&server.client()).await
}

/// The file at the upload's URL is the one that was sent.
async fn arrived(server: &ddx_testkit::Server, data: &Data, report: &Value) -> Result<()> {
    let url = report["url"]
        .as_str()
        .with_context(|| format!("no URL in {report}"))?;
    server.client().fetch(url, data).await?;
    if let Some(link) = report["requests"]
        .as_array()
        .into_iter()
        .flatten()
        .rev()
        .find_map(|request| request["link"].as_str())
    {
        server.client().fetch(link, data).await?;
    }
    Ok(())
}

fn requests<'a>(report: &'a Value, list: &str, method: &str) -> Vec<&'a Value> {
    report[list]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|request| request["method"] == method)
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tus_js_client_uploads_in_every_way_it_knows() -> Result<()> {
    for mode in ["upload", "chunked", "override", "with-creation", "deferred"] {
        tus_js(mode, async |server, data, report| {
            arrived(server, data, report).await
        })
        .await
        .with_context(|| mode.to_owned())?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tus_js_client_resumes_after_a_pause() -> Result<()> {
    tus_js("pause", async |server, data, report| {
        let patches = requests(report, "resumed", "PATCH");
        let first = patches
            .first()
            .context("nothing was sent after the pause")?;
        let offset: u64 = first["offset"].as_str().unwrap_or("0").parse()?;
        ensure!(offset >= MIB, "it began again at {offset}: {report}");
        ensure!(
            requests(report, "resumed", "POST").is_empty(),
            "a new upload was made: {report}"
        );
        arrived(server, data, report).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tus_js_client_uploads_in_parallel_parts() -> Result<()> {
    for mode in ["parallel", "parallel-pause"] {
        tus_js(mode, async |server, data, report| {
            let list = if mode == "parallel" {
                "requests"
            } else {
                "resumed"
            };
            let finals = requests(report, list, "POST")
                .into_iter()
                .filter(|request| {
                    request["concat"]
                        .as_str()
                        .is_some_and(|concat| concat.starts_with("final;"))
                })
                .count();
            ensure!(finals == 1, "{report}");
            arrived(server, data, report).await
        })
        .await
        .with_context(|| mode.to_owned())?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tus_js_client_ends_an_upload() -> Result<()> {
    tus_js("terminate", async |server, _, report| {
        let path = Client::path_of(report["url"].as_str().context("no URL")?).to_owned();
        ensure!(
            requests(report, "requests", "DELETE")
                .iter()
                .any(|request| request["status"] == 204),
            "{report}"
        );
        ensure!(matches!(
            Tus::new(&server.client()).head(&path).await?.status,
            404 | 410
        ));
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uppy_sends_several_files() -> Result<()> {
    let _turn = Turn::shared()?;
    let server = setup().start()?;
    let files = [
        ("one.bin", Data::new(1, 5 * MIB)),
        ("zwei ä.bin", Data::new(2, 3 * MIB + 1)),
        ("three.bin", Data::new(3, 10)),
    ];
    let mut run = node("uppy.mjs")?
        .arg(server.url("/files"))
        .within(Duration::from_secs(90));
    for (name, data) in &files {
        run = run.arg(file_of(&server, name, data)?);
    }
    let report = run.finish().await?.success().context("Uppy")?.last_json()?;
    let uploads = report["uploads"].as_array().context("no uploads")?;
    ensure!(
        uploads.len() == files.len()
            && report["failed"] == 0
            && report["progress"].as_u64() > Some(0),
        "{report}"
    );
    for upload in uploads {
        let (_, data) = files
            .iter()
            .find(|(name, _)| upload["name"] == *name)
            .with_context(|| format!("{upload}"))?;
        server
            .client()
            .fetch(
                upload["link"]
                    .as_str()
                    .with_context(|| format!("no link: {upload}"))?,
                data,
            )
            .await?;
    }
    ledger_at_zero(&server.client()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tuspy_uploads_checks_and_resumes() -> Result<()> {
    let _turn = Turn::shared()?;
    let server = setup().start()?;
    let data = Data::new(9, 6 * MIB + 11);
    let file = file_of(&server, "py.bin", &data)?;
    for mode in ["upload", "checksum", "resume"] {
        let report = python("tuspy_client.py")?
            .args([mode, &server.url("/files")])
            .arg(&file)
            .finish()
            .await?
            .success()
            .with_context(|| format!("tuspy {mode}"))?
            .last_json()?;
        ensure!(report["offset"] == data.len(), "{report}");
        server
            .client()
            .fetch(report["url"].as_str().context("no URL")?, &data)
            .await
            .with_context(|| format!("tuspy {mode}"))?;
    }
    ledger_at_zero(&server.client()).await
}

/// Carries tus_client's requests over the kit's bare connections. (Its own carrier is reqwest 0.9,
/// of 2019.)
struct Carrier {
    client: Client,
    runtime: tokio::runtime::Handle,
}

impl tus_client::http::HttpHandler for Carrier {
    fn handle_request(
        &self,
        request: tus_client::http::HttpRequest<'_>,
    ) -> Result<tus_client::http::HttpResponse, tus_client::Error> {
        let mut head = ddx_testkit::Request::new(
            &request.method.to_string().to_uppercase(),
            Client::path_of(&request.url),
        );
        for (name, value) in &request.headers {
            head = head.header(name, value);
        }
        let answer = self
            .runtime
            .block_on(self.client.send(&head, request.body.unwrap_or(&[])))
            .map_err(|error| tus_client::Error::HttpHandlerError(format!("{error:#}")))?;
        let headers: HashMap<String, String> = answer.headers.iter().cloned().collect();
        Ok(tus_client::http::HttpResponse {
            headers,
            status_code: answer.status.into(),
        })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tus_client_of_rust_uploads_resumes_and_deletes() -> Result<()> {
    let _turn = Turn::shared()?;
    let server = setup().start()?;
    let data = Data::new(10, 6 * MIB + 7);
    let file = file_of(&server, "rust.bin", &data)?;
    let runtime = tokio::runtime::Handle::current();
    for method_override in [false, true] {
        let carrier = Carrier {
            client: server.client(),
            runtime: runtime.clone(),
        };
        let (endpoint, file) = (server.url("/files"), file.clone());
        let first_bytes = Tus::new(&server.client());
        let handle = runtime.clone();
        let url = tokio::task::spawn_blocking(move || -> Result<String> {
            let failed = |error: tus_client::Error| anyhow::anyhow!("{error}");
            let client = if method_override {
                tus_client::Client::with_method_override(carrier)
            } else {
                tus_client::Client::new(carrier)
            };
            let info = client.get_server_info(&endpoint).map_err(failed)?;
            ensure!(
                info.extensions.len() >= 5 && info.supported_versions == ["1.0.0"],
                "{info:?}"
            );
            let url = client
                .create_with_metadata(
                    &endpoint,
                    &file,
                    HashMap::from([("filename".into(), "rust.bin".into())]),
                )
                .map_err(failed)?;
            handle
                .block_on(first_bytes.patch(Client::path_of(&url), &data, 0..MIB))?
                .expect(204)?;
            client
                .upload_with_chunk_size(&url, &file, MIB as usize)
                .map_err(failed)
                .context("resume at 1 MiB")?;
            ensure!(client.get_info(&url).map_err(failed)?.bytes_uploaded as u64 == data.len());
            let other = client.create(&endpoint, &file).map_err(failed)?;
            client.delete(&other).map_err(failed)?;
            ensure!(
                matches!(
                    client.get_info(&other),
                    Err(tus_client::Error::NotFoundError)
                ),
                "a deleted upload"
            );
            Ok(url)
        })
        .await??;
        server.client().fetch(&url, &data).await?;
    }
    ledger_at_zero(&server.client()).await
}
