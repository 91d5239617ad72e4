//! Data sources that are made of rows, and requests whose parameters are a form.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::datasources::{answer_file, rows, send, started};
use crate::harness::{ADMIN, Answer, Project, Server};

/// Fields as `curl -d` sends them.
fn fields(server: &Server, path: &str, body: &str) -> Answer {
    let bearer = format!("Bearer {ADMIN}");
    let kind = "application/x-www-form-urlencoded";
    let headers = [("Authorization", bearer.as_str()), ("Content-Type", kind)];
    server.send("POST", path, &headers, body.as_bytes())
}

#[test]
fn a_file_that_is_refused_leaves_no_data_source() {
    let (_project, server) = started();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gzip, b"a,b\n1,2\n3,4\n").unwrap();
    let mut damaged = gzip.finish().unwrap();
    damaged.truncate(damaged.len() - 5);
    let bearer = format!("Bearer {ADMIN}");
    let narrow = "&schema=a%20String,b%20String";
    for (name, options, body) in [
        ("damaged", "", damaged),
        ("narrow", narrow, b"1\n2\n".to_vec()),
    ] {
        let path = format!("/v0/datasources?mode=create&name={name}&format=csv{options}");
        let refused = server.send("POST", &path, &[("Authorization", &bearer)], &body);
        assert_eq!(refused.status, 400, "{name}: {}", refused.text());
        let found = server.get(&format!("/v0/datasources/{name}"));
        assert_eq!(found.status, 404, "{name}: {}", found.text());
        // And the name is free.
        let path = format!("/v0/datasources?mode=create&name={name}&format=csv");
        let made = send(&server, "POST", &path, "a,b\n1,2\n");
        assert_eq!(made.status, 200, "{name}: {}", made.text());
        assert_eq!(rows(&server, &format!("SELECT * FROM {name}")), "1\t2\n");
    }
}

#[test]
fn a_data_source_is_made_of_fields_with_any_delimiter() {
    let (_project, server) = started();
    for (name, options, body) in [
        ("semicolons", "", "id;name\n1;a\n2;b,c\n"),
        ("tabs", "", "id\tname\n1\ta\n2\tb,c\n"),
        ("given", "&dialect_delimiter=~", "id~name\n1~a\n2~b,c\n"),
    ] {
        let path = format!("/v0/datasources?mode=create&name={name}&format=csv{options}");
        let made = send(&server, "POST", &path, body);
        assert_eq!(made.status, 200, "{name}: {}", made.text());
        assert_eq!(
            rows(
                &server,
                &format!("SELECT id + 1, name FROM {name} ORDER BY id")
            ),
            "2\ta\n3\tb,c\n",
            "{name}"
        );
    }
    let analysis = send(&server, "POST", "/v0/analyze?format=csv", "id;name\n1;a\n");
    let columns = &analysis.json()["analysis"]["columns"];
    assert_eq!(columns[1]["name"], "name", "{}", analysis.text());
}

