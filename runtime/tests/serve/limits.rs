//! The limits of a project.

use std::io::{Read as _, Write as _};

use crate::harness::{ADMIN, Project, Server};

#[test]
fn the_limits_of_the_project_hold() {
    let project = Project::new(&[
        (
            "pipewright.toml",
            "[limits]\nrows_read = 1000\nrequests_per_second = 5\n",
        ),
        (
            "some.pipe",
            "TOKEN \"reader\" READ\nNODE n\nSQL >\n    %\n    SELECT count() AS c FROM numbers({{Int32(rows, 10)}})\nTYPE endpoint\n",
        ),
    ]);
    let server = Server::start(&project);
    assert_eq!(
        server.ask(ADMIN, "GET", "/v0/pipes/some.json", "").status,
        200
    );
    let refused = server.ask(ADMIN, "GET", "/v0/pipes/some.json?rows=100000", "");
    assert_eq!(refused.status, 400, "{}", refused.text());
    assert!(
        refused.text().contains("TOO_MANY_ROWS"),
        "{}",
        refused.text()
    );
    let reader = server.ask(ADMIN, "GET", "/v0/tokens/reader", "").json()["token"]
        .as_str()
        .expect("a secret")
        .to_owned();
    let statuses: Vec<u16> = (0..20)
        .map(|_| server.ask(&reader, "GET", "/v0/pipes/some.json", "").status)
        .collect();
    assert!(
        statuses[..5].iter().all(|status| *status == 200) && statuses.contains(&429),
        "{statuses:?}"
    );
    // Rows that come in are requests, too.
    let events = |_| {
        server
            .ask(&reader, "POST", "/v0/events?name=some", "{}")
            .status
    };
    assert!((0..20).map(events).any(|status| status == 429));
    // The admin is not kept out by others, nor by the limit.
    assert!((0..20).all(|_| server.ask(ADMIN, "GET", "/v0/pipes", "").status == 200));
}

#[test]
fn an_answer_and_what_a_query_reads_have_a_size() {
    let project = Project::new(&[
        (
            "pipewright.toml",
            "[limits]\nbytes_read = 100000\nresult_bytes = 10000\n",
        ),
        (
            "some.pipe",
            "NODE n\nSQL >\n    %\n    SELECT number FROM numbers({{Int32(rows, 10)}})\nTYPE endpoint\n",
        ),
        (
            "sum.pipe",
            "NODE n\nSQL >\n    %\n    SELECT sum(number) AS s FROM numbers({{Int32(rows, 10)}})\nTYPE endpoint\n",
        ),
    ]);
    let server = Server::start(&project);
    for (path, name) in [
        ("/v0/pipes/some.json?rows=5000", "TOO_MANY_ROWS_OR_BYTES"),
        ("/v0/pipes/sum.json?rows=100000", "TOO_MANY_BYTES"),
    ] {
        let refused = server.get(path);
        assert_eq!(refused.status, 400, "{path}: {}", refused.text());
        assert!(refused.text().contains(name), "{path}: {}", refused.text());
    }
    assert_eq!(server.get("/v0/pipes/some.json").status, 200);
    assert_eq!(server.get("/v0/pipes/sum.json").status, 200);
}

