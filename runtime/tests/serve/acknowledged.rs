//! What was acknowledged stays, whatever else goes on meanwhile and wherever the process ends.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{ADMIN, Answer, Project, Server, serve};

const HITS: &str = "SCHEMA >\n    `site` String `json:$.site`,\n    `hits` UInt32 `json:$.hits`\n\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"site\"\n";
/// Takes two seconds for twenty rows.
const SLOW: &str = "NODE n\nSQL >\n    SELECT site, hits + sleepEachRow(0.1) AS hits FROM hits\nTYPE materialized\nDATASOURCE slowly\n";
const ONE: &str = "NODE n\nSQL >\n    SELECT 1 AS x\nTYPE endpoint\n";
const TWO: &str = "NODE n\nSQL >\n    SELECT 2 AS x\nTYPE endpoint\n";

fn done(answer: &Answer) -> Value {
    assert!(answer.status < 300, "{}", answer.text());
    serde_json::from_slice(&answer.body).unwrap_or_default()
}

fn pipes(server: &Server) -> Vec<String> {
    let listed = server.get("/v0/pipes?attrs=name").json();
    let listed = listed["pipes"].as_array().expect("a list");
    let names = listed.iter().map(|pipe| pipe["name"].as_str());
    names.flatten().map(ToOwned::to_owned).collect()
}

#[test]
fn pipes_that_are_made_while_a_data_source_is_altered_stay() {
    let project = Project::new(&[("hits.datasource", HITS)]);
    let server = &Server::start(&project);
    let stop = &AtomicBool::new(false);
    let made: Vec<String> = std::thread::scope(|scope| {
        let makers: Vec<_> = (0..3)
            .map(|maker| {
                scope.spawn(move || {
                    let mut made = Vec::new();
                    while !stop.load(Ordering::SeqCst) {
                        let name = format!("made_{maker}_{}", made.len());
                        let path = format!("/v0/pipes?name={name}&sql=select%201");
                        let answer = server.ask(ADMIN, "POST", &path, "");
                        assert_eq!(answer.status, 200, "{}", answer.text());
                        made.push(name);
                    }
                    made
                })
            })
            .collect();
        let alters = ["UInt64", "UInt16"].map(|kind| {
            let schema = format!("site String `json:$.site`, hits {kind} `json:$.hits`");
            let schema: String = form_urlencoded::byte_serialize(schema.as_bytes()).collect();
            let path = format!(
                "/v0/datasources/hits/alter?allow_destructive_operations=true&schema={schema}"
            );
            server.ask(ADMIN, "POST", &path, "")
        });
        stop.store(true, Ordering::SeqCst);
        for altered in &alters {
            done(altered);
        }
        let made = makers
            .into_iter()
            .map(|maker| maker.join().expect("no panic"));
        made.flatten().collect()
    });
    let there = pipes(server);
    let lost: Vec<&String> = made.iter().filter(|name| !there.contains(name)).collect();
    assert!(lost.is_empty(), "{} of {} are lost", lost.len(), made.len());
}

/// A server on which a populate of two seconds goes on, and the files of its project.
fn populating() -> (Project, Server, Vec<(&'static str, &'static str)>) {
    let files = vec![
        ("hits.datasource", HITS),
        (
            "slowly.datasource",
            "SCHEMA >\n    `site` String,\n    `hits` UInt64\n\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"site\"\n",
        ),
        ("slow.pipe", SLOW),
        ("one.pipe", ONE),
        (
            "pipewright.toml",
            "[allow]\nfunctions = [\"sleepEachRow\"]\n",
        ),
    ];
    let project = Project::new(&files);
    // Before there is the view, so that these rows are left to the populate.
    std::fs::remove_file(project.path().join("slow.pipe")).expect("a file");
    let server = Server::start(&project);
    let rows: Vec<String> = (0..20)
        .map(|row| format!("{{\"site\":\"{row}\",\"hits\":1}}\n"))
        .collect();
    done(&server.ask(
        ADMIN,
        "POST",
        "/v0/datasources?name=hits&mode=append",
        &rows.concat(),
    ));
    drop(server);
    project.write("slow.pipe", SLOW);
    let server = Server::start(&project);
    let job = done(&server.ask(ADMIN, "POST", "/v0/pipes/slow/nodes/n/population", ""));
    let until = Instant::now() + Duration::from_secs(20);
    let path = format!("/v0/jobs/{}", job["id"].as_str().expect("an id"));
    while server.get(&path).json()["status"] != "working" {
        assert!(Instant::now() < until, "the populate does not begin");
        std::thread::sleep(Duration::from_millis(5));
    }
    (project, server, files)
}

/// Asks for other files; the number of the deployment.
fn deploy(server: &Server, files: &[(&str, &str)]) -> i64 {
    let files: serde_json::Map<String, Value> = files
        .iter()
        .map(|(path, text)| ((*path).to_owned(), json!(text)))
        .collect();
    let body = json!({ "files": files }).to_string();
    let begun = done(&server.ask(ADMIN, "POST", "/v1/deploy", &body));
    begun["deployment"]["id"]
        .as_str()
        .and_then(|id| id.parse().ok())
        .or(begun["deployment"]["id"].as_i64())
        .unwrap_or_else(|| panic!("{begun}"))
}

