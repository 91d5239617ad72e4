//! Rows that take the place of others in a data source that views read: everything that follows from them changes with them, or nothing does.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::served::ask;
use super::server::{Server, request};

const REPLACE: &str = "/v0/datasources?mode=replace&name=rows&format=ndjson";
const APPEND: &str = "/v0/datasources?mode=append&format=ndjson&name=";

/// `rows` and `others` → `totals` → `overall`, and a copy of `rows` beside them.
pub(super) fn project() -> tempfile::TempDir {
    let rows = "SCHEMA >\n    `id` UInt64 `json:$.id`,\n    `part` UInt8 `json:$.part`,\n    `twice` UInt64 MATERIALIZED id * 2\n\nENGINE \"MergeTree\"\nENGINE_PARTITION_KEY \"part\"\nENGINE_SORTING_KEY \"id\"\n";
    let sums = "SCHEMA >\n    `part` UInt8,\n    `rows` UInt64,\n    `ids` UInt64\n\nENGINE \"SummingMergeTree\"\nENGINE_SORTING_KEY \"part\"\n";
    let view = |query: &str, target: &str| {
        format!("NODE n\nSQL >\n    {query}\n\nTYPE materialized\nDATASOURCE {target}\n")
    };
    let count = |from: &str| {
        view(
            &format!("SELECT part, count() AS rows, sum(id) AS ids FROM {from} GROUP BY part"),
            "totals",
        )
    };
    let files = [
        ("rows.datasource", rows.to_owned()),
        ("others.datasource", rows.to_owned()),
        ("totals.datasource", sums.to_owned()),
        ("overall.datasource", sums.to_owned()),
        ("of_rows.pipe", count("rows")),
        ("of_others.pipe", count("others")),
        (
            "to_overall.pipe",
            view(
                "SELECT toUInt8(0) AS part, sum(rows) AS rows, sum(ids) AS ids FROM totals",
                "overall",
            ),
        ),
    ];
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

pub(super) fn rows(from: u64, to: u64) -> String {
    let mut text = String::new();
    for id in from..to {
        writeln!(text, "{{\"id\":{id},\"part\":{}}}", id % 3).unwrap();
    }
    text
}

fn send(server: &Server, path: &str, rows: &str) -> (u16, String) {
    server.request("POST", path, rows.as_bytes()).unwrap()
}

pub(super) fn append(server: &Server, name: &str, rows: &str) {
    let (status, text) = send(server, &format!("{APPEND}{name}"), rows);
    assert_eq!(status, 200, "{text}");
}

/// Whether all that follows says what the rows say.
pub(super) fn agree(server: &Server, at: &str) {
    let source = "SELECT part, count(), sum(id) FROM (SELECT part, id FROM rows UNION ALL SELECT part, id FROM others) GROUP BY part ORDER BY part FORMAT TSV";
    let totals =
        "SELECT part, sum(rows), sum(ids) FROM totals GROUP BY part ORDER BY part FORMAT TSV";
    let overall = "SELECT sum(rows), sum(ids) FROM overall FORMAT TSV";
    assert_eq!(ask(server, source), ask(server, totals), "{at}");
    assert_eq!(
        ask(server, "SELECT sum(rows), sum(ids) FROM totals FORMAT TSV"),
        ask(server, overall),
        "{at}"
    );
}

pub(super) fn held(server: &Server) -> String {
    ask(
        server,
        "SELECT count(), min(id), max(id), sum(twice) / 2 - sum(id) FROM rows FORMAT TSV",
    )
}

#[test]
fn what_views_have_made_follows_when_rows_are_replaced() {
    let folder = project();
    let server = Server::start(folder.path());
    append(&server, "rows", &rows(0, 3000));
    append(&server, "others", &rows(10_000, 10_500));
    let (status, text) = send(&server, REPLACE, &rows(5000, 6000));
    assert_eq!(status, 200, "{text}");
    assert!(text.contains("\"successful_rows\":1000"), "{text}");
    assert_eq!(held(&server), "1000\t5000\t5999\t0");
    agree(&server, "after a replace");
    // Rows come in as before.
    append(&server, "rows", &rows(6000, 6100));
    append(&server, "others", &rows(10_500, 10_600));
    agree(&server, "after more rows");
    // Only the rows that the condition names go, and only such rows come.
    let path = format!("{REPLACE}&replace_condition=part%20%3D%201");
    let (status, text) = send(&server, &path, &rows(100, 160));
    assert_eq!(status, 200, "{text}");
    assert_eq!(
        ask(
            &server,
            "SELECT part, count(), min(id), max(id) FROM rows GROUP BY part ORDER BY part FORMAT TSV"
        ),
        "0\t367\t5001\t6099\n1\t20\t100\t157\n2\t367\t5000\t6098"
    );
    agree(&server, "after a replace of some");
    // Those that do not fit are in the quarantine, and the others take their places.
    let (status, text) = send(&server, REPLACE, "{\"id\":1,\"part\":1}\n{\"id\":\"x\"}\n");
    assert_eq!(status, 200, "{text}");
    assert!(text.contains("\"quarantined_rows\":1"), "{text}");
    agree(&server, "after a replace of one row");
    let (_, list) = server.request("GET", "/v1/deployments", b"").unwrap();
    assert!(!list.contains("replace"), "{list}");
    assert_eq!(passing(folder.path()), BTreeSet::new());
}

/// The tables that are there for a moment only, as the engine has them on disk.
fn passing(folder: &Path) -> BTreeSet<String> {
    let databases = std::fs::read_dir(folder.join(".pipewright/chdb/metadata")).unwrap();
    let tables = databases.filter_map(|database| std::fs::read_dir(database.unwrap().path()).ok());
    let names = tables.flatten().map(|table| table.unwrap().file_name());
    let names: BTreeSet<String> = names.map(|name| name.into_string().unwrap()).collect();
    assert!(names.contains("rows.sql"), "{names:?}");
    names
        .into_iter()
        .filter(|name| name.starts_with("pw_"))
        .collect()
}

/// Where a round begins that tries every so many statements only: another one each time, and the one of a failure again when it is given.
#[expect(
    clippy::print_stdout,
    reason = "who sees the test fail wants to see it fail again"
)]
fn seed() -> u64 {
    let given = std::env::var("PIPEWRIGHT_SEED").ok();
    let seed = given.map_or(u64::from(std::process::id()), |seed| seed.parse().unwrap());
    println!("PIPEWRIGHT_SEED={seed}");
    seed
}

