//! The service data sources: every request is in them soon after, and nobody sees more than they may.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{ADMIN, Project, Server};

fn started() -> (Project, Server) {
    let project = Project::new(&[
        (
            "events.datasource",
            "SCHEMA >\n    `org` Int32\n\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"org\"\n",
        ),
        (
            "fixtures/events.sql",
            "SELECT number AS org FROM numbers(10)",
        ),
        (
            "one.pipe",
            "TOKEN \"one\" READ\nNODE n\nSQL >\n    %\n    SELECT org FROM events LIMIT {{Int32(rows, 3)}}\nTYPE endpoint\n",
        ),
        (
            "two.pipe",
            "TOKEN \"two\" READ\nNODE n\nSQL >\n    SELECT throwIf(org = 5) FROM events\nTYPE endpoint\n",
        ),
        (
            "used.pipe",
            "TOKEN \"two\" READ\nNODE n\nSQL >\n    SELECT pipe_name, count() AS c FROM tinybird.pipe_stats_rt GROUP BY pipe_name ORDER BY pipe_name\nTYPE endpoint\n",
        ),
    ]);
    let server = Server::start(&project);
    (project, server)
}

fn secret(server: &Server, name: &str) -> String {
    server.get(&format!("/v0/tokens/{name}")).json()["token"]
        .as_str()
        .expect("a secret")
        .to_owned()
}

fn query(server: &Server, token: &str, sql: &str) -> Value {
    let answer = server.send(
        "POST",
        "/v0/sql",
        &[("Authorization", &format!("Bearer {token}"))],
        sql.as_bytes(),
    );
    assert_eq!(answer.status, 200, "{sql}: {}", answer.text());
    answer.json()["data"].clone()
}

