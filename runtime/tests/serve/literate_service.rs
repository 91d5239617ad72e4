//! The service data sources after a life of requests, rows, views and copies: the queries that the API's document prints, and others, to an admin and to
//! tokens that may see a part.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::guarded::token;
use crate::harness::{ADMIN, Project, Server};
use crate::literate::FILES;
use crate::story::Story;

/// Names and types of the columns, as the existing service has them.
const COLUMNS: &[(&str, &str)] = &[
    (
        "pipe_stats_rt",
        "start_datetime DateTime, pipe_id String, pipe_name String, token String, token_name String, duration Float32, read_bytes UInt64, read_rows UInt64, cpu_time Float32, result_rows UInt64, url Nullable(String), error UInt8, error_message Nullable(String), status_code Int32, request_id String, parameters Map(String, String), method String, release String, user_agent Nullable(String), client_ip Nullable(String), resource_tags Array(String), memory_usage UInt64, replica String",
    ),
    (
        "pipe_stats",
        "date DateTime, pipe_id String, pipe_name String, avg_duration_state AggregateFunction(avg, Float32), error_count UInt64, view_count UInt64, quantile_timing_state AggregateFunction(quantilesTiming(0.9, 0.95, 0.99), Float64), read_bytes_sum UInt64, read_rows_sum UInt64, cpu_time_sum Float64, resource_tags Array(String)",
    ),
    (
        "datasources_ops_log",
        "timestamp DateTime, event_type String, datasource_id String, datasource_name String, result String, elapsed_time Float32, error Nullable(String), Options.Names Array(String), Options.Values Array(String), request_id String, import_id Nullable(String), job_id Nullable(String), rows Nullable(UInt64), rows_quarantine Nullable(UInt64), blocks_ids Array(String), operation_id String, read_rows UInt64, read_bytes UInt64, cpu_time Float32, memory_usage UInt64, written_rows UInt64, written_bytes UInt64, written_rows_quarantine UInt64, written_bytes_quarantine UInt64, pipe_id String, pipe_name String, release String, resource_tags Array(String)",
    ),
    (
        "endpoint_errors",
        "start_datetime DateTime, request_id String, pipe_id String, pipe_name String, params Nullable(String), url Nullable(String), status_code Nullable(Int32), error Nullable(String), resource_tags Array(String)",
    ),
    (
        "datasources_storage",
        "datasource_id String, datasource_name String, timestamp DateTime, bytes SimpleAggregateFunction(max, UInt64), rows SimpleAggregateFunction(max, UInt64), bytes_quarantine SimpleAggregateFunction(max, UInt64), rows_quarantine SimpleAggregateFunction(max, UInt64)",
    ),
    (
        "jobs_log",
        "job_id String, job_type LowCardinality(String), status LowCardinality(String), error Nullable(String), workspace_id String, request_id Nullable(String), pipe_id Nullable(String), datasource_id Nullable(String), created_at DateTime64(3), started_at Nullable(DateTime64(3)), updated_at DateTime64(3), job_metadata String",
    ),
];

fn ask(server: &Server, method: &str, path: &str, body: &str) -> Value {
    let answer = server.ask(ADMIN, method, path, body);
    assert!(answer.status < 300, "{method} {path}: {}", answer.text());
    serde_json::from_slice(&answer.body).unwrap_or_default()
}

