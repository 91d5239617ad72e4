//! How much of what it makes the API makes: each limit has its word, and what is there stays and can be changed.

use serde_json::json;

use crate::harness::{ADMIN, Answer, Project, Server};

const TABLE: &str = "SCHEMA >\n    `n` UInt64\n\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"n\"\n";

fn started(limits: &str) -> (Project, Server) {
    let project = Project::new(&[
        ("pipewright.toml", &format!("[limits]\n{limits}\n")),
        ("events.datasource", TABLE),
        (
            "there.pipe",
            "NODE one\nSQL >\n    SELECT n FROM events\n\nNODE two\nSQL >\n    SELECT n, 'what a file says is as long as it is' AS s FROM one\n",
        ),
    ]);
    let server = Server::start(&project);
    (project, server)
}

fn refused(answer: &Answer, status: u16, says: &str) {
    assert_eq!(answer.status, status, "{}", answer.text());
    let error = answer.json()["error"].as_str().unwrap_or("").to_owned();
    assert!(error.contains(says), "{error}");
}

fn made(answer: &Answer) {
    assert!(answer.status < 300, "{}", answer.text());
}

#[test]
fn the_sql_of_a_node_has_a_length() {
    let (_project, server) = started("sql_bytes = 30");
    let ask = |method: &str, path: &str, body: &str| server.ask(ADMIN, method, path, body);
    let (short, long) = ("SELECT 1", "SELECT 'longer than thirty bytes' AS s");
    let says = "`sql_bytes`";
    refused(
        &ask("POST", "/v0/pipes", &format!("name=a&sql={long}")),
        400,
        says,
    );
    let nodes = json!({ "name": "a", "nodes": [{ "name": "n", "sql": long }] }).to_string();
    refused(&ask("POST", "/v0/pipes", &nodes), 400, says);
    refused(
        &ask("POST", "/v0/pipes/there/nodes?name=three", long),
        400,
        says,
    );
    refused(&ask("PUT", "/v0/pipes/there/nodes/one", long), 400, says);
    let path = "/v0/pipes/there/nodes/one/materialization?datasource=made";
    refused(&ask("POST", path, long), 400, says);
    // What a file says may be longer: its pipe can be changed.
    made(&ask("POST", "/v0/pipes", &format!("name=a&sql={short}")));
    made(&ask(
        "PUT",
        "/v0/pipes/there/nodes/one",
        "SELECT n+1 AS n FROM events",
    ));
    made(&ask("PUT", "/v0/pipes/there?name=moved", ""));
}

#[test]
fn names_have_a_length() {
    let (_project, server) = started("name_bytes = 8");
    let ask = |path: &str, body: &str| server.ask(ADMIN, "POST", path, body);
    let says = "`name_bytes`";
    refused(&ask("/v0/pipes", "name=ninechars&sql=SELECT 1"), 400, says);
    refused(
        &ask("/v0/pipes/there/nodes?name=ninechars", "SELECT 1"),
        400,
        says,
    );
    refused(
        &ask("/v0/datasources?name=ninechars&schema=n+Int32", ""),
        400,
        says,
    );
    refused(&ask("/v0/tokens?name=ninechars&scope=ADMIN", ""), 400, says);
    let path = "/v0/pipes/there?name=ninechars";
    refused(&server.ask(ADMIN, "PUT", path, ""), 400, says);
    let path = "/v0/pipes/there/nodes/one?name=ninechars";
    refused(&server.ask(ADMIN, "PUT", path, ""), 400, says);
    made(&ask("/v0/pipes", "name=eightchr&sql=SELECT 1"));
}

#[test]
fn there_are_only_so_many_of_each_kind() {
    let (_project, server) = started("nodes = 2\npipes = 2\ndatasources = 2\ntokens = 2");
    let ask = |path: &str, body: &str| server.ask(ADMIN, "POST", path, body);
    refused(&ask("/v0/pipes/there/nodes", "SELECT 1"), 403, "2 nodes");
    let three: Vec<_> = (0..3)
        .map(|at| json!({ "name": format!("n{at}"), "sql": "SELECT 1" }))
        .collect();
    let three = json!({ "name": "a", "nodes": three }).to_string();
    refused(&ask("/v0/pipes", &three), 403, "2 nodes");
    made(&ask("/v0/pipes", "name=a&sql=SELECT 1"));
    refused(&ask("/v0/pipes", "name=b&sql=SELECT 1"), 403, "2 pipes");
    made(&ask("/v0/pipes", "name=a&sql=SELECT 2"));
    made(&ask("/v0/pipes/a/nodes", "SELECT 1 AS n"));
    made(&server.ask(ADMIN, "PUT", "/v0/pipes/a?name=c", ""));
    made(&ask("/v0/datasources?name=second&schema=n+Int32", ""));
    let says = "2 data sources";
    refused(
        &ask("/v0/datasources?name=third&schema=n+Int32", ""),
        403,
        says,
    );
    let path = "/v0/pipes/c/nodes/a_1/materialization?datasource=third";
    refused(&ask(path, ""), 403, says);
    refused(
        &ask(
            "/v0/datasources?name=third&mode=create&format=csv",
            "1\n2\n",
        ),
        403,
        says,
    );
    made(&server.ask(ADMIN, "DELETE", "/v0/datasources/second", ""));
    made(&ask("/v0/datasources?name=third&schema=n+Int32", ""));
    made(&ask("/v0/tokens?name=second&scope=PIPES:CREATE", ""));
    let path = "/v0/tokens?name=third&scope=PIPES:CREATE";
    refused(&ask(path, ""), 403, "2 tokens");
}
