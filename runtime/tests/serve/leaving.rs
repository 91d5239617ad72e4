//! What every answer has on it, and how it leaves.

use std::io::{Read as _, Write as _};
use std::time::Instant;

use crate::harness::{ADMIN, Answer, Project, Server};

fn project() -> Project {
    Project::new(&[
        (
            "pipewright.toml",
            "[allow]\nfunctions = [\"sleepEachRow\"]\nsettings = [\"max_block_size\"]\n",
        ),
        ("rows.datasource", "SCHEMA >\n    `id` UInt32\n"),
        (
            "many.pipe",
            "NODE n\nSQL >\n    %\n    SELECT number AS id, concat('a word that comes again ', toString(number % 7)) AS text FROM numbers({{UInt32(most, 3)}})\n\nTYPE endpoint\n",
        ),
        (
            "slow.pipe",
            "NODE n\nSQL >\n    SELECT number AS id, sleepEachRow(0.5) AS slept FROM numbers(4) SETTINGS max_block_size = 1\n\nTYPE endpoint\n",
        ),
    ])
}

fn get(server: &Server, path: &str, accepts: Option<&str>) -> Answer {
    let bearer = format!("Bearer {ADMIN}");
    let mut headers = vec![("Authorization", bearer.as_str())];
    headers.extend(accepts.map(|accepts| ("Accept-Encoding", accepts)));
    server.send("GET", path, &headers, b"")
}

fn unpacked(answer: &Answer) -> String {
    let (mut text, body) = (String::new(), answer.body.as_slice());
    if answer.headers.contains("content-encoding: gzip") {
        let mut decoder = flate2::read::GzDecoder::new(body);
        decoder.read_to_string(&mut text).expect("gzip");
    } else if answer.headers.contains("content-encoding: zstd") {
        text = String::from_utf8(zstd::decode_all(body).expect("zstd")).expect("a text");
    } else {
        panic!("not compressed: {}", answer.headers);
    }
    text
}

#[test]
fn long_answers_are_compressed_for_who_asks() {
    let project = project();
    let server = Server::start(&project);
    for path in [
        "/v0/pipes/many.ndjson?most=200000",
        "/v0/pipes/many.csv?most=200000",
        "/v0/sql?q=SELECT%20text%20FROM%20many%20FORMAT%20JSONCompact&most=5000",
        "/openapi.json",
        "/page.js",
    ] {
        let whole = get(&server, path, None);
        assert_eq!(whole.status, 200, "{path}: {}", whole.text());
        assert!(
            !whole.headers.contains("content-encoding"),
            "{path}: {}",
            whole.headers
        );
        for accepts in ["gzip", "br;q=1, zstd;q=0.5"] {
            let packed = get(&server, path, Some(accepts));
            assert!(
                packed.body.len() * 2 < whole.body.len(),
                "{path}: {}",
                packed.body.len()
            );
            assert!(
                packed.headers.contains("vary: accept-encoding"),
                "{path}: {}",
                packed.headers
            );
            let without_time = |text: &str| {
                let lines = text.lines().filter(|line| !line.contains("\"elapsed\""));
                lines.map(ToOwned::to_owned).collect::<Vec<_>>()
            };
            let same = without_time(&unpacked(&packed)) == without_time(&whole.text());
            assert!(same, "{path} {accepts}");
        }
        for accepts in ["identity", "br", "gzip;q=0"] {
            let plain = get(&server, path, Some(accepts));
            assert!(
                !plain.headers.contains("content-encoding"),
                "{path}: {}",
                plain.headers
            );
        }
    }
    // What is short, or packed already, is left as it is.
    for path in [
        "/v0/pipes/many.json",
        "/v0/pipes/many.parquet?most=200000",
        "/v0/pipes/nothing.json",
    ] {
        let plain = get(&server, path, Some("gzip, zstd"));
        assert!(
            !plain.headers.contains("content-encoding"),
            "{path}: {}",
            plain.headers
        );
    }
}

#[test]
fn a_compressed_answer_comes_while_its_query_runs() {
    let project = project();
    let server = Server::start(&project);
    let mut stream = server.connect();
    let started = Instant::now();
    write!(stream, "GET /v0/pipes/slow.ndjson HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {ADMIN}\r\nAccept-Encoding: gzip\r\nConnection: close\r\n\r\n").expect("sent");
    let (mut seen, mut piece) = (Vec::new(), [0; 4096]);
    let mut first_row = None;
    loop {
        let read = stream.read(&mut piece).expect("an answer");
        if read == 0 {
            break;
        }
        seen.extend_from_slice(&piece[..read]);
        let body = seen.windows(4).position(|bytes| bytes == b"\r\n\r\n");
        if let Some(at) = body.filter(|_| first_row.is_none())
            && readable(&chunks(&seen[at + 4..])).contains('\n')
        {
            first_row = Some(started.elapsed());
        }
    }
    let whole = started.elapsed();
    let first_row = first_row.expect("rows");
    assert!(first_row * 3 < whole * 2, "{first_row:?} of {whole:?}");
    let at = seen
        .windows(4)
        .position(|bytes| bytes == b"\r\n\r\n")
        .expect("a head");
    let text = readable(&chunks(&seen[at + 4..]));
    assert_eq!(text.lines().count(), 4, "{text}");
}

