//! What caches are told of an answer.

use anyhow::{Result, ensure};
use ddx_testkit::{Data, Request, Response};

use crate::support::{TestApp, listed, path_of};

/// The fields that an answer's `Vary` names, in lower case and sorted.
fn vary(answer: &Response) -> Vec<String> {
    let given = answer.headers.iter().filter(|(name, _)| name == "vary");
    let mut names: Vec<String> = given
        .flat_map(|(_, value)| value.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn what_an_answer_depends_on_is_told_to_caches() -> Result<()> {
    for only in [None, Some("https://a.example")] {
        let server = match only {
            Some(origins) => {
                TestApp::with(|setup| {
                    setup.http.cross_origin = listed(&[origins]);
                })
                .await?
            }
            None => TestApp::start().await?,
        };
        let client = server.client();
        let link = client.put_for_link("v.bin", &Data::new(1, 100)).await?;
        let share = path_of(&link).to_owned();
        let file = format!("{share}/v.bin");
        let put = Request::new("PUT", "/w.bin").header("Content-Length", 0);
        for (request, of_its_own) in [
            (Request::new("GET", &share), &["accept", "user-agent"][..]),
            (Request::new("HEAD", &share), &["accept", "user-agent"]),
            (Request::new("GET", "/d/nothing"), &["accept", "user-agent"]),
            (Request::new("GET", &file), &[]),
            (put, &["accept", "want-repr-digest"]),
            (Request::new("POST", "/"), &["accept"]),
            (Request::new("GET", "/api/v1/limits"), &[]),
        ] {
            let mut expected: Vec<String> = of_its_own.iter().map(|&name| name.into()).collect();
            if only.is_some() {
                expected.push("origin".to_owned());
                expected.sort();
            }
            for origin in [None, Some("https://a.example"), Some("https://b.example")] {
                let asked = match origin {
                    Some(origin) => request.clone().header("Origin", origin),
                    None => request.clone(),
                };
                let told = vary(&client.send(&asked, &[]).await?);
                ensure!(told == expected, "{asked:?}: {told:?}, not {expected:?}");
            }
        }
    }
    Ok(())
}
