//! Processes that end in the middle of a change, and what the next one makes of it.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use super::server::{Server, request};
use super::{KEYS, datasource, view};

#[test]
fn a_deploy_that_removes_a_default_and_a_codec_may_die_after_any_statement() {
    let with = "`id` UInt64 `json:$.id`,\n`x` UInt8 `json:$.x` DEFAULT 1 CODEC(ZSTD(3)),\n`y` UInt8 `json:$.y`";
    let without = "`id` UInt64 `json:$.id`,\n`x` UInt8 `json:$.x`,\n`y` UInt8 `json:$.y` DEFAULT 7 CODEC(ZSTD(1))";
    let folder = tempfile::tempdir().unwrap();
    let (with, without) = (datasource(with, KEYS), datasource(without, KEYS));
    std::fs::write(folder.path().join("d.datasource"), &with).unwrap();
    let die_at = folder.path().join("die-at");
    let server = Server::start(folder.path());
    let events = "/v0/events?name=d&wait=true";
    let (status, text) = server
        .request("POST", events, b"{\"id\":1,\"x\":1,\"y\":0}\n")
        .unwrap();
    assert_eq!(status, 200, "{text}");
    server.kill();
    let deploy = |address: &str, text: &str| {
        let body = json!({ "files": { "d.datasource": text } }).to_string();
        let path = "/v1/deploy?wait=true&allow_destructive_operations=true";
        request(address, "POST", path, body.as_bytes())
    };
    let (mut steps, mut deaths) = (vec![(&with, &without), (&without, &with)], 0);
    let mut number = 1;
    while let Some((before, after)) = steps.last() {
        let server = Server::start_mortal(folder.path(), &die_at);
        assert_eq!(deploy(server.address(), before).unwrap().0, 200);
        let ignored =
            "CREATE|DROP|INSERT|ALTER TABLE pw_|ALTER TABLE tinybird|ALTER TABLE pipewright";
        std::fs::write(&die_at, format!("{number} after {ignored}")).unwrap();
        let died = deploy(server.address(), after).is_none();
        _ = std::fs::remove_file(&die_at);
        server.kill();
        let server = Server::start(folder.path());
        let sql = b"SELECT id, x, y FROM d FORMAT TSV";
        let rows = server.request("POST", "/v0/sql", sql).unwrap();
        let there = (200, "1\t1\t0\n".to_owned());
        assert_eq!(rows, there, "after statement {number}");
        server.kill();
        if died {
            (number, deaths) = (number + 1, deaths + 1);
        } else {
            _ = steps.pop();
            number = 1;
        }
    }
    assert!(deaths > 8, "{deaths}");
}

/// With it a project says which pipes are served.
const ENDPOINT: &str = "NODE n\nSQL >\n    SELECT 1 AS one\n\nTYPE endpoint\n";
const ROW: &str = "`id` UInt64 `json:$.id`";

