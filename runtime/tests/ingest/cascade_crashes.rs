//! Servers that die before and during each statement of a populate whose target other views read: when the next one has gone on with it, every row is in all that follows
//! once, those that came beside it too.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use super::server::Server;

const VIEW: &str = "/v0/pipes/to_copies/nodes/n/population?truncate=true";
const APPEND: &str = "/v0/datasources?mode=append&format=csv&name=rows";

/// `rows` → `copies` → `parts` → `all_rows`.
fn project() -> tempfile::TempDir {
    let table = |columns: &str, key: &str| {
        format!("SCHEMA >\n    {columns}\n\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"{key}\"\n")
    };
    let view = |query: &str, target: &str| {
        format!("NODE n\nSQL >\n    {query}\n\nTYPE materialized\nDATASOURCE {target}\n")
    };
    let rows = format!(
        "{}ENGINE_PARTITION_KEY \"id % 2\"\n",
        table("`id` UInt64,\n    `part` UInt8", "id")
    );
    let files = [
        ("rows.datasource", rows),
        (
            "copies.datasource",
            table("`id` UInt64,\n    `part` UInt8", "id"),
        ),
        (
            "parts.datasource",
            table(
                "`part` UInt8,\n    `rows` UInt64,\n    `ids` UInt64",
                "part",
            ),
        ),
        (
            "all_rows.datasource",
            table("`rows` UInt64,\n    `ids` UInt64", "rows"),
        ),
        (
            "to_copies.pipe",
            view("SELECT id, part FROM rows", "copies"),
        ),
        (
            "to_parts.pipe",
            view(
                "SELECT part, count() AS rows, sum(id) AS ids FROM copies GROUP BY part",
                "parts",
            ),
        ),
        (
            "to_all.pipe",
            view(
                "SELECT sum(rows) AS rows, sum(ids) AS ids FROM parts",
                "all_rows",
            ),
        ),
    ];
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).expect("a file");
    }
    folder
}

fn ask(server: &Server, sql: &str) -> String {
    let (status, text) = server
        .request("POST", "/v0/sql", sql.as_bytes())
        .expect("an answer");
    assert_eq!(status, 200, "{text}");
    text.trim().to_owned()
}

/// Checks that everything says what the rows say, of which there are so many.
fn check(server: &Server, rows: u64, at: &str) {
    let expected = format!("{rows}\t{}", rows * rows.saturating_sub(1) / 2);
    for query in [
        "SELECT uniqExact(id), sum(id) FROM rows",
        "SELECT count(), sum(id) FROM copies",
        "SELECT sum(rows), sum(ids) FROM parts",
        "SELECT sum(rows), sum(ids) FROM all_rows",
    ] {
        let found = ask(server, &format!("{query} FORMAT TSV"));
        assert_eq!(found, expected, "{query} after {at}");
    }
}

/// Adds rows with the next numbers.
fn append(server: &Server, from: u64, rows: u64) {
    let mut text = String::new();
    for id in from..from + rows {
        writeln!(text, "{id},{}", id % 3).expect("a text grows");
    }
    let (status, text) = server
        .request("POST", APPEND, text.as_bytes())
        .expect("an answer");
    assert_eq!(status, 200, "{text}");
}

/// Waits until no job goes on, or the server is dead; whether it lives.
fn outlives_its_jobs(server: &Server) -> bool {
    for _ in 0..3000 {
        let Some((_, text)) = server.request("GET", "/v0/jobs", b"") else {
            return false;
        };
        let is_active = ["waiting", "working", "cancelling"]
            .iter()
            .any(|status| text.contains(&format!("\"status\":\"{status}\"")));
        if !is_active {
            return true;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("jobs do not end");
}

/// Lets a server die at one statement of a populate after the other, until it has no more of them; how often it died.
fn kill_at_each_statement(folder: &Path, when: &str, rows: &mut u64) -> u64 {
    let die_at = folder.join("die-at");
    for statement in 1.. {
        let server = Server::start_mortal(folder, &die_at);
        std::fs::write(&die_at, format!("{statement} {when} ")).expect("a file");
        let answer = server.request("POST", VIEW, b"");
        if let Some((status, text)) = &answer {
            assert_eq!(*status, 200, "{text}");
        }
        let lives = answer.is_some() && outlives_its_jobs(&server);
        server.kill();
        _ = std::fs::remove_file(&die_at);
        let at = format!("dying {when} statement {statement}");
        let server = Server::start(folder);
        // Beside what goes on of it.
        append(&server, *rows, 5);
        *rows += 5;
        assert!(outlives_its_jobs(&server), "{at}");
        check(&server, *rows, &at);
        if lives {
            let (_, jobs) = server.request("GET", "/v0/jobs", b"").expect("an answer");
            assert!(!jobs.contains("\"status\":\"error\""), "{jobs}");
            return statement - 1;
        }
    }
    0
}

#[test]
fn a_populate_with_what_follows_survives_each_kill_once() {
    let folder = project();
    let server = Server::start(folder.path());
    append(&server, 0, 100);
    server.settle();
    check(&server, 100, "an append");
    drop(server);
    let mut rows = 100;
    // After one is before the next one.
    for when in ["before", "during"] {
        let kills = kill_at_each_statement(folder.path(), when, &mut rows);
        assert!(kills > 5, "{kills} statements only");
    }
}
