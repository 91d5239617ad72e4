//! What is done to data sources and how jobs go on is in the service data sources soon after.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{ADMIN, Answer, Project, Server};

const EVENTS: &str = "SCHEMA >\n    `org` Int32 `json:$.org`,\n    `day` Date `json:$.day`\n\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"org\"\n";

fn started() -> (Project, Server) {
    let project = Project::new(&[
        ("events.datasource", EVENTS),
        ("copied.datasource", "SCHEMA >\n    `org` Int32\n"),
        (
            "counts.datasource",
            "SCHEMA >\n    `org` Int32,\n    `c` SimpleAggregateFunction(sum, UInt64)\n\nENGINE \"AggregatingMergeTree\"\nENGINE_SORTING_KEY \"org\"\n",
        ),
        (
            "count_them.pipe",
            "NODE n\nSQL >\n    SELECT org, count() AS c FROM events GROUP BY org\nTYPE materialized\nDATASOURCE counts\n",
        ),
        (
            "copy_them.pipe",
            "TOKEN \"reader\" READ\nNODE n\nSQL >\n    SELECT org FROM events\nTYPE copy\nTARGET_DATASOURCE copied\n",
        ),
        (
            "break_it.pipe",
            "NODE n\nSQL >\n    SELECT toInt32(throwIf(org = 1, 'it broke')) AS org FROM events\nTYPE copy\nTARGET_DATASOURCE copied\n",
        ),
    ]);
    let server = Server::start(&project);
    (project, server)
}

fn send(server: &Server, method: &str, path: &str, body: &str) -> Answer {
    let bearer = format!("Bearer {ADMIN}");
    server.send(method, path, &[("Authorization", &bearer)], body.as_bytes())
}

fn query(server: &Server, token: &str, sql: &str) -> Value {
    let bearer = format!("Bearer {token}");
    let sql = format!("{sql} FORMAT JSON");
    let answer = server.send(
        "POST",
        "/v0/sql",
        &[("Authorization", &bearer)],
        sql.as_bytes(),
    );
    assert_eq!(answer.status, 200, "{sql}: {}", answer.text());
    answer.json()["data"].clone()
}

