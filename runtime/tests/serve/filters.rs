//! A row filter against the same rows in a table of their own: whatever a query does with the table, it sees the same.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::Value;

use crate::harness::{ADMIN, Project, Server};

const TABLE: &str = "SCHEMA >\n    `org` Int32,\n    `value` Int32,\n    `twice` Int32 ALIAS value * 2\n\nENGINE \"ReplacingMergeTree\"\nENGINE_SORTING_KEY \"org, value\"\n";

/// A project in which `few` has the rows of `many` that the filter lets through, and each has the same pipes over it.
fn project() -> Project {
    let pipe = |table: &str| {
        format!(
            "TOKEN \"reader\" READ\nNODE first\nSQL >\n    SELECT * FROM {table} FINAL\nNODE {table}_2\nSQL >\n    %\n    WITH {table} AS (SELECT * FROM first) SELECT org, value FROM {table} {{% if defined(x) %}} WHERE value > 3 {{% end %}}\nTYPE endpoint\n"
        )
    };
    Project::new(&[
        ("many.datasource", TABLE),
        ("few.datasource", TABLE),
        (
            "fixtures/many.sql",
            "SELECT number % 4 AS org, number AS value FROM numbers(40)",
        ),
        (
            "fixtures/few.sql",
            "SELECT number % 4 AS org, number AS value FROM numbers(40) WHERE org = 1 OR value % 7 = 0",
        ),
        ("many_pipe.pipe", &pipe("many")),
        ("few_pipe.pipe", &pipe("few")),
    ])
}

/// Something with the columns `org` and `value`; `@` stands for the table, `@_pipe` for the pipe over it.
fn source() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("@".to_owned()),
        Just("`@`".to_owned()),
        Just("@_pipe".to_owned()),
        Just("(SELECT org, value FROM @ FINAL)".to_owned()),
        Just("(SELECT org, twice AS value FROM @)".to_owned()),
        Just("(SELECT org, value FROM @ AS x FINAL WHERE x.value > 2)".to_owned()),
        Just("view(SELECT org, value FROM @)".to_owned()),
    ];
    leaf.prop_recursive(4, 12, 3, |inner| {
        let two = (inner.clone(), inner.clone());
        prop_oneof![
            inner.clone().prop_map(|one| format!("(SELECT org, value FROM {one} WHERE org IN (SELECT org FROM @))")),
            inner.clone().prop_map(|one| format!("(WITH c AS (SELECT org, value FROM {one}) SELECT * FROM c)")),
            inner.clone().prop_map(|one| format!("(WITH @ AS (SELECT org, value FROM {one}) SELECT * FROM @)")),
            inner.clone().prop_map(|one| format!("(SELECT org, max(value) AS value FROM {one} GROUP BY org)")),
            inner.clone().prop_map(|one| format!("(SELECT org, value + (SELECT count() FROM @) AS value FROM {one})")),
            two.clone().prop_map(|(one, other)| format!("(SELECT org, value FROM {one} UNION ALL SELECT org, value FROM {other})")),
            two.clone().prop_map(|(one, other)| format!("(SELECT a.org AS org, b.value AS value FROM {one} AS a JOIN {other} AS b ON a.org = b.org)")),
            two.prop_map(|(one, other)| format!("(SELECT a.org AS org, a.value AS value FROM {one} AS a, (SELECT DISTINCT org FROM {other}) AS b WHERE a.org != b.org OR a.org IN (SELECT org FROM @))")),
        ]
    })
}

fn ask(server: &Server, token: &str, sql: &str) -> Result<Value, String> {
    let answer = server.send(
        "POST",
        "/v0/sql",
        &[("Authorization", &format!("Bearer {token}"))],
        sql.as_bytes(),
    );
    if answer.status == 200 {
        Ok(answer.json()["data"].clone())
    } else {
        Err(format!("{} {}", answer.status, answer.text()))
    }
}

#[test]
fn a_filter_shows_what_a_table_of_its_rows_would() {
    let project = project();
    let server = Server::start(&project);
    let path = "/v0/tokens/?name=filtered&scope=DATASOURCES:READ:many:org%20%3D%201%20OR%20value%20%25%207%20%3D%200%20--%20x&scope=PIPES:READ:many_pipe";
    let made = server.send(
        "POST",
        path,
        &[("Authorization", &format!("Bearer {ADMIN}"))],
        b"",
    );
    let token = made.json()["token"]
        .as_str()
        .unwrap_or_else(|| panic!("{}", made.text()))
        .to_owned();
    let mut runner = TestRunner::new_with_rng(
        Config::with_cases(60),
        proptest::test_runner::TestRng::deterministic_rng(
            proptest::test_runner::RngAlgorithm::ChaCha,
        ),
    );
    runner
        .run(&source(), |source| {
            let sql = format!("SELECT org, count() AS n, sum(value) AS s, min(value) AS low FROM {source} GROUP BY org ORDER BY org FORMAT JSON");
            let (filtered, expected) = (ask(&server, &token, &sql.replace('@', "many")), ask(&server, ADMIN, &sql.replace('@', "few")));
            prop_assert!(expected.is_ok(), "{sql}: {expected:?}");
            prop_assert_eq!(filtered, expected, "{}", sql);
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{error}"));
}
