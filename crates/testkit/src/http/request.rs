//! A request's head, with no more in it than the test gave.

use std::fmt;
use std::net::SocketAddr;

/// A request's head.
#[derive(Debug, Clone)]
pub struct Request {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
}

impl Request {
    /// A request for `target` (path and query).
    pub fn new(method: &str, target: &str) -> Self {
        Self {
            method: method.to_owned(),
            target: target.to_owned(),
            headers: Vec::new(),
        }
    }

    /// Adds a header.
    pub fn header(mut self, name: &str, value: impl fmt::Display) -> Self {
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }

    /// Adds several headers.
    pub fn headers(mut self, headers: &[(&str, &str)]) -> Self {
        self.headers.extend(
            headers
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        );
        self
    }

    /// The method.
    pub fn method(&self) -> &str {
        &self.method
    }

    /// Path and query.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The header fields that the test gave, in their order.
    pub fn fields(&self) -> &[(String, String)] {
        &self.headers
    }

    /// Whether the test gave this header.
    pub fn has(&self, name: &str) -> bool {
        self.headers
            .iter()
            .any(|(key, _)| key.eq_ignore_ascii_case(name))
    }

    /// The same with `Content-Length` for this body, where there is one or the method has one, and
    /// the test gave no other end of it.
    pub fn with_length_of(self, body: &[u8]) -> Self {
        let has_end = self.has("content-length") || self.has("transfer-encoding");
        let has_body = !body.is_empty() || matches!(self.method(), "POST" | "PUT" | "PATCH");
        match has_body && !has_end {
            true => self.header("Content-Length", body.len()),
            false => self,
        }
    }

    /// The head as it goes over the wire; `Host` is added if the test gave none.
    pub fn head_bytes(&self, host: SocketAddr) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        if !self.has("host") {
            head.push_str(&format!("Host: {host}\r\n"));
        }
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        head.into_bytes()
    }
}
