//! Answers that come before the body of the request was read.

use std::io::{Read as _, Write as _};
use std::time::Duration;

use crate::harness::{ADMIN, Project, Server};

#[test]
fn who_is_answered_before_the_body_was_read_is_told_that_the_connection_ends() {
    let project = Project::new(&[
        (
            "one.pipe",
            "NODE n\nSQL >\n    SELECT 1 AS x\nTYPE endpoint\n",
        ),
        ("pipewright.toml", "[limits]\nbody_bytes = 1000\n"),
    ]);
    let server = Server::start(&project);
    let ask = |path: &str, token: &str, length: usize| {
        let mut stream = server.connect();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .expect("a socket option");
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).expect("sent");
        let mut answer = Vec::new();
        let mut piece = [0; 4096];
        // Up to the end of the head: the body of the request is still to come.
        while !answer.windows(4).any(|window| window == b"\r\n\r\n") {
            match stream.read(&mut piece) {
                Ok(read) if read > 0 => answer.extend_from_slice(&piece[..read]),
                _ => break,
            }
        }
        String::from_utf8_lossy(&answer).to_lowercase()
    };
    for (path, token, length, status) in [
        ("/v0/pipes/one.json", ADMIN, 5000, "413"),
        ("/v0/pipes/one.json", "unknown", 500, "403"),
        ("/v0/nowhere", ADMIN, 5, "404"),
    ] {
        let answer = ask(path, token, length);
        assert!(
            answer.starts_with(&format!("http/1.1 {status}")),
            "{path}: {answer}"
        );
        assert!(answer.contains("\r\nconnection: close"), "{path}: {answer}");
    }
    // One whose body was read stays open for the next.
    let mut stream = server.connect();
    let request = format!(
        "POST /v0/pipes/one.csv HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {ADMIN}\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 3\r\n\r\na=1"
    );
    for _ in 0..2 {
        stream.write_all(request.as_bytes()).expect("sent");
        let mut answer = String::new();
        let mut piece = [0; 4096];
        while !answer.ends_with("\"x\"\n1\n") && !answer.ends_with("\"x\"\n1\n\r\n0\r\n\r\n") {
            let read = stream.read(&mut piece).expect("an answer");
            assert!(read > 0, "{answer}");
            answer.push_str(&String::from_utf8_lossy(&piece[..read]).to_lowercase());
        }
        assert!(!answer.contains("connection: close"), "{answer}");
    }
}
