//! Answers, and what a test expects of them.

use std::ops::Deref;

use anyhow::{Context, Result, ensure};

/// An answer's head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The status code.
    pub status: u16,
    /// Header fields in order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Interim answers (1xx) that came before.
    pub interim: Vec<Head>,
}

impl Head {
    /// The first field of that name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// The first field of that name, which must be there.
    pub fn field(&self, name: &str) -> Result<&str> {
        self.get(name)
            .with_context(|| format!("the answer has no {name}: {self:?}"))
    }

    /// A field that must be a whole number.
    pub fn number(&self, name: &str) -> Result<u64> {
        let text = self.field(name)?;
        text.parse()
            .with_context(|| format!("{name}: {text} is not a number"))
    }

    pub(super) fn has_token(&self, name: &str, token: &str) -> bool {
        self.get(name).is_some_and(|value| {
            value
                .split(',')
                .any(|part| part.trim().eq_ignore_ascii_case(token))
        })
    }

    /// Whether the server will close the connection after this answer.
    pub fn closes(&self) -> bool {
        self.has_token("connection", "close")
    }

    pub(super) fn parse(text: &str) -> Result<Self> {
        let mut lines = text.split("\r\n");
        let first = lines.next().unwrap_or("");
        ensure!(
            first.starts_with("HTTP/1.1 ") || first.starts_with("HTTP/1.0 "),
            "not an answer: {first:?}"
        );
        let status = first
            .get(9..12)
            .and_then(|code| code.parse().ok())
            .with_context(|| format!("no status in {first:?}"))?;
        let mut headers = Vec::new();
        for line in lines.filter(|line| !line.is_empty()) {
            let (name, value) = line
                .split_once(':')
                .with_context(|| format!("no colon in {line:?}"))?;
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        Ok(Self {
            status,
            headers,
            interim: Vec::new(),
        })
    }
}

/// A whole answer.
#[derive(Debug, Clone)]
pub struct Response {
    /// Its head, also by dereference.
    pub head: Head,
    /// Its content.
    pub body: Vec<u8>,
}

impl Deref for Response {
    type Target = Head;
    fn deref(&self) -> &Head {
        &self.head
    }
}

impl Response {
    /// The content as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The content as JSON.
    pub fn json(&self) -> Result<serde_json::Value> {
        serde_json::from_slice(&self.body)
            .with_context(|| format!("{} {}", self.status, self.text()))
    }

    /// Errs, with the whole answer, unless the status is the one expected.
    pub fn expect(self, status: u16) -> Result<Self> {
        ensure!(
            self.status == status,
            "expected {status}, got {} {:?}\n{}",
            self.status,
            self.head.headers,
            self.text()
        );
        Ok(self)
    }

    /// Errs unless this is a refusal as RFC 9457 has it, with this status and the members that say
    /// what to do.
    pub fn expect_problem(self, status: u16) -> Result<serde_json::Value> {
        let answer = self.expect(status)?;
        ensure!(
            answer
                .get("content-type")
                .is_some_and(|kind| kind.starts_with("application/problem+json")),
            "no problem document: {answer:?}"
        );
        let problem = answer.json()?;
        for member in ["type", "title", "detail"] {
            ensure!(
                problem[member]
                    .as_str()
                    .is_some_and(|text| !text.is_empty()),
                "no {member} in {problem}"
            );
        }
        ensure!(
            problem["status"] == status,
            "the document's status differs: {problem}"
        );
        Ok(problem)
    }
}
