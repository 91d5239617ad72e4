//! Queries that read a table in ways that a text can hide: whatever their form, they show nothing that the token may not see.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;

use crate::guarded::{started, token};

/// Each counts rows that the token may not see: those of `events` that are of another org than 1, or any of `other`. 0 or nothing, or a refusal.
const HIDING: &[&str] = &[
    // A recursive definition reads the table of its own name but in the branches after the first.
    "WITH RECURSIVE other AS (SELECT * FROM other) SELECT count() FROM other",
    "WITH RECURSIVE other AS (SELECT * FROM other UNION ALL SELECT * FROM other WHERE 0) SELECT count() FROM other",
    "WITH RECURSIVE other AS ((SELECT * FROM other) UNION ALL SELECT org FROM other WHERE 0) SELECT count() FROM other",
    "WITH RECURSIVE events AS (SELECT * FROM events) SELECT countIf(org != 1) FROM events",
    "SELECT (WITH RECURSIVE other AS (SELECT * FROM other) SELECT count() FROM other)",
    // A branch with a `WITH` of its own has none of the common tables of the first.
    "SELECT count() FROM (WITH other AS (SELECT 1 AS org WHERE 0) SELECT org FROM other UNION ALL WITH 2 AS q SELECT org FROM other)",
    "SELECT count() FROM (WITH other AS (SELECT 1 AS org WHERE 0) SELECT org FROM other UNION ALL (WITH 2 AS q SELECT org FROM other))",
    "SELECT countIf(org != 1) FROM (WITH events AS (SELECT 1 AS org) SELECT org FROM events UNION ALL (SELECT 1 AS org UNION ALL WITH 2 AS q SELECT org FROM events))",
    "SELECT countIf(org != 1) FROM (WITH events AS (SELECT 1 AS org) SELECT org FROM events UNION ALL WITH 2 AS q SELECT org FROM events UNION ALL SELECT org FROM by_org)",
    // Lambdas with the name of an operator.
    "WITH lambda(tuple(x, y), 1) AS equals SELECT countIf(org != 1) FROM events",
    "WITH (x, y) -> 1 IS NOT DISTINCT FROM 1 AS equals SELECT countIf(org != 1) FROM events",
    "WITH RECURSIVE ((x, y) -> 1) AS equals SELECT countIf(org != 1) FROM events",
    "WITH ((x, y) -> 1) AS g, (g AS h) AS equals SELECT countIf(org != 1) FROM events",
    // Sets.
    "SELECT sum(c) FROM (SELECT * APPLY other -> (2 IN other) FROM (SELECT 1 AS c) WHERE 2 IN other)",
    "SELECT countIf(number IN + other) FROM numbers(5)",
    "SELECT countIf(number IN +((other))) FROM numbers(5)",
    "SELECT sum(NOT NOT in(number, other)) FROM numbers(5)",
    "SELECT sum(s) FROM (SELECT DISTINCT in(number, other) AS s FROM numbers(5))",
    "SELECT sum(CASE in(number, other) WHEN 1 THEN 1 ELSE 0 END) FROM numbers(5)",
    "SELECT count(DISTINCT in(number, other)) - 1 FROM numbers(5)",
    "SELECT count() FILTER (WHERE in(number, other)) FROM numbers(5)",
    "WITH other AS x SELECT countIf(number IN x) FROM numbers(5)",
    "WITH other AS x, x AS y SELECT countIf(number IN y) FROM numbers(5)",
    "WITH pipewright.other AS x SELECT countIf(number IN x) FROM numbers(5)",
    "SELECT sum(other) FROM (SELECT number IN other AS other FROM numbers(5) AS other)",
    "WITH events AS x SELECT countIf((number % 4, number) IN x) FROM numbers(40) WHERE number % 4 != 1",
    "SELECT countIf((number % 4, number) IN + events) FROM numbers(40) WHERE number % 4 != 1",
    "SELECT sum(in((number % 4, number), events)) FROM numbers(40) WHERE number % 4 != 1",
    // What the engine makes of values for texts.
    "SELECT countIf(org != 1) FROM events SETTINGS bool_false_representation = 'true'",
];

