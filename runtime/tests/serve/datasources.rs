//! Data sources over HTTP: files in every shape, what takes rows away, and what fills a view with the rows of before.

use std::time::{Duration, Instant};

use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::harness::{ADMIN, Answer, Project, Server};

const HITS: &str = "TOKEN \"writer\" APPEND\nSCHEMA >\n    `site` String `json:$.site`,\n    `hits` UInt32 `json:$.hits`\n\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"site\"\n";

pub(crate) fn started() -> (Project, Server) {
    let project = Project::new(&[
        ("hits.datasource", HITS),
        (
            "plain.datasource",
            "SCHEMA >\n    `site` String,\n    `hits` UInt32\n",
        ),
    ]);
    let server = Server::start(&project);
    (project, server)
}

pub(crate) fn send(server: &Server, method: &str, path: &str, body: &str) -> Answer {
    let bearer = format!("Bearer {ADMIN}");
    server.send(method, path, &[("Authorization", &bearer)], body.as_bytes())
}

pub(crate) fn form(server: &Server, path: &str, part: &str, file: &str, rows: &str) -> Answer {
    let bearer = format!("Bearer {ADMIN}");
    let body = format!(
        "--line\r\nContent-Disposition: form-data; name=\"{part}\"; filename=\"{file}\"\r\n\r\n{rows}\r\n--line--\r\n"
    );
    let kind = "multipart/form-data; boundary=line";
    let headers = [("Authorization", bearer.as_str()), ("Content-Type", kind)];
    server.send("POST", path, &headers, body.as_bytes())
}

pub(crate) fn rows(server: &Server, sql: &str) -> String {
    let answer = send(server, "POST", "/v0/sql", &format!("{sql} FORMAT TSV"));
    assert_eq!(answer.status, 200, "{sql}: {}", answer.text());
    answer.text()
}

