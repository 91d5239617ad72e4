//! Nothing gets around a row filter.

use serde_json::json;

use crate::guarded::{started, token};

#[test]
fn nothing_gets_around_a_row_filter() {
    let (_project, server) = started();
    let one = token(
        &server,
        "one",
        &[
            "DATASOURCES:READ:events:org = 1",
            "DATASOURCES:READ:other",
            "PIPES:READ:by_org",
            "PIPES:READ:on_top",
        ],
    );
    let rows = |query: &str| {
        let answer = server.ask(
            &one,
            "POST",
            "/v0/sql",
            &format!("{query} FORMAT JSONCompactEachRow"),
        );
        assert_eq!(answer.status, 200, "{query}: {}", answer.text());
        answer.text().trim().replace('\n', " ")
    };
    assert_eq!(rows("SELECT DISTINCT org FROM events"), "[1]");
    assert_eq!(
        rows("SELECT DISTINCT e.org FROM other AS o JOIN events AS e ON e.org = o.org"),
        "[1]"
    );
    assert_eq!(rows("SELECT DISTINCT events.org FROM other, events"), "[1]");
    assert_eq!(
        rows("SELECT org FROM other WHERE (org, 37) IN events ORDER BY org"),
        "[1]"
    );
    assert_eq!(
        rows("SELECT org FROM other WHERE org IN (SELECT org FROM events)"),
        "[1]"
    );
    assert_eq!(rows("SELECT (SELECT max(value) FROM events)"), "[37]");
    assert_eq!(
        rows("WITH events AS (SELECT * FROM events) SELECT DISTINCT org FROM events"),
        "[1]"
    );
    assert_eq!(
        rows("SELECT DISTINCT org FROM (SELECT * FROM events UNION ALL SELECT * FROM events)"),
        "[1]"
    );
    assert_eq!(rows("SELECT * FROM by_org"), "[1, 10]");
    assert_eq!(rows("SELECT * FROM on_top"), "[1, 10]");
    assert_eq!(
        rows("SELECT DISTINCT org FROM view(SELECT * FROM events)"),
        "[1]"
    );
    for query in [
        "/v0/pipes/by_org.json",
        "/v0/pipes/on_top.json",
        "/v0/pipes/by_org.json?q=SELECT+*+FROM+_",
        "/v0/pipes/by_org.json?q=SELECT+*+FROM+by_org+WHERE+c+%3E+0",
    ] {
        let answer = server.ask(&one, "GET", query, "").json();
        assert_eq!(answer["data"], json!([{ "org": 1, "c": 10 }]), "{query}");
    }
    for refused in [
        "SELECT * FROM default.events",
        "SELECT 3 IN default.events",
        "SELECT * FROM pipewright.events",
        "SELECT 3 IN pipewright.events",
        "SELECT 3 IN mv__by_org__n",
        "SELECT 3 IN events_quarantine",
        "SELECT 3 IN pw_snap_events",
        "SELECT 3 IN pipewright.pw_next_events",
        "SELECT * FROM merge('default', 'events')",
        "SELECT * FROM remote('localhost', default.events)",
        "SELECT * FROM cluster('x', default.events)",
        "SELECT joinGet('events', 'value', 1)",
        "SELECT dictGet('events', 'value', 1)",
        "SELECT * FROM system.parts",
    ] {
        let answer = server.ask(&one, "POST", "/v0/sql", refused);
        assert!(
            matches!(answer.status, 400 | 403),
            "{refused}: {}",
            answer.text()
        );
    }
}

