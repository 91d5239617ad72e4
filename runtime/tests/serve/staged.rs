//! A version that waits to be promoted answers who asks for it, as far as its tables are there.

use serde_json::json;

use crate::harness::{ADMIN, Project, Server};

const TABLE: &str = "SCHEMA >\n    `a` UInt8 `json:$.a`\n";
const WIDE: &str = "SCHEMA >\n    `a` UInt8 `json:$.a`,\n    `b` UInt8 `json:$.b`\n";

fn endpoint(sql: &str) -> String {
    format!("NODE n\nSQL >\n    {sql}\nTYPE endpoint\n")
}

#[test]
fn a_version_that_waits_is_asked_by_name_or_number() {
    let project = Project::new(&[
        ("t.datasource", TABLE),
        ("wide.datasource", TABLE),
        ("fixtures/t.sql", "SELECT 7 AS a"),
        ("top.pipe", &endpoint("SELECT 1 AS version FROM t")),
    ]);
    let server = Server::start(&project);
    let get = |path: &str| {
        let answer = server.get(path);
        let first = match answer.status {
            200 => answer.json()["data"][0].clone(),
            _ => answer.json()["error"].clone(),
        };
        (answer.status, first)
    };
    let staging = "__tb__deployment=staging";
    assert_eq!(get(&format!("/v0/pipes/top.json?{staging}")).0, 404);
    let files = json!({ "files": {
        "t.datasource": TABLE,
        "wide.datasource": WIDE,
        "more.datasource": TABLE,
        "top.pipe": endpoint("SELECT 2 AS version FROM t"),
        "fresh.pipe": endpoint("SELECT a FROM t"),
        "of_more.pipe": endpoint("SELECT a FROM more"),
        "of_wide.pipe": endpoint("SELECT a FROM wide"),
    } });
    let path = "/v1/deploy?auto_promote=false";
    let staged = server.ask(ADMIN, "POST", path, &files.to_string());
    assert_eq!(staged.status, 200, "{}", staged.text());
    let id = &staged.json()["deployment"]["id"];
    let id = id
        .as_str()
        .map_or_else(|| id.to_string(), ToOwned::to_owned);

    assert_eq!(get("/v0/pipes/top.json"), (200, json!({ "version": 1 })));
    for (named, version) in [("staging", 2), (id.as_str(), 2), ("live", 1)] {
        let path = format!("/v0/pipes/top.json?__tb__deployment={named}");
        assert_eq!(get(&path), (200, json!({ "version": version })), "{named}");
    }
    assert_eq!(get("/v0/pipes/top.json?__tb__deployment=99").0, 404);
    assert_eq!(get("/v0/pipes/fresh.json").0, 404);
    let rows = (200, json!({ "a": 7 }));
    assert_eq!(get(&format!("/v0/pipes/fresh.json?{staging}")), rows);
    let query = format!("/v0/sql?q=SELECT%20*%20FROM%20fresh%20FORMAT%20JSON&{staging}");
    assert_eq!(get(&query), rows);
    // Nobody is let in by it.
    let anybody = server.send("GET", &format!("/v0/pipes/top.json?{staging}"), &[], b"");
    assert_eq!(anybody.status, 403);

    for pipe in ["of_more", "of_wide"] {
        let (status, said) = get(&format!("/v0/pipes/{pipe}.json?{staging}"));
        assert_eq!(status, 409, "{said}");
        assert!(said.to_string().contains("promoted"), "{said}");
    }
    for named in [staging, "__tb%5F%5Fdeployment=staging"] {
        let events = format!("/v0/events?name=t&{named}");
        let refused = server.ask(ADMIN, "POST", &events, "{\"a\":1}");
        assert_eq!(refused.status, 400, "{}", refused.text());
    }
    // Also where the body says so.
    for (path, body) in [
        (
            "/v0/pipes",
            "name=made&sql=SELECT 1&__tb__deployment=staging",
        ),
        (
            "/v0/pipes",
            r#"{"name": "made", "sql": "SELECT 1", "__tb__deployment": "staging"}"#,
        ),
        (
            "/v0/datasources/t/delete",
            "delete_condition=1&__tb__deployment=staging",
        ),
    ] {
        let refused = server.ask(ADMIN, "POST", path, body);
        assert_eq!(refused.status, 400, "{path}: {}", refused.text());
    }
    assert_eq!(get("/v0/pipes/made").0, 404);
    // Also where there is no body to read.
    let truncate = format!("/v0/datasources/t/truncate?{staging}");
    let refused = server.ask(ADMIN, "POST", &truncate, "");
    assert_eq!(refused.status, 400, "{}", refused.text());

    let promote = format!("/v1/deployments/{id}/set-live");
    let promoted = server.ask(ADMIN, "POST", &promote, "");
    assert_eq!(promoted.status, 200, "{}", promoted.text());
    assert_eq!(get("/v0/pipes/top.json"), (200, json!({ "version": 2 })));
    assert_eq!(get(&format!("/v0/pipes/top.json?{staging}")).0, 404);
    let live = format!("/v0/pipes/top.json?__tb__deployment={id}");
    assert_eq!(get(&live).0, 200);
}
