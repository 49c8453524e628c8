//! Server-sent events, as the HTML standard has them.

use anyhow::{Result, ensure};

use crate::{Body, Conn, Request};

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its name (`message` if the server gave none).
    pub name: String,
    /// Its data, lines joined.
    pub data: String,
}

impl Event {
    /// The data as JSON.
    pub fn json(&self) -> Result<serde_json::Value> {
        Ok(serde_json::from_str(&self.data)?)
    }
}

/// An open stream of events.
#[derive(Debug)]
pub struct Events {
    conn: Conn,
    body: Body,
    buffer: Vec<u8>,
}

impl Events {
    pub(crate) async fn open(mut conn: Conn, path: &str) -> Result<Self> {
        conn.send_head(&Request::new("GET", path).header("Accept", "text/event-stream"))
            .await?;
        let head = conn.head().await?;
        ensure!(head.status == 200, "events at {path}: {head:?}");
        ensure!(
            head.get("content-type")
                .is_some_and(|kind| kind.starts_with("text/event-stream")),
            "no event stream: {head:?}"
        );
        let body = Conn::body_of(&head, "GET")?;
        Ok(Self {
            conn,
            body,
            buffer: Vec::new(),
        })
    }

    /// The next event; `None` when the server ends the stream. Comments are passed over.
    pub async fn next(&mut self) -> Result<Option<Event>> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|two| two == b"\n\n") {
                let block: Vec<u8> = self.buffer.drain(..end + 2).collect();
                if let Some(event) = parse(&String::from_utf8_lossy(&block)) {
                    return Ok(Some(event));
                }
                continue;
            }
            match self.conn.next(&mut self.body).await? {
                Some(piece) => self
                    .buffer
                    .extend(piece.into_iter().filter(|byte| *byte != b'\r')),
                None => return Ok(None),
            }
        }
    }

    /// Reads on until an event of that name satisfies `wanted`; errs when the stream ends before.
    pub async fn until(
        &mut self,
        name: &str,
        mut wanted: impl FnMut(&serde_json::Value) -> bool,
    ) -> Result<serde_json::Value> {
        let mut seen = 0;
        while let Some(event) = self.next().await? {
            seen += 1;
            if event.name == name {
                let value = event.json()?;
                if wanted(&value) {
                    return Ok(value);
                }
            }
        }
        anyhow::bail!("the stream ended after {seen} events without the one wanted")
    }
}

fn parse(block: &str) -> Option<Event> {
    let mut name = "message".to_owned();
    let mut data = Vec::new();
    for line in block.lines().filter(|line| !line.starts_with(':')) {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut name),
            "data" => data.push(value),
            _ => {}
        }
    }
    (!data.is_empty()).then(|| Event {
        name,
        data: data.join("\n"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_read_as_the_standard_says() {
        assert_eq!(parse(": keep-alive\n\n"), None);
        assert_eq!(
            parse("data: a\ndata:b\n\n"),
            Some(Event {
                name: "message".into(),
                data: "a\nb".into()
            })
        );
        assert_eq!(
            parse("event: file\nid: 3\ndata: {\"x\": 1}\n\n"),
            Some(Event {
                name: "file".into(),
                data: "{\"x\": 1}".into()
            })
        );
    }
}
