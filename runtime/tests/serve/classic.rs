//! Projects as Classic has them: pipes without a `TYPE` are served, and what the API does to one changes no other.

use crate::harness::{ADMIN, Project, Server};

const ROWS: &str = "VERSION 3\n\nSCHEMA >\n    `org` Int32 `json:$.org`\n\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"org\"\n";

fn project() -> Project {
    let pipe = |sql: &str| {
        format!("NODE first\nSQL >\n    {sql}\n\nNODE endpoint\nSQL >\n    SELECT c FROM first\n")
    };
    Project::new(&[
        ("datasources/rows.datasource", ROWS),
        (
            "endpoints/a.pipe",
            &pipe("SELECT count() AS c FROM rows__v3"),
        ),
        (
            "endpoints/b.pipe",
            &format!("VERSION 1\n{}", pipe("SELECT max(org) AS c FROM rows")),
        ),
    ])
}

fn send(server: &Server, method: &str, path: &str, body: &str) -> u16 {
    let kind = if path.ends_with("/pipes") {
        "application/x-www-form-urlencoded"
    } else {
        "text/plain"
    };
    let headers = [
        ("Authorization", &*format!("Bearer {ADMIN}")),
        ("Content-Type", kind),
    ];
    server.send(method, path, &headers, body.as_bytes()).status
}

fn status(server: &Server, pipe: &str) -> u16 {
    server.get(&format!("/v0/pipes/{pipe}.json")).status
}

#[test]
fn a_classic_pipe_is_served_without_a_type_and_the_api_changes_no_other() {
    let project = project();
    let server = Server::start(&project);
    assert_eq!((status(&server, "a"), status(&server, "b")), (200, 200));
    assert_eq!(
        send(
            &server,
            "POST",
            "/v0/pipes",
            "name=made&sql=select 1 as one"
        ),
        200
    );
    assert_eq!(status(&server, "made"), 404, "creating publishes nothing");
    assert_eq!((status(&server, "a"), status(&server, "b")), (200, 200));
    assert_eq!(
        send(&server, "POST", "/v0/pipes/made/nodes/made_0/endpoint", ""),
        200
    );
    assert_eq!(status(&server, "made"), 200);
    assert_eq!((status(&server, "a"), status(&server, "b")), (200, 200));
    assert_eq!(
        send(
            &server,
            "POST",
            "/v0/pipes/a/nodes?name=more",
            "select 7 as seven"
        ),
        200
    );
    assert!(
        server.get("/v0/pipes/a.json").text().contains("\"c\""),
        "the endpoint stays where it was"
    );
    assert_eq!(
        send(&server, "DELETE", "/v0/pipes/b/nodes/endpoint/endpoint", ""),
        200
    );
    assert_eq!(status(&server, "b"), 404);
    assert_eq!(send(&server, "DELETE", "/v0/pipes/a/nodes/more", ""), 204);
    assert_eq!(
        send(
            &server,
            "DELETE",
            "/v0/pipes/made/nodes/made_0/endpoint",
            ""
        ),
        200
    );
    let statuses = |server: &Server| ["a", "b", "made"].map(|pipe| status(server, pipe));
    assert_eq!(statuses(&server), [200, 404, 404]);
    server.interrupt();
    let server = Server::start(&project);
    assert_eq!(statuses(&server), [200, 404, 404], "after a restart");
    server.interrupt();
    let pulled = std::process::Command::new(env!("CARGO_BIN_EXE_pipewright"))
        .arg("pull")
        .arg(project.path())
        .status();
    assert!(pulled.expect("the binary runs").success());
    std::fs::remove_dir_all(project.path().join(".pipewright")).expect("the state");
    let server = Server::start(&project);
    assert_eq!(
        statuses(&server),
        [200, 404, 404],
        "from the pulled files alone"
    );
    server.interrupt();
}

#[test]
fn what_the_api_publishes_does_not_turn_a_classic_project_over_at_a_restart() {
    let project = project();
    let server = Server::start(&project);
    let create = "/v0/pipes?name=made&sql=select+1+as+one";
    assert_eq!(send(&server, "POST", create, ""), 200);
    let publish = "/v0/pipes/made/nodes/made_0/endpoint";
    assert_eq!(send(&server, "POST", publish, ""), 200);
    let edit = "/v0/pipes/b/nodes/first";
    assert_eq!(
        send(&server, "PUT", edit, "SELECT min(org) AS c FROM rows"),
        200
    );
    let statuses = |server: &Server| ["a", "b", "made"].map(|pipe| status(server, pipe));
    assert_eq!(statuses(&server), [200, 200, 200]);
    server.interrupt();
    let server = Server::start(&project);
    assert_eq!(statuses(&server), [200, 200, 200]);
}

#[test]
fn names_with_a_version_take_events_and_answer() {
    let project = project();
    let server = Server::start(&project);
    let events = "{\"org\":1}\n{\"org\":5}\n";
    assert_eq!(
        send(
            &server,
            "POST",
            "/v0/events?name=rows__v3&wait=true",
            events
        ),
        200
    );
    assert_eq!(
        send(
            &server,
            "POST",
            "/v0/events?name=rows__v2&wait=true",
            events
        ),
        404
    );
    for (path, expected) in [
        ("a.json", "\"c\": 2"),
        ("b.json", "\"c\": 5"),
        ("b__v1.json", "\"c\": 5"),
    ] {
        let answer = server.get(&format!("/v0/pipes/{path}"));
        assert!(
            answer.text().contains(expected),
            "{path}: {}",
            answer.text()
        );
    }
    let query = "/v0/sql?q=select%20count()%20from%20rows__v3%20where%20rows__v3.org%20%3E%201";
    assert!(server.get(query).text().contains("\"count()\": 1"));
    assert_eq!(
        server.get("/v0/datasources/rows__v3").json()["name"],
        "rows"
    );
    server.interrupt();
}

#[test]
fn a_data_source_that_cannot_be_made_keeps_nothing_else_from_being_served() {
    let project = Project::new(&[
        ("good.datasource", ROWS),
        (
            "bad.datasource",
            "SCHEMA >\n    `a` Nullable(String) `json:$.a`\n\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"a\"\n",
        ),
        ("fixtures/bad.sql", "SELECT 'x' AS a"),
        (
            "good_rows.pipe",
            "NODE n\nSQL >\n    SELECT count() AS c FROM good\n",
        ),
        (
            "bad_rows.pipe",
            "NODE n\nSQL >\n    SELECT count() AS c FROM bad\n",
        ),
        (
            "view.pipe",
            "NODE n\nSQL >\n    SELECT toString(org) AS a FROM good\n\nTYPE materialized\nDATASOURCE bad\n",
        ),
    ]);
    let server = Server::start(&project);
    assert!(
        server.messages().contains("`bad` cannot be made"),
        "{}",
        server.messages()
    );
    assert_eq!(
        (status(&server, "good_rows"), status(&server, "bad_rows")),
        (200, 503)
    );
    let said = server.get("/v0/pipes/bad_rows.json").text();
    assert!(said.contains("nullable"), "{said}");
    assert_eq!(
        send(
            &server,
            "POST",
            "/v0/events?name=bad&wait=true",
            "{\"a\":\"x\"}"
        ),
        503
    );
    assert_eq!(
        send(
            &server,
            "POST",
            "/v0/events?name=good&wait=true",
            "{\"org\":1}"
        ),
        200
    );
    assert_eq!(server.get("/health").json()["not_made"], 2);
    server.interrupt();
}
