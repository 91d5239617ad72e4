//! The examples of the API's document in their order, each sent to the real binary, with the whole of what it answers: status, headers that matter, body.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{ADMIN, Answer, Project, Server};
use crate::pipes_api::filtered;

const FILES: &[(&str, &str)] = &[
    (
        "app_events.datasource",
        "SCHEMA >\n    `timestamp` DateTime,\n    `org` Int32\n\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"timestamp\"\n",
    ),
    (
        "my_datasource.datasource",
        "SCHEMA >\n    `id` Int32,\n    `amount` Int64,\n    `date` Date\n\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"date\"\n",
    ),
    (
        "employees.datasource",
        "SCHEMA >\n    `name` String,\n    `country` String,\n    `department` String,\n    `starting_date` DateTime\n\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"name\"\n",
    ),
    (
        "my_destination_datasource.datasource",
        "SCHEMA >\n    `name` String,\n    `country` String,\n    `department` String,\n    `starting_date` DateTime\n\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"name\"\n",
    ),
    (
        "other_destination_datasource.datasource",
        "SCHEMA >\n    `name` String,\n    `country` String,\n    `department` String,\n    `starting_date` DateTime\n\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"name\"\n",
    ),
    (
        "emps_by.pipe",
        "NODE emps\nSQL >\n    SELECT * FROM employees WHERE starting_date > '2016-01-01 00:00:00'\nNODE chosen\nSQL >\n    %\n    SELECT country, department FROM emps WHERE department = {{ String(department, 'Engineering') }}\nTYPE endpoint\n",
    ),
    (
        "copy_emp.pipe",
        "NODE emps\nSQL >\n    %\n    SELECT * FROM employees WHERE department != {{ String(param1, '') }}\n",
    ),
    (
        "fixtures/app_events.sql",
        "SELECT toDateTime('2024-01-01 00:00:00') + number * 3600 AS timestamp, number % 3 AS org FROM numbers(48)",
    ),
    (
        "fixtures/my_datasource.sql",
        "SELECT number % 2 AS id, number AS amount, toDate('2022-03-01') AS date FROM numbers(10)",
    ),
    (
        "fixtures/employees.sql",
        "SELECT 'Ada' AS name, 'UK' AS country, 'Engineering' AS department, toDateTime('2020-01-01 00:00:00') AS starting_date",
    ),
];

/// The requests one after the other, written down with what came back.
struct Story<'a> {
    server: &'a Server,
    text: String,
}

