//! A node that takes long to describe: a subquery that stands for a value is run for it. Other changes do not wait for that.

use std::thread;
use std::time::Duration;

use crate::harness::{ADMIN, Answer, Project, Server};

const TABLE: &str = "SCHEMA >\n    `ts` DateTime,\n    `n` UInt64\n\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"ts\"\n";

/// A value that takes its time in a description, however fast the machine is.
const SLOW: &str = "(SELECT toUInt64(sleep(2)))";

/// One that takes as long as it is given, also in a plan.
const ENDLESS: &str = "(SELECT count() FROM numbers(1000000000000) WHERE sipHash64(number) = 1)";

fn started() -> (Project, Server) {
    let project = Project::new(&[
        (
            "pipewright.toml",
            "[limits]\nquery_timeout_ms = 4000\n\n[allow]\nfunctions = [\"sleep\"]\n\n[project]\nkind = \"forward\"\n",
        ),
        ("events.datasource", TABLE),
        ("kept.datasource", TABLE),
        (
            "fill.pipe",
            "NODE before\nSQL >\n    SELECT ts, n FROM events\n\nNODE last\nSQL >\n    SELECT * FROM before\n",
        ),
        (
            "copied.pipe",
            "NODE c\nSQL >\n    SELECT ts, n FROM events\n",
        ),
    ]);
    let server = Server::start(&project);
    (project, server)
}

/// What a request is answered while another one is under way, which has not been answered then.
fn beside(
    server: &Server,
    (method, path, body): (&str, &str, &str),
    meanwhile: impl FnOnce(),
) -> Answer {
    thread::scope(|scope| {
        let slow = scope.spawn(|| server.ask(ADMIN, method, path, body));
        thread::sleep(Duration::from_millis(300));
        meanwhile();
        let is_early = slow.is_finished();
        let answer = slow.join().expect("an answer");
        assert!(
            !is_early,
            "{path} was answered before what came beside it: {}",
            answer.text()
        );
        answer
    })
}

#[test]
fn other_changes_do_not_wait_for_a_description() {
    let (_project, server) = started();
    let slow = |more: u8| format!("SELECT ts, {SLOW} + {more} AS n FROM events");
    let (fill, copied) = ("/v0/pipes/fill/nodes", "/v0/pipes/copied/nodes/c");
    let new = format!("{fill}?type=materialized");
    let changed = server.ask(ADMIN, "PUT", copied, &slow(1));
    assert_eq!(changed.status, 200, "{}", changed.text());
    for (number, (method, path, body)) in [
        (
            "PUT",
            "/v0/pipes/fill/nodes/before".to_owned(),
            format!("SELECT ts, n + {ENDLESS} AS n FROM events"),
        ),
        (
            "POST",
            format!("{copied}/copy?target_datasource=kept"),
            String::new(),
        ),
        ("GET", format!("{copied}/analysis"), String::new()),
        ("POST", format!("{new}&name=one&datasource=kept"), slow(2)),
        ("POST", format!("{new}&name=two&datasource=made"), slow(3)),
        (
            "POST",
            format!("{fill}/last/materialization?datasource=kept"),
            slow(4),
        ),
        (
            "POST",
            "/v0/pipes?name=slow".to_owned(),
            format!("sql=SELECT {ENDLESS} AS n"),
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let answer = beside(&server, (method, &path, &body), || {
            let quick = format!("/v0/pipes?name=quick_{number}&sql=SELECT+1");
            let quick = server.ask(ADMIN, "POST", &quick, "");
            assert_eq!(quick.status, 200, "{path}: {}", quick.text());
        });
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    }
}

#[test]
fn what_was_described_is_what_is_made() {
    let (_project, server) = started();
    let path = "/v0/pipes/fill/nodes?name=late&type=materialized&datasource=kept";
    let slow = (
        "POST",
        path,
        &*format!("SELECT ts, if({SLOW} = 1, n, n) AS n FROM before"),
    );
    let change = |what: &'static str, body: &str| {
        let changed = server.ask(ADMIN, "PUT", what, body);
        assert_eq!(changed.status, 200, "{}", changed.text());
    };
    // What it reads gives something else when its turn comes.
    let answer = beside(&server, slow, || {
        change(
            "/v0/pipes/fill/nodes/before",
            "SELECT ts, [n] AS n FROM events",
        );
    });
    assert_eq!(answer.status, 400, "{}", answer.text());
    assert!(answer.text().contains("does not fit"), "{}", answer.text());
    change("/v0/pipes/fill/nodes/before", "SELECT ts, n FROM events");
    // It is no more.
    let answer = beside(&server, slow, || {
        let deleted = server.ask(ADMIN, "DELETE", "/v0/pipes/fill", "");
        assert_eq!(deleted.status, 204, "{}", deleted.text());
    });
    assert_eq!(answer.status, 404, "{}", answer.text());
}
