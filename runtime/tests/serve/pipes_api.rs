//! The API document's examples, each sent to the real binary.

use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::harness::{ADMIN, Answer, Project, Server};

const EVENTS: &str = "SCHEMA >\n    `timestamp` DateTime,\n    `org` Int32,\n    `value` Float64\n\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"timestamp\"\n";

fn project() -> Project {
    Project::new(&[
        ("app_events.datasource", EVENTS),
        (
            "fixtures/app_events.sql",
            "SELECT toDateTime('2024-01-01 00:00:00') + number * 3600 AS timestamp, number % 3 AS org, number AS value FROM numbers(48)",
        ),
        (
            "by_hand.pipe",
            "# a comment\nTOKEN \"reader\" READ\nNODE n\nSQL >\n    %\n    SELECT   org, count() AS c FROM app_events WHERE org = {{Int32(org, 1)}} GROUP BY org\nTYPE endpoint\n",
        ),
    ])
}

pub(crate) fn send(server: &Server, token: &str, method: &str, path: &str, body: &str) -> Answer {
    let kind = if body.starts_with('{') {
        "application/json"
    } else {
        "application/x-www-form-urlencoded"
    };
    server.send(
        method,
        path,
        &[
            ("Authorization", &format!("Bearer {token}")),
            ("Content-Type", kind),
        ],
        body.as_bytes(),
    )
}

pub(crate) fn admin(server: &Server, method: &str, path: &str, body: &str) -> Answer {
    send(server, ADMIN, method, path, body)
}

/// The body with ids and times taken out.
pub(crate) fn shape(answer: &Answer) -> String {
    let mut text = format!("{}\n", answer.status);
    match serde_json::from_slice::<Value>(&answer.body) {
        Ok(value) => text.push_str(&serde_json::to_string_pretty(&filtered(value)).expect("JSON")),
        Err(_) => text.push_str(&answer.text()),
    }
    text
}

pub(crate) fn filtered(value: Value) -> Value {
    match value {
        Value::Object(map) => map
            .into_iter()
            .map(|(key, value)| (key, filtered(value)))
            .collect(),
        Value::Array(values) => values.into_iter().map(filtered).collect(),
        Value::String(text) if text.len() == 34 && text.starts_with("t_") => "t_[id]".into(),
        Value::String(text)
            if text.len() == 26 && text.as_bytes()[19] == b'.' && text.as_bytes()[4] == b'-' =>
        {
            "[time]".into()
        }
        Value::String(text) if text.starts_with("http://localhost/") => text.into(),
        Value::String(text) if text.starts_with("p.") => "p.[secret]".into(),
        Value::String(text) if text.len() == 36 && text.matches('-').count() == 4 => {
            "[uuid]".into()
        }
        other => other,
    }
}

#[test]
fn a_pipe_is_created_grown_published_and_queried() {
    let (project, mut server) = started();
    let created = admin(
        &server,
        "POST",
        "/v0/pipes",
        "name=events_per_day&sql=select * from app_events",
    );
    assert_snapshot!("create_from_sql", shape(&created));
    let appended = admin(
        &server,
        "POST",
        "/v0/pipes/events_per_day/nodes",
        "select toDate(timestamp) date, count() event_count from events_per_day_0 group by date",
    );
    assert_snapshot!("append_node", shape(&appended));
    let node = appended.json()["id"].as_str().unwrap().to_owned();
    let published = admin(&server, "PUT", "/v0/pipes/events_per_day/endpoint", &node);
    assert_snapshot!("publish_by_id", shape(&published));
    assert_eq!(published.json()["endpoint"], json!(node));
    let queried = admin(
        &server,
        "POST",
        "/v0/sql",
        "SELECT count() AS n FROM events_per_day where date > toDate('2024-01-01') FORMAT JSONEachRow",
    );
    assert_eq!((queried.status, queried.text().trim()), (200, "{\"n\":1}"));
    let data = server.get("/v0/pipes/events_per_day.json");
    assert_eq!(data.json()["rows"], 2, "{}", data.text());
    let by_id = server.get(&format!(
        "/v0/pipes/{}.csv",
        created.json()["id"].as_str().unwrap()
    ));
    assert_eq!(
        by_id.text(),
        "\"date\",\"event_count\"\n\"2024-01-01\",24\n\"2024-01-02\",24\n"
    );
    // Everything is there again after a crash.
    let before = server.get("/v0/pipes/events_per_day").json();
    drop(server);
    server = Server::start(&project);
    assert_eq!(
        without_host(server.get("/v0/pipes/events_per_day").json()),
        without_host(before)
    );
    assert_eq!(
        server.get("/v0/pipes/events_per_day.json").json()["rows"],
        2
    );
}

