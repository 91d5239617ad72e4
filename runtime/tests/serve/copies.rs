//! Copies: set, changed, run, scheduled, stopped, and what they write.

use std::time::{Duration, Instant};

use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::harness::{ADMIN, Answer, Project, Server};

const EMPLOYEES: &str = "SCHEMA >\n    `id` UInt32,\n    `starting_date` DateTime\n\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"id\"\n";
const COPIED: &str = "SCHEMA >\n    `id` UInt32,\n    `starting_date` DateTime,\n    `at` String DEFAULT 'now'\n\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"id\"\n";

pub(crate) fn project() -> Project {
    Project::new(&[
        ("employees.datasource", EMPLOYEES),
        ("copied.datasource", COPIED),
        ("other.datasource", COPIED),
        (
            "fixtures/employees.sql",
            "SELECT number AS id, toDateTime('2016-01-01 00:00:00') + number * 3600 AS starting_date FROM numbers(10)",
        ),
    ])
}

pub(crate) fn started() -> (Project, Server) {
    let project = project();
    let server = Server::start(&project);
    (project, server)
}

pub(crate) fn send(server: &Server, token: &str, method: &str, path: &str, body: &str) -> Answer {
    server.send(
        method,
        path,
        &[
            ("Authorization", &format!("Bearer {token}")),
            ("Content-Type", "application/x-www-form-urlencoded"),
        ],
        body.as_bytes(),
    )
}

pub(crate) fn admin(server: &Server, method: &str, path: &str, body: &str) -> Answer {
    send(server, ADMIN, method, path, body)
}

/// As it was asked for, or the test fails with what was said.
pub(crate) fn done(server: &Server, method: &str, path: &str, body: &str) -> Value {
    let answer = admin(server, method, path, body);
    assert_eq!(answer.status, 200, "{method} {path}: {}", answer.text());
    answer.json()
}

/// The status and the body, with ids and times taken out.
pub(crate) fn shape(answer: &Answer) -> String {
    let body = serde_json::from_slice(&answer.body)
        .map_or_else(|_| answer.text(), |value| pretty(&filtered(value)));
    format!("{}\n{body}", answer.status)
}

pub(crate) fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).expect("JSON")
}

pub(crate) fn filtered(value: Value) -> Value {
    match value {
        Value::Object(map) => map
            .into_iter()
            .map(|(key, value)| match (key.as_str(), value) {
                ("elapsed_time" | "bytes" | "read_bytes", Value::Number(_)) => {
                    (key, "[number]".into())
                }
                (_, value) => (key, filtered(value)),
            })
            .collect(),
        Value::Array(values) => values.into_iter().map(filtered).collect(),
        Value::String(text) if text.len() == 34 && text.starts_with("t_") => "t_[id]".into(),
        Value::String(text) if text.len() == 26 && text.as_bytes()[19] == b'.' => "[time]".into(),
        Value::String(text) if text.len() == 36 && text.matches('-').count() == 4 => {
            "[uuid]".into()
        }
        Value::String(text) if text.contains("/v0/jobs/") => "[address]/v0/jobs/[uuid]".into(),
        other => other,
    }
}

