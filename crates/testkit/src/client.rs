//! Whole exchanges: upload by PUT, fetch and compare, ask the API. Each on a connection of its own
//! unless said otherwise.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::{Conn, Data, Events, Head, Pace, Request, Response, Status};

/// A client of one server, from one source address.
#[derive(Debug, Clone)]
pub struct Client {
    address: SocketAddr,
    source: Option<IpAddr>,
    patience: Duration,
}

/// What a download gave.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// The answer's head.
    pub head: Head,
    /// How many bytes came, all of them as expected.
    pub bytes: u64,
}

impl Client {
    /// A client of the server at `address` (or of a proxy before it).
    pub fn new(address: SocketAddr) -> Self {
        Self {
            address,
            source: None,
            patience: Duration::from_secs(60),
        }
    }

    /// The same client from another source address, which the server takes for another user.
    pub fn from(&self, source: impl Into<IpAddr>) -> Self {
        Self {
            source: Some(source.into()),
            ..self.clone()
        }
    }

    /// Sets how long any single wait may last.
    pub fn patience(&self, patience: Duration) -> Self {
        Self {
            patience,
            ..self.clone()
        }
    }

    /// Where it connects to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The path and query of an absolute URL, or of one that is relative already.
    pub fn path_of(url: &str) -> &str {
        match url.split_once("://") {
            Some((_, rest)) => rest.find('/').map_or("/", |at| &rest[at..]),
            None => url,
        }
    }

    /// A new connection.
    pub async fn connect(&self) -> Result<Conn> {
        Ok(Conn::open(self.address, self.source)
            .await?
            .patience(self.patience))
    }

    /// One request with a small body, and its answer.
    pub async fn send(&self, request: &Request, body: &[u8]) -> Result<Response> {
        let context = || format!("{request:?}");
        self.connect()
            .await
            .with_context(context)?
            .round(request, body)
            .await
            .with_context(context)
    }

    /// GET of a URL (absolute or a path), with content kept in memory.
    pub async fn get(&self, url: &str) -> Result<Response> {
        self.send(&Request::new("GET", Self::path_of(url)), &[])
            .await
    }

    /// GET of JSON, which must be answered with 200.
    pub async fn json(&self, url: &str) -> Result<serde_json::Value> {
        self.send(
            &Request::new("GET", Self::path_of(url)).header("Accept", "application/json"),
            &[],
        )
        .await?
        .expect(200)?
        .json()
    }

    /// The operators' status.
    pub async fn status(&self) -> Result<Status> {
        Ok(Status::new(
            self.json("/api/v1/system/upload-status").await?,
        ))
    }

    /// Every series of `/metrics`, by its name with its labels as they stand there.
    pub async fn metrics(&self) -> Result<BTreeMap<String, f64>> {
        let text = self.get("/metrics").await?.expect(200)?.text();
        let series = text.lines().filter(|line| !line.starts_with('#'));
        series
            .map(|line| {
                let (name, value) = line
                    .rsplit_once(' ')
                    .with_context(|| format!("no value in {line:?}"))?;
                Ok((name.to_owned(), value.parse()?))
            })
            .collect()
    }

    /// PUT of `data` as `/{name}`; the whole answer, whatever its status.
    pub async fn put(&self, name: &str, data: &Data) -> Result<Response> {
        self.put_with(name, data, &[], None).await
    }

    /// PUT with further headers, and at a certain pace.
    pub async fn put_with(
        &self,
        name: &str,
        data: &Data,
        headers: &[(&str, &str)],
        pace: Option<Pace>,
    ) -> Result<Response> {
        let mut conn = self.connect().await?;
        conn.send_head(
            &Request::new("PUT", &format!("/{name}"))
                .header("Content-Length", data.len())
                .headers(headers),
        )
        .await?;
        conn.send_data(data, 0..data.len(), pace).await?;
        conn.response("PUT")
            .await
            .with_context(|| format!("PUT /{name}"))
    }

    /// PUT of `data`, which must succeed; the link to it.
    pub async fn put_for_link(&self, name: &str, data: &Data) -> Result<String> {
        let answer = self.put(name, data).await?;
        if !matches!(answer.status, 200 | 201) {
            bail!("PUT /{name}: {} {}", answer.status, answer.text());
        }
        Ok(answer.text().trim().to_owned())
    }

    /// PUT of `data` by chunks, without telling its length.
    pub async fn put_chunked(
        &self,
        name: &str,
        data: &Data,
        chunk_bytes: usize,
    ) -> Result<Response> {
        let mut conn = self.connect().await?;
        conn.send_head(
            &Request::new("PUT", &format!("/{name}")).header("Transfer-Encoding", "chunked"),
        )
        .await?;
        let mut at = 0;
        while at < data.len() {
            let take = (data.len() - at).min(chunk_bytes as u64);
            let mut chunk = format!("{take:x}\r\n").into_bytes();
            chunk.extend_from_slice(&data.bytes(at..at + take));
            chunk.extend_from_slice(b"\r\n");
            if let Err(error) = conn.send(&chunk).await {
                return conn.response("PUT").await.context(error); // an answer before the end is one, too
            }
            at += take;
        }
        conn.send(b"0\r\n\r\n").await?;
        conn.response("PUT").await
    }

    /// Downloads a URL and compares every byte with `data` from `offset` on; errs on the first
    /// difference, or if the end is missing.
    pub async fn fetch(&self, url: &str, data: &Data) -> Result<Fetched> {
        let request = Request::new("GET", Self::path_of(url));
        let fetched = self.fetch_with(&request, data, 0).await?;
        ensure!(fetched.head.status == 200, "GET {url}: {:?}", fetched.head);
        ensure!(
            fetched.bytes == data.len(),
            "GET {url}: {} of {} bytes",
            fetched.bytes,
            data.len()
        );
        Ok(fetched)
    }

    /// Sends `request` and compares the content with `data` from `offset` on, without asking where
    /// it ends.
    pub async fn fetch_with(&self, request: &Request, data: &Data, offset: u64) -> Result<Fetched> {
        let mut conn = self.connect().await?;
        conn.send_head(request).await?;
        let head = conn.head().await?;
        let mut body = Conn::body_of(&head, request.method())?;
        ensure!(
            head.status < 300,
            "{request:?}: {head:?} {:?}",
            conn.next(&mut body)
                .await?
                .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        );
        let mut at = offset;
        while let Some(piece) = conn.next(&mut body).await? {
            if let Some(place) = data.first_difference(at, &piece) {
                bail!(
                    "byte {place} differs (of {}, in a piece of {} bytes at {at})",
                    data.len(),
                    piece.len()
                );
            }
            at += piece.len() as u64;
        }
        Ok(Fetched {
            head,
            bytes: at - offset,
        })
    }

    /// Opens a stream of server-sent events.
    pub async fn events(&self, url: &str) -> Result<Events> {
        Events::open(self.connect().await?, Self::path_of(url)).await
    }
}