/// What became of a deployment.
fn outcome(server: &Server, id: i64) -> Value {
    let until = Instant::now() + Duration::from_secs(40);
    loop {
        let shown = server.get(&format!("/v1/deployments/{id}")).json();
        let job = &shown["deployment"]["job"]["status"];
        if matches!(job.as_str(), Some("done" | "error")) {
            return shown["deployment"].clone();
        }
        assert!(Instant::now() < until, "{shown}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_deploy_that_waits_for_a_populate_holds_up_no_change_and_takes_none_back() {
    let (_project, server, mut files) = populating();
    files[3] = ("one.pipe", TWO);
    let id = deploy(&server, &files);
    let asked = Instant::now();
    done(&server.ask(ADMIN, "POST", "/v0/pipes?name=meanwhile&sql=select%201", ""));
    assert!(
        asked.elapsed() < Duration::from_secs(1),
        "{:?}",
        asked.elapsed()
    );
    let shown = server.get(&format!("/v1/deployments/{id}")).json();
    assert_ne!(
        shown["deployment"]["job"]["status"], "done",
        "it has waited"
    );
    let ended = outcome(&server, id);
    assert_eq!(ended["live"], true, "{ended}");
    assert_eq!(server.get("/v0/pipes/one.csv").text(), "\"x\"\n2\n");
    assert!(pipes(&server).contains(&"meanwhile".to_owned()));
    // What it took back would be what was there before it, with the change that came meanwhile.
    done(&server.ask(ADMIN, "POST", "/v1/rollback?wait=true", ""));
    assert_eq!(server.get("/v0/pipes/one.csv").text(), "\"x\"\n1\n");
    assert!(pipes(&server).contains(&"meanwhile".to_owned()));
}

#[test]
fn a_deploy_of_a_file_that_was_changed_after_it_was_planned_is_refused() {
    let (_project, server, mut files) = populating();
    files[3] = ("one.pipe", TWO);
    let id = deploy(&server, &files);
    done(&server.ask(
        ADMIN,
        "POST",
        "/v0/pipes?name=one&sql=select%203%20as%20x",
        "",
    ));
    let ended = outcome(&server, id);
    assert_eq!(ended["outcome"], "failed", "{ended}");
    let error = ended["error"].as_str().unwrap_or_default();
    assert!(
        error.contains("one.pipe") && error.contains("deploy again"),
        "{ended}"
    );
    let text = server.get("/v1/pipes/one.pipe").text();
    assert!(text.contains("select 3"), "{text}");
}

/// Statements that do not count until the process ends, but for `but`.
fn dying_at(project: &Project, but: &str) -> (Server, std::path::PathBuf, String) {
    let others = [
        "SELECT ",
        "INSERT ",
        "EXISTS ",
        "CREATE ",
        "ALTER ",
        "DESCRIBE ",
        "WITH ",
        "DROP ",
        "SYSTEM ",
        "SHOW ",
        "RENAME ",
        "EXCHANGE ",
        "EXPLAIN ",
    ];
    let ignored: Vec<&str> = others.into_iter().filter(|other| *other != but).collect();
    let file = project.path().join("die-at");
    let mut command = serve(project.path(), &["--admin-token", ADMIN]);
    command.env("PIPEWRIGHT_DIE_AT", &file);
    (
        Server::run(command),
        file,
        format!("1 before {}", ignored.join("|")),
    )
}

fn scopes(server: &Server, name: &str) -> Value {
    server.get(&format!("/v0/tokens/{name}")).json()["scopes"].clone()
}

/// Sends a request that nobody answers.
fn ask_in_vain(server: &Server, method: &str, path: &str, body: &str) {
    use std::io::{Read as _, Write as _};
    let mut stream = server.connect();
    write!(stream, "{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {ADMIN}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len()).expect("sent");
    let mut answer = String::new();
    _ = stream.read_to_string(&mut answer);
    assert_eq!(answer, "", "the process ends first");
}

#[test]
fn tokens_lose_what_is_deleted_with_it_wherever_the_process_ends() {
    let project = Project::new(&[("hits.datasource", HITS), ("one.pipe", ONE)]);
    let (server, file, end) = dying_at(&project, "DROP ");
    done(&server.ask(
        ADMIN,
        "POST",
        "/v0/tokens?name=reader&scope=DATASOURCES:READ:hits&scope=PIPES:READ:one",
        "",
    ));
    std::fs::write(file, end).expect("a file");
    ask_in_vain(&server, "DELETE", "/v0/datasources/hits", "");
    drop(server);
    let server = Server::start(&project);
    assert_eq!(server.get("/v0/datasources/hits").status, 404);
    assert_eq!(
        scopes(&server, "reader"),
        json!([{ "type": "PIPES:READ", "resource": "one" }])
    );
}

#[test]
fn tokens_follow_a_deploy_wherever_the_process_ends() {
    let project = Project::new(&[("hits.datasource", HITS), ("one.pipe", ONE)]);
    let (server, file, end) = dying_at(&project, "RENAME ");
    done(&server.ask(
        ADMIN,
        "POST",
        "/v0/datasources?name=hits&mode=append",
        "{\"site\":\"a\",\"hits\":1}\n",
    ));
    done(&server.ask(
        ADMIN,
        "POST",
        "/v0/tokens?name=reader&scope=DATASOURCES:READ:hits&scope=PIPES:READ:one",
        "",
    ));
    std::fs::write(file, end).expect("a file");
    let files = json!({ "files": { "visits.datasource": HITS, "two.pipe": TWO } }).to_string();
    ask_in_vain(
        &server,
        "POST",
        "/v1/deploy?wait=true&allow_destructive_operations=true",
        &files,
    );
    drop(server);
    let server = Server::start(&project);
    assert_eq!(server.get("/v0/datasources/hits").status, 404);
    let reader = server.get("/v0/tokens/reader").json();
    assert_eq!(
        reader["scopes"],
        json!([{ "type": "DATASOURCES:READ", "resource": "visits" }])
    );
    let secret = reader["token"].as_str().expect("a secret");
    let read = server.ask(
        secret,
        "POST",
        "/v0/sql",
        "SELECT count() FROM visits FORMAT TSV",
    );
    assert_eq!((read.status, read.text().trim()), (200, "1"));
}