#[test]
fn no_form_of_a_query_shows_what_the_token_may_not_see() {
    let (_project, server) = started();
    let some = token(
        &server,
        "some",
        &[
            "DATASOURCES:READ:events:toString(org = 1) = 'true' OR org = 1",
            "PIPES:READ:by_org",
        ],
    );
    for query in HIDING {
        let asked = format!("{query} FORMAT TSV");
        let answer = server.ask(&some, "POST", "/v0/sql", &asked);
        let shows = answer.status == 200 && !matches!(answer.text().trim(), "0" | "" | "\\N");
        assert!(!shows, "{query}: {} {}", answer.status, answer.text());
        // They are no nonsense: whoever sees all rows gets some.
        let whole = server.ask(crate::harness::ADMIN, "POST", "/v0/sql", &asked);
        if whole.status == 200 && !query.contains("SETTINGS") {
            assert_ne!(whole.text().trim(), "0", "{query}");
        }
    }
}

#[test]
fn the_engine_shows_no_more_than_a_query_was_found_to_read() {
    let (_project, server) = started();
    let some = token(
        &server,
        "some",
        &["DATASOURCES:READ:events:org = 1", "DATASOURCES:READ:other"],
    );
    let rows = |query: &str| {
        let answer = server.ask(&some, "POST", "/v0/sql", &format!("{query} FORMAT TSV"));
        assert_eq!(answer.status, 200, "{query}: {}", answer.text());
        answer.text().trim().replace('\n', " ")
    };
    // What it may read it reads, in whatever turn: a connection keeps nothing of the query before.
    for _ in 0..20 {
        assert_eq!(rows("SELECT count() FROM other"), "4");
        assert_eq!(
            rows("SELECT count(), countIf(org = 1) FROM events"),
            "10\t10"
        );
        assert_eq!(rows("SELECT count() FROM events WHERE org IN other"), "10");
        assert_eq!(rows("SELECT 'other', count() FROM events"), "other\t10");
        let whole = server.ask(
            crate::harness::ADMIN,
            "POST",
            "/v0/sql",
            "SELECT count() FROM events FORMAT TSV",
        );
        assert_eq!(whole.text().trim(), "40");
    }
}

#[test]
fn what_a_jwt_fixes_holds_where_a_template_computes_the_pipe_that_is_read() {
    let (_project, server) = started();
    let admin = |method: &str, path: &str, body: &str| {
        let answer = server.ask(crate::harness::ADMIN, method, path, body);
        assert!(answer.status < 300, "{path}: {}", answer.text());
        answer
    };
    let sql = "%25 select * from {{table(String(which, 'by_org'))}}";
    admin("POST", "/v0/pipes", &format!("name=dyn&sql={sql}"));
    admin("POST", "/v0/pipes/dyn/nodes/dyn_0/endpoint", "");
    let scopes = json!({
        "name": "front",
        "scopes": [
            { "type": "PIPES:READ", "resource": "dyn" },
            { "type": "PIPES:READ", "resource": "by_org", "fixed_params": { "below": 1 } },
            { "type": "DATASOURCES:READ", "resource": "events" },
        ],
    });
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970");
    let path = format!(
        "/v0/tokens?name=front&expiration_time={}",
        now.as_secs() + 3600
    );
    let made = admin("POST", &path, &scopes.to_string()).json();
    let jwt = made["token"].as_str().expect("a token");
    for path in ["by_org.json?below=9", "dyn.json?which=by_org&below=9"] {
        let answer = server
            .ask(jwt, "GET", &format!("/v0/pipes/{path}"), "")
            .json();
        assert_eq!(answer["data"], json!([{ "org": 0, "c": 10 }]), "{path}");
    }
    for path in ["by_org/explain?below=9", "dyn/explain?which=by_org&below=9"] {
        let answer = server.ask(jwt, "GET", &format!("/v0/pipes/{path}"), "");
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        let explained = answer.json()["debug_query"].to_string();
        assert!(
            explained.contains("toInt32('1')") && !explained.contains("toInt32('9')"),
            "{path}: {explained}"
        );
    }
}