impl Story<'_> {
    fn ask(&mut self, method: &str, path: &str, body: &str) -> Answer {
        let kind = if body.starts_with('{') {
            "application/json"
        } else {
            "application/x-www-form-urlencoded"
        };
        let bearer = format!("Bearer {ADMIN}");
        let headers = [("Authorization", bearer.as_str()), ("Content-Type", kind)];
        let answer = self.server.send(method, path, &headers, body.as_bytes());
        _ = writeln!(self.text, "### {method} {}", ids_out(path));
        if !body.is_empty() {
            _ = writeln!(self.text, "{}", ids_out(body));
        }
        _ = writeln!(self.text, "\n{}", answer.status);
        for name in ["content-type", "retry-after", "location"] {
            let line = answer
                .headers
                .lines()
                .find(|line| line.starts_with(&format!("{name}:")));
            self.text.extend(line.map(|line| format!("{line}\n")));
        }
        let shown = match serde_json::from_slice::<Value>(&answer.body) {
            Ok(value) => serde_json::to_string_pretty(&settled(filtered(value))).expect("JSON"),
            Err(_) if answer.body.starts_with(b"PAR1") => "a Parquet file".to_owned(),
            Err(_) => answer.text(),
        };
        _ = writeln!(self.text, "{shown}\n");
        answer
    }

    /// Waits until no job is under way, so that what comes next does not depend on the time.
    fn rest(&self) {
        let until = Instant::now() + Duration::from_secs(30);
        while self.server.get("/v0/jobs").json()["jobs"]
            .as_array()
            .expect("jobs")
            .iter()
            .any(|job| job["is_cancellable"] == true)
        {
            assert!(Instant::now() < until, "a job does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Ids in an address or a body.
fn ids_out(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("t_") {
        let digits = rest[at + 2..]
            .chars()
            .take_while(char::is_ascii_hexdigit)
            .count();
        let end = at + 2 + digits;
        out.push_str(if digits == 32 {
            &rest[..at]
        } else {
            &rest[..end]
        });
        if digits == 32 {
            out.push_str("t_[id]");
        }
        rest = &rest[end..];
    }
    out + rest
}

/// Numbers and addresses that are others each time.
fn settled(value: Value) -> Value {
    match value {
        Value::Object(map) => map
            .into_iter()
            .map(|(key, value)| {
                let value = match key.as_str() {
                    "elapsed" | "bytes_read" | "duration" => "[number]".into(),
                    "job_url" => "[address]".into(),
                    _ => settled(value),
                };
                (key, value)
            })
            .collect(),
        Value::Array(values) => values.into_iter().map(settled).collect(),
        other => other,
    }
}

#[test]
fn the_examples_of_the_document_are_answered() {
    let project = Project::new(FILES);
    let server = Server::start(&project);
    let mut story = Story {
        server: &server,
        text: String::new(),
    };
    first_pipe(&mut story);
    pipes(&mut story);
    explained(&mut story);
    materialized(&mut story);
    copied(&mut story);
    insta::assert_snapshot!("examples", story.text);
}

fn first_pipe(story: &mut Story<'_>) {
    story.ask(
        "POST",
        "/v0/pipes",
        "name=events_per_day&sql=select * from app_events",
    );
    let appended = story.ask(
        "POST",
        "/v0/pipes/events_per_day/nodes",
        "select toDate(timestamp) date, count() event_count from events_per_day_0 group by date",
    );
    let node = appended.json()["id"].as_str().expect("an id").to_owned();
    story.ask("PUT", "/v0/pipes/events_per_day/endpoint", &node);
    story.ask(
        "POST",
        "/v0/sql",
        "SELECT * FROM events_per_day where date > yesterday()",
    );
    story.ask("GET", "/v0/pipes/events_per_day.json", "");
    story.ask(
        "POST",
        "/v0/tokens/?name=events_per_day_token&scope=PIPES:READ:events_per_day",
        "",
    );
}

fn pipes(story: &mut Story<'_>) {
    story.ask(
        "GET",
        "/v0/pipes?attrs=name,description&node_attrs=id,name",
        "",
    );
    story.ask(
        "POST",
        "/v0/pipes",
        r#"{"name": "pipe_name", "description": "my first pipe", "nodes": [{"sql": "select * from my_datasource limit 10", "name": "node_00", "description": "sampled data"}, {"sql": "select count() from node_00", "name": "node_01"}]}"#,
    );
    story.ask(
        "POST",
        "/v0/pipes?name=pipeName&sql=select%20*%20from%20app_events",
        "",
    );
    story.ask("POST", "/v0/pipes?name=pipeName&from=pipe_name", "");
    story.ask(
        "POST",
        "/v0/pipes/pipe_name/nodes?name=node_02&description=another",
        "select * from node_00",
    );
    story.ask(
        "PUT",
        "/v0/pipes/pipe_name/nodes/node_02",
        "select id from node_00",
    );
    story.ask("DELETE", "/v0/pipes/pipe_name/nodes/node_02", "");
    for format in ["csv", "ndjson", "parquet"] {
        story.ask("GET", &format!("/v0/pipes/emps_by.{format}"), "");
    }
    story.ask(
        "GET",
        "/v0/pipes/emps_by.json?q=SELECT%20count()%20AS%20c%20FROM%20_",
        "",
    );
    story.ask("POST", "/v0/pipes/emps_by.json", "department=Sales");
    story.ask("GET", "/v0/pipes/emps_by.pipe", "");
    story.ask("GET", "/v0/pipes/emps_by", "");
    story.ask(
        "PUT",
        "/v0/pipes/pipeName?name=new_name&description=other",
        "",
    );
    story.ask("PUT", "/v0/pipes/new_name?name=pipe_name", "");
    story.ask("DELETE", "/v0/pipes/new_name", "");
    story.ask("DELETE", "/v0/pipes/new_name", "");
}

fn explained(story: &mut Story<'_>) {
    story.ask(
        "GET",
        "/v0/pipes/emps_by/nodes/chosen/explain?department=Engineering",
        "",
    );
    story.ask(
        "GET",
        "/v0/pipes/emps_by/explain?department=Engineering",
        "",
    );
    story.ask("POST", "/v0/pipes/pipe_name/nodes/node_01/endpoint", "");
    story.ask("DELETE", "/v0/pipes/pipe_name/nodes/node_01", "");
    story.ask("DELETE", "/v0/pipes/pipe_name/nodes/node_01/endpoint", "");
}

fn materialized(story: &mut Story<'_>) {
    story.ask("POST", "/v0/pipes", "name=sums&sql=select 1 as one");
    story.ask(
        "POST",
        "/v0/pipes/sums/nodes?name=by_day&type=materialized&datasource=amounts&engine=SummingMergeTree&engine_sorting_key=id,date",
        "select id, sum(amount) as amount, date from my_datasource group by id, date",
    );
    story.ask(
        "POST",
        "/v0/pipes/sums/nodes/by_day/population",
        "populate_condition=toYYYYMM(date) = 202203",
    );
    story.rest();
    story.ask("POST", "/v0/sql", "SELECT * FROM amounts ORDER BY id");
    story.ask("DELETE", "/v0/pipes/sums/nodes/by_day/materialization", "");
    story.ask(
        "POST",
        "/v0/pipes/sums/nodes/by_day/materialization?datasource=amounts",
        "",
    );
    story.ask(
        "POST",
        "/v0/pipes/sums/nodes/by_day/materialization?datasource=amounts",
        "",
    );
}

fn copied(story: &mut Story<'_>) {
    story.ask(
        "POST",
        "/v0/pipes/copy_emp/nodes/emps/copy",
        "target_datasource=my_destination_datasource&schedule_cron=*/15 * * * *",
    );
    story.ask(
        "PUT",
        "/v0/pipes/copy_emp/nodes/emps/copy",
        "target_datasource=other_destination_datasource&schedule_cron=0 3 1 1 *",
    );
    story.ask(
        "POST",
        "/v0/pipes/copy_emp/copy?param1=test&param2=test",
        "",
    );
    story.rest();
    story.ask(
        "POST",
        "/v0/sql",
        "SELECT * FROM other_destination_datasource",
    );
    for what in ["pause", "resume", "cancel"] {
        story.ask("POST", &format!("/v0/pipes/copy_emp/copy/{what}"), "");
    }
    story.ask(
        "PUT",
        "/v0/pipes/copy_emp/nodes/emps/copy",
        "schedule_cron=None",
    );
    story.ask("DELETE", "/v0/pipes/copy_emp/nodes/emps/copy", "");
    story.ask("POST", "/v0/pipes/copy_emp/copy", "");
}