/// The chunks of a body as far as they have come.
fn chunks(mut body: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    while let Some(end) = body.windows(2).position(|bytes| bytes == b"\r\n") {
        let size = String::from_utf8_lossy(&body[..end]).into_owned();
        let size = usize::from_str_radix(&size, 16).expect("a size");
        let Some(chunk) = body.get(end + 2..end + 2 + size) else {
            break;
        };
        whole.extend_from_slice(chunk);
        body = body.get(end + 4 + size..).unwrap_or(&[]);
    }
    whole
}

/// What can be read of the beginning of packed bytes.
fn readable(packed: &[u8]) -> String {
    let mut decoder = flate2::read::GzDecoder::new(packed);
    let (mut text, mut piece) = (Vec::new(), [0; 64]);
    while let Ok(read @ 1..) = decoder.read(&mut piece) {
        text.extend_from_slice(&piece[..read]);
    }
    String::from_utf8_lossy(&text).into_owned()
}

#[test]
fn answers_are_kept_by_nobody_else_and_are_what_they_say() {
    let project = project();
    let server = Server::start(&project);
    for path in [
        "/v0/pipes/many.json",
        "/v0/pipes/many.csv",
        "/v0/pipes",
        "/v0/nothing",
        "/health",
    ] {
        for accepts in [None, Some("gzip")] {
            let answer = get(&server, path, accepts);
            for header in ["cache-control: private", "x-content-type-options: nosniff"] {
                assert_eq!(
                    answer.headers.matches(header).count(),
                    1,
                    "{path}: {}",
                    answer.headers
                );
            }
        }
    }
}

#[test]
fn a_body_that_is_packed_in_an_unknown_way_is_refused_everywhere() {
    let project = project();
    let server = Server::start(&project);
    let bearer = format!("Bearer {ADMIN}");
    let send = |path: &str, encoding: &str, body: &[u8]| {
        let headers = [
            ("Authorization", bearer.as_str()),
            ("Content-Encoding", encoding),
        ];
        server.send("POST", path, &headers, body)
    };
    for (path, known) in [
        ("/v0/sql", &[][..]),
        ("/v0/pipes", &[]),
        ("/v0/pipes/many.json", &[]),
        ("/v0/tokens?name=t&scope=ADMIN", &[]),
        ("/v1/deploy", &[]),
        ("/v0/events?name=rows", &["gzip"]),
        (
            "/v0/datasources?name=rows&mode=append&format=ndjson",
            &["gzip", "zstd"],
        ),
        ("/v0/analyze?format=ndjson", &["gzip", "zstd"]),
    ] {
        for encoding in ["br", "deflate", "gzip, gzip", "gzip", "zstd"] {
            let answer = send(path, encoding, b"{\"id\": 1}");
            let is_known = known.contains(&encoding);
            assert_eq!(
                answer.status == 415,
                !is_known,
                "{path} {encoding}: {} {}",
                answer.status,
                answer.text()
            );
        }
    }
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packed.write_all(b"{\"id\": 1}").expect("packed");
    let packed = packed.finish().expect("packed");
    for path in [
        "/v0/events?name=rows&wait=true",
        "/v0/datasources?name=rows&mode=append&format=ndjson",
    ] {
        let answer = send(path, "GZIP", &packed);
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        assert_eq!(answer.json()["successful_rows"], 1, "{path}");
    }
}

#[test]
fn who_is_refused_before_the_body_is_read_is_counted() {
    let project = project();
    let server = Server::start(&project);
    for (path, times) in [
        ("/v0/pipes/many.json", 1),
        ("/v0/sql", 2),
        ("/v0/events?name=rows", 3),
        ("/v0/datasources?name=rows&mode=append", 4),
    ] {
        for _ in 0..times {
            let answer = server.send(
                "POST",
                path,
                &[("Authorization", "Bearer nobody")],
                b"q=SELECT+1",
            );
            assert_eq!(answer.status, 403, "{path}: {}", answer.text());
        }
        let route = path
            .split(['?', '.'])
            .next()
            .expect("a path")
            .replace("/many", "");
        let line =
            format!("pipewright_requests_total{{route=\"{route}\",status=\"403\"}} {times}\n");
        let metrics = server.get("/metrics").text();
        assert!(metrics.contains(&line), "{line}{metrics}");
    }
}
