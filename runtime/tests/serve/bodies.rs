//! Bodies of requests: who may send one, how large, and how long they may take.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::json;

use super::harness::{ADMIN, Project, Server};

fn started(limits: &str) -> (Project, Server) {
    let project = Project::new(&[
        (
            "one.pipe",
            "NODE n\nSQL >\n    SELECT 1 AS x\nTYPE endpoint\n",
        ),
        ("pipewright.toml", &format!("[limits]\n{limits}\n")),
    ]);
    let server = Server::start(&project);
    (project, server)
}

/// Begins a request whose body is to be of that length.
fn begin(server: &Server, path: &str, token: Option<&str>, length: usize) -> TcpStream {
    let mut stream = server.connect();
    let bearer = token.map_or_else(String::new, |token| {
        format!("Authorization: Bearer {token}\r\n")
    });
    write!(stream, "POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/x-www-form-urlencoded\r\n{bearer}Content-Length: {length}\r\n\r\n").expect("sent");
    stream
}

/// Reads until the server ends the connection; a reset is an end, too.
fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    _ = stream.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn a_large_body_is_not_read_before_the_token_is_known() {
    let (_project, server) = started("");
    for (path, token) in [
        ("/v0/pipes/one.json", None),
        ("/v0/pipes/one.json", Some("unknown")),
        ("/v0/sql?token=unknown", None),
        ("/v0/pipes", None),
        ("/v0/events?name=one", None),
        ("/v0/datasources", None),
    ] {
        // Nothing of the body is sent: the answer comes all the same.
        let mut stream = begin(&server, path, token, 10_000_000);
        let answer = rest(&mut stream);
        assert!(answer.starts_with("HTTP/1.1 403"), "{path}: {answer}");
    }
    // A body that does not say its length is read up to where it is no small one.
    let mut stream = server.connect();
    write!(stream, "POST /v0/pipes/one.json HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n").expect("sent");
    let chunk = format!("2710\r\n{}\r\n", "a".repeat(10_000));
    for _ in 0..7 {
        stream.write_all(chunk.as_bytes()).expect("sent");
    }
    let answer = rest(&mut stream);
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
}

#[test]
fn a_small_body_may_hold_the_token() {
    let (_project, server) = started("");
    let form = format!("x=1&token={ADMIN}");
    let json = format!("{{\"x\": 1, \"token\": \"{ADMIN}\"}}");
    for (kind, body) in [
        ("application/x-www-form-urlencoded", &form),
        ("application/json", &json),
        ("text/plain", &json),
    ] {
        let headers = [("Content-Type", kind)];
        let answer = server.send("POST", "/v0/pipes/one.json", &headers, body.as_bytes());
        assert_eq!(answer.status, 200, "{kind}: {}", answer.text());
    }
}

#[test]
fn a_request_has_some_thousand_parameters_and_no_more() {
    let (_project, server) = started("");
    let form = |count: usize| vec!["a="; count].join("&");
    let json = |count: usize| format!("{{\"a\": [{}]}}", vec!["0"; count].join(","));
    let ask = |body: &str| server.ask(ADMIN, "POST", "/v0/pipes/one.json", body);
    assert_eq!(ask(&form(5000)).status, 200);
    assert_eq!(ask(&json(50_000)).status, 200);
    // Commas in a text are no values.
    let text = format!("{{\"a\": \"\\\"{}\"}}", ",".repeat(200_000));
    assert_eq!(ask(&text).status, 200);
    for body in [form(5001), form(3_000_000), json(200_000)] {
        let refused = ask(&body);
        assert_eq!(refused.status, 400, "{}", refused.text());
        assert!(
            refused.text().contains("at most 5000 parameters")
                || refused.text().contains("more than 100000 values"),
            "{}",
            refused.text()
        );
    }
    let refused = server.get(&format!("/v0/pipes/one.json?{}", vec!["a"; 5001].join("&")));
    assert_eq!(refused.status, 400, "{}", refused.text());
}

#[test]
fn small_bodies_get_in_when_large_ones_have_taken_the_room() {
    let (_project, server) = started("body_bytes = 1000000\nbodies_bytes = 1000000");
    let mut first = begin(&server, "/v0/sql", Some(ADMIN), 1_000_000);
    first.write_all(&vec![b' '; 999_000]).expect("sent");
    std::thread::sleep(Duration::from_secs(1));
    let mut large = begin(&server, "/v0/sql", Some(ADMIN), 500_000);
    _ = large.write_all(&vec![b' '; 500_000]);
    let refused = rest(&mut large);
    assert!(refused.starts_with("HTTP/1.1 429"), "{refused}");
    let answer = server.ask(
        ADMIN,
        "POST",
        "/v0/sql",
        &format!("SELECT 1{}", " ".repeat(50_000)),
    );
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[test]
fn a_body_has_an_end_however_steadily_it_comes() {
    let (_project, server) = started("client_timeout_ms = 400");
    let asked = Instant::now();
    let mut stream = begin(&server, "/v0/sql", Some(ADMIN), 100_000);
    // Fast enough for a client that may be slow for as many seconds as it has sent kilobytes.
    stream.write_all(&vec![b' '; 20_000]).expect("sent");
    let mut dripping = stream.try_clone().expect("a handle");
    let drip = std::thread::spawn(move || {
        while dripping.write_all(b" ").is_ok() {
            std::thread::sleep(Duration::from_millis(100));
        }
    });
    let answer = rest(&mut stream);
    assert!(
        answer.starts_with("HTTP/1.1 408") && answer.contains("the body came too slowly"),
        "{answer}"
    );
    assert!(
        asked.elapsed() < Duration::from_secs(10),
        "{:?}",
        asked.elapsed()
    );
    drop(stream);
    drip.join().expect("no panic");
}

#[test]
fn many_parameters_of_one_kind_take_no_longer_than_others() {
    let (_project, server) = started("");
    let keys = (0..4900).map(|key| format!("engine_{key}=x"));
    let keys = keys.collect::<Vec<_>>().join("&");
    let body = format!("name=many&schema=a%20Int32&{keys}");
    let asked = Instant::now();
    let refused = server.ask(ADMIN, "POST", "/v0/datasources", &body);
    assert_eq!(refused.status, 400, "{}", refused.text());
    let nodes: Vec<_> = (0..10_000)
        .map(|node| json!({ "name": format!("n{node}"), "sql": "" }))
        .collect();
    let body = json!({ "name": "many", "nodes": nodes }).to_string();
    assert_eq!(server.ask(ADMIN, "POST", "/v0/pipes", &body).status, 400);
    let mut node = json!({ "name": "n", "sql": "SELECT 1", "type": "materialized" });
    for key in 0..40_000 {
        node[format!("engine_{key}")] = "x".into();
    }
    let body = json!({ "name": "many", "nodes": [node] }).to_string();
    let refused = server.ask(ADMIN, "POST", "/v0/pipes", &body);
    assert_eq!(refused.status, 400, "{}", refused.text());
    assert!(refused.text().contains("at most 64"), "{}", refused.text());
    assert!(
        asked.elapsed() < Duration::from_secs(10),
        "{:?}",
        asked.elapsed()
    );
}
