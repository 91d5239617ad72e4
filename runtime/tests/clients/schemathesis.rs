//! Requests made up from the server's own description: whatever is sent, the server does not break.

use std::process::Command;
use std::time::Duration;

use super::harness::{ADMIN, Project, Server};
use super::tools;

const PROJECT: &[(&str, &str)] = &[
    (
        "items.datasource",
        "SCHEMA >\n    `id` UInt64 `json:$.id`,\n    `name` String `json:$.name`,\n    `at` DateTime `json:$.at`\n\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"id\"\n",
    ),
    (
        "totals.datasource",
        "SCHEMA >\n    `name` String,\n    `total` UInt64\n\nENGINE \"SummingMergeTree\"\nENGINE_SORTING_KEY \"name\"\n",
    ),
    (
        "items_by.pipe",
        "NODE chosen\nSQL >\n    %\n    SELECT id, name FROM items\n    WHERE at < {{ DateTime(before, '2100-01-01 00:00:00', description='Only earlier ones') }}\n    {% if defined(names) %} AND name IN {{ Array(names, 'String', 'a,b') }} {% end %}\n    AND id >= {{ UInt64(from_id, 0) }} AND {{ Float64(share, 0.5) }} > 0\n    ORDER BY {{ column(order, 'id') }}\n    LIMIT {{ Int32(page_size, 10, required=False) }}\nTYPE endpoint\n",
    ),
    (
        "total.pipe",
        "NODE sums\nSQL >\n    SELECT name, count() AS total FROM items GROUP BY name\nTYPE materialized\nDATASOURCE totals\n",
    ),
    (
        "plain.pipe",
        "NODE one\nSQL >\n    SELECT 1 AS x\nNODE two\nSQL >\n    SELECT x + 1 AS y FROM one\n",
    ),
    (
        "copies.datasource",
        "SCHEMA >\n    `id` UInt64,\n    `name` String\n\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"id\"\n",
    ),
    (
        "kept.pipe",
        "NODE copied\nSQL >\n    SELECT id, name FROM items\nTYPE copy\nTARGET_DATASOURCE copies\nCOPY_SCHEDULE 0 3 * * *\n",
    ),
    ("doomed.pipe", "NODE a\nSQL >\n    SELECT 1 AS x\n"),
    ("doomed_too.datasource", "SCHEMA >\n    `id` UInt64\n"),
];

/// How many requests are made up for each route, and how long all may take.
fn examples() -> String {
    std::env::var("SCHEMATHESIS_EXAMPLES").unwrap_or_else(|_| "5".to_owned())
}

#[test]
fn no_request_breaks_the_server() {
    let program = tools::python().join("st");
    let project = Project::new(PROJECT);
    let server = Server::start(&project);
    let address = format!("http://{}", server.address());
    let config = project.path().join("schemathesis.toml");
    std::fs::write(&config, include_str!("schemathesis.toml")).expect("a file");
    let done = Command::new(program)
        .args(["--config-file", &config.display().to_string()])
        .args(["run", &format!("{address}/openapi.json")])
        .args(["--url", &address])
        .args(["--header", &format!("Authorization: Bearer {ADMIN}")])
        .args(["--checks", "not_a_server_error"])
        .args(["--phases", "examples,coverage,fuzzing"])
        .args(["--max-examples", &examples()])
        .args(["--seed", "1", "--generation-database", "none"])
        .args(["--no-color", "--continue-on-failure"])
        .args(["--request-timeout", "20"])
        .current_dir(project.path())
        .output()
        .expect("the program runs");
    let said = tools::said(&done);
    let end: String = said
        .chars()
        .skip(said.chars().count().saturating_sub(12_000))
        .collect();
    assert!(done.status.success(), "{end}\n{}", server.messages());
    // It has asked, and was not turned away.
    assert_eq!(server.get("/health").status, 200);
    std::thread::sleep(Duration::from_millis(10));
    let metrics = server.get("/metrics").text();
    assert!(!metrics.contains("status=\"5"), "{metrics}");
}
