//! Copies on a ClickHouse server, which takes no files of rows.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::clickhouse::ClickHouse;
use crate::copies::{admin, done, ended};
use crate::harness::{Project, Server};

const COPIED: &str =
    "SCHEMA >\n    `id` UInt32\n\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"id\"\n";

fn copy(sql: &str, target: &str, mode: &str) -> String {
    format!(
        "NODE n\nSQL >\n    %\n    {sql}\n\nTYPE copy\nTARGET_DATASOURCE {target}\nCOPY_MODE {mode}\n"
    )
}

fn project(clickhouse: &ClickHouse) -> Project {
    let settings = format!(
        "[server]\nclickhouse_url = \"http://{}\"\n\n[limits]\ncopy_rows = 100\n",
        clickhouse.address
    );
    let below = "SELECT number AS id FROM numbers(200) WHERE id < {{Int32(below, 3)}}";
    Project::new(&[
        ("pipewright.toml", &settings),
        ("copied.datasource", COPIED),
        ("replaced.datasource", COPIED),
        ("seen.datasource", COPIED),
        (
            "view.pipe",
            "NODE n\nSQL >\n    SELECT id FROM copied\n\nTYPE materialized\nDATASOURCE seen\n",
        ),
        ("append.pipe", &copy(below, "copied", "append")),
        ("replace.pipe", &copy(below, "replaced", "replace")),
        (
            "slow.pipe",
            &copy(
                "SELECT toUInt32(count()) AS id FROM numbers(60000000) WHERE NOT ignore(sipHash128(number))",
                "copied",
                "append",
            ),
        ),
        (
            "broken.pipe",
            &copy(
                "SELECT throwIf(number = 3) AS id FROM numbers(5)",
                "copied",
                "append",
            ),
        ),
    ])
}

fn copied(server: &Server, path: &str) -> Value {
    let begun = done(server, "POST", path, "");
    ended(server, begun["job"]["id"].as_str().expect("an id"))
}

#[test]
fn copies_run_on_a_clickhouse_server() {
    let clickhouse = ClickHouse::start();
    clickhouse.ask("CREATE DATABASE others");
    clickhouse.ask("CREATE TABLE others.t (x Int32) ENGINE = MergeTree ORDER BY x");
    let project = project(&clickhouse);
    let server = Server::start(&project);

    for rows in [3, 6] {
        let job = copied(&server, "/v0/pipes/append/copy");
        assert_eq!(job["status"], "done", "{job}");
        for table in ["copied", "seen"] {
            let count = clickhouse.ask(&format!("SELECT count() FROM {table}"));
            assert_eq!(count, rows.to_string(), "{table}");
        }
    }
    for rows in [5, 2] {
        let job = copied(&server, &format!("/v0/pipes/replace/copy?below={rows}"));
        assert_eq!(job["status"], "done", "{job}");
        let count = clickhouse.ask("SELECT count() FROM replaced");
        assert_eq!(count, rows.to_string());
    }
    // What fails, or is too much, leaves everything as it was.
    for path in ["/v0/pipes/broken/copy", "/v0/pipes/append/copy?below=150"] {
        let begun = admin(&server, "POST", path, "");
        if begun.status == 200 {
            let id = begun.json()["job"]["id"].clone();
            let job = ended(&server, id.as_str().expect("an id"));
            assert_eq!(job["status"], "error", "{job}");
        } else {
            assert_eq!(begun.status, 403, "{}", begun.text());
        }
    }
    let refused = admin(&server, "POST", "/v0/pipes/append/copy?_mode=replace", "");
    assert_eq!(refused.status, 400, "{}", refused.text());
    assert_eq!(clickhouse.ask("SELECT count() FROM copied"), "6");
    let left = "SELECT count() FROM system.tables WHERE name LIKE 'pw_%'";
    assert_eq!(clickhouse.ask(left), "0");
    // Tables of others are left alone, and the server's disks are its own affair.
    let changed = "SELECT countIf(engine_full LIKE '%deduplication%') > 0, countIf(engine_full LIKE '%fsync%') FROM system.tables WHERE database = ";
    assert_eq!(clickhouse.ask(&format!("{changed}'others'")), "0\t0");
    assert_eq!(clickhouse.ask(&format!("{changed}'pipewright'")), "1\t0");

    // Another process would not see the rows that come meanwhile.
    let deployed = Command::new(env!("CARGO_BIN_EXE_pipewright"))
        .arg("deploy")
        .current_dir(project.path())
        .output()
        .expect("the binary runs");
    let said = String::from_utf8_lossy(&deployed.stderr).into_owned();
    assert!(!deployed.status.success(), "{said}");
    let owner = format!("in use by another process (process id {})", server.id());
    assert!(said.contains(&owner) && said.contains("--host"), "{said}");

    // The one that serves knows of them, and of a copy that it runs.
    let begun = done(&server, "POST", "/v0/pipes/slow/copy", "");
    let slow = begun["job"]["id"].as_str().expect("an id");
    let changed = COPIED.replace(
        "ENGINE_SORTING_KEY \"id\"",
        "ENGINE_SORTING_KEY \"id % 7, id\"",
    );
    let mut files = files(project.path());
    files["copied.datasource"] = changed.into();
    let version = json!({ "files": files }).to_string();
    let deployed = admin(&server, "POST", "/v1/deploy?wait=true", &version);
    assert_eq!(deployed.status, 200, "{}", deployed.text());
    let deployment = &deployed.json()["deployment"];
    assert_eq!(deployment["live"], true, "{deployment}");
    assert_eq!(ended(&server, slow)["status"], "done");
    let key =
        "SELECT sorting_key FROM system.tables WHERE database = 'pipewright' AND name = 'copied'";
    assert_eq!(clickhouse.ask(key), "id % 7, id");
    assert_eq!(clickhouse.ask("SELECT count() FROM copied"), "7");
}

/// The files of a project as a deploy sends them.
fn files(folder: &Path) -> Value {
    let read = std::fs::read_dir(folder).expect("a folder").flatten();
    let files = read.filter(|file| file.path().is_file());
    let pairs = files.map(|file| {
        let text = std::fs::read_to_string(file.path()).expect("a text");
        (
            file.file_name().to_string_lossy().into_owned(),
            Value::from(text),
        )
    });
    Value::Object(pairs.collect())
}
