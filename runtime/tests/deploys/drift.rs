//! What the API made or changed, when files come that know nothing of it.

use std::path::Path;

use serde_json::{Value, json};

use super::command_line::run as command;
use super::served::{project, written};
use super::server::Server;

const MADE: &str = "pipe `apip` was made through the API and is not in the files: it goes, and what tokens may do with it; `pipewright pull` writes it to the files first\n";

fn api(server: &Server, method: &str, path: &str, body: &str) -> Value {
    let (status, text) = server.request(method, path, body.as_bytes()).unwrap();
    assert!(status < 300, "{method} {path}: {status} {text}");
    serde_json::from_str(&text).unwrap_or_default()
}

/// A pipe and a data source that only the API knows of.
fn make(server: &Server) {
    api(
        server,
        "POST",
        "/v0/pipes?name=apip&sql=select+1+as+one",
        "",
    );
    api(server, "POST", "/v0/pipes/apip/nodes/apip_0/endpoint", "");
    api(
        server,
        "POST",
        "/v0/datasources?name=asource&schema=id+Int32",
        "",
    );
}

fn apip(server: &Server) -> u16 {
    server.request("GET", "/v0/pipes/apip.json", b"").unwrap().0
}

#[test]
fn what_the_api_made_goes_only_with_leave() {
    let folder = written(&project());
    let server = Server::start(folder.path());
    make(&server);
    api(
        &server,
        "POST",
        "/v0/tokens/?name=reader&scope=PIPES:READ:apip&scope=PIPES:READ:by_part",
        "",
    );
    let run = |arguments: &[&str]| command(Some(&server), folder.path(), arguments);

    let (code, out, said) = run(&["plan"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(out.contains(MADE), "{out}");
    assert!(out.contains("data source `asource` was made"), "{out}");
    assert!(!out.contains("nothing to do"), "{out}");
    let (_, out, _) = run(&["plan", "--format", "json"]);
    let planned: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        planned["drift"][1],
        json!({ "path": "pipes/apip.pipe", "goes": true, "message": MADE.trim_end() }),
        "{planned}"
    );
    let (code, _, said) = run(&["deploy"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("takes what the API has away"), "{said}");
    assert_eq!(apip(&server), 200);

    let (code, out, said) = run(&["deploy", "--allow-destructive"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(out.contains(MADE), "{out}");
    assert_eq!(apip(&server), 404);
    let reader = api(&server, "GET", "/v0/tokens/reader", "");
    assert_eq!(
        reader["scopes"],
        json!([{ "type": "PIPES:READ", "resource": "by_part" }])
    );

    // It comes back with the version before, still as the API's.
    let (code, _, said) = run(&["rollback"]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(apip(&server), 200);
    let (code, out, _) = run(&["deploy"]);
    assert_eq!(code, Some(1), "{out}");
    assert!(out.contains(MADE), "{out}");

    // What is in the files is theirs.
    let (code, _, said) = command(None, folder.path(), &["pull"]);
    assert_eq!(code, Some(0), "{said}");
    let (code, out, said) = run(&["deploy"]);
    assert_eq!((code, out.contains("API")), (Some(0), false), "{out}{said}");
    assert_eq!(apip(&server), 200);
}

#[test]
fn what_the_api_changed_or_deleted_is_told_and_kept() {
    let mut files = project();
    let folder = written(&files);
    let server = Server::start(folder.path());
    let run = |arguments: &[&str], folder: &Path| command(Some(&server), folder, arguments);
    // A version that only a deploy has brought is nobody's but the files'.
    files.insert(
        "more.pipe".to_owned(),
        "NODE n\nSQL >\n    SELECT 1 AS one\n\nTYPE endpoint\n".to_owned(),
    );
    let more = written(&files);
    assert_eq!(run(&["deploy"], more.path()).0, Some(0));
    let (code, out, said) = run(&["deploy", "--allow-destructive"], folder.path());
    assert_eq!((code, out.contains("API")), (Some(0), false), "{out}{said}");
    assert_eq!(run(&["deploy"], more.path()).0, Some(0));

    api(&server, "PUT", "/v0/pipes/more?description=by+the+API", "");
    api(&server, "DELETE", "/v0/pipes/latest", "");
    let (_, out, _) = run(&["plan"], more.path());
    assert_eq!(
        out.lines().collect::<Vec<_>>(),
        [
            "pipe `latest` was deleted through the API and is in the files: it is made again",
            "pipe `more` was changed through the API, and the files have it otherwise: the API's version goes; `pipewright pull` writes it to the files first",
        ]
    );
    assert_eq!(run(&["deploy"], more.path()).0, Some(1));

    // A rollback is to a version of before the change.
    let (code, out, said) = run(&["rollback"], folder.path());
    assert_eq!(code, Some(1), "{said}");
    assert!(
        out.contains(
            "pipe `more` was changed through the API and is not in the earlier version: it goes"
        ),
        "{out}"
    );
    assert!(said.contains("takes what the API has away"), "{said}");

    // A change of columns through the API takes nothing else back.
    make(&server);
    api(
        &server,
        "POST",
        "/v0/datasources/rows/alter?schema=id+UInt64+%60json:$.id%60,+part+UInt16+%60json:$.part%60",
        "",
    );
    assert_eq!(apip(&server), 200);
    let (_, out, _) = run(&["plan"], more.path());
    assert!(
        out.contains("data source `rows` was changed through the API"),
        "{out}"
    );

    // Without a server, what the API has stays, and that is said.
    server.kill();
    let (code, out, said) = command(None, folder.path(), &["plan"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(out.contains("pipe `apip` was made through the API and is not on disk: it stays; `pipewright pull` makes the files the same\n"), "{out}");
    assert!(
        out.contains("pipe `latest` was deleted through the API and is on disk: it stays away"),
        "{out}"
    );
    let (code, _, said) = command(None, folder.path(), &["deploy"]);
    assert_eq!(code, Some(0), "{said}");
    let server = Server::start(folder.path());
    assert_eq!(apip(&server), 200);
}
