//! `ddx healthcheck`: asks the running server's `/healthz`, for container health checks that have
//! no curl.
//!
//! One plain request over a socket of the standard library: a health check runs every few seconds
//! for the life of a container, and must neither start a runtime nor take memory that uploads could
//! have.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, bail};

use crate::settings::Settings;

/// Longest wait for each step: to connect, to send, to be answered.
const STEP_MAX: Duration = Duration::from_secs(5);
/// More of an answer than this is not read; its first line says all.
const ANSWER_BYTES_MAX: u64 = 4096;

/// Asks the server that these settings start. The text says what was found.
///
/// # Errors
/// Nothing answers there, or the answer is not 2xx.
pub(crate) fn ask(settings: &Settings) -> anyhow::Result<String> {
    let address = reachable(settings.listen)?;
    let mut stream = TcpStream::connect_timeout(&address, STEP_MAX)
        .with_context(|| format!("nothing listens on {address}"))?;
    if settings.tls_cert.is_some() {
        // The name in the certificate is the public one, which this side can't know; that TLS works
        // is for outside checks.
        return Ok(format!(
            "{address} takes connections (it speaks TLS: /healthz was not asked)"
        ));
    }
    stream.set_read_timeout(Some(STEP_MAX))?;
    stream.set_write_timeout(Some(STEP_MAX))?;
    let path = format!("{}/healthz", settings.path_prefix);
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )
    .with_context(|| format!("{address} does not take the request"))?;
    let mut answer = Vec::new();
    stream
        .take(ANSWER_BYTES_MAX)
        .read_to_end(&mut answer)
        .with_context(|| format!("{address} does not answer {path}"))?;
    match status(&answer) {
        Some(status @ 200..=299) => Ok(format!("{address} answers {path} with {status}")),
        Some(status) => bail!("{address} answers {path} with {status}"),
        None => bail!("{address} answers {path} with something that is not HTTP"),
    }
}

/// The address to connect to for a server that listens on `listen`.
fn reachable(listen: SocketAddr) -> anyhow::Result<SocketAddr> {
    if listen.port() == 0 {
        bail!(
            "port 0 takes a free port at each start: give --listen with the port that the server printed"
        );
    }
    let ip = match listen.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    Ok(SocketAddr::new(ip, listen.port()))
}

/// The status code of an HTTP/1 answer.
fn status(answer: &[u8]) -> Option<u16> {
    let line = answer.split(|byte| *byte == b'\r').next()?;
    let mut words = std::str::from_utf8(line).ok()?.split(' ');
    words
        .next()
        .filter(|version| version.starts_with("HTTP/1."))?;
    words.next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        reason = "a test that can't open a socket on loopback has failed"
    )]

    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;

    use super::{ask, reachable};
    use crate::settings::{Settings, load};

    /// A server that answers one request with `answer`, and gives the request's first line back.
    fn server(answer: &'static str) -> (Settings, std::thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let flags = [
            ("listen", listener.local_addr().unwrap().to_string()),
            ("path_prefix", "/up".to_owned()),
        ];
        let settings = load(&flags, None, []).unwrap().settings;
        let thread = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut first = String::new();
            reader.read_line(&mut first).unwrap();
            let mut line = String::from("x");
            while !line.trim().is_empty() {
                line.clear();
                reader.read_line(&mut line).unwrap();
            }
            stream.write_all(answer.as_bytes()).unwrap();
            first
        });
        (settings, thread)
    }

    #[test]
    fn a_healthy_server_is_found_below_its_prefix() {
        let (settings, thread) = server("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
        assert!(ask(&settings).unwrap().ends_with("/up/healthz with 200"));
        assert_eq!(thread.join().unwrap(), "GET /up/healthz HTTP/1.1\r\n");
    }

    #[test]
    fn anything_else_fails_and_says_what_it_was() {
        for (answer, wanted) in [
            ("HTTP/1.1 503 Service Unavailable\r\n\r\n", "with 503"),
            ("SSH-2.0-x\r\n", "not HTTP"),
            ("", "not HTTP"),
        ] {
            let (settings, thread) = server(answer);
            let error = ask(&settings).unwrap_err().to_string();
            assert!(error.contains(wanted), "{error}");
            thread.join().unwrap();
        }
        let closed = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let settings = load(&[("listen", closed.to_string())], None, [])
            .unwrap()
            .settings;
        assert!(
            ask(&settings)
                .unwrap_err()
                .to_string()
                .contains("nothing listens")
        );
    }

    #[test]
    fn the_address_is_one_that_can_be_connected_to() {
        let shown =
            |text: &str| reachable(text.parse().unwrap()).map(|address| address.to_string());
        assert_eq!(shown("0.0.0.0:80").unwrap(), "127.0.0.1:80");
        assert_eq!(shown("[::]:80").unwrap(), "[::1]:80");
        assert_eq!(shown("10.1.2.3:80").unwrap(), "10.1.2.3:80");
        assert!(shown("127.0.0.1:0").is_err());
    }
}
