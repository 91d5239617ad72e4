//! Renames to names that a reader has for something else.

use std::fmt::Write as _;

use insta::assert_snapshot;

use crate::harness::{ADMIN, Project, Server};

const TABLE: &str = "SCHEMA >\n    `a` UInt8\n\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"a\"\n";

fn started() -> (Project, Server) {
    let endpoint = |sql: &str| format!("NODE result\nSQL >\n    {sql}\nTYPE endpoint\n");
    let project = Project::new(&[
        ("kept.datasource", TABLE),
        ("fixtures/kept.sql", "SELECT 1 AS a"),
        ("source.pipe", &endpoint("SELECT 1 AS a")),
        (
            "node.pipe",
            "NODE inside\nSQL >\n    SELECT 2 AS a\n\nNODE result\nSQL >\n    SELECT a FROM source\nTYPE endpoint\n",
        ),
        (
            "common.pipe",
            &endpoint(
                "WITH given AS (SELECT 7 AS a) SELECT a FROM source UNION ALL SELECT a FROM given",
            ),
        ),
        (
            "set.pipe",
            &endpoint("SELECT [5] AS listed, 5 IN source AS found"),
        ),
        (
            "joined.pipe",
            &endpoint("SELECT other.a FROM source JOIN kept AS other USING a"),
        ),
        (
            "nodes.pipe",
            "NODE first\nSQL >\n    SELECT 1 AS a\n\nNODE result\nSQL >\n    WITH hidden AS (SELECT 7 AS a) SELECT a FROM first UNION ALL SELECT a FROM hidden\nTYPE endpoint\n",
        ),
    ]);
    let server = Server::start(&project);
    (project, server)
}

#[test]
fn a_rename_to_a_name_that_a_reader_has_is_refused() {
    let (_project, server) = started();
    let answers = || {
        ["node", "common", "set", "joined", "nodes"]
            .map(|pipe| server.get(&format!("/v0/pipes/{pipe}.csv")).text())
            .join("\n")
    };
    let before = answers();
    let mut told = String::new();
    for path in [
        "/v0/pipes/source?name=inside",
        "/v0/pipes/source?name=given",
        "/v0/pipes/source?name=listed",
        "/v0/pipes/source?name=other",
        "/v0/pipes/nodes/nodes/first?name=hidden",
    ] {
        let answer = server.ask(ADMIN, "PUT", path, "");
        let error = answer.json()["error"].as_str().unwrap_or("").to_owned();
        writeln!(told, "{} {error}", answer.status).expect("text");
    }
    assert_snapshot!(told, @r"
    409 `node.result` reads `source` and has the name `inside` for something else, which it would read then: change that first, or choose another name
    409 `common.result` reads `source` and has the name `given` for something else, which it would read then: change that first, or choose another name
    409 `set.result` reads `source` and has the name `listed` for something else, which it would read then: change that first, or choose another name
    409 `joined.result` reads `source` and has the name `other` for something else, which it would read then: change that first, or choose another name
    409 `nodes.result` reads `first` and has the name `hidden` for something else, which it would read then: change that first, or choose another name
    ");
    assert_eq!(answers(), before);
    let renamed = server.ask(ADMIN, "PUT", "/v0/pipes/source?name=spring", "");
    assert_eq!(renamed.status, 200, "{}", renamed.text());
    let renamed = server.ask(ADMIN, "PUT", "/v0/pipes/nodes/nodes/first?name=second", "");
    assert_eq!(renamed.status, 200, "{}", renamed.text());
    assert_eq!(answers(), before);
}
