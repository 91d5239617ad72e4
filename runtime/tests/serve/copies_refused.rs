//! Copies that are refused, and what a copy keeps to itself.

use insta::assert_snapshot;
use serde_json::json;

use crate::copies::{
    SINCE, admin, copy_pipe, done, ended, project, rows, run, send, shape, started,
};
use crate::harness::{Answer, Server};

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
fn secrets_of_a_copy_are_bound_when_it_runs_and_kept_nowhere() {
    let (_project, server) = started();
    let set = |method: &str, path: &str, value: &str| {
        done(&server, method, path, &format!("name=city&value={value}"))
    };
    set("POST", "/v0/variables", "first-hidden");
    let sql = "%25 SELECT toUInt32(1) AS id, now() AS starting_date, {{tb_secret('city')}} AS at";
    copy_pipe(&server, "bound", sql, "target_datasource=copied");
    assert_eq!(
        run(&server, "/v0/pipes/bound/copy")["secrets"],
        json!(["city"])
    );
    set("PUT", "/v0/variables/city", "second-hidden");
    let job = run(&server, "/v0/pipes/bound/copy");
    assert!(!job.to_string().contains("hidden"), "{job}");
    assert_eq!(
        rows(&server, "SELECT at FROM copied ORDER BY at"),
        "first-hidden\nsecond-hidden\n"
    );
}

#[test]
fn a_token_cannot_turn_a_copy_to_a_data_source_that_it_may_not_fill() {
    let (_project, server) = started();
    copy_pipe(&server, "turned", SINCE, "target_datasource=copied");
    let made = done(
        &server,
        "POST",
        "/v0/tokens/?name=maker&scope=PIPES:CREATE&scope=DATASOURCES:APPEND:copied",
        "",
    );
    let maker = made["token"].as_str().expect("a token");
    let path = "/v0/pipes/turned/nodes/turned_0/copy";
    for (body, status) in [
        ("target_datasource=other", 403),
        ("target_datasource=copied", 200),
        ("schedule_cron=0 0 * * *", 200),
    ] {
        let answer = send(&server, maker, "PUT", path, body);
        assert_eq!(answer.status, status, "{body}: {}", answer.text());
    }
    let text = server.get("/v1/pipes/turned.pipe").text();
    assert!(text.contains("TARGET_DATASOURCE copied"), "{text}");
}

#[test]
fn a_copy_that_takes_rows_away_needs_the_right_to_it() {
    let (_project, server) = started();
    copy_pipe(&server, "own", SINCE, "target_datasource=copied");
    let scopes = "scope=PIPES:CREATE&scope=PIPES:READ:own&scope=DATASOURCES:READ:employees&scope=DATASOURCES:APPEND:copied";
    let secret = |name: &str, scopes: &str| {
        let made = admin(
            &server,
            "POST",
            &format!("/v0/tokens/?name={name}&{scopes}"),
            "",
        );
        made.json()["token"].as_str().unwrap().to_owned()
    };
    let appends = secret("appends", scopes);
    let creates = secret("creates", "scope=PIPES:CREATE&scope=PIPES:READ:own");
    let drops = secret("drops", &format!("{scopes}&scope=DATASOURCES:DROP:copied"));
    let update = |token: &str, body: &str| {
        server
            .ask(token, "PUT", "/v0/pipes/own/nodes/own_0/copy", body)
            .status
    };
    assert_eq!(update(&appends, "mode=replace"), 403);
    // What it fills was allowed to who made it: when it does so, and that it adds rows, is up to who may change pipes.
    assert_eq!(update(&creates, "schedule_cron=0 * * * *"), 200);
    assert_eq!(update(&creates, "mode=append"), 200);
    assert_eq!(update(&creates, "target_datasource=copied"), 403);
    assert_eq!(update(&creates, "mode=replace"), 403);
    assert_eq!(update(&drops, "mode=replace"), 200);
    assert_eq!(update(&creates, "schedule_cron=None"), 200);
    assert_eq!(update(&appends, "target_datasource=copied"), 403);
}