fn without_host(mut value: Value) -> Value {
    value["url"] = Value::Null;
    value
}

pub(crate) fn started() -> (Project, Server) {
    let project = project();
    let server = Server::start(&project);
    (project, server)
}

#[test]
fn a_pipe_is_created_from_json_and_from_another() {
    let (_project, server) = started();
    let body = r#"{"name": "pipe_name", "description": "my first pipe", "nodes": [
        {"sql": "select * from app_events limit 10", "name": "node_00", "description": "sampled data"},
        {"sql": "select count() from node_00", "name": "node_01"}]}"#;
    assert_snapshot!(
        "create_from_json",
        shape(&admin(&server, "POST", "/v0/pipes", body))
    );
    let text = server.get("/v1/pipes/pipe_name.pipe");
    assert_snapshot!("pipe_text", text.text());
    let copied = admin(&server, "POST", "/v0/pipes?name=copied&from=pipe_name", "");
    assert_eq!(
        (
            copied.status,
            copied.json()["nodes"].as_array().unwrap().len()
        ),
        (200, 2)
    );
    // A pipe that takes the place of another keeps its id, and its endpoint where the node has the same name.
    let id = copied.json()["id"].clone();
    assert_eq!(
        admin(
            &server,
            "POST",
            "/v0/pipes/copied/nodes/node_01/endpoint",
            ""
        )
        .status,
        200
    );
    let again = admin(&server, "POST", "/v0/pipes?name=copied&from=pipe_name", "").json();
    assert_eq!(
        (&again["id"], again["type"].as_str()),
        (&id, Some("endpoint"))
    );
    let other = admin(&server, "POST", "/v0/pipes", "name=copied&sql=select 1").json();
    assert_eq!((&other["id"], other["endpoint"].is_null()), (&id, true));
}

#[test]
fn the_list_has_what_was_asked_for() {
    let (_project, server) = started();
    assert_snapshot!("list", shape(&server.get("/v0/pipes")));
    assert_snapshot!(
        "list_attributes",
        shape(
            &server
                .get("/v0/pipes/?attrs=name,nodes&node_attrs=name,dependencies&dependencies=true")
        )
    );
    assert_snapshot!("get", shape(&server.get("/v0/pipes/by_hand")));
}

#[test]
fn a_statement_is_explained_with_its_parameters() {
    let (_project, server) = started();
    let explained = server.get("/v0/pipes/by_hand/explain?org=2");
    assert_snapshot!("explain", shape(&explained));
    assert_eq!(
        server.get("/v0/pipes/by_hand/nodes/n/explain?org=2").json(),
        explained.json()
    );
    let reader = server.get("/v0/tokens/reader").json()["token"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(
        send(&server, &reader, "GET", "/v0/pipes/by_hand/explain", "").status,
        403
    );
}

#[test]
fn sql_that_the_engine_would_never_answer_is_refused_with_its_place() {
    let (_project, server) = started();
    for (sql, said) in [
        (
            "select org frm app_events where = 3",
            "the engine cannot read on here",
        ),
        ("select nope from app_events", "unknown column `nope`"),
        (
            "select nosuchfn(org) from app_events",
            "there is no function `nosuchfn`",
        ),
    ] {
        let answer = admin(
            &server,
            "POST",
            "/v0/pipes",
            &format!("name=wrong&sql={sql}"),
        );
        assert_eq!(answer.status, 400, "{sql}: {}", answer.text());
        assert!(answer.text().contains(said), "{sql}: {}", answer.text());
        assert!(
            answer.text().contains("pipes/wrong.pipe:3:"),
            "{sql}: {}",
            answer.text()
        );
        assert_eq!(admin(&server, "GET", "/v0/pipes/wrong", "").status, 404);
    }
    let wrong = admin(
        &server,
        "PUT",
        "/v0/pipes/by_hand/nodes/n",
        "select nope from app_events",
    );
    assert_eq!(wrong.status, 400, "{}", wrong.text());
    let right = "select org, sum(value) as total from app_events group by org";
    assert_eq!(
        admin(&server, "PUT", "/v0/pipes/by_hand/nodes/n", right).status,
        200
    );
    assert!(
        server
            .get("/v0/pipes/by_hand.json")
            .text()
            .contains("total")
    );
}
