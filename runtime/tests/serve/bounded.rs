//! What takes too much is ended: jobs have the memory that a query has, and a statement has a depth.

use std::fmt::Write as _;

use crate::copies::{admin, done, ended};
use crate::harness::{Project, Server};

const IDS: &str = "SCHEMA >\n    `id` UInt64\n\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"id\"\n";

#[test]
fn jobs_have_the_memory_of_a_query() {
    let project = Project::new(&[
        ("pipewright.toml", "[limits]\nmemory_bytes = 60000000\n"),
        ("ids.datasource", IDS),
        ("lengths.datasource", IDS),
        (
            "fill.pipe",
            "NODE n\nSQL >\n    SELECT number AS id FROM numbers(3000000)\n\nTYPE copy\nTARGET_DATASOURCE ids\n",
        ),
        (
            "heavy.pipe",
            "NODE n\nSQL >\n    SELECT toUInt64(length(groupArray(toString(number)))) AS id FROM numbers(5000000)\n\nTYPE copy\nTARGET_DATASOURCE lengths\n",
        ),
        (
            "view.pipe",
            "NODE n\nSQL >\n    SELECT toUInt64(length(groupArray(toString(id)))) AS id FROM ids\n\nTYPE materialized\nDATASOURCE lengths\n",
        ),
    ]);
    let server = Server::start(&project);
    let job = |path: &str| {
        let begun = done(&server, "POST", path, "");
        ended(&server, begun["job"]["id"].as_str().expect("an id"))
    };
    let heavy = job("/v0/pipes/heavy/copy");
    assert_eq!(heavy["status"], "error", "{heavy}");
    assert!(
        heavy["error"]
            .as_str()
            .expect("a text")
            .contains("emory limit"),
        "{heavy}"
    );
    assert_eq!(
        crate::copies::rows(&server, "SELECT count() FROM lengths"),
        "0\n"
    );
    let filled = job("/v0/pipes/fill/copy");
    assert_eq!(filled["status"], "done", "{filled}");
    let populated = job("/v0/pipes/view/nodes/n/population?truncate=true");
    assert_eq!(populated["status"], "error", "{populated}");
    assert!(
        populated["error"]
            .as_str()
            .expect("a text")
            .contains("emory limit"),
        "{populated}"
    );
}

#[test]
fn what_is_nested_too_deeply_tells_nothing_of_the_process() {
    let project = Project::new(&[("ids.datasource", IDS)]);
    let server = Server::start(&project);
    for depth in [300, 900, 2000] {
        let sql = format!("SELECT {}1{}", "[".repeat(depth), "]".repeat(depth));
        let answer = admin(&server, "POST", "/v0/sql", &sql);
        let text = answer.text();
        assert!(
            !text.contains("0x") && !text.contains("address"),
            "{depth}: {text}"
        );
        assert!([200, 400].contains(&answer.status), "{depth}: {text}");
    }
    let sql = format!("SELECT {}1{}", "[".repeat(2000), "]".repeat(2000));
    let refused = admin(&server, "POST", "/v0/sql", &sql);
    assert!(
        refused.text().contains("nested too deeply"),
        "{}",
        refused.text()
    );
}

#[test]
fn thousands_of_names_that_stand_for_one_another_do_not_end_the_process() {
    let server = Server::start(&Project::new(&[("ids.datasource", IDS)]));
    let mut renamed = String::from("WITH 1 AS g0");
    let mut joined = String::from("SELECT 1 FROM numbers(1) AS a0");
    for at in 1..5000 {
        write!(renamed, ", g{} AS g{at}", at - 1).expect("text");
        write!(joined, ", numbers(1) AS a{at}").expect("text");
    }
    renamed += " SELECT g4999";
    for query in [renamed, joined] {
        let answer = server.ask(crate::harness::ADMIN, "POST", "/v0/sql", &query);
        assert!(
            [200, 400, 408].contains(&answer.status),
            "{}",
            answer.status
        );
        let next = server.ask(
            crate::harness::ADMIN,
            "POST",
            "/v0/sql",
            "SELECT 1 FORMAT TSV",
        );
        assert_eq!((next.status, next.text().as_str()), (200, "1\n"));
    }
}