/// Waits until a job has ended.
pub(crate) fn ended(server: &Server, id: &str) -> Value {
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        let job = server.get(&format!("/v0/jobs/{id}")).json();
        if !["waiting", "working", "cancelling"].contains(&job["status"].as_str().expect("a text"))
        {
            return job;
        }
        assert!(Instant::now() < until, "{job}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub(crate) fn rows(server: &Server, sql: &str) -> String {
    let answer = admin(server, "POST", "/v0/sql", &format!("{sql} FORMAT TSV"));
    assert_eq!(answer.status, 200, "{sql}: {}", answer.text());
    answer.text()
}

pub(crate) fn copy_pipe(server: &Server, name: &str, sql: &str, settings: &str) {
    done(
        server,
        "POST",
        "/v0/pipes",
        &format!("name={name}&sql={sql}"),
    );
    let path = format!("/v0/pipes/{name}/nodes/{name}_0/copy");
    done(server, "POST", &path, settings);
}

pub(crate) fn run(server: &Server, path: &str) -> Value {
    let asked = done(server, "POST", path, "");
    ended(server, asked["job"]["id"].as_str().expect("a text"))
}

pub(crate) const SINCE: &str =
    "SELECT id, starting_date FROM employees WHERE starting_date > '2016-01-01 04:00:00'";

#[test]
fn a_pipe_is_set_as_a_copy_run_changed_and_unset() {
    let (_project, server) = started();
    done(
        &server,
        "POST",
        "/v0/pipes",
        &format!("name=my_copy_pipe&sql={SINCE}&description=This is a pipe to copy"),
    );
    let set = admin(
        &server,
        "POST",
        "/v0/pipes/my_copy_pipe/nodes/my_copy_pipe_0/copy",
        "target_datasource=copied&schedule_cron=0 0 1 1 *",
    );
    assert_snapshot!("set", shape(&set));
    let asked = admin(&server, "POST", "/v0/pipes/my_copy_pipe/copy", "");
    assert_snapshot!("run", shape(&asked));
    let job = ended(&server, asked.json()["job"]["id"].as_str().expect("a text"));
    assert_snapshot!("job", pretty(&filtered(job)));
    let copied = "SELECT count(), min(id), max(id), any(at) FROM copied";
    assert_eq!(rows(&server, copied), "5\t5\t9\tnow\n");
    // The same rows are added once more: they are another copy.
    assert_eq!(
        run(&server, "/v0/pipes/my_copy_pipe/copy")["status"],
        "done"
    );
    assert_eq!(rows(&server, copied), "10\t5\t9\tnow\n");
    let path = "/v0/pipes/my_copy_pipe/nodes/my_copy_pipe_0/copy";
    let other = server.get("/v0/datasources/other").json();
    let changed = done(
        &server,
        "PUT",
        path,
        "target_datasource=other&schedule_cron=None",
    );
    assert_eq!(
        (changed["schedule"].is_null(), other["name"].as_str()),
        (true, Some("other"))
    );
    assert_ne!(
        changed["copy_target_datasource"],
        set.json()["copy_target_datasource"]
    );
    assert_eq!(
        run(&server, "/v0/pipes/my_copy_pipe/copy")["datasource"]["name"],
        "other"
    );
    assert_eq!(rows(&server, "SELECT count() FROM other"), "5\n");
    let text = server.get("/v1/pipes/my_copy_pipe.pipe").text();
    assert_snapshot!("datafile", text);
    let unset = admin(&server, "DELETE", path, "");
    assert_eq!((unset.status, unset.text().as_str()), (204, ""));
    assert_eq!(
        server.get("/v0/pipes/my_copy_pipe").json()["type"],
        "default"
    );
    assert_eq!(
        admin(&server, "POST", "/v0/pipes/my_copy_pipe/copy", "").status,
        400
    );
    // The data sources and their rows are still there.
    assert_eq!(rows(&server, copied), "10\t5\t9\tnow\n");
}

#[test]
fn a_copy_takes_parameters_its_time_and_a_mode() {
    let (_project, server) = started();
    let sql = "%25 SELECT toUInt32({{Int32(id, 1)}}) AS id, toDateTime('2020-01-01 00:00:00') AS starting_date, {{String(job_timestamp)}} AS at";
    copy_pipe(
        &server,
        "by_parameters",
        sql,
        "target_datasource=copied&mode=append",
    );
    assert_eq!(
        run(&server, "/v0/pipes/by_parameters/copy?id=7")["parameters"],
        json!({ "id": "7" })
    );
    run(&server, "/v0/pipes/by_parameters/copy");
    assert_eq!(
        rows(
            &server,
            "SELECT id, abs(now() - toDateTime(at)) < 60 FROM copied ORDER BY id"
        ),
        "1\t1\n7\t1\n"
    );
    let asked = "/v0/pipes/by_parameters/copy?job_timestamp=2020-02-02%2000:00:00&id=9";
    run(&server, &format!("{asked}&_mode=replace"));
    assert_eq!(
        rows(&server, "SELECT id, at FROM copied"),
        "9\t2020-02-02 00:00:00\n"
    );
    // A node that replaces does so each time.
    done(
        &server,
        "PUT",
        "/v0/pipes/by_parameters/nodes/by_parameters_0/copy",
        "mode=replace",
    );
    assert_eq!(
        server.get("/v0/pipes/by_parameters").json()["copy_mode"],
        "replace"
    );
    for id in [3, 4] {
        run(&server, &format!("/v0/pipes/by_parameters/copy?id={id}"));
        assert_eq!(rows(&server, "SELECT id FROM copied"), format!("{id}\n"));
    }
    let wrong = admin(&server, "POST", "/v0/pipes/by_parameters/copy?id=x", "");
    assert_eq!(wrong.status, 400, "{}", wrong.text());
}

#[test]
fn rows_that_are_copied_go_through_views_also_when_they_replace_others() {
    let (_project, server) = started();
    done(
        &server,
        "POST",
        "/v0/pipes",
        "name=per_day&sql=select toDate(starting_date) as day, id from copied",
    );
    done(
        &server,
        "POST",
        "/v0/pipes/per_day/nodes/per_day_0/materialization",
        "datasource=days",
    );
    copy_pipe(
        &server,
        "all_of_them",
        "select id, starting_date from employees",
        "target_datasource=copied",
    );
    for times in 1..=2 {
        assert_eq!(run(&server, "/v0/pipes/all_of_them/copy")["status"], "done");
        let both = "SELECT (SELECT count() FROM copied), (SELECT count() FROM days)";
        assert_eq!(rows(&server, both), format!("{0}\t{0}\n", times * 10));
    }
    let replacing = "/v0/pipes/all_of_them/copy?_mode=replace";
    assert_eq!(run(&server, replacing)["status"], "done");
    let both = "SELECT (SELECT count() FROM copied), (SELECT count() FROM days)";
    assert_eq!(rows(&server, both), "10\t10\n");
    done(
        &server,
        "PUT",
        "/v0/pipes/all_of_them/nodes/all_of_them_0/copy",
        "mode=replace",
    );
}

#[test]
fn a_node_is_appended_as_a_copy() {
    let (_project, server) = started();
    done(
        &server,
        "POST",
        "/v0/pipes",
        "name=grown&sql=select * from employees",
    );
    let appended = admin(
        &server,
        "POST",
        "/v0/pipes/grown/nodes?type=copy&target_datasource=copied&schedule_cron=*/15%20*%20*%20*%20*&mode=replace&name=copier",
        "select id, starting_date from grown_0",
    );
    assert_snapshot!("append", shape(&appended));
    let pipe = server.get("/v0/pipes/grown").json();
    assert_eq!(
        (&pipe["type"], &pipe["copy_mode"], &pipe["schedule"]),
        (
            &json!("copy"),
            &json!("replace"),
            &json!({ "timezone": "Etc/UTC", "cron": "*/15 * * * *", "status": "running" })
        )
    );
    let second = admin(
        &server,
        "POST",
        "/v0/pipes/grown/nodes?type=copy&target_datasource=copied",
        "select id, starting_date from grown_0",
    );
    assert_eq!(second.status, 400, "{}", second.text());
    assert_eq!(run(&server, "/v0/pipes/grown/copy")["status"], "done");
    assert_eq!(rows(&server, "SELECT count() FROM copied"), "10\n");
}

#[test]
fn a_schedule_is_paused_and_resumed() {
    let (_project, server) = started();
    copy_pipe(
        &server,
        "timed",
        SINCE,
        "target_datasource=copied&schedule_cron=0 * * * *",
    );
    let status = |path: &str| done(&server, "POST", path, "")["schedule"]["status"].clone();
    assert_eq!(status("/v0/pipes/timed/copy/pause"), "paused");
    assert_eq!(status("/v0/pipes/timed/copy/pause"), "paused");
    assert_eq!(
        server.get("/v0/pipes/timed").json()["schedule"]["status"],
        "paused"
    );
    assert_eq!(status("/v0/pipes/timed/copy/resume"), "running");
    // It runs on demand all the same.
    assert_eq!(status("/v0/pipes/timed/copy/pause"), "paused");
    assert_eq!(run(&server, "/v0/pipes/timed/copy")["status"], "done");
}

#[test]
fn a_pipe_is_created_as_a_copy_from_json_by_who_may_append() {
    let (_project, server) = started();
    let body = |target: &str, sql: &str| {
        json!({ "name": "whole", "nodes": [{ "name": "n", "sql": sql, "type": "copy", "target_datasource": target, "copy_schedule": "0 * * * *", "mode": "replace" }] }).to_string()
    };
    let token = |name: &str, scopes: &str| {
        let made = done(
            &server,
            "POST",
            &format!("/v0/tokens/?name={name}&{scopes}"),
            "",
        );
        made["token"].as_str().expect("a secret").to_owned()
    };
    let replaces = token(
        "replaces",
        "scope=PIPES:CREATE&scope=DATASOURCES:APPEND:copied&scope=DATASOURCES:DROP:copied",
    );
    let (creates, appends) = (
        token("creates", "scope=PIPES:CREATE"),
        token(
            "appends",
            "scope=PIPES:CREATE&scope=DATASOURCES:APPEND:copied",
        ),
    );
    let post = |secret: &str, body: &str| {
        let bearer = format!("Bearer {secret}");
        let headers = [
            ("Authorization", bearer.as_str()),
            ("Content-Type", "application/json"),
        ];
        server.send("POST", "/v0/pipes", &headers, body.as_bytes())
    };
    for (secret, body, status) in [
        (&creates, body("copied", SINCE), 403),
        (&appends, body("other", SINCE), 403),
        (&appends, body("copied", SINCE), 403),
        (&replaces, body("copied", "select 1 as id"), 400),
        (&replaces, body("copied", SINCE), 200),
    ] {
        let answer = post(secret, &body);
        assert_eq!(answer.status, status, "{body}: {}", answer.text());
    }
    let pipe = server.get("/v0/pipes/whole").json();
    assert_eq!(
        (&pipe["type"], &pipe["copy_mode"], &pipe["schedule"]["cron"]),
        (&json!("copy"), &json!("replace"), &json!("0 * * * *"))
    );
    // Another that is made from it is a plain one.
    let other = done(&server, "POST", "/v0/pipes?name=again&from=whole", "");
    assert_eq!(
        (&other["type"], &other["schedule"]),
        (&json!("default"), &Value::Null)
    );
}
