//! Copies on a ClickHouse server, which takes no files of rows.

use std::process::Command;

use serde_json::Value;

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

    // A deploy by another process would not see the rows that come meanwhile.
    let begun = done(&server, "POST", "/v0/pipes/slow/copy", "");
    let slow = begun["job"]["id"].as_str().expect("an id");
    while server.get(&format!("/v0/jobs/{slow}")).json()["status"] == "waiting" {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let deployed = Command::new(env!("CARGO_BIN_EXE_pipewright"))
        .arg("deploy")
        .current_dir(project.path())
        .output()
        .expect("the binary runs");
    let said = String::from_utf8_lossy(&deployed.stderr).into_owned();
    assert!(!deployed.status.success(), "{said}");
    assert!(said.contains("(copy) is under way"), "{said}");
    assert_eq!(ended(&server, slow)["status"], "done");

    // What needs files is said to be not there.
    for (path, body) in [
        ("/v0/events?name=copied", "{\"id\": 1}"),
        ("/v0/datasources?name=copied&mode=append", "1\n"),
        ("/v0/pipes/view/nodes/n/population", ""),
        ("/v0/datasources/copied/truncate", ""),
    ] {
        let answer = admin(&server, "POST", path, body);
        assert_eq!(answer.status, 503, "{path}: {}", answer.text());
    }
}
