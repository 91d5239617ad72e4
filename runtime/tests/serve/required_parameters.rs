//! What runs by itself, and so has nobody who would give its parameters.

use insta::assert_snapshot;

use crate::harness::{ADMIN, Project, Server};

const TABLE: &str = "SCHEMA >\n    `n` UInt64\n\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"n\"\n";

#[test]
fn what_runs_by_itself_has_a_default_for_each_parameter() {
    let node = |name: &str, sql: &str| format!("NODE {name}\nSQL >\n    %\n    {sql}\n");
    let project = Project::new(&[
        // What is served is said, so that nothing else is.
        (
            "served.pipe",
            &(node("n", "SELECT 1 AS x") + "TYPE endpoint\n"),
        ),
        ("events.datasource", TABLE),
        ("kept.datasource", TABLE),
        (
            "open.pipe",
            &node("n", "SELECT n FROM events WHERE n = {{UInt64(which)}}"),
        ),
        (
            "set.pipe",
            &node("n", "SELECT n FROM events WHERE n = {{UInt64(which, 3)}}"),
        ),
        (
            "asked.pipe",
            &node(
                "n",
                "SELECT n FROM events {% if defined(which) %} WHERE n = {{UInt64(which)}} {% end %}",
            ),
        ),
    ]);
    let server = Server::start(&project);
    let mut told = String::new();
    for path in [
        "/v0/pipes/open/nodes/n/materialization?datasource=kept",
        "/v0/pipes/open/nodes/n/copy?target_datasource=kept&schedule_cron=0+0+1+1+*",
        "/v0/pipes/set/nodes/n/materialization?datasource=kept",
        "/v0/pipes/asked/nodes/n/copy?target_datasource=kept&schedule_cron=0+0+1+1+*",
        // Who runs it gives the value.
        "/v0/pipes/open/nodes/n/copy?target_datasource=kept",
    ] {
        let answer = server.ask(ADMIN, "POST", path, "");
        let error = answer.json()["error"].as_str().unwrap_or("").to_owned();
        told.push_str(format!("{} {error}", answer.status).trim_end());
        told.push('\n');
    }
    assert_snapshot!(told, @r"
    400 open.pipe:4:38: error[required-parameter]: there is no value for `which`, and no request gives one
    400 open.pipe:4:38: error[required-parameter]: there is no value for `which`, and no request gives one
    200
    200
    200
    ");
    let scheduled = server.ask(
        ADMIN,
        "PUT",
        "/v0/pipes/open/nodes/n/copy?schedule_cron=0+0+1+1+*",
        "",
    );
    assert_eq!(scheduled.status, 400, "{}", scheduled.text());
}