fn project(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

fn send(server: &Server, name: &str, ids: std::ops::Range<u64>) {
    let rows: Vec<String> = ids.map(|id| format!("{{\"id\":{id}}}\n")).collect();
    let path = format!("/v0/datasources?mode=append&name={name}&format=ndjson");
    let (status, text) = server
        .request("POST", &path, rows.concat().as_bytes())
        .unwrap();
    assert_eq!(status, 200, "{text}");
}

fn ask(server: &Server, sql: &str) -> String {
    let (_, text) = server.request("POST", "/v0/sql", sql.as_bytes()).unwrap();
    text.trim().to_owned()
}

/// What is asked of a server; nothing when it is gone.
type Wish<'a> = &'a dyn Fn(&Server) -> Option<u16>;

/// Asks for something of a server that dies before, during or after each statement of it; what is true afterwards is `check`ed of the next one. `undo` brings
/// back what was before when it was done.
fn die_everywhere(
    folder: &Path,
    (wish, undo): (Wish<'_>, &dyn Fn(&Server)),
    check: &dyn Fn(&Server, &str),
) -> u32 {
    let die_at = folder.join("die-at");
    let mut deaths = 0;
    for when in ["before", "during", "after"] {
        for number in 1..40 {
            let server = Server::start_mortal(folder, &die_at);
            undo(&server);
            std::fs::write(
                &die_at,
                format!("{number} {when} INSERT|ALTER TABLE tinybird|ALTER TABLE pipewright"),
            )
            .unwrap();
            let status = wish(&server);
            _ = std::fs::remove_file(&die_at);
            server.kill();
            assert!(status.is_none_or(|status| status == 200), "{status:?}");
            deaths += u32::from(status.is_none());
            let server = Server::start(folder);
            check(&server, &format!("{when} statement {number}"));
            server.kill();
            if status.is_some() {
                break;
            }
        }
    }
    deaths
}

#[test]
fn a_server_may_die_while_a_pipe_with_a_view_gets_another_name() {
    let sums = "ENGINE \"SummingMergeTree\"\nENGINE_SORTING_KEY \"k\"\n";
    let folder = project(&[
        ("rows.datasource", &datasource(ROW, KEYS)),
        (
            "totals.datasource",
            &datasource("`k` UInt8,\n`rows` UInt64", sums),
        ),
        (
            "v.pipe",
            &view(
                "SELECT toUInt8(1) AS k, count() AS rows FROM rows GROUP BY k",
                "totals",
            ),
        ),
    ]);
    let is_called = |server: &Server, name: &str| {
        server
            .request("GET", &format!("/v0/pipes/{name}"), b"")
            .unwrap()
            .0
            == 200
    };
    let rename = |server: &Server, from: &str, to: &str| {
        let path = format!("/v0/pipes/{from}?name={to}");
        server.request("PUT", &path, b"").map(|(status, _)| status)
    };
    let back = |server: &Server| {
        if is_called(server, "w") {
            assert_eq!(rename(server, "w", "v"), Some(200));
        }
    };
    let wish = |server: &Server| rename(server, "v", "w");
    let deaths = die_everywhere(folder.path(), (&wish, &back), &|server, at| {
        assert_ne!(is_called(server, "v"), is_called(server, "w"), "{at}");
        send(server, "rows", 0..10);
        assert_eq!(
            ask(server, "SELECT count() FROM rows FORMAT TSV"),
            ask(server, "SELECT sum(rows) FROM totals FORMAT TSV"),
            "{at}"
        );
    });
    assert!(deaths >= 3, "{deaths}");
}

#[test]
fn a_server_may_die_while_a_data_source_is_made_anew() {
    let node = "NODE n\nSQL >\n    SELECT id, toUInt8(1) AS one FROM src\n";
    let text = datasource(ROW, KEYS);
    let folder = project(&[
        ("src.datasource", &text),
        ("old.datasource", &text),
        ("p.pipe", node),
        ("e.pipe", ENDPOINT),
    ]);
    let wish = |server: &Server| {
        let path = "/v0/pipes/p/nodes/n/materialization?datasource=old&override_datasource=true";
        server.request("POST", path, b"").map(|(status, _)| status)
    };
    let undo = |server: &Server| {
        let files = json!({ "files": { "src.datasource": text, "old.datasource": text, "p.pipe": node, "e.pipe": ENDPOINT } });
        let path = "/v1/deploy?wait=true&allow_destructive_operations=true";
        let (status, answer) = server
            .request("POST", path, files.to_string().as_bytes())
            .unwrap();
        assert_eq!(status, 200, "{answer}");
        let rows: Vec<String> = (0..100).map(|id| format!("{{\"id\":{id}}}\n")).collect();
        let path = "/v0/datasources?mode=replace&name=old&format=ndjson";
        let (status, answer) = server
            .request("POST", path, rows.concat().as_bytes())
            .unwrap();
        assert_eq!(status, 200, "{answer}");
        assert_eq!(ask(server, "SELECT count() FROM old FORMAT TSV"), "100");
    };
    let deaths = die_everywhere(folder.path(), (&wish, &undo), &|server, at| {
        let (_, pipe) = server.request("GET", "/v0/pipes/p", b"").unwrap();
        let rows = ask(server, "SELECT count() FROM old FORMAT TSV");
        if pipe.contains("\"materialized\":null") {
            assert_eq!(rows, "100", "{at}: {pipe}");
            send(server, "src", 0..10);
            assert_eq!(
                ask(server, "SELECT count() FROM old FORMAT TSV"),
                "100",
                "{at}"
            );
        } else {
            assert_eq!(rows, "0", "{at}: {pipe}");
            send(server, "src", 0..10);
            assert_eq!(
                ask(server, "SELECT count(), sum(one) FROM old FORMAT TSV"),
                "10\t10",
                "{at}"
            );
        }
    });
    assert!(deaths >= 6, "{deaths}");
}

#[test]
fn rows_that_come_while_a_view_is_made_and_populated_count_once() {
    let node = "NODE n\nSQL >\n    SELECT id FROM src\n";
    let text = datasource(ROW, KEYS);
    let folder = project(&[
        ("src.datasource", &text),
        ("there.datasource", &text),
        ("p.pipe", node),
        ("q.pipe", node),
        ("e.pipe", ENDPOINT),
    ]);
    let server = Server::start(folder.path());
    send(&server, "src", 0..200_000);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for client in 1..4_u64 {
            let (address, stop) = (server.address(), &stop);
            scope.spawn(move || {
                for id in client * 1_000_000.. {
                    if stop.load(Ordering::SeqCst) {
                        break;
                    }
                    let row = format!("{{\"id\":{id}}}\n");
                    let path = "/v0/events?name=src&wait=true";
                    assert_eq!(
                        request(address, "POST", path, row.as_bytes()).unwrap().0,
                        200
                    );
                }
            });
        }
        std::thread::sleep(std::time::Duration::from_millis(300));
        let asked: Vec<_> = [
            (
                "p",
                "datasource=made&engine=MergeTree&engine_sorting_key=id",
            ),
            ("q", "datasource=there"),
        ]
        .into_iter()
        .map(|(pipe, target)| {
            let path = format!("/v0/pipes/{pipe}/nodes/n/materialization?{target}&populate=true");
            server.request("POST", &path, b"").unwrap()
        })
        .collect();
        let jobs_end = std::panic::catch_unwind(|| server.settle());
        stop.store(true, Ordering::SeqCst);
        for (status, text) in asked {
            assert_eq!(status, 200, "{text}");
        }
        jobs_end.unwrap();
    });
    let counted = |name: &str| {
        ask(
            &server,
            &format!("SELECT count(), uniqExact(id) FROM {name} FORMAT TSV"),
        )
    };
    assert_eq!(counted("made"), counted("src"));
    assert_eq!(counted("there"), counted("src"));
    let jobs = server.request("GET", "/v0/jobs", b"").unwrap().1;
    assert!(!jobs.contains("\"error\""), "{jobs}");
    let databases = std::fs::read_dir(folder.path().join(".pipewright/chdb/metadata")).unwrap();
    let tables = databases.filter_map(|database| std::fs::read_dir(database.unwrap().path()).ok());
    let names = tables.flatten().map(|table| table.unwrap().file_name());
    let names: Vec<String> = names.map(|name| name.into_string().unwrap()).collect();
    assert!(
        names.iter().any(|name| name.starts_with("made")),
        "{names:?}"
    );
    let is_of_job = |name: &&String| name.starts_with("pw_from") || name.starts_with("pw_to");
    assert_eq!(names.iter().find(is_of_job), None);
}
