//! Nothing gets around a row filter.

use serde_json::json;

use crate::guarded::{started, token};
use crate::harness::{Project, Server};

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
        // What the engine would call in the place of the filter's functions.
        "WITH (a, b) -> 1 AS equals SELECT * FROM events",
        "SELECT arrayMap(((a, b) -> 1) AS equals, [1], [2]), * FROM events",
        "WITH (a, b) -> 1 AS `in` SELECT * FROM tinybird.pipe_stats_rt",
        "WITH x -> 1 AS count SELECT * FROM by_org",
        // What it would take for the table, inside of the expression of that name.
        "SELECT (3, 3) IN events AS events",
        "SELECT number, toInt32(number) IN events AS events FROM numbers(5)",
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
fn tables_of_files_that_are_gone_cannot_be_read() {
    let project = crate::guarded::project();
    Server::start(&project).interrupt();
    std::fs::remove_file(project.path().join("other.datasource")).expect("the file");
    std::fs::remove_file(project.path().join("fixtures/other.sql")).expect("the file");
    let server = Server::start(&project);
    let one = token(&server, "one", &["PIPES:READ:by_org"]);
    for (query, status) in [
        ("SELECT 3 IN other", 400),
        ("SELECT (3, 3) IN events AS events", 403),
        (
            "SELECT number, toInt32(number) IN other AS other FROM numbers(5)",
            400,
        ),
        (
            "SELECT c IN list FROM (SELECT c, [10] AS list FROM by_org)",
            200,
        ),
    ] {
        let answer = server.ask(&one, "POST", "/v0/sql", query);
        assert_eq!(answer.status, status, "{query}: {}", answer.text());
    }
}

