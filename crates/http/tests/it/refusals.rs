//! The whole answer to a refused request, as a snapshot for each kind of refusal.
//!
//! Not here: kinds that need a connection, a full disk or a moment that can't be chosen.

use anyhow::{Result, ensure};
use ddx_testkit::{Data, Part, Request, Response, Tus};

use crate::support::snapshot::shown;
use crate::support::{Setup, TestApp, listed, path_of};

/// An id of nothing.
const NONE: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaa";
const CHUNK: (&str, &str) = ("Content-Type", "application/offset+octet-stream");
const LENGTH: (&str, &str) = ("Upload-Length", "10");

/// Compares with the snapshot of this kind, once it is of this kind.
fn compare(slug: &str, answer: &Response) -> Result<()> {
    let problem = answer.json()?;
    ensure!(problem["type"] == format!("/errors/{slug}"), "{problem}");
    insta::assert_snapshot!(slug, shown(answer)?);
    Ok(())
}

async fn refused_with(
    slug: &str,
    change: impl FnOnce(&mut Setup),
    request: &Request,
    body: &[u8],
) -> Result<()> {
    let app = TestApp::with(change).await?;
    compare(slug, &app.client().send(request, body).await?)
}

async fn refused(slug: &str, request: &Request, body: &[u8]) -> Result<()> {
    refused_with(slug, |_| {}, request, body).await
}

fn get(path: &str) -> Request {
    Request::new("GET", path)
}

fn put(field: (&str, &str)) -> Request {
    Request::new("PUT", "/a.txt").headers(&[field])
}

fn post(fields: &[(&str, &str)]) -> Request {
    Tus::request("POST", "/files").headers(fields)
}

fn form(boundary: &str) -> Request {
    let kind = format!("multipart/form-data{boundary}");
    Request::new("POST", "/").header("Content-Type", kind)
}

/// Refused by a server with the default settings.
macro_rules! refusals {
    ($($test:ident $slug:literal: $request:expr, $body:expr;)+) => {$(
        #[tokio::test]
        async fn $test() -> Result<()> {
            refused($slug, &$request, $body).await
        }
    )+};
}

refusals! {
    not_found "not-found": get("/nothing"), b"";
    share_not_found "share-not-found": get("/d/aaaaaaaaaaaaaaaaaaaaaaaaaa"), b"";
    upload_not_found "upload-not-found": Tus::patch_head(&format!("/files/{NONE}"), 0, 1), b"a";
    method_refused "method-refused": Request::new("DELETE", "/files"), b"";
    host_refused "host-refused": put(("Host", "a b")), b"a";
    header_invalid "header-invalid": put(("Content-Range", "bytes 0-0/2")), b"a";
    name_refused "name-refused": Request::new("PUT", "/a/%2e%2e/b.txt"), b"a";
    name_too_long "name-too-long": Request::new("PUT", &format!("/{}", "a".repeat(256))), b"a";
    option_invalid "option-invalid": put(("Max-Days", "soon")), b"a";
    content_type_refused "content-type-refused": put(("Content-Encoding", "br")), b"a";
    digest_invalid "digest-invalid": put(("Content-Digest", "sha-256=x")), b"a";
    digest_mismatch "digest-mismatch":
        put(("Content-Digest", &format!("sha-256=:{}=:", "A".repeat(43)))), b"a";
    form_invalid "form-invalid": form(""), b"a";
    tus_version "tus-version": Request::new("POST", "/files").headers(&[LENGTH]), b"";
    length_invalid "length-invalid": post(&[]), b"";
    metadata_invalid "metadata-invalid": post(&[LENGTH, ("Upload-Metadata", "filename !!!")]), b"";
    metadata_too_large "metadata-too-large":
        post(&[LENGTH, ("Upload-Metadata", &format!("a {}", "A".repeat(5_000)))]), b"";
    concat_invalid "concat-invalid": post(&[("Upload-Concat", "whole")]), b"";
    concat_part "concat-part": post(&[("Upload-Concat", &format!("final;/files/{NONE}"))]), b"";
    final_upload "final-upload":
        post(&[("Upload-Concat", &format!("final;/files/{NONE}")), CHUNK]), b"a";
    checksum_invalid "checksum-invalid": post(&[LENGTH, CHUNK, ("Upload-Checksum", "sha1")]), b"a";
    checksum_algorithm "checksum-algorithm":
        post(&[LENGTH, CHUNK, ("Upload-Checksum", "md4 AAAA")]), b"a";
    checksum_mismatch "checksum-mismatch":
        post(&[LENGTH, CHUNK, ("Upload-Checksum", "crc32 AAAAAA==")]), b"a";
}

