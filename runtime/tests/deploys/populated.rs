//! Populates that an earlier process was asked for, and a deploy that changes their view before they go on.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::command_line::run;
use super::server::Server;

const ROWS: &str = "SCHEMA >\n    `id` UInt64 `json:$.id`,\n    `part` UInt8 `json:$.part`\n\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"id\"\n";
const TOTALS: &str = "SCHEMA >\n    `part` UInt8,\n    `rows` UInt64,\n    `ids` UInt64\n\nENGINE \"SummingMergeTree\"\nENGINE_SORTING_KEY \"part\"\n";

/// The same sums by another query for each version.
fn write_view(folder: &Path, version: u32) {
    let text = format!(
        "NODE n\nSQL >\n    SELECT part, count() AS rows, sum(id + {version}) - {version} * count() AS ids FROM rows GROUP BY part\n\nTYPE materialized\nDATASOURCE totals\n"
    );
    std::fs::write(folder.join("to_totals.pipe"), text).unwrap();
}

/// A project with rows and the totals of them.
fn project() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("rows.datasource"), ROWS).unwrap();
    std::fs::write(folder.path().join("totals.datasource"), TOTALS).unwrap();
    write_view(folder.path(), 0);
    let server = Server::start(folder.path());
    append(&server, 0, 1000);
    server.kill();
    let die_at = folder.path().join("die-at");
    (folder, die_at)
}

fn append(server: &Server, from: u64, to: u64) {
    let rows: Vec<String> = (from..to)
        .map(|id| format!("{{\"id\":{id},\"part\":{}}}\n", id % 3))
        .collect();
    let path = "/v0/datasources?mode=append&name=rows&format=ndjson";
    let (status, text) = server
        .request("POST", path, rows.concat().as_bytes())
        .unwrap();
    assert_eq!(status, 200, "{text}");
}

/// Asks for a populate of a server that dies at it; `fate` is when.
fn die(folder: &Path, die_at: &Path, fate: &str) {
    let server = Server::start_mortal(folder, die_at);
    std::fs::write(die_at, fate).unwrap();
    let path = "/v0/pipes/to_totals/nodes/n/population?truncate=true&unlink_on_populate_error=true";
    _ = server.request("POST", path, b"");
    for _ in 0..200 {
        if server.request("GET", "/v0/jobs", b"").is_none() {
            server.kill();
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("the server is still there");
}

/// Changes the view while no server runs.
fn deploy_another_view(folder: &Path) {
    write_view(folder, 1);
    let (code, said, errors) = run(None, folder, &["deploy"]);
    assert_eq!(code, Some(0), "{said}{errors}");
}

fn totals_are_those_of_rows(server: &Server) {
    let ask = |sql: &str| {
        let (status, text) = server.request("POST", "/v0/sql", sql.as_bytes()).unwrap();
        assert_eq!(status, 200, "{text}");
        text
    };
    assert_eq!(
        ask("SELECT part, count(), sum(id) FROM rows GROUP BY part ORDER BY part FORMAT TSV"),
        ask("SELECT part, sum(rows), sum(ids) FROM totals GROUP BY part ORDER BY part FORMAT TSV"),
    );
}

/// The last job's state and error.
fn job(server: &Server) -> (String, String) {
    let (_, text) = server
        .request("GET", "/v0/jobs?kind=populateview", b"")
        .unwrap();
    let jobs: Value = serde_json::from_str(&text).unwrap();
    let field = |key: &str| jobs["jobs"][0][key].as_str().unwrap_or_default().to_owned();
    (field("status"), field("error"))
}

#[test]
fn a_populate_of_an_earlier_view_does_not_take_the_present_one_away() {
    let (folder, die_at) = project();
    die(folder.path(), &die_at, "1 before INSERT");
    deploy_another_view(folder.path());
    let server = Server::start(folder.path());
    server.settle();
    let (status, error) = job(&server);
    assert_eq!(status, "error");
    assert!(error.contains("has changed since"), "{error}");
    // It would be taken away in these moments.
    std::thread::sleep(Duration::from_millis(700));
    append(&server, 1000, 2000);
    totals_are_those_of_rows(&server);
    server.kill();
}

#[test]
fn what_a_populate_has_emptied_is_filled_though_the_view_has_changed() {
    let (folder, die_at) = project();
    let others = "CREATE|DROP|ALTER|SYSTEM|INSERT|RENAME|EXCHANGE|TRUNCATE TABLE pw_";
    die(folder.path(), &die_at, &format!("1 after {others}"));
    deploy_another_view(folder.path());
    let server = Server::start(folder.path());
    server.settle();
    assert_eq!(job(&server), ("done".to_owned(), String::new()));
    append(&server, 1000, 2000);
    totals_are_those_of_rows(&server);
    server.kill();
}
