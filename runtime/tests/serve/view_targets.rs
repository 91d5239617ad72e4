//! A node that fills a data source is changed: what it gives has to go on fitting what it fills.

use std::fmt::Write as _;

use insta::assert_snapshot;

use crate::harness::{ADMIN, Answer, Project, Server};

const TABLE: &str = "SCHEMA >\n    `ts` DateTime,\n    `n` UInt64\n\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"ts\"\n";

fn started() -> (Project, Server) {
    let project = Project::new(&[
        ("events.datasource", TABLE),
        ("kept.datasource", TABLE),
        (
            "fill.pipe",
            "NODE before\nSQL >\n    SELECT ts, n FROM events\n\nNODE into\nSQL >\n    SELECT * FROM before\nTYPE materialized\nDATASOURCE kept\n",
        ),
    ]);
    let server = Server::start(&project);
    (project, server)
}

fn put(server: &Server, node: &str, sql: &str) -> Answer {
    server.ask(ADMIN, "PUT", &format!("/v0/pipes/{node}"), sql)
}

fn rows(server: &Server) -> String {
    let row = "{\"ts\":\"2026-01-01 00:00:00\",\"n\":7}";
    let inserted = server.ask(ADMIN, "POST", "/v0/events?name=events&wait=true", row);
    assert_eq!(inserted.status, 200, "{}", inserted.text());
    server
        .ask(
            ADMIN,
            "POST",
            "/v0/sql",
            "SELECT n, count() FROM kept GROUP BY n ORDER BY n FORMAT TSV",
        )
        .text()
}

#[test]
fn a_view_is_not_changed_to_what_its_target_cannot_take() {
    let (_project, server) = started();
    let mut told = String::new();
    for (node, sql) in [
        ("fill/nodes/into", "SELECT ts, n + 1 AS m FROM before"),
        ("fill/nodes/into", "SELECT ts, [1] AS n FROM before"),
        ("fill/nodes/into", "SELECT ts, [n] AS n FROM before"),
        ("fill/nodes/into", "SELECT ts, n, 1 AS more FROM before"),
        // What the view reads changes the view as well.
        ("fill/nodes/before", "SELECT ts, [n] AS n FROM events"),
    ] {
        let answer = put(&server, node, sql);
        let error = answer.json()["error"].as_str().unwrap_or("").to_owned();
        writeln!(told, "{} {error}", answer.status).expect("text");
    }
    // Nor is one made so: the engine looks at the names alone.
    let made = server.ask(
        ADMIN,
        "POST",
        "/v0/pipes/fill/nodes?name=more&type=materialized&datasource=kept",
        "SELECT ts, [n] AS n FROM events",
    );
    let error = made.json()["error"].as_str().unwrap_or("").to_owned();
    writeln!(told, "{} {error}", made.status).expect("text");
    assert_snapshot!(told, @r"
    400 fill.pipe:5:6: error[target-columns]: what node `into` gives does not fit data source `kept`: it has no column `m`
    400 fill.pipe:5:6: error[target-columns]: what node `into` gives does not fit data source `kept`: `n` is Array(UInt8) here and UInt64 there
    400 fill.pipe:5:6: error[target-columns]: what node `into` gives does not fit data source `kept`: `n` is Array(UInt64) here and UInt64 there
    400 fill.pipe:5:6: error[target-columns]: what node `into` gives does not fit data source `kept`: it has no column `more`
    400 fill.pipe:5:6: error[target-columns]: what node `into` gives does not fit data source `kept`: `n` is Array(UInt64) here and UInt64 there
    400 fill.pipe:11:6: error[target-columns]: what node `more` gives does not fit data source `kept`: `n` is Array(UInt64) here and UInt64 there
    ");
    assert_eq!(rows(&server), "7\t1\n");
    // What fits goes on without a row missed.
    let changed = put(
        &server,
        "fill/nodes/into",
        "SELECT ts, n + 1 AS n FROM before",
    );
    assert_eq!(changed.status, 200, "{}", changed.text());
    assert_eq!(rows(&server), "7\t1\n8\t1\n");
}
