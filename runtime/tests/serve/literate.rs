//! The examples of the API's document in their order, each sent to the real binary, with the whole of what it answers: status, headers that matter, body.

use crate::harness::{Project, Server};
use crate::story::Story;

pub(crate) const FILES: &[(&str, &str)] = &[
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

#[test]
fn the_examples_of_the_document_are_answered() {
    let project = Project::new(FILES);
    let server = Server::start(&project);
    let mut story = Story::new(&server);
    first_pipe(&mut story);
    pipes(&mut story);
    explained(&mut story);
    materialized(&mut story);
    copied(&mut story);
    insta::assert_snapshot!("examples", story.text());
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
    story.ask("GET", "/v1/pipes/emps_by.pipe", "");
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
