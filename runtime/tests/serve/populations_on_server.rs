//! Views on a ClickHouse server are filled with the rows that were there before them, exactly once, whatever happens to this process.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::clickhouse::ClickHouse;
use crate::copies::{admin, done, ended};
use crate::harness::{ADMIN, Project, Server, serve};
use crate::rows_on_server::{nothing_is_left, project};

const PATH: &str = "/v0/pipes/view/nodes/n/population";

fn fill(clickhouse: &ClickHouse) {
    clickhouse.ask("INSERT INTO visits SELECT toDate('2026-01-01') + number % 70, toString(number % 3), 1 FROM numbers(3000)");
}

fn job(server: &Server, path: &str) -> Value {
    let begun = done(server, "POST", path, "");
    let job = ended(server, begun["job"]["id"].as_str().expect("an id"));
    assert_eq!(job["status"], "done", "{job}");
    job
}

#[test]
fn views_are_populated_on_a_clickhouse_server() {
    let clickhouse = ClickHouse::start();
    let project = project(&clickhouse);
    let server = Server::start(&project);
    let hits = || clickhouse.ask("SELECT sum(hits) FROM per_site");
    fill(&clickhouse);
    assert_eq!(hits(), "3000");
    clickhouse.ask("TRUNCATE TABLE per_site");
    let asked = job(&server, &format!("{PATH}?populate_condition=site%3D'1'"));
    assert_eq!(
        (asked["statistics"]["rows"].as_u64(), hits()),
        (Some(3000), "1000".to_owned())
    );
    job(&server, &format!("{PATH}?truncate=true"));
    assert_eq!(hits(), "3000");
    clickhouse.ask("TRUNCATE TABLE per_site");
    job(&server, &format!("{PATH}?populate_subset=0.1"));
    let some: u64 = hits().parse().expect("a number");
    assert!((100..600).contains(&some), "{some}");
    // The view goes on with what comes.
    job(&server, &format!("{PATH}?truncate=true"));
    let event = "{\"day\":\"2026-01-02\",\"site\":\"1\",\"hits\":5}";
    assert_eq!(
        admin(&server, "POST", "/v0/events?name=visits&wait=true", event).status,
        200
    );
    assert_eq!(hits(), "3005");

    // With the view, made by the API.
    let made = "name=made&type=materialized&datasource=doubled&populate=true";
    let path = format!("/v0/pipes/view/nodes?{made}");
    let begun = done(
        &server,
        "POST",
        &path,
        "SELECT site, hits * 2 AS twice FROM visits",
    );
    let ended = ended(&server, begun["job"]["id"].as_str().expect("an id"));
    assert_eq!(ended["status"], "done", "{ended}");
    assert_eq!(
        clickhouse.ask("SELECT count(), sum(twice) FROM doubled"),
        "3001\t6010"
    );
    // What fails leaves no view, as asked for.
    let made = "name=broken&type=materialized&datasource=broken_rows&populate=true&unlink_on_populate_error=true";
    let begun = done(
        &server,
        "POST",
        &format!("/v0/pipes/view/nodes?{made}"),
        "SELECT site, throwIf(hits = 5, 'no') AS none FROM visits",
    );
    let broken = crate::copies::ended(&server, begun["job"]["id"].as_str().expect("an id"));
    assert_eq!(broken["status"], "error", "{broken}");
    let until = Instant::now() + Duration::from_secs(10);
    while clickhouse.ask("SELECT count() FROM system.tables WHERE engine = 'MaterializedView' AND name LIKE '%broken%'") != "0" {
        assert!(Instant::now() < until, "the view is still there");
        std::thread::sleep(Duration::from_millis(20));
    }
    nothing_is_left(&clickhouse);

    // What cannot be moved into is refused with the reason.
    clickhouse.ask("DROP TABLE per_site");
    clickhouse.ask("CREATE TABLE per_site (site String, hits UInt64) ENGINE = Memory");
    let refused = admin(&server, "POST", PATH, "");
    assert_eq!(refused.status, 400, "{}", refused.text());
    assert!(
        refused
            .text()
            .contains("`per_site` is a table of the engine Memory"),
        "{}",
        refused.text()
    );
}

/// A server that dies at a statement, once a file is there that says at which.
fn mortal(project: &Project) -> Server {
    // Of one that died by what was asked for before.
    _ = std::fs::remove_file(project.path().join("die"));
    let mut command = serve(project.path(), &["--admin-token", ADMIN]);
    command.env("PIPEWRIGHT_DIE_AT", project.path().join("die"));
    Server::run(command)
}

/// What a server answers, if it does.
fn try_send(server: &Server, method: &str, path: &str) -> Option<Value> {
    let mut stream = TcpStream::connect(server.address()).ok()?;
    write!(stream, "{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {ADMIN}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (_, body) = answer.split_once("\r\n\r\n")?;
    serde_json::from_str(body).ok()
}

/// Waits until the jobs are done, or the server is dead; whether it lives.
fn lives(server: &Server) -> bool {
    let until = Instant::now() + Duration::from_mins(1);
    while let Some(listed) = try_send(server, "GET", "/v0/jobs?kind=populateview") {
        let jobs = listed["jobs"].as_array().expect("a list");
        if jobs.iter().all(|job| job["status"] == "done") {
            return true;
        }
        assert!(Instant::now() < until, "{listed}");
        std::thread::sleep(Duration::from_millis(10));
    }
    false
}

#[test]
fn a_populate_that_is_cut_off_fills_a_view_on_a_clickhouse_server_once() {
    let clickhouse = ClickHouse::start();
    let project = project(&clickhouse);
    let mut server = mortal(&project);
    fill(&clickhouse);
    let (mut number, mut died) = (1, 0);
    loop {
        let mut lived = true;
        for when in ["before", "during", "after"] {
            let text = format!("{number} {when} ");
            std::fs::write(project.path().join("die"), text).expect("a file");
            _ = try_send(&server, "POST", &format!("{PATH}?truncate=true"));
            while !lives(&server) {
                (died, lived) = (died + 1, false);
                drop(server);
                server = mortal(&project);
            }
            let hits = clickhouse.ask("SELECT sum(hits) FROM per_site");
            assert_eq!(hits, "3000", "{number} {when}");
        }
        if lived {
            break;
        }
        number += 3;
    }
    assert!(died > 10, "{died}");
    nothing_is_left(&clickhouse);
}
