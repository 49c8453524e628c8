//! The floor over its own socket: what is put is what is read, in one thread and in two, and after
//! `100 Continue`.
#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

struct Floor {
    child: Child,
    address: String,
    _dir: tempfile::TempDir,
}

impl Floor {
    fn start(more: &[&str]) -> Self {
        let dir = tempfile::TempDir::new_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_ddx-floor"))
            .args(["--listen", "127.0.0.1:0", "--dir"])
            .arg(dir.path())
            .args(more)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let stdout = child.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on http://").unwrap();
        Self {
            address: address.to_owned(),
            child,
            _dir: dir,
        }
    }

    fn connect(&self) -> BufReader<TcpStream> {
        BufReader::new(TcpStream::connect(&self.address).unwrap())
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The next answer: its head and as much content as it announces.
fn answer(connection: &mut BufReader<TcpStream>) -> (String, Vec<u8>) {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert_ne!(connection.read_line(&mut head).unwrap(), 0, "{head}");
    }
    let mut lines = head.lines();
    let length = lines.find_map(|line| line.strip_prefix("Content-Length: "));
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    connection.read_exact(&mut body).unwrap();
    (head, body)
}

fn send(connection: &mut BufReader<TcpStream>, bytes: &[u8]) {
    connection.get_mut().write_all(bytes).unwrap();
}

fn put_and_get(connection: &mut BufReader<TcpStream>, length: usize, seed: usize) {
    let content: Vec<u8> = (0..length)
        .map(|at| ((at * 7 + at / 255 + seed) % 251) as u8)
        .collect();
    send(
        connection,
        format!(
            "PUT /x HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\nExpect: 100-continue\r\n\r\n"
        )
        .as_bytes(),
    );
    let (head, _) = answer(connection);
    assert!(head.starts_with("HTTP/1.1 100 "), "{head}");
    send(connection, &content);
    let (head, digest) = answer(connection);
    assert!(head.starts_with("HTTP/1.1 201 "), "{head}");
    let digest = String::from_utf8(digest).unwrap();
    assert_eq!(digest.trim(), blake3::hash(&content).to_hex().as_str());
    let location = head
        .lines()
        .find_map(|line| line.strip_prefix("Location: "))
        .unwrap();
    let get = format!("GET {location} HTTP/1.1\r\nHost: x\r\n\r\n");
    send(connection, get.as_bytes());
    let (head, body) = answer(connection);
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert!(body == content, "other bytes come back, of {length}");
}

#[test]
fn what_is_put_is_what_is_read_on_one_connection() {
    for more in [&[][..], &["--clients-many"]] {
        let floor = Floor::start(more);
        let mut connection = floor.connect();
        for (seed, length) in [0, 1, 4096, 1 << 20, (4 << 20) + 1, (13 << 20) + 4095]
            .into_iter()
            .enumerate()
        {
            put_and_get(&mut connection, length, seed);
        }
    }
}

#[test]
fn what_is_no_put_of_known_length_is_refused() {
    let floor = Floor::start(&[]);
    for (request, status) in [
        ("POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n", "405"),
        ("PUT /x HTTP/1.1\r\n\r\n", "411"),
        ("PUT /x HTTP/1.1\r\nContent-Length: x\r\n\r\n", "400"),
        ("GET /../Cargo.toml HTTP/1.1\r\n\r\n", "404"),
        ("GET / HTTP/1.1\r\n\r\n", "404"),
    ] {
        let mut connection = floor.connect();
        send(&mut connection, request.as_bytes());
        let (head, _) = answer(&mut connection);
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
    }
}

#[test]
fn a_body_that_is_cut_leaves_no_file() {
    let floor = Floor::start(&[]);
    let dir = floor._dir.path();
    let mut connection = floor.connect();
    send(
        &mut connection,
        b"PUT /x HTTP/1.1\r\nContent-Length: 100\r\n\r\n12",
    );
    connection
        .get_mut()
        .shutdown(std::net::Shutdown::Write)
        .unwrap();
    let mut rest = Vec::new();
    connection.read_to_end(&mut rest).unwrap();
    assert!(rest.is_empty(), "a file that did not come has no answer");
    // The connection is closed after the file was removed.
    assert_eq!(std::fs::read_dir(dir).unwrap().count(), 0);
}
