//! What is about the server itself is told to its operators only.

use std::net::Ipv4Addr;

use anyhow::{Context, Result, ensure};
use ddx_testkit::{Request, Response, Tus};

use crate::support::{Client, TestApp};

const TOKEN: &str = "a-token-for-operators";

/// The default networks begin with all of 127.0.0.0/8; here only one address of it is an
/// operator's.
async fn started() -> Result<TestApp> {
    TestApp::with(|setup| {
        setup.http.operators.networks = crate::origin::networks(&["127.0.0.1/32"]);
        setup.http.operators.token = Some(TOKEN.parse().unwrap());
    })
    .await
}

async fn get(client: &Client, path: &str, fields: &[(&str, &str)]) -> Result<Response> {
    let request = Request::new("GET", path).headers(fields);
    if !path.ends_with("/events") {
        return client.send(&request, &[]).await;
    }
    // The stream has no end.
    let (head, _stream) = client.open(&request, Vec::new()).await?;
    let body = Vec::new();
    Ok(Response { head, body })
}

/// Whether the server takes this client for an operator; all its addresses must agree.
async fn is_operator(client: &Client, fields: &[(&str, &str)]) -> Result<bool> {
    let metrics = get(client, "/metrics", fields).await?;
    let is_one = metrics.status == 200;
    let nothing = get(client, "/nothing-here", fields).await?.expect(404)?;
    if !is_one {
        let mut problem = metrics.expect_problem(404)?;
        let mut same = nothing.json()?;
        for document in [&mut problem, &mut same] {
            let members = document.as_object_mut().context("no object")?;
            members.remove("request_id").context("no request_id")?;
        }
        ensure!(problem == same, "tells more: {problem}");
    }
    let events = get(client, "/api/v1/system/events", fields).await?;
    let expected = if is_one { 200 } else { 404 };
    ensure!(events.status == expected, "{fields:?}: {events:?}");
    let path = "/api/v1/system/upload-status";
    let status = get(client, path, fields).await?.expect(200)?.json()?;
    let keys = status.as_object().context("no object")?;
    for key in ["concurrency_manager", "memory_monitor"] {
        ensure!(keys.contains_key(key), "{key} is for everybody: {status}");
    }
    for key in ["ledger", "disk", "disk_write_mode", "version", "uptime_ms"] {
        ensure!(
            keys.contains_key(key) == is_one,
            "{fields:?} {key}: {status}"
        );
    }
    for path in ["/healthz", "/readyz"] {
        get(client, path, fields).await?.expect(200)?;
    }
    Ok(is_one)
}

#[tokio::test]
async fn strangers_learn_nothing_about_the_server() -> Result<()> {
    let server = started().await?;
    let bearer = format!("Bearer {TOKEN}");
    let near = server.client();
    let far = server.client().from(Ipv4Addr::new(127, 0, 0, 2));
    for (client, fields, expected) in [
        (&near, &[][..], true),
        (&far, &[], false),
        // A proxy on this machine, which is not trusted: its visitors are no operators.
        (&near, &[("X-Forwarded-For", "127.0.0.1")], false),
        (&near, &[("X-Real-IP", "127.0.0.1")], false),
        (&near, &[("Via", "1.1 proxy")], false),
        (&near, &[("Forwarded", "for=127.0.0.1")], false),
        (&far, &[("X-Forwarded-For", "127.0.0.1")], false),
        (&far, &[("Authorization", bearer.as_str())], true),
        (
            &far,
            &[("Authorization", "Bearer a-token-for-operatorS")],
            false,
        ),
        (&near, &[("Authorization", "Bearer x")], true),
        (
            &near,
            &[("Via", "1.1 a"), ("Authorization", bearer.as_str())],
            true,
        ),
    ] {
        let is_one = is_operator(client, fields).await?;
        ensure!(is_one == expected, "{client:?} {fields:?}: {is_one}");
    }
    Ok(())
}

#[tokio::test]
async fn a_trusted_proxy_tells_who_is_an_operator() -> Result<()> {
    let server = TestApp::with(|setup| {
        setup.http.origin.trusted_proxies = crate::origin::networks(&["127.0.0.1/32"]);
    })
    .await?;
    let client = server.client();
    for (fields, expected) in [
        (&[][..], true),
        (&[("X-Forwarded-For", "192.168.1.2")], true),
        (&[("X-Forwarded-For", "203.0.113.9")], false),
        (&[("X-Forwarded-For", "127.0.0.1, 203.0.113.9")], false),
        (&[("X-Forwarded-Proto", "https")], false),
    ] {
        let is_one = is_operator(&client, fields).await?;
        ensure!(is_one == expected, "{fields:?}: {is_one}");
    }
    Ok(())
}

#[tokio::test]
async fn strangers_are_told_about_how_much_fits() -> Result<()> {
    let server = started().await?;
    let free = async |client: &Client, fields: &[(&str, &str)]| {
        let limits = get(client, "/api/v1/limits", fields).await?.expect(200)?;
        let free = limits.json()?["free_bytes"].as_u64();
        anyhow::Ok(free.context("no free_bytes")?)
    };
    let near = server.client();
    let far = server.client().from(Ipv4Addr::new(127, 0, 0, 2));
    // Others write to the disk, too; in a second between two answers it does not change by half.
    let (exact, told) = (free(&near, &[]).await?, free(&far, &[]).await?);
    ensure!(told.count_ones() <= 2, "{told:b}");
    ensure!(told <= exact * 2 && exact <= told * 2, "{told} of {exact}");
    let page = [("Origin", "https://b.example")];
    let told = free(&near, &page).await?;
    ensure!(told.count_ones() <= 2, "a page of another site: {told:b}");
    let length = (1_u64 << 60).to_string();
    let refused = Tus::new(&far)
        .post(&[("Upload-Length", &length)], &[])
        .await?
        .expect_problem(507)?;
    let told = refused["limit"].as_u64().context("no limit")?;
    ensure!(told.count_ones() <= 2, "a refusal: {refused}");
    Ok(())
}
