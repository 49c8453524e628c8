//! The binary against servers that do wrong: it must say so, in numbers and in its exit code.
//!
//! Each server is a few lines that keep what is sent in memory and then lie about it in one way.
//! What a right server looks like is tested end to end with the real one.
#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

/// How a server does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wrong {
    /// It does right.
    Nothing,
    /// One byte of what it gives back is another one.
    Byte,
    /// What it gives back lacks its last byte.
    Short,
    /// It ends the content before the length that it told.
    Cut,
    /// It refuses what is sent, before it is all there.
    Refuses,
    /// It never answers.
    Silent,
    /// It ends the connection instead of answering.
    Closes,
    /// It answers with something else than HTTP.
    Babbles,
    /// It tells an offset that is not where the upload is.
    Offset,
}

type Files = Arc<Mutex<HashMap<String, Vec<u8>>>>;

/// Starts a server; its URL.
fn server(wrong: Wrong) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let files = Files::default();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let files = Arc::clone(&files);
            std::thread::spawn(move || while_open(stream.unwrap(), &files, wrong));
        }
    });
    url
}

fn while_open(stream: TcpStream, files: &Files, wrong: Wrong) {
    let mut stream = BufReader::new(stream);
    while one(&mut stream, files, wrong).is_some() {}
}

/// One request and its answer; `None` ends the connection.
fn one(stream: &mut BufReader<TcpStream>, files: &Files, wrong: Wrong) -> Option<()> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let (method, rest) = head.split_once(' ')?;
    let path = rest.split(' ').next()?.to_owned();
    let field = |name: &str| {
        let mut lines = head.lines();
        lines.find_map(|line| {
            line.strip_prefix(name)?
                .strip_prefix(": ")
                .map(str::to_owned)
        })
    };
    match wrong {
        Wrong::Closes => return None,
        Wrong::Silent => {
            // Until the client gives up.
            std::io::copy(stream, &mut std::io::sink()).ok()?;
            return None;
        }
        Wrong::Babbles => return answer(stream, "220 mail.example ESMTP\r\n\r\n", b""),
        Wrong::Refuses => {
            let text = b"no room";
            answer(
                stream,
                "HTTP/1.1 507 Insufficient Storage\r\nContent-Length: 7\r\n\r\n",
                text,
            )?;
            std::io::copy(stream, &mut std::io::sink()).ok()?;
            return None;
        }
        _ => {}
    }
    if field("Expect").is_some() {
        answer(stream, "HTTP/1.1 100 Continue\r\n\r\n", b"")?;
    }
    let length = field("Content-Length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    let mut files = files.lock().unwrap();
    match method {
        "GET" => {
            let mut content = files.get(&path)?.clone();
            let last = content.len() - 1;
            match wrong {
                Wrong::Byte => content[last] ^= 1,
                Wrong::Short => drop(content.pop()),
                _ => {}
            }
            let told = content.len();
            if wrong == Wrong::Cut {
                content.pop();
            }
            answer(
                stream,
                &format!("HTTP/1.1 200 OK\r\nContent-Length: {told}\r\n\r\n"),
                &content,
            )?;
            (wrong != Wrong::Cut).then_some(())
        }
        "POST" => {
            let path = format!("/u{}", files.len());
            files.insert(path.clone(), Vec::new());
            answer(
                stream,
                &format!("HTTP/1.1 201 Created\r\nLocation: {path}\r\nContent-Length: 0\r\n\r\n"),
                b"",
            )
        }
        "PATCH" => {
            let content = files.get_mut(&path)?;
            content.extend_from_slice(&body);
            let offset = content.len() - usize::from(wrong == Wrong::Offset);
            answer(
                stream,
                &format!("HTTP/1.1 204 No Content\r\nUpload-Offset: {offset}\r\n\r\n"),
                b"",
            )
        }
        _ => {
            files.insert(path.clone(), body);
            let length = path.len();
            answer(
                stream,
                &format!("HTTP/1.1 201 Created\r\nContent-Length: {length}\r\n\r\n"),
                path.as_bytes(),
            )
        }
    }
}

fn answer(stream: &mut BufReader<TcpStream>, head: &str, body: &[u8]) -> Option<()> {
    stream.get_mut().write_all(head.as_bytes()).ok()?;
    stream.get_mut().write_all(body).ok()
}

