//! One client: a connection that is kept while the server allows it, and requests on it.

use std::sync::Arc;

use crate::conn::{Conn, Piece, Sent};
use crate::fault::Fault;
use crate::head::{Content, Head};
use crate::run::Run;
use crate::target;

/// A body up to this goes out together with its head.
const TOGETHER_BYTES_MAX: u64 = 64 * 1024;
/// Bytes that one call may receive.
pub(crate) const SCRATCH_BYTES: usize = 256 * 1024;
/// Of a refusal's content so much is shown.
const SHOWN_CHARS: usize = 200;

/// A request, but for its length and what is sent.
#[derive(Debug, Clone, Default)]
pub(crate) struct Request {
    pub(crate) method: &'static str,
    pub(crate) path: String,
    /// Fields of its own, each with its line's end.
    pub(crate) fields: String,
    /// Before the file, in the body.
    pub(crate) before: Vec<u8>,
    /// After the file, in the body.
    pub(crate) after: Vec<u8>,
}

/// A request that was done.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Its head.
    pub(crate) head: Head,
    /// The beginning of its content.
    pub(crate) text: String,
}

impl Answer {
    /// The answer, if it says that the request was done.
    fn new(head: Head, text: String) -> Result<Self, Fault> {
        if head.is_success() {
            return Ok(Self { head, text });
        }
        let shown: String = text.trim().chars().take(SHOWN_CHARS).collect();
        Err(Fault::new(format!("status {}", head.status), shown))
    }

    /// The path of `Location`.
    pub(crate) fn location(&self, run: &Run) -> Result<String, Fault> {
        let link = self.head.location.as_deref();
        let link = link.ok_or_else(|| Fault::new("no Location", "in the answer to a creation"))?;
        let path = run.target.path_of(link);
        path.ok_or_else(|| Fault::malformed(format!("Location: {link}")))
    }
}

/// A client with its connection, if it has one.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) run: Arc<Run>,
    n: u64,
    conn: Option<Conn>,
}

impl Client {
    /// Client number `n`, which decides the address that it comes from.
    pub(crate) fn new(run: &Arc<Run>, n: u64) -> Self {
        Self {
            run: Arc::clone(run),
            n,
            conn: None,
        }
    }

    /// The connection that is open, or a new one.
    pub(crate) async fn take_conn(&mut self) -> Result<Conn, Fault> {
        if let Some(mut conn) = self.conn.take()
            && !conn.is_over()
        {
            return Ok(conn);
        }
        let source = target::source(self.n, self.run.sources);
        Conn::open(self.run.target.address, source).await
    }

    /// The head of a request with a body of so many bytes.
    pub(crate) fn head(&self, request: &Request, bytes: Option<u64>, more: &str) -> String {
        let (method, path, fields) = (request.method, &request.path, &request.fields);
        let host = &self.run.target.host;
        let length = match bytes {
            Some(bytes) => {
                let bytes = bytes + (request.before.len() + request.after.len()) as u64;
                format!("Content-Length: {bytes}\r\n")
            }
            None => String::new(),
        };
        format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: ddx-load\r\n{length}{fields}{more}\r\n"
        )
    }

    /// Sends a request with a piece of a file as its body, and waits for its answer.
    pub(crate) async fn send(&mut self, request: &Request, piece: Piece) -> Result<Answer, Fault> {
        let run = Arc::clone(&self.run);
        let head = self.head(request, Some(piece.bytes), "");
        let mut conn = self.take_conn().await?;
        let sent = if piece.bytes <= TOGETHER_BYTES_MAX {
            let bytes = usize::try_from(piece.bytes).unwrap_or(0);
            let [first, second] = run.pool.slices(piece.k, piece.at, bytes);
            let all = [request.before.as_slice(), first, second, &request.after];
            conn.send(head.as_bytes(), &all).await?
        } else {
            let mut sent = conn.send(head.as_bytes(), &[&request.before]).await?;
            if sent == Sent::Whole {
                sent = conn.send_piece(&run.pool, piece).await?;
            }
            if sent == Sent::Whole && !request.after.is_empty() {
                sent = conn.send(&request.after, &[]).await?;
            }
            sent
        };
        self.answer(conn, sent).await
    }

    /// Sends a request without a body, and waits for its answer.
    pub(crate) async fn ask(&mut self, request: &Request) -> Result<Answer, Fault> {
        let bytes = (request.method != "GET").then_some(0);
        let head = self.head(request, bytes, "");
        let mut conn = self.take_conn().await?;
        let sent = conn.send(head.as_bytes(), &[]).await?;
        self.answer(conn, sent).await
    }

    /// Waits for the answer, and keeps the connection if it can be used again.
    pub(crate) async fn answer(&mut self, mut conn: Conn, sent: Sent) -> Result<Answer, Fault> {
        let head = conn.head().await?;
        let text = conn.text(&head).await?;
        self.keep(conn, &head, sent);
        Answer::new(head, text)
    }

    fn keep(&mut self, conn: Conn, head: &Head, sent: Sent) {
        let is_usable = !head.is_last && head.content() != Content::UntilClose;
        self.conn = (is_usable && sent == Sent::Whole).then_some(conn);
    }

    /// Fetches a path to `sink`, through `scratch`.
    pub(crate) async fn fetch(
        &mut self,
        path: &str,
        scratch: &mut [u8],
        sink: impl FnMut(&[u8]),
    ) -> Result<(), Fault> {
        let request = Request {
            method: "GET",
            path: path.to_owned(),
            // Some servers show a page where the request does not ask for bytes.
            fields: "Accept: */*\r\n".to_owned(),
            ..Request::default()
        };
        let head = self.head(&request, None, "");
        let mut conn = self.take_conn().await?;
        let sent = conn.send(head.as_bytes(), &[]).await?;
        let head = conn.head().await?;
        if head.status != 200 {
            let text = conn.text(&head).await?;
            self.keep(conn, &head, sent);
            let shown: String = text.trim().chars().take(SHOWN_CHARS).collect();
            let told = format!("GET {path}: {shown}");
            return Err(Fault::new(format!("fetch: status {}", head.status), told));
        }
        conn.content(&head, scratch, sink).await?;
        self.keep(conn, &head, sent);
        Ok(())
    }
}
