//! The command line to a server that runs, and without one.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::served::{ask, project, written};
use super::server::{Server, TOKEN};

/// The command line in a folder, for a server or in a process of its own: exit code, data, messages.
pub(super) fn run(
    server: Option<&Server>,
    folder: &Path,
    arguments: &[&str],
) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pipewright"));
    command
        .args(arguments)
        .current_dir(folder)
        .env("NO_COLOR", "1")
        .env_remove("PIPEWRIGHT_HOST");
    if let Some(server) = server {
        command
            .env("PIPEWRIGHT_HOST", server.address())
            .env("PIPEWRIGHT_TOKEN", TOKEN);
    }
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

#[test]
fn the_command_line_deploys_to_a_server() {
    let mut files = project();
    let folder = written(&files);
    let server = Server::start(folder.path());
    files.insert(
        "by_part.pipe".to_owned(),
        "NODE n\nSQL >\n    SELECT 7 AS seven\n\nTYPE endpoint\n".to_owned(),
    );
    let changed = written(&files);
    let run = |arguments: &[&str], folder: &Path| run(Some(&server), folder, arguments);
    let (code, out, _) = run(&["plan"], changed.path());
    assert_eq!((code, out.as_str()), (Some(0), "change endpoint by_part\n"));
    let (code, _, said) = run(&["deploy"], changed.path());
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("as deployment 2"), "{said}");
    let answer = server.request("GET", "/v0/pipes/by_part.csv", b"").unwrap();
    assert_eq!(answer.1, "\"seven\"\n7\n");
    let (code, _, said) = run(&["rollback"], changed.path());
    assert_eq!(code, Some(0), "{said}");
    let (code, _, said) = run(&["deploy", "--token", "wrong"], changed.path());
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("error:"), "{said}");

    // Without the server's address, the folder's engine is asked for, which the server has.
    let (code, _, said) = super::command_line::run(None, folder.path(), &["deploy"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("in use by another process"), "{said}");
}

