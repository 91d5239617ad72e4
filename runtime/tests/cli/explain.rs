//! `explain` and `check --budget` with an engine and data.

use std::sync::{Mutex, PoisonError};

use pipewright::engine::{self, Config};

use super::harness::Project;

const FILES: &[(&str, &str)] = &[
    (
        "hits.datasource",
        "SCHEMA >\n    `org` UInt32,\n    `url` String,\n    `amount` UInt64\n\nINDEXES >\n    INDEX amounts amount TYPE minmax GRANULARITY 1\n\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"org\"\n",
    ),
    (
        "one.pipe",
        "NODE ours\nSQL >\n    %\n    SELECT url, amount FROM hits WHERE org = {{ UInt32(org, 7) }}\n\nNODE result\nSQL >\n    SELECT url, sum(amount) AS total FROM ours GROUP BY url\n\nTYPE endpoint\n",
    ),
    (
        "all.pipe",
        "NODE result\nSQL >\n    SELECT sum(amount) AS total FROM hits WHERE amount < 100\n\nTYPE endpoint\n",
    ),
];

/// A project whose table has rows. One at a time: a process has one engine open.
fn with_data(toml: &str) -> Project {
    static OPEN: Mutex<()> = Mutex::new(());
    let _open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    let project = Project::new(FILES);
    project.write("pipewright.toml", toml);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let state = project.path().join(".pipewright");
        std::fs::create_dir_all(&state).expect("a folder");
        let engine = engine::open(Config::embedded(&state)).await.expect("the engine opens");
        for sql in [
            "CREATE TABLE hits (org UInt32, url String, amount UInt64, INDEX amounts amount TYPE minmax GRANULARITY 1) ENGINE = MergeTree ORDER BY org",
            "INSERT INTO hits SELECT intDiv(number, 1000), toString(number % 10), number FROM numbers(200000)",
        ] {
            engine.execute(sql).await.expect("the table is filled");
        }
        engine.shutdown().await;
    });
    project
}

/// stdout, stderr and the exit code.
fn run(project: &Project, arguments: &[&str]) -> (String, String, i32) {
    let library = engine::locate().expect("the engine is installed: `cargo run -- engine install`");
    let mut command = project.command(arguments);
    let output = command
        .env("PIPEWRIGHT_CHDB", library)
        .output()
        .expect("the binary runs");
    (
        String::from_utf8(output.stdout).expect("text"),
        String::from_utf8(output.stderr).expect("text"),
        output.status.code().expect("an exit code"),
    )
}

#[test]
fn three_layers_say_what_an_endpoint_costs() {
    let project = with_data("");
    let (text, said, code) = run(&project, &["explain", "one"]);
    assert_eq!((said.as_str(), code), ("", 0));
    insta::assert_snapshot!("explain_three_layers", text);
    let (text, _, _) = run(&project, &["explain", "all", "--format", "json"]);
    let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(value["engine"]["granules"], 1);
    assert_eq!(value["engine"]["reads"][0]["indexes"][1]["kind"], "Skip");
    assert_eq!(value["nodes"][0]["columns"][0]["type"], "UInt64");
}

#[test]
fn without_data_types_are_asked_on_empty_tables() {
    let project = Project::new(FILES);
    let (text, said, code) = run(&project, &["explain", "one"]);
    assert!(
        text.contains("ours  node: url String, amount UInt64"),
        "{text}"
    );
    assert!(said.contains("the project has no data here"), "{said}");
    assert_eq!(code, 0);
    assert!(!project.path().join(".pipewright").exists());
}

#[test]
fn an_endpoint_over_its_budget_fails_the_check() {
    let project = with_data("[budget]\nendpoint = 1\n\n[budget.pipes]\nall = 0\n");
    let (findings, said, code) = run(&project, &["check", "--budget", "--format", "concise"]);
    assert_eq!(
        findings.trim_end(),
        "all.pipe:1:6: error[over-budget]: endpoint `all` reads 1 granules, 1 more than its budget of 0"
    );
    assert!(said.contains("held 2 endpoints to their budgets"), "{said}");
    assert_eq!(code, 1);
    let empty = Project::new(FILES);
    empty.write("pipewright.toml", "[budget]\nendpoint = 1\n");
    let (_, said, code) = run(&empty, &["check", "--budget"]);
    assert!(said.contains("the project has no data"), "{said}");
    assert_eq!(code, 2);
}

#[test]
fn what_cannot_be_compiled_is_explained_and_fails() {
    let project = Project::new(FILES);
    project.write(
        "needs.pipe",
        "DESCRIPTION what it is\n\nNODE n\nSQL >\n    %\n    SELECT url FROM hits WHERE org = {{ UInt32(org, description='which') }} LIMIT {{ Int32(n, 5) }}\n\nTYPE endpoint\n",
    );
    project.write(
        "lost.pipe",
        "NODE n\nSQL >\n    SELECT url FROM hist\n\nTYPE endpoint\n",
    );
    let (text, _, code) = run(&project, &["explain", "lost", "--no-engine"]);
    assert!(text.contains("cannot be compiled: "), "{text}");
    assert_eq!(code, 1);
    let explain = |pipe: &str| {
        let arguments = ["explain", pipe, "--no-engine", "--format", "json"];
        let (text, _, code) = run(&project, &arguments);
        let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        (value, code)
    };
    let (value, code) = explain("lost");
    assert!(value["error"].is_string(), "{value}");
    assert_eq!(code, 1);
    let (value, code) = explain("needs");
    assert!(value["sql"].is_string(), "{value}");
    assert_eq!(code, 0);
    // What the text has, this has too.
    assert_eq!(value["description"], "what it is");
    assert_eq!(value["parameters"][0]["name"], "org");
    assert_eq!(value["parameters"][0]["type"], "UInt32");
    assert_eq!(value["parameters"][0]["description"], "which");
    assert_eq!(value["parameters"][1]["default"], 5);
    assert_eq!(value["tables"][0]["name"], "hits");
    assert_eq!(value["tables"][0]["order_by"], "org");
}