fn load(url: &str, words: &str) -> (Output, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_ddx-load"))
        .args(["--to", url])
        .args(words.split(' '))
        .output()
        .unwrap();
    let told = String::from_utf8(output.stdout.clone()).unwrap();
    (output, told)
}

/// Runs against such a server; asserts the exit code and what the result must hold.
#[track_caller]
fn expect(wrong: Wrong, words: &str, code: i32, wanted: &[&str]) {
    let (output, told) = load(&server(wrong), words);
    let words = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{wrong:?}: {told}{words}");
    for wanted in wanted {
        assert!(told.contains(wanted), "{wrong:?}: no {wanted} in {told}");
    }
}

const SMALL: &str = "small --files 20 --connections 3 --verify all";

#[test]
fn a_server_that_does_right_is_found_right() {
    let wanted = &[r#""failures":{}"#, r#""verified":20"#, r#""files":20"#];
    expect(Wrong::Nothing, SMALL, 0, wanted);
    expect(
        Wrong::Nothing,
        &format!("{SMALL} --protocol tus"),
        0,
        wanted,
    );
    expect(
        Wrong::Nothing,
        &format!("{SMALL} --fetch same --rate 1000"),
        0,
        wanted,
    );
    let large = "large --clients 2 --bytes 70MiB --verify all --protocol tus --request-bytes 9MiB";
    expect(
        Wrong::Nothing,
        large,
        0,
        &[r#""verified":2"#, r#""bytes":146800640"#],
    );
    let slow = "slow --clients 30 --over 300ms --arrive 50ms --step 20ms --verify all";
    expect(
        Wrong::Nothing,
        slow,
        0,
        &[r#""verified":30"#, r#""open_ms":{"count":30,"#],
    );
}

#[test]
fn bytes_that_come_back_otherwise_are_seen() {
    expect(
        Wrong::Byte,
        SMALL,
        1,
        &[r#""digests_wrong":20"#, r#""failures":{}"#],
    );
    expect(Wrong::Short, SMALL, 1, &[r#""digests_wrong":20"#]);
    expect(Wrong::Cut, SMALL, 1, &[r#""failures":{"cut answer":20}"#]);
    let large = "large --clients 1 --bytes 66MiB --verify all";
    expect(Wrong::Byte, large, 1, &[r#""digests_wrong":1"#]);
}

#[test]
fn refusals_and_ends_are_counted_by_their_reason() {
    expect(
        Wrong::Refuses,
        "large --clients 3 --bytes 64MiB",
        1,
        &[r#"{"status 507":3}"#],
    );
    expect(
        Wrong::Refuses,
        "slow --clients 3 --over 1s --arrive 1ms",
        1,
        &[r#"{"status 507":3}"#],
    );
    expect(Wrong::Babbles, SMALL, 1, &[r#"{"malformed answer":20}"#]);
    expect(
        Wrong::Closes,
        SMALL,
        1,
        &[r#"{"closed without an answer":20}"#, r#""files":0"#],
    );
    expect(
        Wrong::Offset,
        &format!("{SMALL} --protocol tus"),
        1,
        &[r#"{"wrong offset":20}"#],
    );
}

#[test]
fn a_server_that_is_silent_does_not_hold_the_run() {
    let words = format!("{SMALL} --within 300ms");
    expect(
        Wrong::Silent,
        &words,
        1,
        &[r#"{"not done in time":20}"#, r#""latency_ms":null"#],
    );
}

#[test]
fn connections_that_a_server_ends_are_told_from_those_it_keeps() {
    let words = "stall --connections 5 --for 100ms --where body";
    expect(
        Wrong::Nothing,
        words,
        0,
        &[r#""still_open":5"#, r#""ended":0"#],
    );
    expect(Wrong::Refuses, words, 0, &[r#""still_open":5"#]);
    expect(
        Wrong::Closes,
        words,
        0,
        &[
            r#""ended":5"#,
            r#""answers":{"none":5}"#,
            r#""ended_ms":{"count":5,"#,
        ],
    );
}

#[test]
fn what_cannot_be_run_has_an_exit_code_of_its_own() {
    let (output, told) = load("https://127.0.0.1", "small --files 1");
    assert_eq!((output.status.code(), told.as_str()), (Some(2), ""));
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let (output, told) = load(&format!("http://{closed}"), "small --files 2");
    assert_eq!(
        output.status.code(),
        Some(1),
        "a server that is not there has failed"
    );
    assert!(told.contains(r#"{"connection refused":2}"#), "{told}");
}
