//! Starting, stopping, starting again.

use std::io::Write as _;
use std::time::{Duration, Instant};

use super::harness::{ADMIN, Project, Server, serve};

const DATASOURCE: &str =
    "SCHEMA >\n    `id` UInt64\n\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"id\"\n";
const PIPE: &str =
    "NODE result\nSQL >\n    SELECT count() AS rows_there FROM items\n\nTYPE endpoint\n";

fn project() -> Project {
    Project::new(&[
        ("items.datasource", DATASOURCE),
        ("count_items.pipe", PIPE),
        (
            "fixtures/items.sql",
            "SELECT number AS id FROM numbers(1000)",
        ),
    ])
}

#[test]
fn data_and_tokens_survive_a_restart_and_fixtures_load_once() {
    let project = project();
    let first = Server::with(project.path(), &[]);
    let messages = first.messages();
    let token = messages
        .lines()
        .find(|line| line.starts_with("admin token"))
        .and_then(|line| line.rsplit(' ').next())
        .expect("the token is printed")
        .to_owned();
    let count = |server: &Server| {
        server
            .send(
                "GET",
                &format!("/v0/pipes/count_items.csv?token={token}"),
                &[],
                b"",
            )
            .text()
    };
    assert_eq!(count(&first), "\"rows_there\"\n1000\n");
    let (code, messages) = first.interrupt();
    assert_eq!(code, Some(0), "{messages}");
    let second = Server::with(project.path(), &[]);
    assert_eq!(count(&second), "\"rows_there\"\n1000\n");
    assert!(
        !second.messages().contains("admin token"),
        "{}",
        second.messages()
    );
    assert!(
        !second.messages().contains("loading"),
        "{}",
        second.messages()
    );
}

#[test]
fn a_second_process_on_the_same_data_is_told_who_has_it() {
    let project = project();
    let first = Server::start(&project);
    let second = serve(project.path(), &[])
        .output()
        .expect("the binary runs");
    let said = String::from_utf8_lossy(&second.stderr);
    assert_eq!(second.status.code(), Some(2), "{said}");
    assert!(
        said.contains(&first.id().to_string()) && said.contains("in use by another process"),
        "{said}"
    );
}

