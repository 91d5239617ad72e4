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

fn run(command: &str, project: &Project) -> (Option<i32>, String) {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_pipewright"))
        .arg(command)
        .arg(project.path())
        .env("NO_COLOR", "1")
        .env_remove("PIPEWRIGHT_HOST")
        .output()
        .expect("the binary runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.code(),
        text(&output.stdout) + &text(&output.stderr),
    )
}

#[test]
fn a_view_that_cannot_be_compiled_keeps_nothing_else_from_being_deployed() {
    let view = "NODE n\nSQL >\n    SELECT id FROM v6_0_0.a\n\nTYPE materialized\nDATASOURCE b\n";
    let project = Project::new(&[
        ("a.datasource", A),
        ("b.datasource", A),
        ("m.pipe", view),
        (
            "ids.pipe",
            "NODE n\nSQL >\n    SELECT count() AS c FROM a\n\nTYPE endpoint\n",
        ),
    ]);
    let (code, said) = run("plan", &project);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("leave out mv__m__n"), "{said}");
    let (_, said) = run("deploy", &project);
    assert!(
        said.contains("deployed") && said.contains("v6_0_0.a"),
        "{said}"
    );
    let server = Server::start(&project);
    assert_eq!(server.get("/v0/pipes/ids.json").status, 200);
    let said = server.messages();
    assert!(
        said.contains("m.pipe") && said.contains("`mv__m__n` cannot be made"),
        "{said}"
    );
}

#[test]
fn a_table_that_cannot_be_made_does_not_stop_later_deploys() {
    let nullable = "SCHEMA >\n    `a` Nullable(String) `json:$.a`\n\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"a\"\n";
    let view = "NODE n\nSQL >\n    SELECT toString(id) AS a FROM good\n\nTYPE materialized\nDATASOURCE bad\n";
    let project = Project::new(&[
        ("good.datasource", A),
        ("bad.datasource", nullable),
        ("view.pipe", view),
        (
            "turned.datasource",
            &nullable.replace("Nullable(String)", "String"),
        ),
    ]);
    let (code, said) = run("deploy", &project);
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("leave out bad\n  bad.datasource: ")
            && said.contains("leave out mv__view__n"),
        "{said}"
    );
    // One that is there stays as it is, and so do its rows.
    project.write("turned.datasource", nullable);
    project.write("later.datasource", A);
    let (_, said) = run("deploy", &project);
    assert!(
        said.contains("leave out turned") && said.contains("create table later"),
        "{said}"
    );
    let server = Server::start(&project);
    assert_eq!(rows(&server, "SELECT count() FROM later"), "0\n");
    let answer = send(
        &server,
        "POST",
        "/v0/events?name=turned&wait=true",
        "{\"a\":\"x\"}",
    );
    assert_eq!(answer.status, 200, "{}", answer.text());
    drop(server);
    project.write(
        "bad.datasource",
        &nullable.replace("Nullable(String)", "String"),
    );
    project.write(
        "turned.datasource",
        &nullable.replace("Nullable(String)", "String"),
    );
    let (code, said) = run("deploy", &project);
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("create table bad") && said.contains("create view mv__view__n"),
        "{said}"
    );
}
