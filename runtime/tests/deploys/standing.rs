//! Files that changed while their tables have not: rows that come before the deploy.

use std::collections::BTreeMap;
use std::path::Path;

use super::served::written;
use super::server::Server;

const BEFORE: &str =
    "SCHEMA >\n    `id` Int32 `json:$.key`\n\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"id\"\n";
const AFTER: &str = "SCHEMA >\n    `id` Int64 `json:$.id`,\n    `name` String `json:$.name`\n\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"name\"\n";

fn changed() -> tempfile::TempDir {
    let folder = written(&BTreeMap::from([(
        "a.datasource".to_owned(),
        BEFORE.to_owned(),
    )]));
    let server = Server::start(folder.path());
    push(&server, "{\"key\":1}\n");
    drop(server);
    std::fs::write(folder.path().join("a.datasource"), AFTER).unwrap();
    folder
}

fn push(server: &Server, rows: &str) {
    let answer = server.request("POST", "/v0/events?name=a&wait=true", rows.as_bytes());
    let (status, said) = answer.unwrap();
    assert_eq!(status, 200, "{said}");
    assert!(said.contains("\"quarantined_rows\":0"), "{said}");
}

fn deploy(folder: &Path) {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_pipewright"))
        .args(["deploy", "--allow-destructive"])
        .arg(folder)
        .env_remove("PIPEWRIGHT_HOST")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
}

fn ids(server: &Server) -> String {
    let query = "/v0/sql?q=SELECT+id,+name+FROM+a+ORDER+BY+id+FORMAT+TSV";
    server.request("GET", query, b"").unwrap().1
}

#[test]
fn rows_go_by_the_table_as_it_is_until_the_deploy() {
    let folder = changed();
    let server = Server::start(folder.path());
    push(&server, "{\"key\":2,\"id\":9,\"name\":\"x\"}\n");
    let (status, _) = server
        .request("POST", "/v0/events?name=a", b"{\"key\":3}\n")
        .unwrap();
    assert_eq!(status, 202);
    server.kill();
    deploy(folder.path());
    let server = Server::start(folder.path());
    assert_eq!(ids(&server), "1\t\n2\t\n3\t\n");
    push(&server, "{\"id\":4,\"name\":\"y\"}\n");
    assert_eq!(ids(&server), "1\t\n2\t\n3\t\n4\ty\n");
}
