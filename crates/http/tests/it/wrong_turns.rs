//! Addresses and methods that are nearly right: people get a page that helps, programs a problem
//! document.

use anyhow::{Context, Result, ensure};
use ddx_testkit::{Data, Request, Response};

use crate::support::{TestApp, path_of};

const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8";

fn browse(method: &str, path: &str) -> Request {
    Request::new(method, path).header("Accept", BROWSER)
}

fn is_page(answer: &Response) -> bool {
    answer
        .get("content-type")
        .is_some_and(|kind| kind.starts_with("text/html"))
}

#[tokio::test]
async fn a_wrong_method_is_told_with_those_that_are_taken() -> Result<()> {
    let server = TestApp::start().await?;
    let client = server.client();
    let link = client.put_for_link("a.bin", &Data::new(1, 10)).await?;
    let share = path_of(&link);
    for (method, path, taken) in [
        ("DELETE", "/files", "POST"),
        ("PATCH", "/files", "POST"),
        ("GET", "/files", "POST"),
        ("POST", "/files/aaaaaaaaaaaaaaaaaaaaaaaaaa", "PATCH"),
        ("POST", share, "GET"),
        ("DELETE", share, "GET"),
        ("GET", "/delete/aaaaaaaaaaaaaaaaaaaaaaaaaa", "DELETE"),
        ("DELETE", "/api/v1/limits", "GET"),
        ("POST", "/a.bin", "PUT"),
    ] {
        let request = Request::new(method, path).header("Content-Length", 0);
        let answer = client.send(&request, &[]).await?;
        let allow = answer.field("allow")?.to_owned();
        ensure!(allow.contains(taken), "{method} {path}: {allow}");
        let problem = answer.expect_problem(405)?;
        ensure!(problem["type"] == "/errors/method-refused", "{problem}");
        let shown = client
            .send(&browse(method, path).header("Content-Length", 0), &[])
            .await?;
        let shown = shown.expect(405)?;
        ensure!(is_page(&shown), "{method} {path}: {shown:?}");
        let page = shown.text();
        ensure!(
            page.contains("Method not allowed") && page.contains("href=\"/\""),
            "{method} {path}: {page}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn where_nothing_is_browsers_get_a_page_and_programs_a_document() -> Result<()> {
    for prefix in ["", "/share"] {
        let server = TestApp::with(|setup| {
            setup.http.origin.path_prefix = prefix.to_owned();
        })
        .await?;
        let client = server.client();
        let gone = "a".repeat(26);
        for path in [
            "/nothing.html".to_owned(),
            "/no/thing".to_owned(),
            format!("/d/{gone}"),
            format!("/d/{gone}/a.txt"),
            "/d/nothing".to_owned(),
            "/d/".to_owned(),
            "/errors/none".to_owned(),
            "/api/v1/none".to_owned(),
        ] {
            let path = format!("{prefix}{path}");
            for accept in [
                "*/*",
                "application/json",
                "image/avif,*/*;q=0.8",
                "text/html;q=0.1, */*",
            ] {
                let request = Request::new("GET", &path).header("Accept", accept);
                client.send(&request, &[]).await?.expect_problem(404)?;
            }
            client.get(&path).await?.expect_problem(404)?;
            let shown = client.send(&browse("GET", &path), &[]).await?.expect(404)?;
            ensure!(is_page(&shown), "{path}: {shown:?}");
            ensure!(
                !shown.text().contains("\"title\""),
                "{path}: {}",
                shown.text()
            );
            ensure!(
                shown.field("cache-control")? == "no-store",
                "{path}: {shown:?}"
            );
            // The same page is there for its own address, and is not taken for this one.
            let start = client
                .send(&browse("GET", &format!("{prefix}/")), &[])
                .await?
                .expect(200)?;
            if let Some(etag) = start.get("etag") {
                let again = browse("GET", &path).header("If-None-Match", etag);
                client.send(&again, &[]).await?.expect(404)?;
            }
            let head = client
                .send(&browse("HEAD", &path), &[])
                .await?
                .expect(404)?;
            ensure!(head.body.is_empty() && is_page(&head), "{path}: {head:?}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_link_with_something_behind_it_leads_where_it_should() -> Result<()> {
    for prefix in ["", "/share"] {
        let server = TestApp::with(|setup| {
            setup.http.origin.path_prefix = prefix.to_owned();
        })
        .await?;
        let client = server.client();
        let data = Data::new(3, 10_000);
        let link = client.put_for_link("a%20b.txt", &data).await?;
        let path = path_of(&link).to_owned();
        ensure!(path.starts_with(prefix), "{path}");
        for tail in [
            "",
            ".",
            ")",
            "/",
            "),",
            ".%22",
            "%E2%80%A6",
            "/.",
            "/)",
            "%3E",
            "!",
            "*",
        ] {
            client
                .fetch(&format!("{path}{tail}"), &data)
                .await
                .with_context(|| tail.to_owned())?;
            let file = format!("{path}/a%20b.txt{tail}");
            client
                .fetch(&file, &data)
                .await
                .with_context(|| file.clone())?;
            let shown = client
                .send(&browse("GET", &format!("{path}{tail}")), &[])
                .await?;
            // Without the pages a browser gets the file as well.
            match shown.status {
                308 => ensure!(shown.field("location")? == path, "{tail}: {shown:?}"),
                _ => ensure!(
                    shown.status == 200 && (tail.is_empty() || !is_page(&shown)),
                    "{tail}: {shown:?}"
                ),
            }
        }
        for tail in ["x", "/b.txt", ".x"] {
            client
                .get(&format!("{path}{tail}"))
                .await?
                .expect_problem(404)?;
        }
    }
    Ok(())
}