#[test]
fn a_query_has_so_much_memory_and_can_only_take_less() {
    let project = Project::new(&[
        (
            "pipewright.toml",
            "[limits]\nmemory_bytes = 200000000\nresult_bytes = 1000000000\n",
        ),
        ("t.datasource", "SCHEMA >\n    `a` UInt64\n"),
    ]);
    let server = Server::start(&project);
    let ask = |query: &str| {
        let answer = server.ask(ADMIN, "POST", "/v0/sql", query);
        (answer.status, answer.text())
    };
    let large = "SELECT length(groupArray(toString(number))) AS l FROM numbers(10000000)";
    // The text of an answer counts, too: a short result can have a long one.
    let long = format!(
        "SELECT toUInt8(1) AS {} FROM numbers(400000)",
        "a".repeat(2000)
    );
    // Also where there are few rows.
    let wide = format!(
        "SELECT toUInt8(1) AS {} FROM numbers(9999)",
        "a".repeat(60_000)
    );
    let united = format!("{long} UNION ALL SELECT 1");
    for query in [large, &long, &wide, &united] {
        let (status, text) = ask(query);
        let (shown, said) = (&query[..query.len().min(90)], &text[..text.len().min(300)]);
        assert_eq!(status, 400, "{shown}: {said}");
        assert!(text.contains("MEMORY_LIMIT_EXCEEDED"), "{shown}: {said}");
    }
    for value in ["0", "200000001", "'0'", "1e12", "-1"] {
        let (status, text) = ask(&format!("SELECT 1 SETTINGS max_memory_usage = {value}"));
        assert_eq!(status, 400, "{value}: {text}");
        assert!(text.contains("can only lower"), "{value}: {text}");
        let sub = format!("SELECT * FROM (SELECT 1 SETTINGS max_memory_usage = {value})");
        assert_eq!(ask(&sub).0, 400, "{value}");
    }
    let lower = "SETTINGS max_memory_usage = 100000000";
    let (status, text) = ask(&format!("SELECT 1 AS x {lower}"));
    assert_eq!(status, 200, "{text}");
    let node = "name=raised&sql=SELECT 1 SETTINGS max_memory_usage %3D 0";
    let refused = server.ask(ADMIN, "POST", "/v0/pipes", node);
    assert_eq!(refused.status, 400, "{}", refused.text());
    // What describes a node runs the subqueries in it that stand for a value.
    let node = format!("name=large&sql=SELECT ({large}) AS l, a FROM t");
    let made = server.ask(ADMIN, "POST", "/v0/pipes", &node);
    assert_eq!(made.status, 200, "{}", made.text());
    let refused = server.get("/v0/pipes/large/nodes/large_0/analysis");
    let said = refused.text();
    assert_eq!(refused.status, 400, "{said}");
    assert!(said.contains("MEMORY_LIMIT_EXCEEDED"), "{said}");
    assert_eq!(ask("SELECT 1 AS x").0, 200);
}

