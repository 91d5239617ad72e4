//! Copies that replace the rows of a data source that views read: what follows changes with them, or nothing does.

use std::path::Path;

use super::replaced::{agree, append, held, project, rows};
use super::served::ask;
use super::server::Server;

/// The project of a replace with a copy of 300 rows into `rows`.
fn with_copy() -> tempfile::TempDir {
    let folder = project();
    let copy = "NODE n\nSQL >\n    %\n    SELECT toUInt64(number + {{UInt64(first, 0)}}) AS id, toUInt8(number % 3) AS part FROM numbers(300)\n\nTYPE copy\nTARGET_DATASOURCE rows\nCOPY_SCHEDULE @on-demand\nCOPY_MODE replace\n";
    std::fs::write(folder.path().join("refresh.pipe"), copy).unwrap();
    folder
}

/// Asks for a copy; whether it was taken on.
fn copy(server: &Server, first: u64) -> bool {
    let path = format!("/v0/pipes/refresh/copy?first={first}");
    let Some((status, text)) = server.request("POST", &path, b"") else {
        return false;
    };
    assert_eq!(status, 200, "{text}");
    true
}

fn last_job(server: &Server) -> serde_json::Value {
    let (_, text) = server.request("GET", "/v0/jobs", b"").unwrap();
    let jobs: serde_json::Value = serde_json::from_str(&text).unwrap();
    jobs["jobs"][0].clone()
}

#[test]
fn what_views_have_made_follows_a_copy_that_replaces() {
    let folder = with_copy();
    let server = Server::start(folder.path());
    append(&server, "rows", &rows(0, 3000));
    append(&server, "others", &rows(10_000, 10_500));
    assert!(copy(&server, 5000));
    server.settle();
    assert_eq!(last_job(&server)["status"], "done", "{}", last_job(&server));
    assert_eq!(held(&server), "300\t5000\t5299\t0");
    agree(&server, "after a copy");
    append(&server, "rows", &rows(6000, 6100));
    agree(&server, "after more rows");
    assert!(copy(&server, 7000));
    server.settle();
    assert_eq!(held(&server), "300\t7000\t7299\t0");
    agree(&server, "after another copy");
    // Rows that nobody could make again keep it from being done.
    append(&server, "totals", "{\"part\":1,\"rows\":5,\"ids\":7}\n");
    assert!(copy(&server, 8000));
    server.settle();
    let job = last_job(&server);
    assert_eq!(job["status"], "error", "{job}");
    insta::assert_snapshot!(job["error"].as_str().unwrap(), @"`rows` cannot be replaced, and nothing has changed: `totals` follows from it; rows came to `totals` otherwise than through its views, and cannot be made anew");
    assert_eq!(held(&server), "300\t7000\t7299\t0");
}

/// Copies on a server that dies at one of its statements; whether the copy was taken on, and whether the server died.
fn die(folder: &Path, number: u64, when: &str, first: u64) -> (bool, bool) {
    let die_at = folder.join("die-at");
    let server = Server::start_mortal(folder, &die_at);
    std::fs::write(&die_at, format!("{number} {when} ")).unwrap();
    let taken = copy(&server, first);
    let mut died = !taken;
    while !died {
        match server.request("GET", "/v0/jobs", b"") {
            None => died = true,
            Some((_, text)) if text.contains("\"waiting\"") || text.contains("\"working\"") => {
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
            Some(_) => break,
        }
    }
    _ = std::fs::remove_file(&die_at);
    server.kill();
    (taken, died)
}

#[test]
fn a_server_that_dies_amid_a_copy_that_replaces_goes_on_with_it() {
    let folder = with_copy();
    let server = Server::start(folder.path());
    append(&server, "rows", &rows(0, 300));
    append(&server, "others", &rows(900_000, 900_100));
    server.kill();
    let (mut version, mut first) = (0, 0);
    for (when, stride) in [("before", 4), ("during", 5), ("after", 3)] {
        let mut number = 1 + u64::from(std::process::id()) % stride;
        loop {
            version += 1;
            let (taken, died) = die(folder.path(), number, when, version * 1000);
            let server = Server::start(folder.path());
            let at = format!("{when} statement {number}, died: {died}");
            server.settle();
            if taken {
                first = version * 1000;
            }
            assert_eq!(
                held(&server),
                format!("300\t{first}\t{}\t0", first + 299),
                "{at}"
            );
            agree(&server, &at);
            // Nothing is left of it.
            let job = last_job(&server);
            assert!(!taken || job["status"] == "done", "{job}, {at}");
            assert_eq!(ask(&server, "SELECT count() FROM others FORMAT TSV"), "100");
            server.kill();
            if !died {
                break;
            }
            number += stride;
        }
    }
    println!("{version} copies");
}