/// Asks until the answer is as expected: rows are written soon, not at once.
fn wait_for(server: &Server, sql: &str, expected: &Value) {
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        let rows = query(server, ADMIN, sql);
        if rows == *expected {
            return;
        }
        assert!(Instant::now() < until, "{sql}: {rows}, not {expected}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn ended(server: &Server, asked: &Answer) -> Value {
    assert!(asked.status < 300, "{}", asked.text());
    let asked = asked.json();
    let job = asked.get("job").unwrap_or(&asked);
    let path = format!("/v0/jobs/{}", job["id"].as_str().expect("a text"));
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        let job = server.get(&path).json();
        if ["done", "error", "cancelled"].contains(&job["status"].as_str().expect("a text")) {
            return job;
        }
        assert!(Instant::now() < until, "{job}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn every_operation_on_a_data_source_is_written_down() {
    let (_project, server) = started();
    let rows = "{\"org\":1,\"day\":\"2024-01-01\"}\n{\"org\":2,\"day\":\"2024-01-02\"}\n{\"org\":\"x\",\"day\":\"2024-01-02\"}\n";
    let appended = send(
        &server,
        "POST",
        "/v0/datasources?name=events&mode=append&format=ndjson",
        rows,
    );
    assert_eq!(appended.status, 200, "{}", appended.text());
    let import = appended.json()["import_id"].clone();
    assert_eq!(
        send(
            &server,
            "POST",
            "/v0/events?name=events&wait=true",
            "{\"org\":3,\"day\":\"2024-01-01\"}"
        )
        .status,
        200
    );
    assert_eq!(
        send(
            &server,
            "POST",
            "/v0/datasources?name=events&mode=append&format=parquet",
            "no parquet"
        )
        .status,
        400
    );
    let copied = ended(
        &server,
        &send(&server, "POST", "/v0/pipes/copy_them/copy", ""),
    );
    // What throws is not needed to count the rows, so that only the job finds out.
    let broken = ended(
        &server,
        &send(&server, "POST", "/v0/pipes/break_it/copy", ""),
    );
    assert_eq!(broken["status"], "error");
    let populated = ended(
        &server,
        &send(
            &server,
            "POST",
            "/v0/pipes/count_them/nodes/n/population?truncate=true",
            "",
        ),
    );
    assert_eq!(populated["status"], "done", "{populated}");
    let deleted = ended(
        &server,
        &send(
            &server,
            "POST",
            "/v0/datasources/copied/delete?delete_condition=org%3D1",
            "",
        ),
    );
    assert_eq!(deleted["status"], "done", "{deleted}");
    assert_eq!(
        send(&server, "POST", "/v0/datasources/copied/truncate", "").status,
        205
    );
    assert_eq!(
        send(
            &server,
            "POST",
            "/v0/datasources?name=copied&mode=replace&format=csv",
            "org\n7\n8\n"
        )
        .status,
        200
    );
    let columns = "event_type, datasource_name, result, rows, rows_quarantine, pipe_name, Options.Values AS options, job_id != '' AS has_job, elapsed_time >= 0 AS took, error != '' AS told";
    wait_for(
        &server,
        &format!(
            "SELECT {columns} FROM tinybird.datasources_ops_log ORDER BY event_type, result, datasource_name"
        ),
        &json!([
            { "event_type": "append", "datasource_name": "events", "result": "error", "rows": 0, "rows_quarantine": 0, "pipe_name": "", "options": [], "has_job": null, "took": 1, "told": 1 },
            { "event_type": "append", "datasource_name": "counts", "result": "ok", "rows": null, "rows_quarantine": null, "pipe_name": "count_them", "options": [], "has_job": null, "took": 1, "told": null },
            { "event_type": "append", "datasource_name": "events", "result": "ok", "rows": 2, "rows_quarantine": 1, "pipe_name": "", "options": [], "has_job": null, "took": 1, "told": null },
            { "event_type": "append-hfi", "datasource_name": "counts", "result": "ok", "rows": null, "rows_quarantine": null, "pipe_name": "count_them", "options": [], "has_job": null, "took": 1, "told": null },
            { "event_type": "append-hfi", "datasource_name": "events", "result": "ok", "rows": 1, "rows_quarantine": 0, "pipe_name": "", "options": [], "has_job": null, "took": 1, "told": null },
            { "event_type": "copy", "datasource_name": "copied", "result": "error", "rows": null, "rows_quarantine": null, "pipe_name": "break_it", "options": ["append", "on_demand"], "has_job": 1, "took": 1, "told": 1 },
            { "event_type": "copy", "datasource_name": "copied", "result": "ok", "rows": 3, "rows_quarantine": null, "pipe_name": "copy_them", "options": ["append", "on_demand"], "has_job": 1, "took": 1, "told": null },
            { "event_type": "delete", "datasource_name": "copied", "result": "ok", "rows": 1, "rows_quarantine": null, "pipe_name": "", "options": [], "has_job": 1, "took": 1, "told": null },
            { "event_type": "populateview", "datasource_name": "counts", "result": "ok", "rows": 3, "rows_quarantine": null, "pipe_name": "count_them", "options": [], "has_job": 1, "took": 1, "told": null },
            { "event_type": "populateview-queued", "datasource_name": "counts", "result": "ok", "rows": null, "rows_quarantine": null, "pipe_name": "count_them", "options": [], "has_job": 1, "took": 1, "told": null },
            { "event_type": "replace", "datasource_name": "copied", "result": "ok", "rows": 2, "rows_quarantine": 0, "pipe_name": "", "options": [], "has_job": null, "took": 1, "told": null },
            { "event_type": "truncate", "datasource_name": "copied", "result": "ok", "rows": 0, "rows_quarantine": 0, "pipe_name": "", "options": [], "has_job": null, "took": 1, "told": null },
        ]),
    );
    let found = query(
        &server,
        ADMIN,
        &format!(
            "SELECT count() AS c FROM tinybird.datasources_ops_log WHERE import_id = {}",
            import.to_string().replace('"', "'")
        ),
    );
    assert_eq!(found, json!([{ "c": 1 }]));
    // The document's way to the operations of a job.
    let of_job = format!(
        "SELECT event_type FROM tinybird.datasources_ops_log WHERE operation_id IN (SELECT operation_id FROM tinybird.datasources_ops_log WHERE datasource_id = '{}' AND job_id = '{}')",
        copied["datasource"]["id"].as_str().expect("a text"),
        copied["id"].as_str().expect("a text")
    );
    assert_eq!(
        query(&server, ADMIN, &of_job),
        json!([{ "event_type": "copy" }])
    );
    // Others see what is about data sources that they may read, and no jobs.
    let reader = server.get("/v0/tokens/reader").json()["token"]
        .as_str()
        .expect("a text")
        .to_owned();
    for table in ["datasources_ops_log", "jobs_log"] {
        let seen = query(
            &server,
            &reader,
            &format!("SELECT count() AS c FROM tinybird.{table}"),
        );
        assert_eq!(seen, json!([{ "c": 0 }]), "{table}");
    }
}

#[test]
fn jobs_are_written_down_from_their_beginning_to_their_end() {
    let (_project, server) = started();
    send(
        &server,
        "POST",
        "/v0/events?name=events&wait=true",
        "{\"org\":1,\"day\":\"2024-01-01\"}",
    );
    let copied = ended(
        &server,
        &send(&server, "POST", "/v0/pipes/copy_them/copy", ""),
    );
    let broken = ended(
        &server,
        &send(&server, "POST", "/v0/pipes/break_it/copy", ""),
    );
    let latest = "SELECT job_id, argMax(status, updated_at) AS last, any(job_type) AS kind, any(pipe_id) AS pipe, any(datasource_id) AS datasource, countIf(error LIKE '%it broke%') AS broke, max(started_at >= created_at) AS began, max(JSONExtractInt(job_metadata, 'statistics', 'rows')) AS rows FROM tinybird.jobs_log GROUP BY job_id ORDER BY last";
    wait_for(
        &server,
        latest,
        &json!([
            { "job_id": copied["id"], "last": "done", "kind": "copy", "pipe": copied["pipe_id"], "datasource": copied["datasource"]["id"], "broke": 0, "began": 1, "rows": 1 },
            { "job_id": broken["id"], "last": "error", "kind": "copy", "pipe": broken["pipe_id"], "datasource": broken["datasource"]["id"], "broke": 1, "began": 1, "rows": 0 },
        ]),
    );
}
