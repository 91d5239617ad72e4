//! Clients that are slow, that send too much, that come too many, and the end of the server among them.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::harness::{ADMIN, Answer, Project, Server};

fn started(limits: &str) -> (Project, Server) {
    let project = Project::new(&[
        (
            "one.pipe",
            "NODE n\nSQL >\n    SELECT 1 AS x\nTYPE endpoint\n",
        ),
        (
            "long.pipe",
            "NODE n\nSQL >\n    SELECT sum(sleepEachRow(0.1)) AS slept FROM numbers(20)\nTYPE endpoint\n",
        ),
        (
            "big.pipe",
            "NODE n\nSQL >\n    SELECT number, repeat('x', 1000) AS filler FROM numbers(60000)\nTYPE endpoint\n",
        ),
        (
            "pipewright.toml",
            &format!("[limits]\n{limits}\n[allow]\nfunctions = [\"sleepEachRow\"]\n"),
        ),
    ]);
    let server = Server::start(&project);
    (project, server)
}

/// Reads until the server ends the connection; what came, and how long it took.
fn rest(stream: &mut TcpStream) -> (String, Duration) {
    let started = Instant::now();
    let mut bytes = Vec::new();
    // A reset is an end, too.
    _ = stream.read_to_end(&mut bytes);
    (
        String::from_utf8_lossy(&bytes).into_owned(),
        started.elapsed(),
    )
}

#[test]
fn a_head_that_never_ends_is_cut_off() {
    let (_project, server) = started("idle_timeout_ms = 1000");
    let mut stream = server.connect();
    stream
        .write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: ")
        .expect("sent");
    let mut dripping = stream.try_clone().expect("a handle");
    let drip = std::thread::spawn(move || {
        while dripping.write_all(b"x").is_ok() {
            std::thread::sleep(Duration::from_millis(100));
        }
    });
    let (answer, took) = rest(&mut stream);
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 408"),
        "{answer}"
    );
    assert!(took < Duration::from_secs(10), "{took:?}");
    drop(stream);
    drip.join().expect("no panic");
}