#[test]
fn what_cannot_follow_keeps_rows_from_being_replaced() {
    let folder = project();
    let server = Server::start(folder.path());
    append(&server, "rows", &rows(0, 300));
    append(&server, "totals", "{\"part\":1,\"rows\":5,\"ids\":7}\n");
    let before = held(&server);
    let (status, text) = send(&server, REPLACE, &rows(5000, 6000));
    assert_eq!(status, 400, "{text}");
    insta::assert_snapshot!(
        serde_json::from_str::<serde_json::Value>(&text).unwrap()["error"].as_str().unwrap(),
        @"`rows` cannot be replaced, and nothing has changed: `totals` follows from it; rows came to `totals` otherwise than through its views, and cannot be made anew"
    );
    assert_eq!(held(&server), before);
}

#[test]
fn rows_that_come_while_others_are_replaced_are_counted_once() {
    let folder = project();
    let server = Server::start(folder.path());
    append(&server, "rows", &rows(0, 3000));
    let (stop, next) = (AtomicBool::new(false), AtomicU64::new(1_000_000));
    std::thread::scope(|scope| {
        for name in ["rows", "others"] {
            let (server, stop, next) = (&server, &stop, &next);
            scope.spawn(move || {
                while !stop.load(Ordering::SeqCst) {
                    let first = next.fetch_add(20, Ordering::SeqCst);
                    let path = format!("/v0/events?name={name}&wait=true");
                    let (status, text) = send(server, &path, &rows(first, first + 20));
                    assert!(matches!(status, 200 | 429), "{status}: {text}");
                }
            });
        }
        for round in 0..8_u64 {
            let path = if round % 2 == 0 {
                REPLACE.to_owned()
            } else {
                format!("{REPLACE}&replace_condition=part%20%3D%202")
            };
            let (status, text) = send(&server, &path, &rows(round * 1000, round * 1000 + 900));
            assert_eq!(status, 200, "{text}");
        }
        stop.store(true, Ordering::SeqCst);
    });
    assert_eq!(
        ask(
            &server,
            "SELECT count() - uniqExact(id) FROM others FORMAT TSV"
        ),
        "0"
    );
    agree(&server, "after all of it");
}

/// Replaces the rows of a server that dies at one of its statements; whether it died.
fn die(folder: &Path, number: u64, when: &str, version: u64) -> bool {
    let die_at = folder.join("die-at");
    let server = Server::start_mortal(folder, &die_at);
    std::fs::write(&die_at, format!("{number} {when} ")).unwrap();
    let body = rows(version * 1000, version * 1000 + 300);
    let answer = request(server.address(), "POST", REPLACE, body.as_bytes());
    _ = std::fs::remove_file(&die_at);
    server.kill();
    if let Some((status, text)) = &answer {
        assert_eq!(*status, 200, "{text}");
    }
    answer.is_none()
}

