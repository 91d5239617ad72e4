//! Data sources without a file of columns, and views that have no SQL: what can be served is served.

use super::datasources::{rows, send};
use super::harness::{Project, Server};

const A: &str = "SCHEMA >\n    `id` UInt32 `json:$.id`\n";

#[test]
fn rows_come_into_a_table_whose_columns_are_in_no_file() {
    let view = "NODE n\nSQL >\n    SELECT id, count() AS c FROM a GROUP BY id\n\nTYPE materialized\nDATASOURCE tgt\nENGINE \"SummingMergeTree\"\nENGINE_SORTING_KEY \"id\"\n";
    let project = Project::new(&[
        ("a.datasource", A),
        ("m.pipe", view),
        ("ns.datasource", "DESCRIPTION nothing yet\n"),
    ]);
    let server = Server::start(&project);
    let events = |name: &str, row: &str| {
        send(
            &server,
            "POST",
            &format!("/v0/events?name={name}&wait=true"),
            row,
        )
    };
    let answer = events("tgt", "{\"id\":1,\"c\":5}\n{\"id\":\"x\",\"c\":5}\n");
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(answer.text().contains("\"quarantined_rows\":1"));
    let csv = send(
        &server,
        "POST",
        "/v0/datasources?name=tgt&mode=append&format=csv",
        "2,7\n",
    );
    assert_eq!(csv.status, 200, "{}", csv.text());
    assert_eq!(
        rows(&server, "SELECT id, c FROM tgt ORDER BY id"),
        "1\t5\n2\t7\n"
    );
    let described = server.get("/v0/datasources/tgt").json();
    assert_eq!(described["columns"][1]["name"], "c");
    assert_eq!(described["columns"][1]["type"], "UInt64");

    let answer = events("ns", "{\"id\":1}");
    assert_eq!(answer.status, 400, "{}", answer.text());
    assert!(answer.text().contains("no columns"), "{}", answer.text());
    let append = send(
        &server,
        "POST",
        "/v0/datasources?name=ns&mode=append&format=ndjson",
        "{\"id\":1}\n",
    );
    assert_eq!(append.status, 400, "{}", append.text());
    assert!(append.text().contains("no columns"), "{}", append.text());
}