#[test]
fn what_the_engine_says_does_not_show_a_row_filter() {
    let (_project, server) = started();
    let admin = |path: &str, body: &str| {
        let answer = server.ask(crate::harness::ADMIN, "POST", path, body);
        assert!(answer.status < 300, "{path}: {}", answer.text());
    };
    admin(
        "/v0/pipes",
        "name=broken&sql=select throwIf(org >= 0) from events",
    );
    admin("/v0/pipes/broken/nodes/broken_0/endpoint", "");
    let one = token(
        &server,
        "one",
        &[
            "DATASOURCES:READ:events:org = 1 AND value != 987654",
            "PIPES:READ:broken",
            "PIPES:READ:by_org",
        ],
    );
    let assert_hidden = |answer: &crate::harness::Answer| {
        let text = answer.text();
        assert!(matches!(answer.status, 400 | 403), "{text}");
        assert!(
            !text.contains("987654") && !text.contains("org = 1"),
            "{text}"
        );
        // Nor a value of a row, which may be a hidden one.
        assert!(!text.contains("Cannot parse string 'x"), "{text}");
    };
    for query in [
        "SELECT nosuch FROM events",
        "SELECT nosuch(org) FROM events",
        "SELECT throwIf(org = 1) FROM events",
        "SELECT throwIf(value > 5, 'too much') FROM events WHERE value > 1",
        "SELECT toInt32('x' || toString(org)) FROM events",
        "SELECT org, count() FROM events",
        "SELECT events.org.nosuch FROM events",
        "SELECT 1 1 FROM events",
        "SELECT * FROM events WHERE org = = 1",
        "SELECT CAST(value, 'Array(String)') FROM events",
        "SELECT (SELECT org FROM events)",
        "SELECT sum(org) OVER (ORDER BY nosuch) FROM events",
    ] {
        for format in ["", " FORMAT CSV"] {
            let answer = server.ask(&one, "POST", "/v0/sql", &format!("{query}{format}"));
            assert_hidden(&answer);
        }
    }
    assert_hidden(&server.ask(&one, "GET", "/v0/pipes/broken.json", ""));
    assert_hidden(&server.ask(&one, "GET", "/v0/pipes/by_org/explain", ""));
    // What failed is still said.
    let said = server.ask(&one, "POST", "/v0/sql", "SELECT nosuch FROM events");
    assert!(said.text().contains("`nosuch`"), "{}", said.text());
    // And whoever sees all rows is told where.
    let said = server.ask(
        crate::harness::ADMIN,
        "POST",
        "/v0/sql",
        "SELECT nosuch FROM events",
    );
    assert!(said.text().contains("in scope"), "{}", said.text());
}

#[test]
fn nothing_that_runs_by_itself_is_defined_around_a_row_filter() {
    let (_project, server) = started();
    let admin = |path: &str, body: &str| {
        let answer = server.ask(crate::harness::ADMIN, "POST", path, body);
        assert!(answer.status < 300, "{path}: {}", answer.text());
    };
    admin("/v0/pipes", "name=sums&sql=select org, value from events");
    admin("/v0/pipes", "name=open&sql=select org from other");
    admin("/v0/pipes", "name=made&sql=select org, value from events");
    admin(
        "/v0/pipes/made/nodes/made_0/materialization?datasource=made_mv&engine=MergeTree",
        "",
    );
    admin(
        "/v0/datasources?name=kept&schema=org+UInt32,+value+UInt64",
        "",
    );
    let some = token(
        &server,
        "some",
        &[
            "PIPES:CREATE",
            "DATASOURCES:CREATE",
            "DATASOURCES:READ:events:org = 1",
            "DATASOURCES:READ:other",
            "DATASOURCES:APPEND:kept",
        ],
    );
    let status = |method: &str, path: &str, body: &str| {
        let answer = server.ask(&some, method, path, body);
        (answer.status, answer.text())
    };
    for (method, path, body) in [
        (
            "POST",
            "/v0/pipes/sums/nodes/sums_0/materialization?datasource=sums_mv&engine=MergeTree",
            "",
        ),
        (
            "POST",
            "/v0/pipes/sums/nodes/sums_0/materialization?datasource=sums_mv&engine=MergeTree&populate=true",
            "",
        ),
        (
            "POST",
            "/v0/pipes/sums/nodes/sums_0/copy?target_datasource=kept&schedule_cron=*+*+*+*+*",
            "",
        ),
        ("POST", "/v0/pipes/made/nodes/made_0/population", ""),
        (
            "PUT",
            "/v0/pipes/made/nodes/made_0",
            "select org, value + 1 as value from events",
        ),
    ] {
        let (code, text) = status(method, path, body);
        assert_eq!(code, 403, "{method} {path}: {text}");
        assert!(text.contains("only some rows"), "{text}");
    }
    // What it may see whole it may use, and what others have defined stays.
    let (code, text) = status(
        "POST",
        "/v0/pipes/open/nodes/open_0/materialization?datasource=open_mv&engine=MergeTree",
        "",
    );
    assert_eq!(code, 200, "{text}");
}