/// Asks until the answer is as expected: rows are written soon, not at once.
fn wait_for(server: &Server, token: &str, sql: &str, expected: &Value) {
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        let rows = query(server, token, sql);
        if rows == *expected {
            return;
        }
        assert!(Instant::now() < until, "{sql}: {rows}, not {expected}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn requests_are_written_down_without_what_is_secret() {
    let (project, server) = started();
    let (one, two) = (secret(&server, "one"), secret(&server, "two"));
    let with = |token: &str| vec![("Authorization".to_owned(), format!("Bearer {token}"))];
    let send = |method: &str, path: &str, token: &str, body: &str| {
        let headers = with(token);
        let headers: Vec<(&str, &str)> = headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .chain([
                ("User-Agent", "test/1"),
                ("Content-Type", "application/x-www-form-urlencoded"),
            ])
            .collect();
        server.send(method, path, &headers, body.as_bytes()).status
    };
    assert_eq!(
        server
            .send(
                "GET",
                &format!("/v0/pipes/one.json?rows=2&token={one}"),
                &[("User-Agent", "test/1")],
                b""
            )
            .status,
        200
    );
    assert_eq!(send("POST", "/v0/pipes/one.ndjson", &one, "rows=4"), 200);
    assert_eq!(send("GET", "/v0/pipes/one.csv?rows=x", &one, ""), 400);
    assert_eq!(send("GET", "/v0/pipes/two.json", &two, ""), 400);
    let columns = "pipe_name, token_name, method, status_code, error, result_rows, read_rows > 0 AS has_read, duration > 0 AS took, parameters, url, user_agent";
    let expected = json!([
        { "pipe_name": "one", "token_name": "one", "method": "GET", "status_code": 400, "error": 1, "result_rows": 0, "has_read": 0, "took": 1, "parameters": { "rows": "x" }, "url": "/v0/pipes/one.csv?rows=x", "user_agent": "test/1" },
        { "pipe_name": "one", "token_name": "one", "method": "GET", "status_code": 200, "error": 0, "result_rows": 2, "has_read": 1, "took": 1, "parameters": { "rows": "2" }, "url": "/v0/pipes/one.json?rows=2", "user_agent": "test/1" },
        { "pipe_name": "one", "token_name": "one", "method": "POST", "status_code": 200, "error": 0, "result_rows": 4, "has_read": 1, "took": 1, "parameters": {}, "url": "/v0/pipes/one.ndjson", "user_agent": "test/1" },
    ]);
    let sql = format!(
        "SELECT {columns} FROM tinybird.pipe_stats_rt WHERE pipe_name = 'one' ORDER BY method, url FORMAT JSON"
    );
    wait_for(&server, ADMIN, &sql, &expected);
    wait_for(
        &server,
        ADMIN,
        "SELECT sum(view_count) AS views, sum(error_count) AS errors, length(quantilesTimingMerge(0.9, 0.95, 0.99)(quantile_timing_state)) AS q, arrayMax(quantilesTimingMerge(0.9, 0.95, 0.99)(quantile_timing_state)) > 0 AS in_milliseconds, avgMerge(avg_duration_state) > 0 AS a FROM tinybird.pipe_stats WHERE pipe_name = 'one' FORMAT JSON",
        &json!([{ "views": 3, "errors": 1, "q": 3, "in_milliseconds": 1, "a": 1 }]),
    );
    let errors = "SELECT pipe_name, status_code, params, error != '' AS told FROM tinybird.endpoint_errors ORDER BY pipe_name FORMAT JSON";
    wait_for(
        &server,
        ADMIN,
        errors,
        &json!([
            { "pipe_name": "one", "status_code": 400, "params": "{\"rows\":\"x\"}", "told": 1 },
            { "pipe_name": "two", "status_code": 400, "params": null, "told": 1 },
        ]),
    );
    // Each sees what is about the pipes that they may read, also through a pipe.
    let counted = "SELECT pipe_name, count() AS c FROM tinybird.pipe_stats_rt WHERE pipe_name != 'used' GROUP BY pipe_name ORDER BY pipe_name FORMAT JSON";
    assert_eq!(
        query(&server, &one, counted),
        json!([{ "pipe_name": "one", "c": 3 }])
    );
    assert_eq!(
        query(&server, &two, counted),
        json!([{ "pipe_name": "two", "c": 1 }])
    );
    assert_eq!(
        query(
            &server,
            &two,
            "SELECT DISTINCT pipe_name FROM used WHERE pipe_name = 'one' FORMAT JSON"
        ),
        json!([])
    );
    assert_eq!(
        query(
            &server,
            &one,
            "SELECT count() AS c FROM tinybird.jobs_log FORMAT JSON"
        ),
        json!([{ "c": 0 }])
    );
    for hidden in [
        "tinybird.pipe_stats_by_day",
        "tinybird.endpoint_errors_of_requests",
        "tinybird.nothing",
    ] {
        let answer = server.send(
            "POST",
            "/v0/sql",
            &[("Authorization", &format!("Bearer {one}"))],
            format!("SELECT * FROM {hidden}").as_bytes(),
        );
        assert_eq!(answer.status, 403, "{hidden}");
    }
    // No secret is in the tables, and a stop loses nothing that was answered.
    let all = query(&server, ADMIN, "SELECT arrayStringConcat(groupArray(toString(tuple(*)))) AS text FROM tinybird.pipe_stats_rt FORMAT JSON").to_string();
    assert!(!all.contains(&one) && !all.contains(&two) && !all.contains(ADMIN));
    assert_eq!(server.get("/v0/pipes/one.json?rows=1").status, 200);
    server.interrupt();
    let server = Server::start(&project);
    let sql = "SELECT count() AS c FROM tinybird.pipe_stats_rt WHERE pipe_name = 'one' FORMAT JSON";
    assert_eq!(query(&server, ADMIN, sql), json!([{ "c": 4 }]));
}

#[test]
fn the_queries_of_the_document_run_as_they_are() {
    let (_project, server) = started();
    let id = server.get("/v0/pipes/one").json()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let operations = "SELECT *\nFROM tinybird.datasources_ops_log\nWHERE\n    timestamp > now() - INTERVAL 1 DAY\nAND operation_id IN (\n    SELECT operation_id\n    FROM tinybird.datasources_ops_log\n    WHERE\n        timestamp > now() - INTERVAL 1 DAY\n        and datasource_id = '{the_datasource_id}'\n        and job_id = '{the_job_id}'\n    )\nORDER BY timestamp ASC";
    let failed = "SELECT *\nFROM tinybird.datasources_ops_log\nWHERE\n    datasource_id = '{the_datasource_id}'\n    AND pipe_name = '{the_pipe_name}'\n    AND event_type LIKE 'populateview%'\n    AND result = 'error'\nORDER BY timestamp ASC";
    let token = secret(&server, "one");
    for sql in [operations, failed] {
        let sql = sql.replace("{the_datasource_id}", &id);
        for token in [ADMIN, &token] {
            let answer = server.send(
                "POST",
                "/v0/sql",
                &[("Authorization", &format!("Bearer {token}"))],
                format!("{sql} FORMAT JSON").as_bytes(),
            );
            assert_eq!(
                (
                    answer.status,
                    answer.json()["meta"].as_array().unwrap().len()
                ),
                (200, 28),
                "{}",
                answer.text()
            );
        }
    }
    wait_for(
        &server,
        ADMIN,
        "SELECT datasource_name, max(rows) AS rows FROM tinybird.datasources_storage GROUP BY datasource_name FORMAT JSON",
        &json!([{ "datasource_name": "events", "rows": 10 }]),
    );
}
