//! The ways of sending a file: `PUT`, a form, tus in two requests, tus in one.
//!
//! tus without an extension is two requests for each file, which is what its clients do; what an
//! implementation can do with one is measured apart.

use crate::client::{Answer, Client, Request};
use crate::conn::Piece;
use crate::fault::Fault;
use crate::protocol::{Fetch, Protocol};
use crate::tally::Stored;

const TUS: &str = "Tus-Resumable: 1.0.0\r\n";
/// `load.bin`, in base64.
const METADATA: &str = "Upload-Metadata: filename bG9hZC5iaW4=\r\n";
const OFFSET_TYPE: &str = "Content-Type: application/offset+octet-stream\r\n";
const BOUNDARY: &str = "----------------ddx-load-7Hq2";

/// A request that takes the bytes of a file, and what is known of where it will lie.
#[derive(Debug, Clone)]
pub(crate) struct Prepared {
    /// The request with the bytes.
    pub(crate) request: Request,
    location: Option<String>,
    /// The offset that the answer must tell.
    offset: Option<u64>,
}

impl Client {
    /// Makes the request that takes all bytes of file `k`. With tus this creates the upload first.
    pub(crate) async fn prepare(&mut self, k: u64, bytes: u64) -> Result<Prepared, Fault> {
        let run = &self.run;
        let (base, seed) = (&run.target.base, run.seed);
        let (request, location, offset) = match run.protocol {
            Protocol::Put => {
                let request = Request {
                    method: "PUT",
                    path: format!("{base}/load-{seed}-{k}.bin"),
                    fields: "Content-Type: application/octet-stream\r\n".to_owned(),
                    ..Request::default()
                };
                (request, None, None)
            }
            Protocol::Post => {
                let request = Request {
                    method: "POST",
                    path: format!("{base}/"),
                    fields: format!("Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n"),
                    before: format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"load-{seed}-{k}.bin\"\r\nContent-Type: application/octet-stream\r\n\r\n").into_bytes(),
                    after: format!("\r\n--{BOUNDARY}--\r\n").into_bytes(),
                };
                (request, None, None)
            }
            Protocol::TusWithUpload => {
                let request = Request {
                    method: "POST",
                    path: run.target.tus.clone(),
                    fields: format!("{TUS}Upload-Length: {bytes}\r\n{METADATA}{OFFSET_TYPE}"),
                    ..Request::default()
                };
                (request, None, Some(bytes))
            }
            Protocol::Tus => {
                let location = self.create(bytes, "").await?.location(&self.run)?;
                (patch(&location, 0), Some(location), Some(bytes))
            }
        };
        Ok(Prepared {
            request,
            location,
            offset,
        })
    }

    /// Creates a tus upload of so many bytes.
    pub(crate) async fn create(&mut self, bytes: u64, fields: &str) -> Result<Answer, Fault> {
        let request = Request {
            method: "POST",
            path: self.run.target.tus.clone(),
            fields: format!("{TUS}Upload-Length: {bytes}\r\n{METADATA}{fields}"),
            ..Request::default()
        };
        self.ask(&request).await
    }

    /// Joins tus uploads to one file.
    pub(crate) async fn join(&mut self, locations: &[String]) -> Result<Answer, Fault> {
        let request = Request {
            method: "POST",
            path: self.run.target.tus.clone(),
            fields: format!(
                "{TUS}{METADATA}Upload-Concat: final;{}\r\n",
                locations.join(" ")
            ),
            ..Request::default()
        };
        self.ask(&request).await
    }

    /// Appends a piece of a file to a tus upload, whose offset then is `offset` plus its length.
    pub(crate) async fn append(
        &mut self,
        location: &str,
        offset: u64,
        piece: Piece,
    ) -> Result<Answer, Fault> {
        let answer = self.send(&patch(location, offset), piece).await?;
        is_at(&answer, offset + piece.bytes)?;
        Ok(answer)
    }

    /// Sends a whole file, over tus in requests of up to `request_bytes`.
    pub(crate) async fn upload(
        &mut self,
        k: u64,
        bytes: u64,
        request_bytes: u64,
    ) -> Result<Stored, Fault> {
        let prepared = self.prepare(k, bytes).await?;
        let Some(location) = prepared.location.clone() else {
            let answer = self
                .send(&prepared.request, Piece { k, at: 0, bytes })
                .await?;
            return self.stored(k, bytes, &prepared, &answer);
        };
        let (mut at, mut last) = (0, None);
        while at < bytes {
            let piece = Piece {
                k,
                at,
                bytes: request_bytes.min(bytes - at),
            };
            last = Some(self.append(&location, at, piece).await?);
            at += piece.bytes;
        }
        let path = match self.run.fetch {
            Fetch::Location => Some(location),
            Fetch::Answer => last.and_then(|answer| first_line(self, &answer)),
            Fetch::Same => None,
        };
        Ok(Stored { k, bytes, path })
    }

    /// What the answer to a prepared request says about the file that it stored.
    pub(crate) fn stored(
        &self,
        k: u64,
        bytes: u64,
        prepared: &Prepared,
        answer: &Answer,
    ) -> Result<Stored, Fault> {
        if let Some(offset) = prepared.offset {
            is_at(answer, offset)?;
        }
        let path = match self.run.fetch {
            Fetch::Same if prepared.request.method == "PUT" => Some(prepared.request.path.clone()),
            Fetch::Same => None,
            Fetch::Answer => first_line(self, answer),
            Fetch::Location => match &prepared.location {
                Some(location) => Some(location.clone()),
                None => answer.location(&self.run).ok(),
            },
        };
        Ok(Stored { k, bytes, path })
    }
}

fn first_line(client: &Client, answer: &Answer) -> Option<String> {
    client
        .run
        .target
        .path_of(answer.text.lines().next()?.trim())
}

fn is_at(answer: &Answer, offset: u64) -> Result<(), Fault> {
    match answer.head.offset {
        Some(told) if told == offset => Ok(()),
        Some(told) => Err(Fault::new("wrong offset", format!("{told}, not {offset}"))),
        None => Err(Fault::new(
            "wrong offset",
            format!("none was told, not {offset}"),
        )),
    }
}

fn patch(location: &str, offset: u64) -> Request {
    Request {
        method: "PATCH",
        path: location.to_owned(),
        fields: format!("{TUS}Upload-Offset: {offset}\r\n{OFFSET_TYPE}"),
        ..Request::default()
    }
}
