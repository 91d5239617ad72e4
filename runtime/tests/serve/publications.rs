//! What is published answers.

use crate::harness::{ADMIN, Project, Server};

#[test]
fn a_node_that_reads_what_is_gone_does_not_take_the_place_of_one_that_answers() {
    let project = Project::new(&[(
        "one.pipe",
        "NODE gone\nSQL >\n    SELECT 1 AS x\n\nNODE broken\nSQL >\n    SELECT x FROM gone\n\nNODE result\nSQL >\n    SELECT 2 AS x\nTYPE endpoint\n",
    )]);
    let server = Server::start(&project);
    let deleted = server.ask(ADMIN, "DELETE", "/v0/pipes/one/nodes/gone", "");
    assert_eq!(deleted.status, 204, "{}", deleted.text());
    let published = server.ask(ADMIN, "POST", "/v0/pipes/one/nodes/broken/endpoint", "");
    assert_eq!(published.status, 400, "{}", published.text());
    let error = published.json()["error"].as_str().unwrap_or("").to_owned();
    assert!(error.contains("`gone`"), "{error}");
    assert_eq!(server.get("/v0/pipes/one.csv").text(), "\"x\"\n2\n");
}

#[test]
fn playgrounds_are_no_pipes() {
    let project = Project::new(&[
        (
            "datasources/visits.datasource",
            "SCHEMA >\n    `n` UInt64\n\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"n\"\n",
        ),
        (
            "playgrounds/visits.pipe",
            "NODE n\nSQL >\n    SELECT 1 AS x\nTYPE endpoint\n",
        ),
        (
            "endpoints/one.pipe",
            "NODE n\nSQL >\n    SELECT count() AS c FROM visits\nTYPE endpoint\n",
        ),
    ]);
    let server = Server::start(&project);
    assert_eq!(server.get("/v0/pipes/one.csv").text(), "\"c\"\n0\n");
    assert_eq!(
        server.get("/v0/pipes").json()["pipes"]
            .as_array()
            .map(Vec::len),
        Some(1)
    );
}
