//! Copies: set, changed, run, scheduled, stopped, and what they write.

use std::time::{Duration, Instant};

use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::harness::{ADMIN, Answer, Project, Server};

const EMPLOYEES: &str = "SCHEMA >\n    `id` UInt32,\n    `starting_date` DateTime\n\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"id\"\n";
const COPIED: &str = "SCHEMA >\n    `id` UInt32,\n    `starting_date` DateTime,\n    `at` String DEFAULT 'now'\n\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"id\"\n";

fn project() -> Project {
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

fn started() -> (Project, Server) {
    let project = project();
    let server = Server::start(&project);
    (project, server)
}

fn send(server: &Server, token: &str, method: &str, path: &str, body: &str) -> Answer {
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

fn admin(server: &Server, method: &str, path: &str, body: &str) -> Answer {
    send(server, ADMIN, method, path, body)
}

/// As it was asked for, or the test fails with what was said.
fn done(server: &Server, method: &str, path: &str, body: &str) -> Value {
    let answer = admin(server, method, path, body);
    assert_eq!(answer.status, 200, "{method} {path}: {}", answer.text());
    answer.json()
}

/// The status and the body, with ids and times taken out.
fn shape(answer: &Answer) -> String {
    let body = serde_json::from_slice(&answer.body)
        .map_or_else(|_| answer.text(), |value| pretty(&filtered(value)));
    format!("{}\n{body}", answer.status)
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).expect("JSON")
}

fn filtered(value: Value) -> Value {
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
fn ended(server: &Server, id: &str) -> Value {
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

fn rows(server: &Server, sql: &str) -> String {
    let answer = admin(server, "POST", "/v0/sql", &format!("{sql} FORMAT TSV"));
    assert_eq!(answer.status, 200, "{sql}: {}", answer.text());
    answer.text()
}

fn copy_pipe(server: &Server, name: &str, sql: &str, settings: &str) {
    done(
        server,
        "POST",
        "/v0/pipes",
        &format!("name={name}&sql={sql}"),
    );
    let path = format!("/v0/pipes/{name}/nodes/{name}_0/copy");
    done(server, "POST", &path, settings);
}

fn run(server: &Server, path: &str) -> Value {
    let asked = done(server, "POST", path, "");
    ended(server, asked["job"]["id"].as_str().expect("a text"))
}

const SINCE: &str =
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
    let text = server.get("/v0/pipes/my_copy_pipe.pipe").text();
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
fn rows_that_are_copied_go_through_views_and_a_replacement_would_not() {
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
    for (method, path, body) in [
        (
            "PUT",
            "/v0/pipes/all_of_them/nodes/all_of_them_0/copy",
            "mode=replace",
        ),
        ("POST", "/v0/pipes/all_of_them/copy?_mode=replace", ""),
    ] {
        let refused = admin(&server, method, path, body);
        assert_eq!(refused.status, 400);
        assert!(
            refused.text().contains("materialized view reads"),
            "{}",
            refused.text()
        );
    }
}

#[test]
fn what_cannot_be_copied_is_refused_and_changes_nothing() {
    let (_project, server) = started();
    copy_pipe(&server, "fine", SINCE, "target_datasource=copied");
    for (name, sql) in [
        ("served", "select 1 as id"),
        ("viewed", "select id, starting_date from employees"),
        ("plain", SINCE),
        (
            "extra",
            "select id, starting_date, 1 as more from employees",
        ),
        ("fewer", "select id from employees"),
        ("types", "select [id] as id, starting_date from employees"),
        ("twice", "select id, id, starting_date from employees"),
        ("broken", "select id, starting_date from employees"),
    ] {
        done(
            &server,
            "POST",
            "/v0/pipes",
            &format!("name={name}&sql={sql}"),
        );
    }
    done(
        &server,
        "POST",
        "/v0/pipes/served/nodes/served_0/endpoint",
        "",
    );
    done(
        &server,
        "POST",
        "/v0/pipes/viewed/nodes/viewed_0/materialization",
        "datasource=seen",
    );
    done(
        &server,
        "POST",
        "/v0/pipes/fine/nodes?name=second",
        "select 1 as id",
    );
    let before = server.get("/v0/pipes?dependencies=true").json();
    let target = "target_datasource=copied";
    let set = |name: &str, body: &str| {
        admin(
            &server,
            "POST",
            &format!("/v0/pipes/{name}/nodes/{name}_0/copy"),
            body,
        )
    };
    let wrong: Vec<(Answer, u16)> = vec![
        (set("plain", ""), 400),
        (set("plain", "target_datasource=nowhere"), 404),
        (set("nowhere", target), 404),
        (
            admin(
                &server,
                "POST",
                "/v0/pipes/plain/nodes/nothing/copy",
                target,
            ),
            404,
        ),
        (
            set(
                "plain",
                "target_datasource=copied&schedule_cron=99 99 * * *",
            ),
            400,
        ),
        (
            set("plain", "target_datasource=copied&schedule_cron=* * * *"),
            400,
        ),
        (set("plain", "target_datasource=copied&mode=sometimes"), 400),
        (set("served", target), 400),
        (set("viewed", target), 400),
        (
            admin(&server, "POST", "/v0/pipes/fine/nodes/second/copy", target),
            400,
        ),
        (set("extra", target), 400),
        (set("fewer", target), 400),
        (set("types", target), 400),
        (set("twice", target), 400),
        (
            admin(&server, "PUT", "/v0/pipes/plain/nodes/plain_0/copy", target),
            400,
        ),
        (
            admin(&server, "PUT", "/v0/pipes/plain/nodes/nothing/copy", target),
            400,
        ),
        (
            admin(&server, "DELETE", "/v0/pipes/plain/nodes/plain_0/copy", ""),
            400,
        ),
        (
            admin(
                &server,
                "DELETE",
                "/v0/pipes/nowhere/nodes/plain_0/copy",
                "",
            ),
            404,
        ),
        (admin(&server, "POST", "/v0/pipes/plain/copy", ""), 400),
        (admin(&server, "POST", "/v0/pipes/nowhere/copy", ""), 404),
        (
            admin(&server, "POST", "/v0/pipes/plain/copy/pause", ""),
            400,
        ),
        (
            admin(&server, "POST", "/v0/pipes/nowhere/copy/pause", ""),
            404,
        ),
        (admin(&server, "POST", "/v0/pipes/fine/copy/pause", ""), 404),
        (
            admin(&server, "POST", "/v0/pipes/plain/copy/resume", ""),
            400,
        ),
        (
            admin(&server, "POST", "/v0/pipes/fine/copy/resume", ""),
            404,
        ),
        (
            admin(&server, "POST", "/v0/pipes/plain/copy/cancel", ""),
            400,
        ),
        (
            admin(&server, "POST", "/v0/pipes/fine/copy/cancel", ""),
            404,
        ),
        (
            admin(&server, "POST", "/v0/pipes/fine/nodes/fine_0/endpoint", ""),
            400,
        ),
        (
            admin(
                &server,
                "POST",
                "/v0/pipes/fine/nodes/fine_0/materialization",
                "datasource=new",
            ),
            400,
        ),
        (
            admin(
                &server,
                "POST",
                "/v0/pipes/plain/nodes?type=copy",
                "select 1 as id",
            ),
            400,
        ),
        (admin(&server, "GET", "/v0/pipes/plain/copy", ""), 405),
    ];
    let mut told = String::new();
    for (answer, status) in &wrong {
        assert_eq!(answer.status, *status, "{}", answer.text());
        let error = answer.json()["error"].as_str().expect("a text").to_owned();
        told.extend([
            &status.to_string(),
            " ",
            &error,
            "
",
        ]);
    }
    assert_snapshot!("refused", told);
    assert_eq!(server.get("/v0/pipes?dependencies=true").json(), before);
    // A target that changes under the copy is found out when it runs.
    assert_eq!(set("broken", target).status, 200);
    done(
        &server,
        "PUT",
        "/v0/pipes/broken/nodes/broken_0",
        "select id, starting_date, 1 as more from employees",
    );
    let refused = admin(&server, "POST", "/v0/pipes/broken/copy", "");
    assert_snapshot!("mismatch", shape(&refused));
}

#[test]
fn too_many_rows_and_too_many_copies_are_refused() {
    let project = project();
    project.write("slow.pipe", "NODE n\nSQL >\n    %\n    SELECT toUInt32(1) AS id, now() AS starting_date FROM numbers({{UInt64(rows, 1000000000000)}}) WHERE cityHash64(number) = 1\nTYPE copy\nTARGET_DATASOURCE copied\nCOPY_SCHEDULE 0 0 1 1 *\n");
    project.write("large.pipe", "NODE n\nSQL >\n    SELECT toUInt32(number) AS id, now() AS starting_date FROM numbers(100000001)\nTYPE copy\nTARGET_DATASOURCE copied\n");
    project.write(
        "pipewright.toml",
        "[limits]\ncopies = 2\nquery_timeout_ms = 500\n",
    );
    let server = Server::start(&project);
    let refused = admin(&server, "POST", "/v0/pipes/large/copy", "");
    assert_snapshot!("too_many_rows", shape(&refused));
    let first = done(&server, "POST", "/v0/pipes/slow/copy", "");
    let second = done(&server, "POST", "/v0/pipes/slow/copy", "");
    let refused = admin(&server, "POST", "/v0/pipes/slow/copy", "");
    assert_snapshot!("too_many_copies", shape(&refused));
    // Cancelled, they leave room, nothing of theirs in the data source, and the schedule at rest.
    let cancelled = admin(&server, "POST", "/v0/pipes/slow/copy/cancel", "");
    assert_eq!(cancelled.status, 200, "{}", cancelled.text());
    let jobs = cancelled.json()["cancelled_jobs"].clone();
    assert_eq!(jobs.as_array().expect("a list").len(), 2);
    for (job, asked) in jobs
        .as_array()
        .expect("a list")
        .iter()
        .zip([&first, &second])
    {
        assert_eq!(
            (&job["id"], &job["is_cancellable"]),
            (&asked["job"]["id"], &json!(false))
        );
        assert!(["cancelling", "cancelled"].contains(&job["status"].as_str().expect("a text")));
        assert_eq!(
            ended(&server, job["id"].as_str().expect("a text"))["status"],
            "cancelled"
        );
    }
    assert_eq!(cancelled.json()["schedule"]["status"], "paused");
    assert_eq!(rows(&server, "SELECT count() FROM copied"), "0\n");
    let asked = done(&server, "POST", "/v0/pipes/slow/copy?rows=10", "");
    assert_eq!(
        ended(&server, asked["job"]["id"].as_str().expect("a text"))["status"],
        "done"
    );
    let again = admin(&server, "POST", "/v0/pipes/slow/copy/cancel", "");
    assert_eq!(
        (again.status, again.json()["cancelled_jobs"].clone()),
        (200, json!([]))
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
