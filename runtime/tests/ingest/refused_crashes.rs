//! Servers that die before, during and after each statement of a batch of which the engine refuses rows: every good row is in once, in the data source and in what
//! follows it, and every refused one is in the quarantine once.

use std::path::Path;
use std::time::Duration;

use super::server::Server;

fn project() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let files = [
        (
            "rows.datasource",
            "SCHEMA >\n    `id` Int64 `json:$.id`,\n    `raw` String `json:$.raw`\n\nENGINE \"MergeTree\"\nENGINE_PARTITION_KEY \"id % 2\"\nENGINE_SORTING_KEY \"id\"\n",
        ),
        (
            "days.datasource",
            "SCHEMA >\n    `id` Int64,\n    `day` Date\n\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"id\"\n",
        ),
        (
            "to_days.pipe",
            "NODE n\nSQL >\n    SELECT id, toDate(raw) AS day FROM rows\n\nTYPE materialized\nDATASOURCE days\n",
        ),
        // The same without a view.
        (
            "plain.datasource",
            "SCHEMA >\n    `id` Int64 `json:$.id`,\n    `raw` String `json:$.raw`,\n    `day` Date DEFAULT toDate(raw)\n\nENGINE \"MergeTree\"\nENGINE_PARTITION_KEY \"id % 2\"\nENGINE_SORTING_KEY \"id\"\n",
        ),
    ];
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).expect("a file");
    }
    folder
}

/// Four rows, of which two are refused, and one that does not fit.
fn body(first: u64) -> String {
    let row = |id: u64, raw: &str| format!("{{\"id\":{id},\"raw\":\"{raw}\"}}\n");
    [
        row(first, "2026-01-02"),
        row(first + 1, "soon"),
        row(first + 2, "2026-01-03"),
        row(first + 3, "later"),
        "{\"id\":\"none\",\"raw\":\"2026-01-02\"}\n".to_owned(),
    ]
    .concat()
}

fn ask(server: &Server, sql: &str) -> String {
    let (status, text) = server
        .request("POST", "/v0/sql", sql.as_bytes())
        .expect("an answer");
    assert_eq!(status, 200, "{text}");
    text.trim().to_owned()
}

/// Checks that of so many batches everything is there once.
fn check(server: &Server, name: &str, batches: u64, at: &str) {
    let sql = format!(
        "SELECT (SELECT (count(), uniqExact(id)) FROM {name}), (SELECT (count(), uniqExact(id)) FROM {name}_quarantine) FORMAT TSV"
    );
    let expected = format!(
        "({0},{0})\t({1},{2})",
        2 * batches,
        3 * batches,
        2 * batches + 1
    );
    let mut found = String::new();
    // An append that was cut off goes on when the server has started.
    for _ in 0..200 {
        found = ask(server, &sql);
        if found == expected {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(found, expected, "{name} after {at}");
    if name == "rows" {
        let days = ask(
            server,
            "SELECT groupArraySorted(100000)(id) = (SELECT groupArraySorted(100000)(id) FROM rows) FROM days FORMAT TSV",
        );
        assert_eq!(days, "1", "views after {at}");
    }
}

/// Statements of which nothing is left when the process dies: one death among them is like the other.
const PASSING: &str =
    "INSERT INTO pw_try_|CREATE TABLE pw_try_|CREATE MATERIALIZED VIEW pw_try_|ALTER TABLE";

/// Sends batches to a server that dies at one statement after the other, until it has no more of them.
fn kill_at_each_statement(folder: &Path, name: &str, path: &str) -> (u64, u64) {
    let die_at = folder.join("die-at");
    let (mut batches, mut kills) = (0, 0);
    for when in ["before", "during", "after"] {
        for statement in 1.. {
            let server = Server::start_mortal(folder, &die_at);
            std::fs::write(&die_at, format!("{statement} {when} {PASSING}")).expect("a file");
            let answer = server.request("POST", path, body(10 * batches).as_bytes());
            // What was cut off is kept: nothing was answered, but all that is sent here arrives whole.
            batches += 1;
            let at = format!("dying {when} statement {statement}");
            if let Some((status, text)) = &answer {
                assert!(matches!(status, 200 | 202), "{status}: {text}");
                std::thread::sleep(Duration::from_millis(
                    if path.contains("wait") || path.contains("mode") {
                        0
                    } else {
                        1500
                    },
                ));
            }
            let survived = server.request("GET", "/v0/jobs", b"").is_some();
            server.kill();
            _ = std::fs::remove_file(&die_at);
            let server = Server::start(folder);
            let kept = ask(
                &server,
                &format!(
                    "SELECT count() FROM {name} WHERE intDiv(id, 10) = {} FORMAT TSV",
                    batches - 1
                ),
            );
            if kept == "0" && answer.is_none() {
                // It died before the rows were safe.
                batches -= 1;
            }
            check(&server, name, batches, &at);
            server.kill();
            if survived {
                break;
            }
            kills += 1;
            assert!(statement < 200, "{at}");
        }
    }
    (batches, kills)
}

#[test]
fn events_of_which_rows_are_refused_survive_each_kill_once() {
    let folder = project();
    let done = kill_at_each_statement(folder.path(), "rows", "/v0/events?name=rows&wait=true");
    println!("{} batches, {} kills", done.0, done.1);
    assert!(done.1 > 10);
}

#[test]
fn files_of_which_rows_are_refused_survive_each_kill_once() {
    let folder = project();
    let path = "/v0/datasources?mode=append&format=ndjson&name=plain";
    let done = kill_at_each_statement(folder.path(), "plain", path);
    println!("{} batches, {} kills", done.0, done.1);
    assert!(done.1 > 10);
}