#[test]
fn a_url_and_all_else_may_be_fields_of_a_form() {
    let files = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let host = files.local_addr().expect("an address");
    std::thread::spawn(move || {
        for stream in files.incoming() {
            answer_file(stream.expect("a connection"));
        }
    });
    let allow = format!("[allow]\nurls = [\"http://{host}/exports/\"]\n");
    let hits = "SCHEMA >\n    `site` String `json:$.site`,\n    `hits` UInt32 `json:$.hits`\n";
    let project = Project::new(&[
        ("hits.datasource", hits),
        ("pipewright.toml", allow.as_str()),
    ]);
    let server = Server::start(&project);
    let url: String = form_urlencoded::byte_serialize(
        format!("http://{host}/exports/rows.ndjson?signature=a&more=%2F").as_bytes(),
    )
    .collect();
    for (path, body) in [
        (
            "/v0/datasources?mode=append&name=hits",
            format!("url={url}"),
        ),
        (
            "/v0/datasources",
            format!("name=hits&mode=append&url={url}"),
        ),
        (
            "/v0/datasources?mode=replace&name=hits",
            format!("url={url}&format=ndjson"),
        ),
        ("/v1/datasources/hits/append", format!("url={url}")),
        (
            "/v0/datasources",
            format!("name=made&mode=create&url={url}"),
        ),
    ] {
        let answer = fields(&server, path, &body);
        assert_eq!(answer.status, 200, "{path} {body}: {}", answer.text());
        let written = answer.json();
        let all = written["successful_rows"].as_u64().unwrap()
            + written["quarantined_rows"].as_u64().unwrap();
        assert_eq!(all, 3, "{path} {body}: {written}");
    }
    assert_eq!(rows(&server, "SELECT count() FROM hits"), "4\n");
    assert_eq!(rows(&server, "SELECT count() FROM made"), "3\n");
    let body = format!("url=http://{host}/other/rows.ndjson");
    let refused = fields(&server, "/v0/datasources?mode=append&name=hits", &body);
    assert_eq!(refused.status, 400, "{}", refused.text());
    // What the other server says of it is not shown.
    let body = format!("url=http://{host}/exports/missing");
    let refused = fields(&server, "/v0/datasources?mode=append&name=hits", &body);
    assert_eq!(refused.status, 400, "{}", refused.text());
    assert!(!refused.text().contains("body"), "{}", refused.text());
    // Rows are rows, also where they are called a form.
    let path = "/v0/datasources?mode=append&name=hits&format=csv";
    let answer = fields(&server, path, "url=x,1\nurl=http://y,2\n");
    assert_eq!(
        answer.json()["successful_rows"],
        json!(2),
        "{}",
        answer.text()
    );
}

/// Rows that are told to be taken are never thrown away with a data source that was made for a file which is refused.
#[test]
fn what_others_were_told_is_kept_stays_when_a_file_is_refused() {
    let (_project, server) = started();
    let bearer = format!("Bearer {ADMIN}");
    let file = "1\n".repeat(2_000_000);
    let mut taken = 0;
    for round in 0..20 {
        let name = format!("made{round}");
        let is_over = AtomicBool::new(false);
        let acknowledged = std::thread::scope(|scope| {
            let pushing = scope.spawn(|| {
                let path = format!("/v0/events?name={name}");
                let mut acknowledged = 0;
                while !is_over.load(Ordering::SeqCst) {
                    let sent = send(&server, "POST", &path, "{\"a\":\"x\",\"b\":\"y\"}\n");
                    acknowledged += u64::from(sent.status == 202);
                }
                acknowledged
            });
            let path = format!(
                "/v0/datasources?mode=create&name={name}&format=csv&schema=a%20String,b%20String"
            );
            let headers = [("Authorization", bearer.as_str())];
            let refused = server.send("POST", &path, &headers, file.as_bytes());
            assert_eq!(refused.status, 400, "{}", refused.text());
            is_over.store(true, Ordering::SeqCst);
            pushing.join().unwrap()
        });
        if acknowledged == 0 {
            continue;
        }
        taken += 1;
        let found = server.get(&format!("/v0/datasources/{name}"));
        assert_eq!(
            found.status, 200,
            "{acknowledged} rows of `{name}` are gone"
        );
        let count = format!("SELECT count() FROM {name}");
        let deadline = Instant::now() + Duration::from_secs(20);
        while rows(&server, &count) != format!("{acknowledged}\n") {
            assert!(
                Instant::now() < deadline,
                "{acknowledged} rows are not in `{name}`"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        if taken == 3 {
            return;
        }
    }
    panic!("no row came in between");
}

#[test]
fn rows_that_are_in_are_told_to_be_in_whatever_cannot_be_noted() {
    let (project, server) = started();
    let state = project.path().join(".pipewright/state.sqlite");
    let connection = rusqlite::Connection::open(state).unwrap();
    connection
        .execute_batch(
            "CREATE TRIGGER full BEFORE INSERT ON jobs BEGIN SELECT RAISE(FAIL, 'no room'); END",
        )
        .unwrap();
    let made = send(
        &server,
        "POST",
        "/v0/datasources?name=noted&schema=a%20String",
        "",
    );
    assert_eq!(made.status, 200, "{}", made.text());
    let sent = send(
        &server,
        "POST",
        "/v1/datasources/noted/append?format=csv",
        "x\ny\n",
    );
    assert_eq!(sent.status, 200, "{}", sent.text());
    assert_eq!(sent.json()["successful_rows"], 2, "{}", sent.text());
    assert_eq!(rows(&server, "SELECT count() FROM noted"), "2\n");
}
