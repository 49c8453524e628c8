//! tus 1.0.0 in single steps, so that a test can stop between any two of them.

use std::ops::Range;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::{Client, Data, Pace, Request, Response};

/// The value of `Upload-Metadata` for these pairs.
pub fn metadata(pairs: &[(&str, &str)]) -> String {
    pairs
        .iter()
        .map(|(key, value)| format!("{key} {}", BASE64.encode(value)))
        .collect::<Vec<_>>()
        .join(",")
}

/// The value of `Upload-Checksum` for these bytes by CRC-32 (ISO-HDLC), computed bit by bit.
pub fn crc32_checksum(bytes: &[u8]) -> String {
    let mut crc = !0_u32;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
        }
    }
    format!("crc32 {}", BASE64.encode((!crc).to_be_bytes()))
}

/// What tus can be spoken through: a connection, or a server in the test's own process.
pub trait Exchange: Clone {
    /// One request with a small body, and its answer.
    fn send(&self, request: &Request, body: &[u8])
    -> impl Future<Output = Result<Response>> + Send;

    /// One request whose body is a range of `data`, and its answer.
    fn send_range(
        &self,
        request: &Request,
        data: &Data,
        range: Range<u64>,
    ) -> impl Future<Output = Result<Response>> + Send;
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
        send_at(self, request, data, range, None).await
    }
}

/// Sends a range of `data` on a connection of its own, at a certain pace.
async fn send_at(
    client: &Client,
    request: &Request,
    data: &Data,
    range: Range<u64>,
    pace: Option<Pace>,
) -> Result<Response> {
    let mut conn = client.connect().await?;
    conn.send_head(request).await?;
    conn.send_data(data, range, pace).await?;
    conn.response(request.method())
        .await
        .with_context(|| format!("{request:?}"))
}

/// Speaks tus with the server at `/files`.
#[derive(Debug, Clone)]
pub struct Tus<C = Client> {
    client: C,
}

/// An upload that was created.
#[derive(Debug, Clone)]
pub struct Upload {
    /// Path of its URL: who knows it may write.
    pub path: String,
    /// The answer to its creation.
    pub created: Response,
}

impl Upload {
    /// The link that others get.
    pub fn link(&self) -> Result<&str> {
        self.created.field("x-url-share")
    }

    /// The id of its file in the API.
    pub fn file_id(&self) -> Result<&str> {
        self.created.field("x-file-id")
    }

    /// The id of its share in the API.
    pub fn share_id(&self) -> Result<&str> {
        self.created.field("x-share-id")
    }
}

/// Which kind of upload in a concatenation.
#[derive(Debug, Clone, Copy)]
pub enum Part<'a> {
    /// One of the partial uploads.
    Partial,
    /// The final one, of these.
    Final(&'a [Upload]),
}

impl Tus {
    /// A request with `Tus-Resumable`.
    pub fn request(method: &str, path: &str) -> Request {
        Request::new(method, path).header("Tus-Resumable", "1.0.0")
    }

    /// The head of a PATCH of `length` bytes at `offset`.
    pub fn patch_head(path: &str, offset: u64, length: u64) -> Request {
        Self::request("PATCH", path)
            .header("Content-Type", "application/offset+octet-stream")
            .header("Upload-Offset", offset)
            .header("Content-Length", length)
    }

    /// PATCH with further headers, at a certain pace.
    pub async fn patch_with(
        &self,
        path: &str,
        data: &Data,
        range: Range<u64>,
        headers: &[(&str, &str)],
        pace: Option<Pace>,
    ) -> Result<Response> {
        let head = Self::patch_head(path, range.start, range.end - range.start).headers(headers);
        send_at(&self.client, &head, data, range, pace).await
    }

    /// Brings an upload to its end whatever happens to connections: asks for the offset and goes
    /// on, for at most `within`. Errs if an offset that was answered is ever taken back. Returns
    /// how often it had to resume.
    pub async fn persist(&self, path: &str, data: &Data, within: Duration) -> Result<u32> {
        let end = Instant::now() + within;
        let mut known = 0;
        let mut resumed = 0;
        let mut last = anyhow::anyhow!("not tried");
        while Instant::now() < end {
            match self.offset(path).await {
                Ok(offset) => {
                    ensure!(
                        offset >= known,
                        "an answered offset was taken back: {known}, now {offset}"
                    );
                    known = offset;
                    if offset == data.len() {
                        return Ok(resumed);
                    }
                    match self.finish_from(path, data, offset).await {
                        Ok(()) => return Ok(resumed),
                        Err(error) => last = error,
                    }
                    resumed += 1;
                }
                Err(error) => last = error,
            }
            tokio::time::sleep(Duration::from_millis(50)).await; // a client's own retry delay
        }
        bail!("not done within {within:?} after {resumed} resumptions: {last:#}")
    }
}