#[test]
fn a_body_that_never_ends_is_cut_off() {
    let (_project, server) = started("client_timeout_ms = 1000");
    let mut stream = server.connect();
    write!(stream, "POST /v0/sql HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {ADMIN}\r\nContent-Length: 100000\r\n\r\n").expect("sent");
    let mut dripping = stream.try_clone().expect("a handle");
    let drip = std::thread::spawn(move || {
        while dripping.write_all(b"x").is_ok() {
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    let (answer, took) = rest(&mut stream);
    assert!(
        answer.starts_with("HTTP/1.1 408") && answer.contains("the body came too slowly"),
        "{answer}"
    );
    assert!(took < Duration::from_secs(10), "{took:?}");
    drop(stream);
    drip.join().expect("no panic");
}

#[test]
fn an_answer_that_is_not_taken_is_cut_off() {
    let (_project, server) = started("client_timeout_ms = 500\nresult_bytes = 1000000000");
    let mut stream = server.connect();
    write!(
        stream,
        "GET /v0/pipes/big.json HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {ADMIN}\r\n\r\n"
    )
    .expect("sent");
    let mut first = [0; 1];
    stream.read_exact(&mut first).expect("it begins");
    std::thread::sleep(Duration::from_secs(4));
    // What was on its way arrives, the rest was never sent.
    let (taken, _) = rest(&mut stream);
    assert!(taken.len() < 50_000_000, "{} bytes", taken.len());
    assert_eq!(server.get("/v0/pipes/one.json").status, 200);
}

#[test]
fn a_body_that_is_too_long_is_refused_before_it_is_read() {
    let (_project, server) = started("body_bytes = 1000");
    let mut stream = server.connect();
    write!(stream, "POST /v0/sql HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {ADMIN}\r\nContent-Length: 1000000000\r\n\r\n").expect("sent");
    let (answer, _) = rest(&mut stream);
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
}

#[test]
fn bodies_that_do_not_fit_in_memory_together_are_turned_away() {
    let (_project, server) = started("body_bytes = 1000000\nbodies_bytes = 1000000");
    let head = format!(
        "POST /v0/sql HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {ADMIN}\r\nContent-Length: 900000\r\nConnection: close\r\n\r\n"
    );
    let part = vec![b' '; 800_000];
    let mut first = server.connect();
    first.write_all(head.as_bytes()).expect("sent");
    first.write_all(&part).expect("sent");
    // Once the server has read the first, there is no room for the second; before that, the second may get it.
    std::thread::sleep(Duration::from_secs(1));
    let until = Instant::now() + Duration::from_secs(20);
    let refused = loop {
        let mut second = server.connect();
        second.write_all(head.as_bytes()).expect("sent");
        _ = second.write_all(&part);
        second
            .set_read_timeout(Some(Duration::from_secs(3)))
            .expect("a socket option");
        let (answer, _) = rest(&mut second);
        if !answer.is_empty() {
            break answer;
        }
        assert!(Instant::now() < until, "both are read");
    };
    assert!(refused.starts_with("HTTP/1.1 429"), "{refused}");
    assert!(
        refused.to_lowercase().contains("retry-after: 1"),
        "{refused}"
    );
    let mut query = vec![b' '; 100_000];
    query[..8].copy_from_slice(b"SELECT 1");
    first.write_all(&query).expect("sent");
    let (answer, _) = rest(&mut first);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[test]
fn a_body_takes_room_until_its_request_is_answered() {
    let (_project, server) = started("body_bytes = 1000000\nbodies_bytes = 1000000");
    let mut query = b"SELECT sum(sleepEachRow(0.1)) FROM numbers(20)".to_vec();
    query.resize(900_000, b' ');
    let ask = || {
        server.ask(
            ADMIN,
            "POST",
            "/v0/sql",
            std::str::from_utf8(&query).expect("text"),
        )
    };
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let first = scope.spawn(ask);
        // Its body is there long before the answer is.
        std::thread::sleep(Duration::from_secs(1));
        let second = scope.spawn(ask);
        [first, second]
            .map(|asked| asked.join().expect("an answer").status)
            .to_vec()
    });
    assert_eq!(statuses, [200, 429]);
    assert_eq!(ask().status, 200);
}

/// Asks for something while something else is under way; the longest that an answer to the first took, and the answer to the other.
fn meanwhile(server: &Server, work: impl FnOnce() -> Answer + Send) -> (Duration, Answer) {
    let mut longest = Duration::ZERO;
    std::thread::scope(|scope| {
        let work = scope.spawn(work);
        while !work.is_finished() {
            let asked = Instant::now();
            assert_eq!(server.get("/health").status, 200);
            longest = longest.max(asked.elapsed());
        }
        (longest, work.join().expect("an answer"))
    })
}

#[test]
fn rows_that_are_unpacked_hold_up_nobody() {
    let (project, server) = started("");
    drop(server);
    project.write(
        "hits.datasource",
        "SCHEMA >\n    `site` String `json:$.site`\n",
    );
    let server = Server::start(&project);
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    for row in 0..1_000_000 {
        writeln!(packed, "{{\"site\":\"{row}\"}}").expect("packed");
    }
    let packed = packed.finish().expect("packed");
    let bearer = format!("Bearer {ADMIN}");
    let started = Instant::now();
    let (longest, answer) = meanwhile(&server, || {
        let headers = [("Authorization", bearer.as_str())];
        server.send("POST", "/v0/events?name=hits", &headers, &packed)
    });
    assert_eq!(answer.status, 202, "{}", answer.text());
    assert!(longest < started.elapsed() / 3, "{longest:?}");
}

#[test]
fn another_process_that_writes_the_state_holds_up_nobody_else() {
    let (project, server) = started("");
    let path = project.path().join(".pipewright/state.sqlite");
    let other = rusqlite::Connection::open(path).expect("the state");
    other.execute_batch("BEGIN IMMEDIATE").expect("a lock");
    let asked = Instant::now();
    let (longest, answer) = std::thread::scope(|scope| {
        let (server, waits) = (&server, Duration::from_secs(2));
        scope.spawn(move || {
            std::thread::sleep(waits);
            other.execute_batch("COMMIT").expect("unlocked");
        });
        meanwhile(server, move || {
            server.ask(ADMIN, "POST", "/v0/tokens?name=late&scope=TOKENS", "")
        })
    });
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(asked.elapsed() > Duration::from_secs(2));
    assert!(longest < Duration::from_secs(1), "{longest:?}");
}

/// A body without a length, longer than bodies may be.
fn send_chunks(server: &Server, path: &str) -> String {
    let mut stream = server.connect();
    write!(stream, "POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {ADMIN}\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n").expect("sent");
    for _ in 0..3 {
        _ = write!(stream, "3e8\r\n{}\r\n", " ".repeat(1000));
    }
    _ = stream.write_all(b"0\r\n\r\n");
    rest(&mut stream).0
}

#[test]
fn what_cannot_be_read_is_answered_as_other_mistakes_are() {
    let (_project, server) = started("body_bytes = 2000");
    for path in [
        "/v0/sql",
        "/v0/pipes/one.json",
        "/v0/events?name=one",
        "/v0/pipes?name=two",
        "/v1/deploy",
    ] {
        let answer = send_chunks(&server, path);
        assert!(answer.starts_with("HTTP/1.1 413"), "{path}: {answer}");
        let body = answer.split("\r\n\r\n").nth(1).unwrap_or_default();
        assert!(
            body.contains("{\"error\":\"the body is longer than 2000 bytes\""),
            "{path}: {answer}"
        );
    }
    for path in [
        "/v0/pipes/%ff.json",
        "/v0/datasources/%ff",
        "/v0/tokens/%ff",
        "/v0/jobs/%ff",
    ] {
        let answer = server.get(path);
        assert_eq!(answer.status, 400, "{path}: {}", answer.text());
        assert!(answer.json()["error"].is_string(), "{path}");
    }
}

#[test]
fn a_client_too_many_waits_until_another_has_gone() {
    let (_project, server) = started("connections = 2");
    let held: Vec<TcpStream> = (0..2).map(|_| server.connect()).collect();
    let mut third = server.connect();
    third
        .write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .expect("sent");
    third
        .set_read_timeout(Some(Duration::from_millis(300)))
        .expect("a socket option");
    let mut byte = [0; 1];
    assert!(third.read(&mut byte).is_err(), "it is not accepted yet");
    drop(held);
    third
        .set_read_timeout(Some(Duration::from_secs(20)))
        .expect("a socket option");
    let (answer, _) = rest(&mut third);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[test]
fn requests_under_way_are_finished_when_the_server_stops() {
    let (_project, server) = started("");
    let mut asked = server.connect();
    write!(
        asked,
        "GET /v0/pipes/long.csv HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {ADMIN}\r\n\r\n"
    )
    .expect("sent");
    // A client that rests keeps nobody waiting.
    let mut idle = server.connect();
    idle.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .expect("sent");
    let mut byte = [0; 1];
    idle.read_exact(&mut byte).expect("an answer");
    std::thread::sleep(Duration::from_millis(500));
    let reading = std::thread::spawn(move || rest(&mut asked));
    let started = Instant::now();
    let (code, messages) = server.interrupt();
    assert_eq!(code, Some(0), "{messages}");
    assert!(started.elapsed() < Duration::from_secs(8));
    let (answer, _) = reading.join().expect("no panic");
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.contains("\"slept\""),
        "{answer}"
    );
    let (_, took) = rest(&mut idle);
    assert!(took < Duration::from_secs(1));
}
