//! What a plan says of endpoints, which have nothing in the engine and are what callers notice first; and which folder is deployed.

use std::path::Path;

use serde_json::{Value, json};

use super::command_line::run;
use super::served::{project, written};
use super::server::Server;

const SEVEN: &str = "NODE n\nSQL >\n    SELECT 7 AS seven\n\nTYPE endpoint\n";

/// The changes of a plan that is printed as JSON: what becomes of what.
fn changes(printed: &str) -> Vec<Value> {
    let plan: Value = serde_json::from_str(printed).unwrap();
    let resources = plan["resources"].as_array().unwrap();
    let short = |change: &Value| {
        json!([
            change["change"],
            change["kind"],
            change["name"],
            change["endpoint_goes"]
        ])
    };
    resources.iter().map(short).collect()
}

/// A plan and a deploy of a renamed endpoint, by a server or without one: told, asked about, done with leave.
fn renamed(server: Option<&Server>, folder: &Path) {
    let run = |arguments: &[&str]| run(server, folder, arguments);
    let (code, out, said) = run(&["plan"]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(out, "nothing to do: the engine has what the project says\n");
    std::fs::rename(folder.join("latest.pipe"), folder.join("newest.pipe")).unwrap();
    let (code, out, said) = run(&["plan"]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(
        out,
        "add endpoint newest\nremove endpoint latest\n  REQUESTS TO IT WILL BE ANSWERED WITH 404\n"
    );
    let (_, out, _) = run(&["plan", "--format", "json"]);
    assert_eq!(
        changes(&out),
        [
            json!(["added", "endpoint", "newest", false]),
            json!(["removed", "endpoint", "latest", true])
        ]
    );
    let (code, _, said) = run(&["deploy"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("this deploy takes endpoints away"), "{said}");
    assert!(said.contains("`--allow-destructive`"), "{said}");
    assert!(!said.contains("allow_destructive_operations"), "{said}");
    let (code, _, said) = run(&["deploy", "--allow-destructive"]);
    assert_eq!(code, Some(0), "{said}");
    let (_, out, _) = run(&["deploy"]);
    assert!(out.starts_with("nothing to do"), "{out}");
}

#[test]
fn an_endpoint_that_goes_is_told_and_asked_about() {
    let folder = written(&project());
    let (code, _, said) = run(None, folder.path(), &["deploy"]);
    assert_eq!(code, Some(0), "{said}");
    renamed(None, folder.path());
    // One that is an ordinary pipe from now on answers no more, either.
    let path = folder.path().join("newest.pipe");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("TYPE endpoint\n", "")).unwrap();
    let (_, out, _) = run(None, folder.path(), &["plan"]);
    assert_eq!(
        out,
        "change pipe newest\n  it is no endpoint any more: REQUESTS TO IT WILL BE ANSWERED WITH 404\n"
    );
    let (code, _, said) = run(None, folder.path(), &["deploy"]);
    assert_eq!(code, Some(1), "{said}");
}

#[test]
fn a_server_tells_and_asks_likewise() {
    let files = project();
    let (served, sent) = (written(&files), written(&files));
    let server = Server::start(served.path());
    renamed(Some(&server), sent.path());
    let status = |path: &str| server.request("GET", path, b"").unwrap().0;
    assert_eq!(status("/v0/pipes/newest.json"), 200);
    assert_eq!(status("/v0/pipes/latest.json"), 404);
    // What came with a deploy goes with its rollback.
    std::fs::write(sent.path().join("seven.pipe"), SEVEN).unwrap();
    let (code, out, said) = run(Some(&server), sent.path(), &["deploy"]);
    assert_eq!(
        (code, out.as_str()),
        (Some(0), "add endpoint seven\n"),
        "{said}"
    );
    let (code, out, said) = run(Some(&server), sent.path(), &["rollback"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(out.starts_with("remove endpoint seven\n"), "{out}");
    assert_eq!(status("/v0/pipes/seven.json"), 404);
}

#[test]
fn the_folder_of_a_kind_deploys_its_project() {
    let pipes = [("seven.pipe", SEVEN)];
    let folder = tempfile::tempdir().unwrap();
    let part = |kind: &str, files: &[(&str, &str)]| {
        std::fs::create_dir(folder.path().join(kind)).unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(kind).join(name), text).unwrap();
        }
    };
    part("endpoints", &pipes);
    part(
        "datasources",
        &[("t.datasource", "SCHEMA >\n    `a` Int8\n")],
    );
    let served = written(&project());
    let server = Server::start(served.path());
    let inside = folder.path().join("datasources");
    for server in [Some(&server), None] {
        let (code, out, said) = run(server, &inside, &["plan", "--format", "json"]);
        assert_eq!(code, Some(0), "{said}");
        let found = changes(&out);
        for added in [
            json!(["added", "datasource", "t", false]),
            json!(["added", "endpoint", "seven", false]),
        ] {
            assert!(found.contains(&added), "{out}");
        }
        assert!(!inside.join(".pipewright").exists());
        // Named, it is taken by its word, and is no project.
        let (code, _, said) = run(server, folder.path(), &["deploy", "datasources"]);
        assert_eq!(code, Some(2), "{said}");
        assert!(
            said.contains("is a part of the project around it"),
            "{said}"
        );
    }
}

#[test]
fn a_folder_without_datafiles_is_refused_and_stays_as_it_is() {
    let served = written(&project());
    let server = Server::start(served.path());
    for server in [Some(&server), None] {
        for command in ["plan", "deploy"] {
            let folder = tempfile::tempdir().unwrap();
            let (code, out, said) = run(server, folder.path(), &[command]);
            assert_eq!((code, out.as_str()), (Some(2), ""), "{said}");
            assert!(
                said.contains("there is no .pipe or .datasource file"),
                "{said}"
            );
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let (code, _, said) = run(None, folder.path(), &["datasource", "ls"]);
    assert_eq!(code, Some(2), "{said}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn errors_of_a_project_are_json_for_machines() {
    let folder = tempfile::tempdir().unwrap();
    let broken = SEVEN.replace("SELECT 7 AS seven", "SELECT * FROM nothing");
    std::fs::write(folder.path().join("seven.pipe"), broken).unwrap();
    for command in ["plan", "deploy"] {
        let (code, out, said) = run(None, folder.path(), &[command, "--format", "json"]);
        assert_eq!(code, Some(1), "{said}");
        let shown: Value = serde_json::from_str(&out).unwrap();
        assert_eq!(shown["steps"], json!([]));
        let found = &shown["diagnostics"][0];
        assert_eq!(
            (&found["file"], &found["line"], &found["severity"]),
            (&json!("seven.pipe"), &json!(3), &json!("error"))
        );
        assert!(!folder.path().join(".pipewright").exists());
    }
}
