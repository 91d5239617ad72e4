//! Rows that go to a ClickHouse server, which sees no file of this machine.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::clickhouse::ClickHouse;
use crate::copies::{admin, ended};
use crate::harness::{ADMIN, Answer, Project, Server, serve};

const VISITS: &str = "SCHEMA >\n    `day` Date `json:$.day`,\n    `site` String `json:$.site`,\n    `hits` UInt32 `json:$.hits`\n\nENGINE \"MergeTree\"\nENGINE_PARTITION_KEY \"toYYYYMM(day)\"\nENGINE_SORTING_KEY \"site\"\n";
const PER_SITE: &str = "SCHEMA >\n    `site` String,\n    `hits` UInt64\n\nENGINE \"SummingMergeTree\"\nENGINE_SORTING_KEY \"site\"\n";

pub(crate) fn project(clickhouse: &ClickHouse) -> Project {
    let settings = format!(
        "[server]\nclickhouse_url = \"http://{}\"\n",
        clickhouse.address
    );
    Project::new(&[
        ("pipewright.toml", &settings),
        ("visits.datasource", VISITS),
        ("per_site.datasource", PER_SITE),
        (
            "view.pipe",
            "NODE n\nSQL >\n    SELECT site, toUInt64(sum(hits)) AS hits FROM visits GROUP BY site\n\nTYPE materialized\nDATASOURCE per_site\n",
        ),
    ])
}