#[test]
fn a_server_that_dies_while_rows_are_replaced_has_the_old_ones_or_the_new_ones_everywhere() {
    let folder = project();
    let server = Server::start(folder.path());
    append(&server, "rows", &rows(0, 300));
    append(&server, "others", &rows(900_000, 900_100));
    server.kill();
    let (mut version, mut first, seed) = (0, 0, seed());
    for (when, stride) in [("before", 3), ("during", 5), ("after", 3)] {
        let mut number = 1 + seed % stride;
        loop {
            version += 1;
            let died = die(folder.path(), number, when, version);
            let server = Server::start(folder.path());
            let at = format!("{when} statement {number}, died: {died}");
            let held = ask(
                &server,
                "SELECT count(), min(id), max(id) - min(id) FROM rows FORMAT TSV",
            );
            let is = |first: u64| held == format!("300\t{first}\t299");
            assert!(is(first) || is(version * 1000), "{held} of {first}, {at}");
            if is(version * 1000) {
                first = version * 1000;
            }
            assert!(died || is(version * 1000), "{at}");
            agree(&server, &at);
            server.kill();
            if !died {
                break;
            }
            number += stride;
        }
    }
    println!("{version} replaces");
}

#[test]
fn others_change_the_catalog_while_rows_that_views_read_are_replaced() {
    let folder = project();
    // Each row takes its time, in each of these.
    for name in ["slow", "slower"] {
        let view = format!(
            "NODE n\nSQL >\n    SELECT toUInt8(part) AS part, count() AS rows, sum(id + sleepEachRow(0.25)) AS ids FROM rows GROUP BY part\n\nTYPE materialized\nDATASOURCE {name}_sums\n"
        );
        let target = "SCHEMA >\n    `part` UInt8,\n    `rows` UInt64,\n    `ids` UInt64\n\nENGINE \"SummingMergeTree\"\nENGINE_SORTING_KEY \"part\"\n";
        std::fs::write(folder.path().join(format!("of_{name}.pipe")), view).unwrap();
        std::fs::write(
            folder.path().join(format!("{name}_sums.datasource")),
            target,
        )
        .unwrap();
    }
    let allowed = "[allow]\nfunctions = [\"sleepEachRow\"]\nsystem_tables = [\"processes\"]\n";
    std::fs::write(folder.path().join("pipewright.toml"), allowed).unwrap();
    let server = Server::start(folder.path());
    let is_done = AtomicBool::new(false);
    let pipe = |name: &str| format!("/v0/pipes?name={name}&sql=SELECT%201%20AS%20one");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (status, text) = send(&server, REPLACE, &rows(0, 10));
            is_done.store(true, Ordering::SeqCst);
            assert_eq!(status, 200, "{text}");
        });
        let filling =
            "SELECT count() FROM system.processes WHERE query LIKE 'INSERT INTO%sleepEachRow%'";
        while ask(&server, &format!("{filling} FORMAT TSV")) == "0" {
            assert!(!is_done.load(Ordering::SeqCst), "the replace was too fast");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        for at in 0..2 {
            let (status, text) = send(&server, &pipe(&format!("meanwhile{at}")), "");
            assert_eq!(status, 200, "{text}");
            let token = format!("/v0/tokens?name=meanwhile{at}&scope=PIPES:READ:meanwhile{at}");
            let (status, text) = send(&server, &token, "");
            assert_eq!(status, 200, "{text}");
        }
        // What would change tables is told, and does not wait with the catalog in its hands.
        let made = "/v0/datasources?name=made&schema=a%20String";
        let (status, text) = send(&server, made, "");
        assert_eq!(status, 409, "{text}");
        assert!(text.contains("are being replaced"), "{text}");
        assert!(!is_done.load(Ordering::SeqCst), "the replace was too fast");
    });
    assert_eq!(held(&server), "10\t0\t9\t0");
    agree(&server, "after a replace beside changes");
    // What was made meanwhile is in force, and goes on being so.
    let (status, text) = server.request("GET", "/v0/pipes/meanwhile1", b"").unwrap();
    assert_eq!(status, 200, "{text}");
    let (status, text) = send(&server, "/v0/datasources?name=made&schema=a%20String", "");
    assert_eq!(status, 200, "{text}");
}