#[test]
fn errors_on_service_data_sources_do_not_quote_rows() {
    let (_project, server) = started();
    let one = token(&server, "one", &["PIPES:READ:by_org"]);
    let two = token(
        &server,
        "two_with_a_name",
        &["PIPES:READ:by_org", "PIPES:READ:on_top"],
    );
    let read = server.ask(&two, "GET", "/v0/pipes/on_top.json", "");
    assert_eq!(read.status, 200, "{}", read.text());
    let query = "SELECT count() FROM tinybird.pipe_stats_rt WHERE toUInt8(if(token_name = 'one', '1', token_name)) = 1";
    for _ in 0..100 {
        let answer = server.ask(&one, "POST", "/v0/sql", query);
        assert!(!answer.text().contains("two_with"), "{}", answer.text());
        std::thread::sleep(std::time::Duration::from_millis(20));
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
    admin("/v0/pipes", "name=sent&sql=select org, value from events");
    admin(
        "/v0/datasources?name=safe&schema=org+UInt32,+value+UInt64",
        "",
    );
    admin(
        "/v0/pipes/sent/nodes/sent_0/copy?target_datasource=safe&schedule_cron=0+0+1+1+*",
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
        // To where it can read them.
        (
            "PUT",
            "/v0/pipes/sent/nodes/sent_0/copy?target_datasource=kept",
            "",
        ),
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

/// Statements with `@` for a table and `?` for an expression that is 0 for rows that may be seen, and throws for others.
const ASKING: &[&str] = &[
    "SELECT sum(?) FROM @",
    "SELECT sum(?) FROM @ WHERE ? = 0",
    "SELECT sum(value) FROM @ WHERE value >= 0 AND ? = 0",
    "SELECT count() FROM @ WHERE ? = 0 AND org IN (0, 1, 2, 3)",
    "SELECT count() FROM @ GROUP BY org, value, secret HAVING ? = 0",
    "SELECT count() FROM (SELECT * FROM @ WHERE ? = 0)",
    "SELECT count() FROM (SELECT *, ? AS z FROM @) WHERE z = 0",
    "WITH c AS (SELECT * FROM @) SELECT count() FROM c AS a, c AS b WHERE (SELECT sum(?) FROM c) = 0",
    "SELECT value FROM @ ORDER BY ?, value LIMIT 1",
    "SELECT count() FROM @ JOIN numbers(3) AS n ON n.number = toUInt64(?)",
    "SELECT count() FROM (SELECT org AS o FROM other) AS n JOIN @ AS t ON t.org % 2 = n.o % 2 WHERE ? = 0",
    "SELECT count() FROM other WHERE org IN (SELECT org FROM @ WHERE ? = 0)",
    "SELECT DISTINCT ? FROM @",
    "SELECT arrayJoin([?]) FROM @",
    "SELECT value FROM @ LIMIT 1 BY ?",
    "SELECT count() FROM @ FINAL WHERE ? = 0",
    "SELECT sum(value) FROM (SELECT * FROM @ FINAL) WHERE value >= 0 AND ? = 0",
];

#[test]
fn no_expression_of_a_caller_meets_rows_that_a_filter_hides() {
    let table = |engine: &str, key: &str| {
        format!(
            "SCHEMA >\n    `org` Int32,\n    `value` Int32,\n    `secret` String,\n    `version` UInt32\n\nENGINE \"{engine}\"\nENGINE_SORTING_KEY \"{key}\"\n"
        )
    };
    let rows = "SELECT number % 4 AS org, number AS value, 's' || org AS secret, 1 AS version FROM numbers(400)";
    let tables = [
        ("by_org", table("ReplacingMergeTree", "org, value")),
        ("by_value", table("ReplacingMergeTree", "value")),
        ("by_secret", table("ReplacingMergeTree", "secret, value")),
    ];
    let mut files = vec![
        (
            "other.datasource".to_owned(),
            "SCHEMA >\n    `org` Int32\n".to_owned(),
        ),
        (
            "fixtures/other.sql".to_owned(),
            "SELECT number AS org FROM numbers(4)".to_owned(),
        ),
    ];
    for (name, text) in &tables {
        files.push((format!("{name}.datasource"), text.clone()));
        files.push((format!("fixtures/{name}.sql"), rows.to_owned()));
        let pipe = format!(
            "NODE first\nSQL >\n    SELECT *, throwIf(org != 1) AS thrown FROM {name}\nNODE last\nSQL >\n    SELECT sum(thrown) AS s, count() AS c FROM first WHERE thrown = 0 AND value > 3\nTYPE endpoint\n"
        );
        files.push((format!("pipe_{name}.pipe"), pipe));
    }
    let files: Vec<(&str, &str)> = files
        .iter()
        .map(|(path, text)| (path.as_str(), text.as_str()))
        .collect();
    let project = Project::new(&files);
    let server = Server::start(&project);
    for filter in ["org = 1", "secret = 's1'"] {
        let scopes: Vec<String> = tables
            .iter()
            .flat_map(|(name, _)| {
                [
                    format!("DATASOURCES:READ:{name}:{filter}"),
                    format!("PIPES:READ:pipe_{name}"),
                ]
            })
            .chain(["DATASOURCES:READ:other".to_owned()])
            .collect();
        let scopes: Vec<&str> = scopes.iter().map(String::as_str).collect();
        let token = token(&server, &format!("of_{}", filter.len()), &scopes);
        for (name, _) in &tables {
            for expression in [
                "throwIf(org != 1)",
                "1 - intDiv(1, org = 1)",
                "throwIf(secret != 's1')",
                "throwIf(value % 4 != 1)",
            ] {
                for statement in ASKING {
                    let sql = statement.replace('@', name).replace('?', expression);
                    let answer = server.ask(&token, "POST", "/v0/sql", &sql);
                    assert_eq!(answer.status, 200, "{filter}: {sql}: {}", answer.text());
                }
            }
            let answer = server.ask(&token, "GET", &format!("/v0/pipes/pipe_{name}.json"), "");
            assert_eq!(answer.status, 200, "{name}: {}", answer.text());
            assert_eq!(answer.json()["data"], json!([{ "s": 0, "c": 99 }]));
        }
        let sql = "SELECT count() FROM by_org PREWHERE org = 1";
        let refused = server.ask(&token, "POST", "/v0/sql", sql);
        assert_eq!(refused.status, 400);
        assert!(
            refused.text().contains("write `WHERE`"),
            "{}",
            refused.text()
        );
    }
}

#[test]
fn a_filter_chooses_among_the_rows_that_final_leaves() {
    let project = Project::new(&[(
        "t.datasource",
        "SCHEMA >\n    `id` Int32 `json:$.id`,\n    `org` Int32 `json:$.org`\n\nENGINE \"ReplacingMergeTree\"\nENGINE_SORTING_KEY \"id\"\n",
    )]);
    let server = Server::start(&project);
    // The row moves from one to the other.
    for org in [1, 2] {
        let row = format!("{{\"id\": 7, \"org\": {org}}}\n");
        let path = "/v0/events?name=t&wait=true";
        let answer = server.ask(crate::harness::ADMIN, "POST", path, &row);
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    let token = token(&server, "one", &["DATASOURCES:READ:t:org = 1"]);
    for (sql, count) in [
        ("SELECT count() FROM t FINAL FORMAT CSV", "0\n"),
        ("SELECT count() FROM t final WHERE id = 7 FORMAT CSV", "0\n"),
    ] {
        let answer = server.ask(&token, "POST", "/v0/sql", sql);
        assert_eq!(answer.text(), count, "{sql}");
    }
}