#[test]
fn rows_go_in_and_out_by_the_command_line() {
    let folder = written(&project());
    let rows: Vec<String> = (0..100)
        .map(|id| format!("{{\"id\":{id},\"part\":{}}}\n", id % 2))
        .collect();
    std::fs::write(folder.path().join("rows.ndjson"), rows.concat()).unwrap();
    let run = |server: Option<&Server>, arguments: &[&str]| run(server, folder.path(), arguments);
    // Without a server this process does it itself, and with one the server does: the rows are the same.
    let (code, _, said) = run(None, &["datasource", "append", "rows", "rows.ndjson"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("`rows` has 100 rows"), "{said}");
    let server = Server::start(folder.path());
    let ok = |arguments: &[&str]| {
        let (code, out, said) = run(Some(&server), arguments);
        assert_eq!(code, Some(0), "{arguments:?}: {said}");
        (out, said)
    };
    let (code, _, said) = run(None, &["datasource", "ls"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("hint: a server that runs does it"), "{said}");
    ok(&["datasource", "append", "rows", "rows.ndjson"]);
    let (listed, _) = ok(&["datasource", "ls"]);
    assert!(listed.starts_with("name    engine"), "{listed}");
    assert!(
        listed
            .lines()
            .any(|line| line.starts_with("rows") && line.contains("200")),
        "{listed}"
    );
    ok(&[
        "datasource",
        "export",
        "rows",
        "--rows",
        "csv",
        "--out",
        "out.csv",
    ]);
    let exported = std::fs::read_to_string(folder.path().join("out.csv")).unwrap();
    assert_eq!(exported.lines().count(), 201);
    let (sample, _) = ok(&[
        "datasource",
        "sample",
        "rows",
        "--limit",
        "3",
        "--format",
        "json",
    ]);
    let sample: Value = serde_json::from_str(&sample).unwrap();
    assert_eq!(sample["rows"], 3);
    let (schema, _) = ok(&["datasource", "analyze", "rows.ndjson"]);
    assert!(schema.contains("id Int64"), "{schema}");
    let (_, said) = ok(&["datasource", "delete", "rows", "--condition", "part = 1"]);
    assert!(said.contains("100 rows are gone"), "{said}");
    let (_, said) = ok(&["materialization", "populate", "to_totals", "--truncate"]);
    assert!(said.contains("populated from 100 rows"), "{said}");
    assert_eq!(
        ask(&server, "SELECT sum(rows) FROM totals FORMAT TSV"),
        "100"
    );
    let (jobs, _) = ok(&["job", "ls"]);
    assert!(
        jobs.contains("populateview") && jobs.contains("delete_data"),
        "{jobs}"
    );
    let id = jobs.lines().nth(1).unwrap().split(' ').next().unwrap();
    let (job, _) = ok(&["job", "show", id]);
    assert!(job.contains("\"status\": \"done\""), "{job}");
    let (code, _, said) = run(Some(&server), &["datasource", "truncate", "rows"]);
    assert_eq!(code, Some(1), "{said}");
    ok(&["datasource", "truncate", "rows", "--yes"]);
    assert_eq!(ask(&server, "SELECT count() FROM rows FORMAT TSV"), "0");
    // What is not there is said to be not there, wherever it is asked for.
    let absent = |server: Option<&Server>| {
        let (code, _, said) = run(server, &["datasource", "truncate", "nope"]);
        assert_ne!(code, Some(0), "{said}");
        assert!(
            said.contains("there is no data source `nope`") && !said.contains("would go"),
            "{said}"
        );
    };
    absent(Some(&server));
    server.kill();
    absent(None);
}

#[test]
fn a_deploy_after_a_rollback_brings_what_the_folder_has() {
    let folder = written(&project());
    let ok = |arguments: &[&str]| {
        let (code, out, said) = run(None, folder.path(), arguments);
        assert_eq!(code, Some(0), "{arguments:?}: {said}");
        out
    };
    let path = folder.path().join("by_part.pipe");
    let text = |number: u8| format!("NODE n\nSQL >\n    SELECT {number} AS one\n\nTYPE endpoint\n");
    let answer = || ok(&["sql", "SELECT * FROM by_part FORMAT TSV"]);
    let nothing = "nothing to do: the engine has what the project says\n";
    std::fs::write(&path, text(6)).unwrap();
    ok(&["deploy"]);
    std::fs::write(&path, text(7)).unwrap();
    ok(&["deploy"]);
    ok(&["rollback"]);
    assert_eq!(answer(), "6\n");
    // What is on disk is no deploy's nor the API's, and so it is what is asked for.
    assert_eq!(ok(&["plan"]), "change endpoint by_part\n");
    ok(&["deploy"]);
    assert_eq!(
        (answer().as_str(), ok(&["plan"]).as_str()),
        ("7\n", nothing)
    );
    ok(&["rollback"]);
    std::fs::write(&path, text(8)).unwrap();
    assert_eq!(ok(&["plan"]), "change endpoint by_part\n");
    ok(&["deploy"]);
    assert_eq!(
        (answer().as_str(), ok(&["plan"]).as_str()),
        ("8\n", nothing)
    );
    ok(&["rollback"]);
    assert_eq!(ok(&["pull", "--force"]), "wrote by_part.pipe\n");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text(6));
    // A file that an earlier version does not have is one more to deploy.
    std::fs::write(folder.path().join("more.pipe"), text(9)).unwrap();
    ok(&["deploy"]);
    ok(&["rollback"]);
    assert_eq!(ok(&["plan"]), "add endpoint more\n");
}

#[test]
fn who_only_asks_leaves_a_folder_as_it_is() {
    let folder = written(&project());
    std::fs::write(folder.path().join("rows.ndjson"), "{\"id\":1,\"part\":0}\n").unwrap();
    let reads: [&[&str]; 6] = [
        &["datasource", "ls"],
        &["datasource", "analyze", "rows.ndjson"],
        &["job", "ls"],
        &["sql", "SELECT 1"],
        &["datasource", "truncate", "rows"],
        &["sql", "SELECT * FROM by_part"],
    ];
    for arguments in reads {
        let (_, out, said) = run(None, folder.path(), arguments);
        assert!(!said.contains("admin token"), "{arguments:?}: {out}{said}");
        assert!(!said.contains("creating"), "{arguments:?}: {out}{said}");
    }
    // Nothing is there: all of it is still to be deployed.
    let (_, planned, said) = run(None, folder.path(), &["plan"]);
    assert!(planned.starts_with("create table"), "{planned}{said}");
    let (code, _, said) = run(
        None,
        folder.path(),
        &["datasource", "append", "rows", "rows.ndjson"],
    );
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("admin token") && said.contains("creating"),
        "{said}"
    );
    let (_, out, _) = run(
        None,
        folder.path(),
        &["sql", "SELECT count() FROM rows FORMAT TSV"],
    );
    assert_eq!(out, "1\n");
}