pub(crate) fn ended(server: &Server, asked: &Answer) -> Value {
    assert!(asked.status < 300, "{}", asked.text());
    let asked = asked.json();
    let job = asked.get("job").unwrap_or(&asked);
    let path = format!("/v0/jobs/{}", job["id"].as_str().expect("an id"));
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        let job = server.get(&path).json();
        if ["done", "error", "cancelled"].contains(&job["status"].as_str().expect("a status")) {
            return job;
        }
        assert!(Instant::now() < until, "{job}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The status and the body, with ids and sizes taken out.
pub(crate) fn shape(answer: &Answer) -> String {
    let Ok(mut body) = serde_json::from_slice::<Value>(&answer.body) else {
        return format!("{}\n{}", answer.status, answer.text());
    };
    for place in [
        "/import_id",
        "/id",
        "/job_id",
        "/pipe_id",
        "/datasource/id",
        "/datasource/created_at",
        "/datasource/updated_at",
        "/job/id",
        "/job/job_id",
        "/job/pipe_id",
        "/job/datasource/id",
        "/job/created_at",
        "/job/updated_at",
        "/job/started_at",
        "/job/job_url",
        "/statistics/bytes",
        "/datasource/statistics/bytes",
        "/created_at",
        "/updated_at",
        "/started_at",
        "/job_url",
    ] {
        if let Some(value) = body.pointer_mut(place)
            && !value.is_null()
        {
            *value = "[any]".into();
        }
    }
    format!(
        "{}\n{}",
        answer.status,
        serde_json::to_string_pretty(&body).expect("JSON")
    )
}

#[test]
fn rows_come_as_a_body_or_as_a_part_of_a_form() {
    let (_project, server) = started();
    let lines = "{\"site\":\"a\",\"hits\":1}\n{\"site\":\"b\",\"hits\":\"x\"}\n";
    assert_snapshot!(
        "append_body",
        shape(&send(
            &server,
            "POST",
            "/v0/datasources?name=hits&mode=append",
            lines
        ))
    );
    for (part, file, rows) in [
        ("ndjson", "x", "{\"site\":\"c\",\"hits\":2}\n"),
        ("csv", "rows", "site,hits\nd,3\n"),
        ("file", "rows.csv", "site,hits\ne,4\n"),
        ("file", "rows.ndjson", "{\"site\":\"f\",\"hits\":5}"),
    ] {
        let answer = form(
            &server,
            "/v0/datasources?name=hits&mode=append",
            part,
            file,
            rows,
        );
        assert_eq!(
            (answer.status, answer.json()["successful_rows"].clone()),
            (200, json!(1)),
            "{file}: {}",
            answer.text()
        );
    }
    assert_eq!(
        rows(
            &server,
            "SELECT groupArray(site), sum(hits) FROM (SELECT * FROM hits ORDER BY site)"
        ),
        "['a','c','d','e','f']\t15\n"
    );
    let wrong = [
        ("/v0/datasources?mode=append", "", 400),
        ("/v0/datasources?name=nothing&mode=append", "", 404),
        ("/v0/datasources?name=hits&mode=create", "", 409),
        ("/v0/datasources?name=hits&mode=upsert", "x", 400),
        ("/v0/datasources?name=hits&mode=append&format=xml", "x", 400),
        (
            "/v0/datasources?name=hits&mode=append&format=parquet",
            "x",
            400,
        ),
        (
            "/v0/datasources?name=hits&mode=append&url=http://localhost/x.csv",
            "",
            400,
        ),
        (
            "/v0/datasources?name=plain&mode=append&dialect_delimiter=ab",
            "x",
            400,
        ),
    ];
    for (path, body, status) in wrong {
        let answer = send(&server, "POST", path, body);
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
    }
    assert_eq!(
        form(
            &server,
            "/v0/datasources?name=hits&mode=append&format=xml",
            "file",
            "x",
            ""
        )
        .status,
        400
    );
    assert_eq!(rows(&server, "SELECT count() FROM hits"), "5\n");
}

#[test]
fn rows_are_replaced_deleted_and_truncated() {
    let (_project, server) = started();
    let path = "/v0/datasources?name=plain&mode=append&format=csv";
    assert_eq!(
        send(&server, "POST", path, "site,hits\na,1\nb,2\nc,3\n").status,
        200
    );
    let shown = server.get("/v0/datasources/plain");
    assert_snapshot!("shown", shape(&shown));
    let id = shown.json()["id"].as_str().expect("an id").to_owned();
    assert!(id.starts_with("t_"), "{id}");
    assert_eq!(
        server.get(&format!("/v0/datasources/{id}")).json(),
        shown.json()
    );
    let listed = server.get("/v0/datasources").json();
    assert_eq!(listed["datasources"][1], shown.json());
    // Part of the rows is replaced, then a part is deleted, by the id as well.
    let path = "/v0/datasources?name=plain&mode=replace&format=csv&replace_condition=hits%3E1";
    assert_eq!(
        send(&server, "POST", path, "site,hits\nd,4\ne,5\n").status,
        200
    );
    assert_eq!(
        rows(&server, "SELECT site FROM plain ORDER BY site"),
        "a\nd\ne\n"
    );
    let delete = format!("/v0/datasources/{id}/delete?delete_condition=");
    let counted = send(
        &server,
        "POST",
        &format!("{delete}hits%3E1&dry_run=true"),
        "",
    );
    assert_eq!(
        (counted.status, counted.json()),
        (200, json!({ "rows_to_be_deleted": 2 }))
    );
    let asked = send(&server, "POST", &format!("{delete}site%3D'd'"), "");
    assert_snapshot!("delete", shape(&asked));
    let job = ended(&server, &asked);
    assert_eq!(
        (&job["status"], &job["statistics"]),
        (&json!("done"), &json!({ "rows_deleted": 1 }))
    );
    assert_eq!(
        rows(&server, "SELECT site FROM plain ORDER BY site"),
        "a\ne\n"
    );
    for condition in [
        "",
        "nothing%3D1",
        "1)%20OR%20(1",
        "site%20IN%20(SELECT%20site%20FROM%20hits)",
    ] {
        let answer = send(&server, "POST", &format!("{delete}{condition}"), "");
        assert_eq!(answer.status, 400, "{condition}: {}", answer.text());
    }
    let truncated = send(
        &server,
        "POST",
        &format!("/v0/datasources/{id}/truncate"),
        "",
    );
    assert_eq!((truncated.status, truncated.text().as_str()), (205, ""));
    assert_eq!(rows(&server, "SELECT count() FROM plain"), "0\n");
    assert_eq!(
        send(&server, "POST", "/v0/datasources/nothing/truncate", "").status,
        404
    );
    assert_eq!(
        send(
            &server,
            "POST",
            "/v0/datasources/nothing/delete?delete_condition=1",
            ""
        )
        .status,
        404
    );
}

#[test]
fn a_data_source_is_made_of_the_rows_that_are_sent() {
    let (_project, server) = started();
    let path =
        "/v0/datasources?mode=create&name=made&format=csv&engine=MergeTree&engine_sorting_key=day";
    let made = send(
        &server,
        "POST",
        path,
        "day,visits\n2026-01-01,3\n2026-01-02,4\n",
    );
    assert_eq!(made.status, 200, "{}", made.text());
    let made = made.json();
    assert_eq!(made["successful_rows"], 2, "{made}");
    assert_eq!(made["datasource"]["engine"]["engine_sorting_key"], "day");
    assert_eq!(
        rows(&server, "SELECT day + 1, visits FROM made ORDER BY day"),
        "2026-01-02\t3\n2026-01-03\t4\n"
    );
    // Packed, as a part of a form, and with columns that are given.
    let packed =
        zstd::encode_all(&b"{\"a\":{\"b\":\"x\"},\"n\":1}\n"[..], 0).expect("a packed body");
    let bearer = format!("Bearer {ADMIN}");
    let body = [
        b"--line\r\nContent-Disposition: form-data; name=\"file\"; filename=\"rows.ndjson.zst\"\r\n\r\n",
        &packed[..],
        b"\r\n--line--\r\n",
    ]
    .concat();
    let headers = [
        ("Authorization", bearer.as_str()),
        ("Content-Type", "multipart/form-data; boundary=line"),
    ];
    let path = "/v0/datasources?name=parts&schema=b%20String%20%60json:$.a.b%60,%20n%20UInt8%20%60json:$.n%60";
    let made = server.send("POST", path, &headers, &body);
    assert_eq!(made.status, 200, "{}", made.text());
    assert_eq!(rows(&server, "SELECT * FROM parts"), "x\t1\n");
    // A name that is taken, rows that are none, and a token that may not: nothing is made.
    let path = "/v0/datasources?mode=create&name=made&format=csv";
    assert_eq!(send(&server, "POST", path, "a\n1\n").status, 409);
    let path = "/v0/datasources?mode=create&name=none&format=parquet";
    assert_eq!(send(&server, "POST", path, "no rows").status, 400);
    let path = "/v0/tokens?name=appender&scope=DATASOURCES:APPEND:hits";
    let token = send(&server, "POST", path, "").json()["token"]
        .as_str()
        .expect("a secret")
        .to_owned();
    let path = format!("/v0/datasources?mode=create&name=none&format=csv&token={token}");
    assert_eq!(server.send("POST", &path, &[], b"a\n1\n").status, 403);
    assert_eq!(server.get("/v0/datasources/none").status, 404);
}

#[test]
fn rows_are_read_from_urls_that_the_project_allows() {
    let files = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let host = files.local_addr().expect("an address");
    std::thread::spawn(move || {
        for stream in files.incoming() {
            answer_file(stream.expect("a connection"));
        }
    });
    let allow = format!("[allow]\nurls = [\"http://{host}/exports/\"]\n");
    let project = Project::new(&[
        ("hits.datasource", HITS),
        ("pipewright.toml", allow.as_str()),
    ]);
    let server = Server::start(&project);
    let import = |mode: &str, url: &str| {
        let path =
            format!("/v0/datasources?mode={mode}&name=hits&format=ndjson&url=http://{host}{url}");
        send(&server, "POST", &path, "")
    };
    let appended = import("append", "/exports/rows.ndjson?signature=secret");
    assert_eq!(appended.status, 200, "{}", appended.text());
    assert_eq!(appended.json()["successful_rows"], 2);
    assert_eq!(appended.json()["quarantined_rows"], 1);
    assert_eq!(import("replace", "/exports/rows.ndjson").status, 200);
    assert_eq!(
        rows(&server, "SELECT site, hits FROM hits ORDER BY site"),
        "a \"quoted\"\t1\nb\\tc\t2\n"
    );
    // Elsewhere, by way of a redirect too, and what is not there.
    for (url, reason) in [
        ("/other/rows.ndjson", "[allow] urls"),
        ("/exports/../other/rows.ndjson", "[allow] urls"),
        ("/exports/moved?signature=secret", "cannot be read"),
        ("/exports/missing", "cannot be read"),
    ] {
        let refused = import("append", url);
        assert_eq!(refused.status, 400, "{url}: {}", refused.text());
        assert!(refused.text().contains(reason), "{url}: {}", refused.text());
        assert!(!refused.text().contains("secret"), "{}", refused.text());
    }
    assert_eq!(rows(&server, "SELECT count() FROM hits"), "2\n");
}

/// The least of a server of files.
pub(crate) fn answer_file(mut stream: std::net::TcpStream) {
    use std::io::{Read as _, Write as _};
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1) {
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let path = head.split(' ').nth(1).unwrap_or("");
    let rows = "{\"site\":\"a \\\"quoted\\\"\",\"hits\":1}\n{\"site\":\"b\\tc\",\"hits\":2}\n{\"site\":\"d\",\"hits\":\"x\"}\n";
    let (status, more, body) = match path.split('?').next().unwrap_or("") {
        "/exports/rows.ndjson" | "/other/rows.ndjson" => ("200 OK", "", rows),
        "/exports/moved" => ("302 Found", "Location: /other/rows.ndjson\r\n", ""),
        _ => ("404 Not Found", "", ""),
    };
    let body = if head.starts_with("HEAD") { "" } else { body };
    _ = write!(
        stream,
        "HTTP/1.1 {status}\r\n{more}Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        if head.starts_with("HEAD") {
            rows.len()
        } else {
            body.len()
        }
    );
}

#[test]
fn a_definition_may_come_in_a_form_of_either_kind() {
    let project = Project::new(&[("a.pipe", "NODE n\nSQL >\n    SELECT 1 AS x\n")]);
    let server = Server::start(&project);
    let bearer = format!("Bearer {ADMIN}");
    let part = |name: &str, value: &str| {
        format!("--x\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    let body = part("name", "parts") + &part("schema", "`a` UInt8") + "--x--\r\n";
    let headers = [
        ("Authorization", bearer.as_str()),
        ("Content-Type", "multipart/form-data; boundary=x"),
    ];
    let made = server.send("POST", "/v0/datasources", &headers, body.as_bytes());
    assert_eq!(made.status, 200, "{}", made.text());
    assert_eq!(server.get("/v0/datasources/parts").status, 200);
}