impl<C: Exchange + Sync> Tus<C> {
    /// Speaks tus through this client.
    pub fn new(client: &C) -> Self {
        Self {
            client: client.clone(),
        }
    }

    /// The client underneath.
    pub fn client(&self) -> &C {
        &self.client
    }

    /// POST to `/files` with these headers; the whole answer, whatever its status.
    pub async fn post(&self, headers: &[(&str, &str)], body: &[u8]) -> Result<Response> {
        self.client
            .send(&Tus::request("POST", "/files").headers(headers), body)
            .await
    }

    fn upload(created: Response) -> Result<Upload> {
        let created = created.expect(201)?;
        let path = Client::path_of(created.field("location")?).to_owned();
        Ok(Upload { path, created })
    }

    /// Creates an upload of `length` bytes (`None`: told later), with the file's name.
    pub async fn create(&self, length: Option<u64>, name: &str) -> Result<Upload> {
        self.create_with(
            length,
            &[("Upload-Metadata", &metadata(&[("filename", name)]))],
        )
        .await
    }

    /// Creates an upload with further headers.
    pub async fn create_with(
        &self,
        length: Option<u64>,
        headers: &[(&str, &str)],
    ) -> Result<Upload> {
        let length_text = length.map(|length| length.to_string());
        let mut all = match &length_text {
            Some(text) => vec![("Upload-Length", text.as_str())],
            None => vec![("Upload-Defer-Length", "1")],
        };
        all.extend_from_slice(headers);
        Self::upload(self.post(&all, &[]).await?)
    }

    /// Creates a part of a concatenation. A final one needs no length.
    pub async fn create_part(&self, part: Part<'_>, length: u64, name: &str) -> Result<Upload> {
        let names = metadata(&[("filename", name)]);
        match part {
            Part::Partial => {
                self.create_with(
                    Some(length),
                    &[("Upload-Concat", "partial"), ("Upload-Metadata", &names)],
                )
                .await
            }
            Part::Final(parts) => {
                let urls = parts
                    .iter()
                    .map(|part| part.path.as_str())
                    .collect::<Vec<_>>()
                    .join(" ");
                self.create_joined(&format!("final;{urls}"), name).await
            }
        }
    }

    /// Creates a file that is joined from what this field lists.
    pub async fn create_joined(&self, concat: &str, name: &str) -> Result<Upload> {
        let names = metadata(&[("filename", name)]);
        let headers = [("Upload-Concat", concat), ("Upload-Metadata", &names)];
        Self::upload(self.post(&headers, &[]).await?)
    }

    /// HEAD of an upload's URL; the whole answer.
    pub async fn head(&self, path: &str) -> Result<Response> {
        self.client.send(&Tus::request("HEAD", path), &[]).await
    }

    /// The offset that HEAD tells.
    pub async fn offset(&self, path: &str) -> Result<u64> {
        self.head(path).await?.expect(200)?.number("upload-offset")
    }

    /// PATCH of a range of `data` at its own place; the whole answer.
    pub async fn patch(&self, path: &str, data: &Data, range: Range<u64>) -> Result<Response> {
        let head = Tus::patch_head(path, range.start, range.end - range.start);
        self.client.send_range(&head, data, range).await
    }

    /// PATCH of small bytes with freely chosen headers.
    pub async fn patch_raw(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Response> {
        self.client
            .send(&Tus::request("PATCH", path).headers(headers), body)
            .await
    }

    /// DELETE of an upload's URL.
    pub async fn delete(&self, path: &str) -> Result<Response> {
        self.client.send(&Tus::request("DELETE", path), &[]).await
    }

    /// Creates and sends the whole file in one PATCH.
    pub async fn upload_whole(&self, name: &str, data: &Data) -> Result<Upload> {
        let upload = self.create(Some(data.len()), name).await?;
        self.finish_from(&upload.path, data, 0).await?;
        Ok(upload)
    }

    /// Sends all from `offset` in one PATCH, which must be answered with the file's length.
    pub async fn finish_from(&self, path: &str, data: &Data, offset: u64) -> Result<()> {
        let answer = self
            .patch(path, data, offset..data.len())
            .await?
            .expect(204)?;
        let told = answer.number("upload-offset")?;
        ensure!(
            told == data.len(),
            "PATCH of all from {offset}: offset {told} instead of {}",
            data.len()
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_checksum_is_that_of_the_standard() {
        // The check value of CRC-32/ISO-HDLC: 0xcbf43926 of "123456789".
        assert_eq!(super::crc32_checksum(b"123456789"), "crc32 y/Q5Jg==");
    }
}