#[test]
fn a_client_that_goes_away_takes_its_query_with_it() {
    let project = project();
    project.write("slow.pipe", "NODE result\nSQL >\n    SELECT count() FROM numbers(1000000000000) WHERE cityHash64(number) = 1\n\nTYPE endpoint\n");
    project.write(
        "pipewright.toml",
        "[limits]\nquery_timeout_ms = 60000\nconcurrent_queries = 1\n",
    );
    let server = Server::start(&project);
    let ask = || {
        let mut stream = server.connect();
        write!(
            stream,
            "GET /v0/pipes/slow.json?token={ADMIN} HTTP/1.1\r\nHost: localhost\r\n\r\n"
        )
        .expect("the request is sent");
        stream
    };
    // The only place is taken while the query runs. It is asked for anew until it got the place: a look from here may have had it just then.
    let mut stream = ask();
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        std::thread::sleep(Duration::from_millis(200));
        if server.get("/v0/pipes/count_items.csv").status == 429 {
            break;
        }
        assert!(Instant::now() < until, "the slow query does not run");
        stream = ask();
    }
    drop(stream);
    let until = Instant::now() + Duration::from_secs(20);
    while server.get("/v0/pipes/count_items.csv").status != 200 {
        assert!(
            Instant::now() < until,
            "the query still runs without its client"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_build_is_served_from_its_folder_alone() {
    let project = project();
    let build = Project::new(&[]);
    let out = build.path().join("build");
    let built = std::process::Command::new(env!("CARGO_BIN_EXE_pipewright"))
        .arg("build")
        .arg(project.path())
        .arg("--out")
        .arg(&out)
        .output()
        .expect("the binary runs");
    assert!(
        built.status.success(),
        "{}",
        String::from_utf8_lossy(&built.stderr)
    );
    drop(project);
    let server = Server::with(&out, &["--admin-token", ADMIN]);
    assert_eq!(
        server.get("/v0/pipes/count_items.csv").text(),
        "\"rows_there\"\n0\n"
    );
}

#[test]
fn a_table_that_cannot_be_made_keeps_the_others_from_nothing() {
    let project = project();
    project.write("worse.datasource", "SCHEMA >\n    `id` UInt64\n\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"no_such_function(id)\"\n");
    let server = Server::start(&project);
    let said = server.messages();
    assert!(said.contains("creating table items"), "{said}");
    assert!(said.contains("worse"), "{said}");
    drop(server);
    std::fs::remove_file(project.path().join("worse.datasource")).expect("the file is there");
    let server = Server::start(&project);
    assert!(
        !server.messages().contains("worse"),
        "{}",
        server.messages()
    );
}

#[test]
fn rows_that_were_taken_away_are_not_put_back_from_a_fixture() {
    let project = project();
    let server = Server::start(&project);
    let truncated = server.ask(ADMIN, "POST", "/v0/datasources/items/truncate", "");
    assert!(truncated.status < 300, "{}", truncated.text());
    server.interrupt();
    let server = Server::start(&project);
    assert!(
        !server.messages().contains("loading"),
        "{}",
        server.messages()
    );
    let answer = server.ask(
        ADMIN,
        "POST",
        "/v0/sql",
        "SELECT count() FROM items FORMAT TSV",
    );
    assert_eq!(answer.text(), "0\n");
}

#[test]
fn a_project_may_begin_with_no_datafile() {
    let project = Project::new(&[("pipewright.toml", "")]);
    let server = Server::start(&project);
    let made = server.ask(
        ADMIN,
        "POST",
        "/v0/pipes",
        "name=one&sql=SELECT%201%20AS%20one",
    );
    assert!(made.status < 300, "{}", made.text());
}

#[test]
fn a_fixture_that_does_not_fit_leaves_the_data_source_empty() {
    let project = project();
    project.write("fixtures/items.sql", "SELECT 'x' AS other");
    let server = Server::start(&project);
    let said = server.messages();
    assert!(
        said.contains("warning: fixtures/items.sql: ") && said.contains("other"),
        "{said}"
    );
    assert_eq!(count(&server, "items"), 0);
}

/// How many rows a data source has.
fn count(server: &Server, name: &str) -> u64 {
    let answer = server.get(&format!(
        "/v0/sql?q=SELECT+count()+AS+c+FROM+{name}+FORMAT+JSON"
    ));
    let rows = answer.json()["data"][0]["c"].clone();
    rows.as_u64()
        .or_else(|| rows.as_str()?.parse().ok())
        .unwrap_or_else(|| panic!("{}", answer.text()))
}

const NUMBERED: &str = "SCHEMA >\n    `id` UInt32 `json:$.id`\n";

#[test]
fn rows_of_a_fixture_that_do_not_fit_are_set_aside_as_in_an_append() {
    let project = Project::new(&[
        ("good.datasource", NUMBERED),
        (
            "semi.datasource",
            "SCHEMA >\n    `id` UInt32,\n    `name` String\n",
        ),
        (
            "fixtures/good.ndjson",
            "{\"id\":1}\n{\"id\":\"x\"}\n{\"id\":3}\n",
        ),
        ("fixtures/semi.csv", "id;name\n1;a\n2;b\n"),
        (
            "bad.datasource",
            "SCHEMA >\n    `id` UInt32,\n    `name` String,\n    `more` String\n",
        ),
        ("fixtures/bad.csv", "1,2\n3,4\n"),
    ]);
    let server = Server::start(&project);
    let said = server.messages();
    assert!(
        said.contains("warning: fixtures/good.ndjson: 1 rows do not fit and are in `good_quarantine`, the first because of `id`: cannot read as UInt32: x"),
        "{said}"
    );
    assert!(
        said.contains(
            "warning: fixtures/bad.csv: the first line has 2 fields, `bad` has 3 columns"
        ),
        "{said}"
    );
    assert_eq!(
        (
            count(&server, "good"),
            count(&server, "good_quarantine"),
            count(&server, "semi"),
            count(&server, "bad"),
        ),
        (2, 1, 2, 0)
    );
}

#[test]
fn a_fixture_whose_load_was_cut_off_is_not_loaded_once_more() {
    let project = Project::new(&[
        ("good.datasource", NUMBERED),
        ("fixtures/good.ndjson", "{\"id\":1}\n{\"id\":2}\n"),
    ]);
    // As a process leaves it that dies after it has read the whole file, and before the engine has any of it.
    let left = ".pipewright/ingest/appends/0000000000001-0";
    project.write(&format!("{left}/0.ndjson"), "{\"id\":1}\n{\"id\":2}\n");
    let rows = project.path().join(left).join("0.ndjson");
    let note = serde_json::json!({
        "datasource": "good",
        "format": "ndjson",
        "spooled": {
            "chunks": [[rows, 2]],
            "header": { "names": null, "fields": 0, "delimiter": null },
        },
    });
    project.write(&format!("{left}/ready.json"), &note.to_string());
    let server = Server::start(&project);
    assert_eq!(count(&server, "good"), 2);
}

#[test]
fn rows_come_before_a_query_and_classic_fixtures_lie_beside_the_datafiles() {
    let old = "SCHEMA >\n    `id` UInt32 `json:$.id`,\n    `day` Date `json:$.day`\n\nENGINE \"MergeTree\"\nENGINE_TTL \"day + INTERVAL 1 DAY\"\n";
    let project = Project::new(&[
        ("datasources/both.datasource", NUMBERED),
        ("fixtures/both.sql", "SELECT number AS id FROM numbers(5)"),
        ("fixtures/both.ndjson", "{\"id\":1}\n"),
        ("datasources/classic.datasource", NUMBERED),
        ("datasources/fixtures/classic.csv", "id\n1\n2\n"),
        ("datasources/old.datasource", old),
        ("fixtures/old.ndjson", "{\"id\":1,\"day\":\"2020-01-01\"}\n"),
    ]);
    let server = Server::start(&project);
    assert_eq!((count(&server, "both"), count(&server, "classic")), (1, 2));
    for _ in 0..200 {
        if count(&server, "old") == 0 {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(count(&server, "old"), 0);
    let said = server.messages();
    assert!(said.contains("datasources/fixtures/classic.csv"), "{said}");
    // The engine takes them when it gets to it, perhaps after they were counted.
    let told = said.contains("the data source's TTL takes rows of that age away");
    let counted = |rows: u8| said.contains(&format!("loaded fixtures/old.ndjson: {rows} rows"));
    assert!(counted(0) != counted(1), "{said}");
    assert_eq!(told, counted(0), "{said}");
}

#[test]
fn a_taken_port_is_said_before_anything_is_made() {
    let project = project();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port().to_string();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_pipewright"));
    let failed = command
        .arg("serve")
        .arg(project.path())
        .args(["--port", &port])
        .output()
        .expect("the binary runs");
    assert_eq!(failed.status.code(), Some(2));
    assert!(
        String::from_utf8_lossy(&failed.stderr).contains("--port"),
        "{}",
        String::from_utf8_lossy(&failed.stderr)
    );
    assert!(!project.path().join(".pipewright").exists());
}
