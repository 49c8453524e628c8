//! Requests that go straight into the router.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::Range;

use anyhow::{Context, Result, ensure};
use axum::Router;
use axum::body::{Body, to_bytes};
use ddx_http::server::Connection;
use ddx_testkit::{Data, Exchange, Head, Request, Response, Status};
use tower::ServiceExt as _;

use super::HOST;

/// The path and query of an absolute URL, or of one that is relative already.
pub(crate) fn path_of(url: &str) -> &str {
    ddx_testkit::Client::path_of(url)
}

/// A client of the application, at one address.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    router: Router,
    address: IpAddr,
}

impl Client {
    pub(crate) fn new(router: Router) -> Self {
        let address = Ipv4Addr::LOCALHOST.into();
        Self { router, address }
    }

    /// The same client at another address, which the server takes for another user.
    pub(crate) fn from(&self, address: impl Into<IpAddr>) -> Self {
        Self {
            router: self.router.clone(),
            address: address.into(),
        }
    }

    /// Sends a request, and takes the answer's head; its content comes as it is made.
    pub(crate) async fn open(&self, request: &Request, body: Vec<u8>) -> Result<(Head, Body)> {
        let request = request.clone().with_length_of(&body);
        let mut asked = http::Request::builder()
            .method(request.method())
            .uri(request.target())
            .extension(Connection {
                peer: SocketAddr::new(self.address, 40_000),
                is_tls: false,
            });
        if !request.has("host") {
            asked = asked.header("Host", HOST);
        }
        for (name, value) in request.fields() {
            asked = asked.header(name, value);
        }
        let asked = asked.body(Body::from(body))?;
        let Ok(answer) = self.router.clone().oneshot(asked).await;
        let (head, body) = answer.into_parts();
        let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into();
        let headers = head.headers.iter();
        let head = Head {
            status: head.status.as_u16(),
            headers: headers
                .map(|(name, value)| (name.to_string(), text(value)))
                .collect(),
            interim: Vec::new(),
        };
        Ok((head, body))
    }

    /// One request, and its whole answer.
    pub(crate) async fn send(&self, request: &Request, body: &[u8]) -> Result<Response> {
        let (head, body) = self.open(request, body.to_vec()).await?;
        let body = to_bytes(body, usize::MAX).await;
        let body = body.with_context(|| format!("{request:?}"))?.to_vec();
        Ok(Response { head, body })
    }

    /// GET of a URL (absolute or a path).
    pub(crate) async fn get(&self, url: &str) -> Result<Response> {
        self.send(&Request::new("GET", path_of(url)), &[]).await
    }

    /// GET of JSON, which must be answered with 200.
    pub(crate) async fn json(&self, url: &str) -> Result<serde_json::Value> {
        let asked = Request::new("GET", path_of(url)).header("Accept", "application/json");
        self.send(&asked, &[]).await?.expect(200)?.json()
    }

    /// The operators' status.
    pub(crate) async fn status(&self) -> Result<Status> {
        let json = self.json("/api/v1/system/upload-status").await?;
        Ok(Status { json })
    }

    /// Every series of `/metrics`, by its name with its labels as they stand there.
    pub(crate) async fn metrics(&self) -> Result<BTreeMap<String, f64>> {
        let text = self.get("/metrics").await?.expect(200)?.text();
        let series = text.lines().filter(|line| !line.starts_with('#'));
        let of = |line: &str| {
            let (name, value) = line.rsplit_once(' ').context(line.to_owned())?;
            Ok((name.to_owned(), value.parse()?))
        };
        series.map(of).collect()
    }

    /// PUT of `data` as `/{name}`; the whole answer, whatever its status.
    pub(crate) async fn put(&self, name: &str, data: &Data) -> Result<Response> {
        self.put_with(name, data, &[]).await
    }

    /// PUT with further headers.
    pub(crate) async fn put_with(
        &self,
        name: &str,
        data: &Data,
        headers: &[(&str, &str)],
    ) -> Result<Response> {
        let put = Request::new("PUT", &format!("/{name}")).headers(headers);
        self.send(&put, &data.all()).await
    }

    /// PUT of `data`, which must succeed; the link to it.
    pub(crate) async fn put_for_link(&self, name: &str, data: &Data) -> Result<String> {
        let answer = self.put(name, data).await?;
        ensure!(matches!(answer.status, 200 | 201), "{answer:?}");
        Ok(answer.text().trim().to_owned())
    }

    /// GET of a file, which must be `data` from its first byte to its last; the answer.
    pub(crate) async fn fetch(&self, url: &str, data: &Data) -> Result<Response> {
        let answer = self.get(url).await?.expect(200)?;
        let differs = data.first_difference(0, &answer.body);
        ensure!(differs.is_none(), "{url}: byte {differs:?}");
        ensure!(answer.body.len() as u64 == data.len(), "{url}: too short");
        Ok(answer)
    }
}

impl Exchange for Client {
    async fn send(&self, request: &Request, body: &[u8]) -> Result<Response> {
        self.send(request, body).await
    }

    async fn send_range(
        &self,
        request: &Request,
        data: &Data,
        range: Range<u64>,
    ) -> Result<Response> {
        self.send(request, &data.bytes(range)).await
    }
}
