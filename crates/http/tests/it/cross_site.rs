//! Pages of other sites, where the operator lists those that may use the server.

use anyhow::{Context, Result, ensure};
use ddx_http::CrossOrigin;
use ddx_testkit::{Request, Response, Tus};

use crate::support::{Client, TestApp, listed};

const LISTED: &str = "https://a.example";

fn allowed_origin(answer: &Response) -> Option<&str> {
    answer.get("access-control-allow-origin")
}

fn has_cors(answer: &Response) -> bool {
    let mut names = answer.headers.iter().map(|(name, _)| name);
    names.any(|name| name.starts_with("access-control-"))
}

fn share(fields: &[(&str, &str)]) -> Request {
    Request::new("POST", "/api/v1/shares").headers(fields)
}

async fn is_refused(client: &Client, request: &Request) -> Result<bool> {
    let answer = client.send(request, &[]).await?;
    if answer.status != 403 {
        return Ok(false);
    }
    ensure!(!has_cors(&answer), "{request:?}: {answer:?}");
    let problem = answer.expect_problem(403)?;
    ensure!(problem["type"] == "/errors/cross-site", "{problem}");
    Ok(true)
}

#[tokio::test]
async fn a_page_of_another_site_changes_nothing_where_origins_are_listed() -> Result<()> {
    let server = TestApp::with(|setup| {
        setup.http.cross_origin = listed(&[LISTED]);
    })
    .await?;
    let client = server.client();
    let own = server.url("");
    let other = "https://b.example";
    for (site, origin, expected) in [
        (None, None, false),
        (None, Some(own.as_str()), false),
        (None, Some(LISTED), false),
        (None, Some(other), true),
        (None, Some("null"), true),
        (None, Some("http://127.0.0.1:1"), true),
        (Some("same-origin"), None, false),
        (Some("same-origin"), Some(own.as_str()), false),
        // A form on a page that tells no referrer.
        (Some("same-origin"), Some("null"), false),
        (Some("none"), None, false),
        (Some("same-site"), None, true),
        (Some("same-site"), Some(other), true),
        (Some("same-site"), Some(LISTED), false),
        (Some("cross-site"), None, true),
        (Some("cross-site"), Some("null"), true),
        (Some("cross-site"), Some(other), true),
        (Some("cross-site"), Some(LISTED), false),
        (Some("something"), Some(other), true),
    ] {
        let mut fields = Vec::new();
        fields.extend(site.map(|site| ("Sec-Fetch-Site", site)));
        fields.extend(origin.map(|origin| ("Origin", origin)));
        let unsafe_ones = [
            share(&fields),
            Request::new("PUT", "/c.bin")
                .headers(&fields)
                .header("Content-Length", 0),
            Request::new("DELETE", "/delete/x").headers(&fields),
            Tus::request("PATCH", "/files/x").headers(&fields),
            Tus::request("DELETE", "/files/x").headers(&fields),
            Tus::request("POST", "/files")
                .headers(&fields)
                .header("Upload-Length", 1),
        ];
        for request in &unsafe_ones {
            let refused = is_refused(&client, request).await?;
            ensure!(refused == expected, "{request:?} is refused: {refused}");
        }
        for method in ["GET", "HEAD", "OPTIONS"] {
            let request = Request::new(method, "/files/x").headers(&fields);
            ensure!(!is_refused(&client, &request).await?, "{request:?}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_server_for_every_origin_refuses_none() -> Result<()> {
    let server = TestApp::start().await?;
    let client = server.client();
    let fields = [
        ("Sec-Fetch-Site", "cross-site"),
        ("Origin", "https://b.example"),
    ];
    let answer = client.send(&share(&fields), &[]).await?.expect(201)?;
    ensure!(allowed_origin(&answer) == Some("*"), "{answer:?}");
    Ok(())
}

#[tokio::test]
async fn the_own_origin_is_that_which_trusted_proxies_and_the_public_url_tell() -> Result<()> {
    let proxied = TestApp::with(|setup| {
        setup.http.cross_origin = listed(&[]);
        setup.http.origin.trusted_proxies = crate::origin::networks(&["127.0.0.0/8"]);
    })
    .await?;
    let told = [
        ("X-Forwarded-Host", "files.example"),
        ("X-Forwarded-Proto", "https"),
    ];
    let public = TestApp::with(|setup| {
        setup.http.cross_origin = listed(&[]);
        setup.http.origin.public_url = Some("https://public.example/share".parse().unwrap());
    })
    .await?;
    let direct = public.url("");
    for (server, fields, origin, expected) in [
        (&proxied, &told[..], "https://files.example", false),
        (&proxied, &told[..], "http://files.example", true),
        (&proxied, &told[..], "https://files.example:8443", true),
        (&public, &[], "https://public.example", false),
        // Its pages can be had by the machine's own name as well.
        (&public, &[], direct.as_str(), false),
        (&public, &[], "https://other.example", true),
        // A stranger's word about a proxy counts for nothing.
        (&public, &told[..], "https://files.example", true),
    ] {
        let request = share(fields).header("Origin", origin);
        let refused = is_refused(&server.client(), &request).await?;
        ensure!(refused == expected, "{request:?} is refused: {refused}");
    }
    Ok(())
}

fn preflight(path: &str, origin: &str) -> Request {
    Request::new("OPTIONS", path)
        .header("Origin", origin)
        .header("Access-Control-Request-Method", "POST")
}

#[tokio::test]
async fn a_preflight_is_answered_yes_only_to_origins_that_may() -> Result<()> {
    let any = TestApp::start().await?;
    let strict = TestApp::with(|setup| {
        setup.http.cross_origin = listed(&[LISTED]);
    })
    .await?;
    for (server, origin, expected) in [
        (&any, "https://b.example", Some("*")),
        (&strict, LISTED, Some(LISTED)),
        (&strict, "https://b.example", None),
        (&strict, "null", None),
    ] {
        for path in ["/files", "/files/x", "/", "/api/v1/shares", "/nothing"] {
            let request = preflight(path, origin);
            let answer = server.client().send(&request, &[]).await?;
            ensure!(
                allowed_origin(&answer) == expected,
                "{request:?}: {answer:?}"
            );
            match expected {
                Some(_) => ensure!(answer.status == 204, "{request:?}: {answer:?}"),
                None => ensure!(is_refused(&server.client(), &request).await?, "{request:?}"),
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn what_operators_ask_is_shown_to_no_other_sites_page() -> Result<()> {
    for origins in ["*", LISTED] {
        let server = TestApp::with(|setup| {
            setup.http.cross_origin = match origins {
                "*" => CrossOrigin::Any,
                _ => listed(&[origins]),
            };
            setup.http.origin.path_prefix = "/share".to_owned();
        })
        .await?;
        let client = server.client();
        for path in [
            "/metrics",
            "/readyz",
            "/healthz",
            "/api/v1/system/upload-status",
        ] {
            for path in [path.to_owned(), format!("/share{path}")] {
                let asked = Request::new("GET", &path).header("Origin", LISTED);
                let answer = client.send(&asked, &[]).await?.expect(200)?;
                ensure!(!has_cors(&answer), "{asked:?}: {answer:?}");
                let request = preflight(&path, LISTED);
                ensure!(is_refused(&client, &request).await?, "{request:?}");
            }
        }
        for path in [
            "/api/v1/limits",
            "/api/v1/system/upload-progress/x",
            "/files",
        ] {
            let asked = Request::new("GET", path).header("Origin", LISTED);
            let answer = client.send(&asked, &[]).await?;
            let told = allowed_origin(&answer).context(path)?;
            ensure!(told == origins, "{asked:?}: {answer:?}");
        }
    }
    Ok(())
}

/// Apps add fields of their own to every request; a page whose origin may use the server may send
/// them.
#[tokio::test]
async fn what_apps_add_to_their_requests_is_allowed_where_their_origin_is() -> Result<()> {
    let any = TestApp::start().await?;
    let strict = TestApp::with(|setup| {
        setup.http.cross_origin = listed(&[LISTED]);
    })
    .await?;
    for server in [&any, &strict] {
        let client = server.client();
        for method in ["PUT", "POST", "PATCH", "HEAD", "DELETE", "GET"] {
            for path in ["/files", "/files/x", "/a.bin", "/d/x", "/api/v1/shares"] {
                let request = Request::new("OPTIONS", path)
                    .header("Origin", LISTED)
                    .header("Access-Control-Request-Method", method)
                    .header(
                        "Access-Control-Request-Headers",
                        "authorization,traceparent,tus-resumable,x-csrf-token",
                    );
                let answer = client.send(&request, &[]).await?.expect(204)?;
                let lists = |field: &str, wanted: &str| -> Result<bool> {
                    let mut names = answer.field(field)?.split(',').map(str::trim);
                    Ok(names.any(|name| name.eq_ignore_ascii_case(wanted)))
                };
                ensure!(
                    lists("access-control-allow-methods", method)?,
                    "{request:?}: {answer:?}"
                );
                for field in [
                    "authorization",
                    "traceparent",
                    "x-csrf-token",
                    "tus-resumable",
                    "upload-offset",
                ] {
                    ensure!(
                        lists("access-control-allow-headers", field)?,
                        "{field}: {request:?}: {answer:?}"
                    );
                }
            }
        }
        // What are no names is not told back.
        let request = preflight("/files", LISTED).header("Access-Control-Request-Headers", "a b");
        let answer = client.send(&request, &[]).await?.expect(204)?;
        ensure!(
            !answer
                .field("access-control-allow-headers")?
                .contains("a b")
        );
    }
    // Where the origin may not, neither may its fields.
    let request = preflight("/files", "https://b.example")
        .header("Access-Control-Request-Headers", "x-csrf-token");
    ensure!(is_refused(&strict.client(), &request).await?);
    Ok(())
}