#[test]
fn what_runs_beside_queries_has_their_limits() {
    let project = Project::new(&[
        ("pipewright.toml", "[limits]\nrows_read = 1000\n"),
        ("t.datasource", "SCHEMA >\n    `a` UInt64\n"),
        ("fixtures/t.sql", "SELECT number AS a FROM numbers(5000)"),
        (
            "some.pipe",
            "NODE n\nSQL >\n    SELECT (SELECT sum(number) FROM numbers(100000)) AS s\nTYPE endpoint\n",
        ),
    ]);
    let server = Server::start(&project);
    let condition = "/v0/datasources/t/delete?dry_run=true&delete_condition=a%20%25%202%20%3D%201";
    for (method, path) in [("GET", "/v0/pipes/some/explain"), ("POST", condition)] {
        let refused = server.ask(ADMIN, method, path, "");
        assert_eq!(refused.status, 400, "{path}: {}", refused.text());
        let said = refused.text();
        assert!(said.contains("TOO_MANY_ROWS"), "{path}: {said}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn an_answer_that_is_too_long_takes_no_more_memory_than_its_limit() {
    let project = Project::new(&[
        (
            "pipewright.toml",
            "[limits]\nresult_bytes = 20000000\nmemory_bytes = 300000000\nquery_timeout_ms = 60000\n",
        ),
        ("t.datasource", "SCHEMA >\n    `a` UInt64\n"),
    ]);
    let server = Server::start(&project);
    let memory = |field: &str| -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", server.id()))
            .expect("the process runs");
        let line = status.lines().find(|line| line.starts_with(field));
        let number = line.and_then(|line| line.split_whitespace().nth(1));
        number.expect("a number").parse::<u64>().expect("KiB") / 1024
    };
    // The engine counts the rows of none of these, or not how long they are.
    let branch = "SELECT number AS x FROM numbers(200000)";
    let branches = vec![branch; 100].join(" UNION ALL ");
    for query in [
        "SELECT repeat('a', 1000000) AS x FROM numbers(500)",
        "SELECT toLowCardinality(repeat('a', 1000000)) AS x FROM numbers(500)",
        "SELECT arrayJoin(range(30000000)) AS x",
        &branches,
    ] {
        let reset = format!("/proc/{}/clear_refs", server.id());
        std::fs::write(reset, "5").expect("the highest mark can be set back");
        let before = memory("VmRSS");
        let refused = server.ask(ADMIN, "POST", "/v0/sql", query);
        let shown = &query[..query.len().min(70)];
        let said = refused.text();
        let said = &said[..said.len().min(300)];
        assert_eq!(refused.status, 400, "{shown}: {said}");
        let of_limit = ["TOO_MANY_ROWS_OR_BYTES", "MEMORY_LIMIT_EXCEEDED"];
        assert!(
            of_limit.iter().any(|name| said.contains(name)),
            "{shown}: {said}"
        );
        let highest = memory("VmHWM");
        assert!(
            highest < before + 300 + 100,
            "{shown}: {before} MiB grew to {highest} MiB"
        );
    }
    let rows = server.ask(ADMIN, "POST", "/v0/sql", "SELECT 1 AS x");
    assert_eq!(rows.status, 200, "{}", rows.text());
}

#[test]
fn an_answer_that_has_not_begun_is_refused_in_every_format() {
    let project = Project::new(&[
        ("pipewright.toml", "[limits]\nresult_bytes = 1000000\n"),
        (
            "some.pipe",
            "NODE n\nSQL >\n    %\n    SELECT number AS n, toString(sipHash64(number)) AS h FROM numbers({{Int32(rows, 10)}})\nTYPE endpoint\n",
        ),
        (
            "united.pipe",
            "NODE n\nSQL >\n    SELECT arrayJoin(range(200000)) AS n\nTYPE endpoint\n",
        ),
    ]);
    let server = Server::start(&project);
    for ending in ["json", "csv", "ndjson", "parquet"] {
        for path in [
            format!("/v0/pipes/some.{ending}?rows=100000"),
            format!("/v0/pipes/united.{ending}"),
        ] {
            let refused = server.get(&path);
            let text = refused.text();
            let said = &text[..text.len().min(300)];
            assert_eq!(refused.status, 400, "{path}: {said}");
            assert!(said.contains("TOO_MANY_ROWS_OR_BYTES"), "{path}: {said}");
        }
        let path = format!("/v0/pipes/some.{ending}?rows=1000");
        assert_eq!(server.get(&path).status, 200, "{path}");
    }
}

#[test]
fn an_answer_that_has_begun_is_cut_off_where_it_becomes_too_long() {
    let project = Project::new(&[
        ("pipewright.toml", "[limits]\nresult_bytes = 5000000\n"),
        (
            "some.pipe",
            "NODE n\nSQL >\n    SELECT number AS n FROM numbers(2000000)\nTYPE endpoint\n",
        ),
    ]);
    let server = Server::start(&project);
    let mut stream = server.connect();
    let head = format!(
        "GET /v0/pipes/some.csv HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {ADMIN}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).expect("a request");
    let mut answer = Vec::new();
    // The connection ends, and the last chunk, by which a client knows that it has all, has not come.
    _ = stream.read_to_end(&mut answer);
    assert!(answer.starts_with(b"HTTP/1.1 200"));
    assert!(answer.len() < 6_000_000, "{}", answer.len());
    assert!(!answer.ends_with(b"\r\n0\r\n\r\n"));
}