#[tokio::test]
async fn too_large() -> Result<()> {
    let small = |setup: &mut Setup| setup.engine.file_bytes_max = Some(10);
    refused_with("too-large", small, &put(("Accept", "*/*")), &[0; 11]).await
}

#[tokio::test]
async fn form_too_large() -> Result<()> {
    let one_part = |setup: &mut Setup| setup.http.form_parts_max = 1;
    let part = "--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a\"\r\n\r\na\r\n";
    let body = format!("{part}{part}--b--\r\n");
    let form = form("; boundary=b");
    refused_with("form-too-large", one_part, &form, body.as_bytes()).await
}

#[tokio::test]
async fn cross_site() -> Result<()> {
    let none = |setup: &mut Setup| setup.http.cross_origin = listed(&[]);
    let of_other = put(("Origin", "https://other.example"));
    refused_with("cross-site", none, &of_other, b"a").await
}

#[tokio::test]
async fn too_many_parts() -> Result<()> {
    let one_part = |setup: &mut Setup| setup.engine.parts_max = 1;
    let app = TestApp::with(one_part).await?;
    let tus = Tus::new(&app.client());
    let mut parts = Vec::new();
    for _ in 0..2 {
        parts.push(tus.create_part(Part::Partial, 0, "part").await?.path);
    }
    let joined = format!("final;{}", parts.join(" "));
    let answer = tus.post(&[("Upload-Concat", &joined)], b"").await?;
    compare("too-many-parts", &answer)
}

#[tokio::test]
async fn wrong_offset() -> Result<()> {
    let app = TestApp::start().await?;
    let tus = Tus::new(&app.client());
    let upload = tus.create(Some(10), "a.txt").await?;
    let answer = tus.patch(&upload.path, &Data::new(1, 10), 3..5).await?;
    compare("wrong-offset", &answer)
}

#[tokio::test]
async fn beyond_length() -> Result<()> {
    let app = TestApp::start().await?;
    let tus = Tus::new(&app.client());
    let upload = tus.create(Some(10), "a.txt").await?;
    let answer = tus.patch(&upload.path, &Data::new(1, 11), 0..11).await?;
    compare("beyond-length", &answer)
}

#[tokio::test]
async fn not_complete() -> Result<()> {
    let app = TestApp::start().await?;
    let tus = Tus::new(&app.client());
    let upload = tus.create(Some(10), "a.txt").await?;
    let answer = app.client().get(&upload.path).await?;
    compare("not-complete", &answer)
}

#[tokio::test]
async fn downloads_used_up() -> Result<()> {
    let app = TestApp::start().await?;
    let client = app.client();
    let once = put(("Max-Downloads", "1"));
    let link = client.send(&once, b"a").await?.expect(201)?.text();
    client.get(link.trim()).await?.expect(200)?;
    compare("downloads-used-up", &client.get(link.trim()).await?)
}

/// The answer to a GET of a file of ten bytes with this field.
async fn got_with(field: (&str, &str)) -> Result<Response> {
    let app = TestApp::start().await?;
    let client = app.client();
    let link = client.put_for_link("a.txt", &Data::new(1, 10)).await?;
    client
        .send(&get(path_of(&link)).headers(&[field]), b"")
        .await
}

#[tokio::test]
async fn range_unsatisfiable() -> Result<()> {
    compare(
        "range-unsatisfiable",
        &got_with(("Range", "bytes=10-")).await?,
    )
}

#[tokio::test]
async fn precondition_failed() -> Result<()> {
    compare(
        "precondition-failed",
        &got_with(("If-Match", "\"other\"")).await?,
    )
}

#[tokio::test]
async fn too_many_streams() -> Result<()> {
    let none = |setup: &mut Setup| setup.http.sse_clients_max = 0;
    let events = get("/api/v1/system/events");
    refused_with("too-many-streams", none, &events, b"").await
}

#[tokio::test]
async fn too_many_of_one() -> Result<()> {
    let none = |setup: &mut Setup| setup.http.sse_per_client_max = 0;
    let events = get("/api/v1/system/events");
    refused_with("too-many-of-one", none, &events, b"").await
}
