//! The limits of a project.

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