/// Waits until the tables are gone that were there for a moment.
pub(crate) fn nothing_is_left(clickhouse: &ClickHouse) {
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        let left =
            clickhouse.ask("SELECT groupArray(name) FROM system.tables WHERE name LIKE 'pw_%'");
        if left == "[]" {
            return;
        }
        assert!(Instant::now() < until, "{left}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn counted(answer: &Answer, status: u16) -> (Value, Value) {
    assert_eq!(answer.status, status, "{}", answer.text());
    let counts = answer.json();
    (
        counts["successful_rows"].clone(),
        counts["quarantined_rows"].clone(),
    )
}

fn append(server: &Server, format: &str, body: &[u8]) -> Answer {
    let bearer = format!("Bearer {ADMIN}");
    let path = format!("/v0/datasources?name=visits&mode=append&format={format}");
    server.send("POST", &path, &[("Authorization", &bearer)], body)
}

#[test]
fn rows_go_to_a_clickhouse_server() {
    let clickhouse = ClickHouse::start();
    let project = project(&clickhouse);
    let server = Server::start(&project);
    let found = || {
        let visits = clickhouse.ask("SELECT count(), sum(hits) FROM visits");
        let per_site = clickhouse.ask("SELECT sum(hits) FROM per_site");
        let aside =
            clickhouse.ask("SELECT count() FROM merge('pipewright', '^visits_quarantine$')");
        format!("{visits}\t{per_site}\t{aside}")
    };
    // Rows of which it is known here that they fit, and rows of which the server has to say so.
    let events = "{\"day\":\"2026-01-02\",\"site\":\"a\",\"hits\":1}\n{\"day\":\"2026-02-03\",\"site\":\"b\",\"hits\":2}";
    let answer = admin(&server, "POST", "/v0/events?name=visits&wait=true", events);
    assert_eq!(counted(&answer, 200), (json!(2), json!(0)));
    let mixed = "{\"day\":\"2026-01-02\",\"site\":\"c\",\"hits\":4}\n{\"day\":\"never\",\"site\":\"c\",\"hits\":1}\nno JSON";
    let answer = admin(&server, "POST", "/v0/events?name=visits&wait=true", mixed);
    assert_eq!(counted(&answer, 200), (json!(1), json!(2)));
    assert_eq!(found(), "3\t7\t7\t2");
    // Without waiting: told which fit all the same.
    let answer = admin(&server, "POST", "/v0/events?name=visits", mixed);
    assert_eq!(counted(&answer, 202), (json!(1), json!(2)));

    let csv = "day,site,hits\n2026-01-02,d,8\n2026-01-02,\"d,\"\"e\",16\n2026-01-02,d,many\n2026-01-02,d\n";
    assert_eq!(
        counted(&append(&server, "csv", csv.as_bytes()), 200),
        (json!(2), json!(2))
    );
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packed
        .write_all(mixed.as_bytes())
        .expect("bytes are packed");
    let packed = packed.finish().expect("bytes are packed");
    assert_eq!(
        counted(&append(&server, "ndjson", &packed), 200),
        (json!(1), json!(2))
    );
    let many = "SELECT toDate('2026-03-01') + number % 3 AS day, 'f' AS site, if(number = 7, -1, 1)::Int64 AS hits FROM numbers(100000)";
    let parquet = clickhouse.bytes(many, "Parquet");
    assert_eq!(
        counted(&append(&server, "parquet", &parquet), 200),
        (json!(99_999), json!(1))
    );
    let answer = append(&server, "parquet", b"PAR1, and nothing else");
    assert_eq!(answer.status, 400, "{}", answer.text());
    assert!(answer.text().contains("not Parquet"), "{}", answer.text());
    drop(server);

    // What was promised is in when the server is there again.
    let server = Server::start(&project);
    assert_eq!(found(), "100006\t100038\t100038\t9");
    let reasons = clickhouse
        .ask("SELECT DISTINCT arrayJoin(c__error) AS why FROM visits_quarantine ORDER BY why");
    assert!(reasons.contains("cannot read as Date: never"), "{reasons}");
    nothing_is_left(&clickhouse);
    assert_eq!(
        clickhouse.ask("SELECT countIf(engine_full LIKE '%fsync%') FROM system.tables WHERE database = 'pipewright'"),
        "0"
    );

    // Rows in the place of others, and away.
    let replaced =
        "/v0/datasources?name=visits&mode=replace&format=ndjson&replace_condition=site%3D'f'";
    let answer = admin(
        &server,
        "POST",
        replaced,
        "{\"day\":\"2026-03-01\",\"site\":\"f\",\"hits\":5}",
    );
    assert_eq!(counted(&answer, 200), (json!(1), json!(0)));
    assert_eq!(found(), "8\t44\t44\t9");
    let path = "/v0/datasources/visits/delete?delete_condition=site%3D'f'";
    let job = admin(&server, "POST", path, "").json();
    let job = ended(&server, job["id"].as_str().expect("an id"));
    assert_eq!(job["status"], "done", "{job}");
    assert_eq!(clickhouse.ask("SELECT count() FROM visits"), "7");
    let truncated = admin(&server, "POST", "/v0/datasources/visits/truncate", "");
    assert_eq!(truncated.status, 205, "{}", truncated.text());
    assert_eq!(clickhouse.ask("SELECT count() FROM visits"), "0");
    nothing_is_left(&clickhouse);
}

#[test]
fn a_clickhouse_server_tells_what_a_file_has_and_takes_it() {
    let clickhouse = ClickHouse::start();
    let project = project(&clickhouse);
    let server = Server::start(&project);
    let bearer = format!("Bearer {ADMIN}");
    let send = |path: &str, body: &[u8]| {
        let answer = server.send("POST", path, &[("Authorization", &bearer)], body);
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.json()
    };
    let parquet = clickhouse.bytes(
        "SELECT number AS id, [toString(number)] AS names FROM numbers(3)",
        "Parquet",
    );
    for (format, body) in [
        ("csv", &b"id,name\n1,a\n2,\n"[..]),
        (
            "ndjson",
            b"{\"id\":1,\"name\":\"it's \\\\ \\\"a\\\"\"}\n{\"id\":2}\n",
        ),
        ("parquet", &parquet),
    ] {
        let analysis = send(&format!("/v0/analyze?format={format}"), body);
        let columns = analysis["analysis"]["columns"].as_array().expect("columns");
        assert_eq!(columns[0]["name"], "id", "{analysis}");
        assert_eq!(columns.len(), 2, "{analysis}");
        let path = format!("/v0/datasources?name=made_of_{format}&mode=create&format={format}");
        let made = send(&path, body);
        assert_eq!(made["quarantined_rows"], 0, "{made}");
        let rows = clickhouse.ask(&format!("SELECT count(), max(id) FROM made_of_{format}"));
        assert_eq!(
            rows,
            if format == "parquet" { "3\t2" } else { "2\t2" },
            "{format}"
        );
    }
    nothing_is_left(&clickhouse);
}

#[test]
fn rows_of_another_address_reach_a_clickhouse_server() {
    let files = TcpListener::bind("127.0.0.1:0").expect("a port");
    let host = files.local_addr().expect("an address");
    std::thread::spawn(move || {
        for stream in files.incoming() {
            crate::datasources::answer_file(stream.expect("a connection"));
        }
    });
    let clickhouse = ClickHouse::start();
    let settings = format!(
        "[server]\nclickhouse_url = \"http://{}\"\n[allow]\nurls = [\"http://{host}/exports/\"]\n",
        clickhouse.address
    );
    let hits = "SCHEMA >\n    `site` String `json:$.site`,\n    `hits` UInt32 `json:$.hits`\n";
    let project = Project::new(&[("pipewright.toml", &settings), ("hits.datasource", hits)]);
    let server = Server::start(&project);
    let import = |url: &str| {
        let path =
            format!("/v0/datasources?mode=append&name=hits&format=ndjson&url=http://{host}{url}");
        admin(&server, "POST", &path, "")
    };
    let appended = import("/exports/rows.ndjson?signature=secret");
    assert_eq!(counted(&appended, 200), (json!(2), json!(1)));
    let found = clickhouse.ask("SELECT site, hits FROM hits ORDER BY site");
    assert_eq!(found, "a \"quoted\"\t1\nb\\tc\t2");
    for url in [
        "/exports/missing?signature=secret",
        "/exports/moved?signature=secret",
    ] {
        let refused = import(url);
        assert_eq!(refused.status, 400, "{url}: {}", refused.text());
        assert!(!refused.text().contains("secret"), "{}", refused.text());
    }
}

#[test]
fn what_was_acknowledged_reaches_a_clickhouse_server_once_wherever_the_process_ends() {
    let clickhouse = ClickHouse::start();
    let project = project(&clickhouse);
    let mortal = || {
        // Of one that died by what was asked for before.
        _ = std::fs::remove_file(project.path().join("die"));
        let mut command = serve(project.path(), &["--admin-token", ADMIN]);
        command.env("PIPEWRIGHT_DIE_AT", project.path().join("die"));
        Server::run(command)
    };
    let mut server = mortal();
    let (mut number, mut sent, mut died, mut taken) = (1, 0_u64, 0, Vec::new());
    loop {
        let mut lived = true;
        for when in ["before", "during", "after"] {
            std::fs::write(project.path().join("die"), format!("{number} {when} "))
                .expect("a file");
            // Rows that are known to fit, and rows of which the server says so.
            let row = if sent.is_multiple_of(2) {
                format!("{{\"day\":\"2026-01-02\",\"site\":\"{sent}\",\"hits\":1}}")
            } else {
                format!("{{\"day\":\"2026-01-02 00:00:00\",\"site\":\"{sent}\",\"hits\":\"1\"}}")
            };
            if push(&server, &row) == Some(202) {
                taken.push(sent.to_string());
            }
            sent += 1;
            // What was taken is in, or the process is dead, or both.
            let until = Instant::now() + Duration::from_secs(20);
            let lives = |server: &Server| TcpStream::connect(server.address()).is_ok();
            while lives(&server) && missing(&clickhouse, &taken) > 0 {
                assert!(Instant::now() < until, "{number} {when}");
                std::thread::sleep(Duration::from_millis(10));
            }
            std::thread::sleep(Duration::from_millis(100));
            if !lives(&server) {
                (died, lived) = (died + 1, false);
                drop(server);
                server = mortal();
            }
            assert_eq!(missing(&clickhouse, &taken), 0, "{number} {when}");
            let once = clickhouse.ask("SELECT (SELECT (uniqExact(site), uniqExact(site)) FROM visits) = (SELECT (count(), (SELECT sum(hits) FROM per_site)) FROM visits)");
            assert_eq!(once, "1", "{number} {when}");
        }
        if lived {
            break;
        }
        number += 2;
    }
    assert!(died > 3, "{died}");
    nothing_is_left(&clickhouse);
}

/// Sends a row; the status, if there is an answer.
fn push(server: &Server, row: &str) -> Option<u16> {
    let mut stream = TcpStream::connect(server.address()).ok()?;
    write!(stream, "POST /v0/events?name=visits HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {ADMIN}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{row}", row.len()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.split(' ').nth(1)?.parse().ok()
}

/// How many of these rows are not there.
fn missing(clickhouse: &ClickHouse, taken: &[String]) -> usize {
    let list = taken.join("','");
    let found = clickhouse.ask(&format!(
        "SELECT uniqExact(site) FROM visits WHERE site IN ('{list}')"
    ));
    taken.len() - found.parse::<usize>().expect("a number")
}