/// Waits until a query over what is written down soon says so.
fn wait_for(server: &Server, sql: &str, wanted: &str) {
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        let answer = server.ask(ADMIN, "POST", "/v0/sql", &format!("{sql} FORMAT CSV"));
        if answer.text().trim() == wanted {
            return;
        }
        assert!(Instant::now() < until, "{sql}: {}", answer.text());
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn the_columns_are_those_of_the_existing_service() {
    let project = Project::new(&FILES[..1]);
    let server = Server::start(&project);
    for (table, columns) in COLUMNS {
        let described = ask(
            &server,
            "POST",
            "/v0/sql",
            &format!("SELECT * FROM tinybird.{table} LIMIT 0"),
        );
        let found: Vec<String> = described["meta"]
            .as_array()
            .expect("columns")
            .iter()
            .map(|column| format!("{} {}", column["name"], column["type"]).replace('"', ""))
            .collect();
        assert_eq!(found.join(", "), *columns, "{table}");
    }
}

/// A life of requests: rows that fit and that do not, a view that is populated and one that cannot be, a copy, endpoints with and without errors.
fn life(server: &Server, story: &Story<'_>) -> (String, String) {
    ask(server, "POST", "/v0/pipes", "name=sums&sql=select 1 as one");
    let view = ask(
        server,
        "POST",
        "/v0/pipes/sums/nodes?name=by_day&type=materialized&datasource=amounts&engine=SummingMergeTree&engine_sorting_key=id,date",
        "select id, sum(amount) as amount, date from my_datasource group by id, date",
    );
    let populated = ask(
        server,
        "POST",
        "/v0/pipes/sums/nodes/by_day/population",
        "populate_condition=toYYYYMM(date) = 202203",
    );
    story.rest();
    ask(
        server,
        "POST",
        "/v0/pipes",
        "name=fails&sql=select id, throwIf(id = 1) as x from my_datasource",
    );
    ask(
        server,
        "POST",
        "/v0/pipes/fails/nodes/fails_0/materialization?datasource=failed&populate=true",
        "",
    );
    story.rest();
    let rows = "1,5,2022-03-01\nx,y,z\n";
    ask(
        server,
        "POST",
        "/v0/datasources?name=my_datasource&mode=append&format=csv",
        rows,
    );
    ask(
        server,
        "POST",
        "/v0/datasources?name=employees&mode=replace&format=csv",
        "Bo,UK,Sales,2020-01-01 00:00:00\n",
    );
    ask(
        server,
        "POST",
        "/v0/datasources/app_events/delete",
        "delete_condition=org = 1",
    );
    story.rest();
    ask(server, "POST", "/v0/datasources/app_events/truncate", "");
    ask(
        server,
        "POST",
        "/v0/events?name=app_events&wait=true",
        "{\"timestamp\": \"2024-01-01 00:00:00\", \"org\": 1}",
    );
    ask(
        server,
        "POST",
        "/v0/datasources/app_events/alter",
        "schema=timestamp DateTime, org Int32, more String",
    );
    ask(
        server,
        "POST",
        "/v0/pipes/copy_emp/nodes/emps/copy",
        "target_datasource=my_destination_datasource",
    );
    ask(server, "POST", "/v0/pipes/copy_emp/copy", "");
    story.rest();
    ask(
        server,
        "GET",
        "/v0/pipes/emps_by.json?department=Engineering",
        "",
    );
    ask(server, "POST", "/v0/pipes/emps_by.json", "department=Sales");
    assert_eq!(
        server
            .get("/v0/pipes/emps_by.json?department=Sales&q=SELECT%20throwIf(1)%20FROM%20_")
            .status,
        400
    );
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    (text(&view["materialized"]), text(&populated["job_id"]))
}

#[test]
fn what_has_happened_can_be_queried_by_who_may_see_it() {
    let project = Project::new(FILES);
    let server = Server::start(&project);
    let mut story = Story::new(&server);
    let (datasource, job) = life(&server, &story);
    wait_for(
        &server,
        "SELECT count() FROM tinybird.pipe_stats_rt WHERE pipe_name = 'emps_by'",
        "3",
    );
    // Views fill these, and rows are seen in what a view reads before they are in what it fills.
    wait_for(
        &server,
        "SELECT sum(view_count) FROM tinybird.pipe_stats WHERE pipe_name = 'emps_by'",
        "3",
    );
    wait_for(&server, "SELECT count() FROM tinybird.endpoint_errors", "1");
    wait_for(
        &server,
        "SELECT count() > 0 FROM tinybird.datasources_ops_log WHERE event_type = 'copy'",
        "1",
    );
    wait_for(
        &server,
        "SELECT count() FROM tinybird.jobs_log FINAL WHERE status IN ('done', 'error')",
        "4",
    );

    story.say("Populate jobs, as the document asks for them");
    story.ask("POST", "/v0/sql", &format!("SELECT * FROM (\nSELECT *\nFROM tinybird.datasources_ops_log\nWHERE\n    timestamp > now() - INTERVAL 1 DAY\nAND operation_id IN (\n    SELECT operation_id\n    FROM tinybird.datasources_ops_log\n    WHERE\n        timestamp > now() - INTERVAL 1 DAY\n        and datasource_id = '{datasource}'\n        and job_id = '{job}'\n    )\nORDER BY timestamp ASC\n) ORDER BY event_type FORMAT JSONEachRow"));

    story.say("Failed populates, as the document asks for them");
    let failed = server.get("/v0/datasources/failed").json()["id"].clone();
    let failed = failed.as_str().expect("an id").to_owned();
    story.ask("POST", "/v0/sql", &format!("SELECT * FROM (\nSELECT *\nFROM tinybird.datasources_ops_log\nWHERE\n    datasource_id = '{failed}'\n    AND pipe_name = 'fails'\n    AND event_type LIKE 'populateview%'\n    AND result = 'error'\nORDER BY timestamp ASC\n) ORDER BY event_type FORMAT JSONEachRow"));

    story.say("All that was done to data sources");
    let operations = "SELECT event_type, datasource_name, result, rows, rows_quarantine, read_rows, written_rows, pipe_name, `Options.Names`, `Options.Values`, job_id IS NOT NULL AS by_job, length(datasource_id) AS id_length FROM tinybird.datasources_ops_log ORDER BY event_type, datasource_name, result FORMAT JSONEachRow";
    story.ask("POST", "/v0/sql", operations);

    story.say("Requests to endpoints");
    story.ask("POST", "/v0/sql", "SELECT pipe_name, method, status_code, error, parameters, url, token_name, result_rows FROM tinybird.pipe_stats_rt WHERE pipe_name = 'emps_by' ORDER BY method, status_code FORMAT JSONEachRow");
    story.ask("POST", "/v0/sql", "SELECT pipe_name, sum(view_count) AS views, sum(error_count) AS errors FROM tinybird.pipe_stats WHERE pipe_name = 'emps_by' GROUP BY pipe_name FORMAT JSONEachRow");
    story.ask("POST", "/v0/sql", "SELECT pipe_name, status_code, params, url, error LIKE '%throwIf%' AS told FROM tinybird.endpoint_errors FORMAT JSONEachRow");

    story.say("Jobs");
    story.ask("POST", "/v0/sql", "SELECT job_type, status, error IS NOT NULL AS failed, length(pipe_id) AS pipe, length(datasource_id) AS datasource, started_at IS NOT NULL AS started FROM tinybird.jobs_log FINAL ORDER BY created_at FORMAT JSONEachRow");

    story.say("The same to a token that reads one pipe and one data source");
    let some = token(
        &server,
        "some",
        &["PIPES:READ:emps_by", "DATASOURCES:READ:app_events"],
    );
    story.ask_as(&some, "POST", "/v0/sql", "SELECT event_type, datasource_name FROM tinybird.datasources_ops_log ORDER BY event_type FORMAT JSONEachRow");
    story.ask_as(
        &some,
        "POST",
        "/v0/sql",
        "SELECT DISTINCT pipe_name FROM tinybird.pipe_stats_rt FORMAT JSONEachRow",
    );
    story.ask_as(
        &some,
        "POST",
        "/v0/sql",
        "SELECT DISTINCT datasource_name FROM tinybird.datasources_storage FORMAT JSONEachRow",
    );
    story.ask_as(
        &some,
        "POST",
        "/v0/sql",
        "SELECT count() AS c FROM tinybird.jobs_log FORMAT JSONEachRow",
    );

    story.say("The same to a token that reads nothing of it");
    let none = token(&server, "none", &["PIPES:CREATE"]);
    for table in [
        "pipe_stats_rt",
        "pipe_stats",
        "endpoint_errors",
        "datasources_ops_log",
        "datasources_storage",
        "jobs_log",
    ] {
        let rows = server.ask(
            &none,
            "POST",
            "/v0/sql",
            &format!("SELECT count() AS c FROM tinybird.{table} FORMAT JSON"),
        );
        assert_eq!(rows.json()["data"], json!([{ "c": 0 }]), "{table}");
    }
    insta::assert_snapshot!("service", story.text());
}
