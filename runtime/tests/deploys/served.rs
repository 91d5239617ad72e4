//! Deploys to a server that serves: rows go on coming in, queries go on being answered.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use super::server::{Server, request};

const ROWS: &str = "SCHEMA >\n    `id` UInt64 `json:$.id`,\n    `part` UInt8 `json:$.part`\n\nENGINE \"MergeTree\"\nENGINE_PARTITION_KEY \"part\"\nENGINE_SORTING_KEY \"id\"\n";
const TOTALS: &str = "SCHEMA >\n    `part` UInt8,\n    `rows` UInt64,\n    `ids` UInt64\n\nENGINE \"SummingMergeTree\"\nENGINE_SORTING_KEY \"part\"\n";

pub(super) type Files = BTreeMap<String, String>;

pub(super) fn project() -> Files {
    let files = [
        ("rows.datasource", ROWS.to_owned()),
        ("totals.datasource", TOTALS.to_owned()),
        ("to_totals.pipe", to_totals(0)),
        (
            "by_part.pipe",
            "NODE n\nSQL >\n    SELECT part, sum(rows) AS rows, sum(ids) AS ids FROM totals GROUP BY part ORDER BY part\n\nTYPE endpoint\n".to_owned(),
        ),
        (
            "latest.pipe",
            "NODE n\nSQL >\n    SELECT * FROM rows ORDER BY id DESC LIMIT 5\n\nTYPE endpoint\n".to_owned(),
        ),
        (
            "copied.pipe",
            "NODE n\nSQL >\n    SELECT number + {{ UInt64(first, 0) }} AS id, toUInt8(number % 3) AS part FROM numbers(7)\n\nTYPE copy\nTARGET_DATASOURCE rows\n".replacen("SQL >\n    ", "SQL >\n    %\n    ", 1),
        ),
    ];
    files
        .into_iter()
        .map(|(name, text)| (name.to_owned(), text))
        .collect()
}

/// The same sums by another query.
fn to_totals(version: u64) -> String {
    format!(
        "NODE n\nSQL >\n    SELECT part, count() AS rows, sum(id + {version}) - {version} * count() AS ids FROM rows GROUP BY part\n\nTYPE materialized\nDATASOURCE totals\n"
    )
}

pub(super) fn written(files: &Files) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    folder
}

fn deploy(address: &str, files: &Files, options: &str) -> (u16, Value) {
    let body = json!({ "files": files }).to_string();
    let path = format!("/v1/deploy?wait=true{options}");
    let (status, text) = request(address, "POST", &path, body.as_bytes()).expect("an answer");
    (
        status,
        serde_json::from_str(&text).unwrap_or(Value::String(text)),
    )
}

fn deployed(address: &str, files: &Files, options: &str) {
    let (status, answer) = deploy(address, files, options);
    assert_eq!(status, 200, "{answer}");
    assert!(
        answer["deployment"]["live"] == true || answer["result"] == "no_changes",
        "{answer}"
    );
}

pub(super) fn ask(server: &Server, sql: &str) -> String {
    let (status, text) = server.request("POST", "/v0/sql", sql.as_bytes()).unwrap();
    assert_eq!(status, 200, "{text}");
    text.trim().to_owned()
}

/// Clients that go on until they are told to stop; what went wrong.
struct Clients {
    stop: Arc<AtomicBool>,
    wrong: Arc<Mutex<Vec<String>>>,
    answered: Arc<AtomicU64>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Clients {
    fn new() -> Self {
        Self {
            stop: Arc::default(),
            wrong: Arc::default(),
            answered: Arc::default(),
            threads: Vec::new(),
        }
    }

    fn start(&mut self, address: &str, ask: impl Fn(&str, u64) -> (u16, String) + Send + 'static) {
        let (stop, wrong, answered) = (
            Arc::clone(&self.stop),
            Arc::clone(&self.wrong),
            Arc::clone(&self.answered),
        );
        let address = address.to_owned();
        self.threads.push(std::thread::spawn(move || {
            for number in 0.. {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                let (status, text) = ask(&address, number);
                answered.fetch_add(1, Ordering::SeqCst);
                // So that the machine has time for more than questions.
                std::thread::sleep(Duration::from_millis(10));
                if !matches!(status, 200..=202 | 429) {
                    wrong.lock().unwrap().push(format!("{status}: {text}"));
                }
            }
        }));
    }

    fn read(&mut self, address: &str, path: &'static str) {
        self.start(address, move |address, _| {
            request(address, "GET", path, b"").expect("an answer")
        });
    }

    fn write(&mut self, address: &str, path: &'static str, next: &Arc<AtomicU64>, rows: u64) {
        let next = Arc::clone(next);
        self.start(address, move |address, _| {
            let first = next.fetch_add(rows, Ordering::SeqCst);
            let body: Vec<String> = (first..first + rows)
                .map(|id| format!("{{\"id\":{id},\"part\":{}}}\n", id % 3))
                .collect();
            request(address, "POST", path, body.concat().as_bytes()).expect("an answer")
        });
    }

    fn copy(&mut self, address: &str, next: &Arc<AtomicU64>) {
        let next = Arc::clone(next);
        self.start(address, move |address, _| {
            let first = next.fetch_add(7, Ordering::SeqCst);
            let path = format!("/v0/pipes/copied/copy?first={first}");
            let answer = request(address, "POST", &path, b"").expect("an answer");
            std::thread::sleep(Duration::from_millis(500));
            answer
        });
    }

    /// Ends them; how many answers there were. None of them was an error.
    fn end(self) -> u64 {
        self.stop.store(true, Ordering::SeqCst);
        for thread in self.threads {
            thread.join().unwrap();
        }
        let wrong = self.wrong.lock().unwrap();
        let first: Vec<&String> = wrong.iter().take(5).collect();
        assert!(wrong.is_empty(), "{} errors: {first:#?}", wrong.len());
        self.answered.load(Ordering::SeqCst)
    }
}

#[test]
fn no_row_is_lost_or_counted_twice_while_a_view_changes_twenty_times() {
    let mut files = project();
    let folder = written(&files);
    let server = Server::start(folder.path());
    let next = Arc::new(AtomicU64::new(0));
    let mut clients = Clients::new();
    let address = server.address().to_owned();
    clients.write(&address, "/v0/events?name=rows", &next, 1);
    clients.write(&address, "/v0/events?name=rows&wait=true", &next, 20);
    clients.write(
        &address,
        "/v0/datasources?mode=append&name=rows&format=ndjson",
        &next,
        500,
    );
    clients.copy(&address, &next);
    for version in 1..=20_u64 {
        files.insert("to_totals.pipe".to_owned(), to_totals(version));
        if version.is_multiple_of(5) {
            let keys = if version.is_multiple_of(10) {
                "id"
            } else {
                "part, id"
            };
            let text = ROWS.replace("SORTING_KEY \"id\"", &format!("SORTING_KEY \"{keys}\""));
            files.insert("rows.datasource".to_owned(), text);
        }
        deployed(&address, &files, "");
    }
    let answered = clients.end();
    assert!(answered > 100, "{answered}");
    server.settle();
    // Events that were taken without waiting go in within a second.
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(
        ask(
            &server,
            "SELECT count() - uniqExact(id) FROM rows FORMAT TSV"
        ),
        "0"
    );
    let sent = next.load(Ordering::SeqCst);
    assert_eq!(
        ask(&server, "SELECT count(), max(id) + 1 FROM rows FORMAT TSV"),
        format!("{sent}\t{sent}")
    );
    let totals = "SELECT sum(rows), sum(ids) FROM totals FORMAT TSV";
    assert_eq!(
        ask(&server, totals),
        ask(&server, "SELECT count(), sum(id) FROM rows FORMAT TSV")
    );
    assert_eq!(
        ask(&server, &totals.replace("FORMAT", "WHERE part = 1 FORMAT")),
        {
            ask(
                &server,
                "SELECT count(), sum(id) FROM rows WHERE part = 1 FORMAT TSV",
            )
        }
    );
}

#[test]
fn endpoints_answer_while_everything_changes() {
    let mut files = project();
    files.insert("named.datasource".to_owned(), NAMED.to_owned());
    files.insert("to_named.pipe".to_owned(), to_named("named"));
    files.insert("of_named.pipe".to_owned(), of_named("named"));
    let folder = written(&files);
    let server = Server::start(folder.path());
    let address = server.address().to_owned();
    let rows: Vec<String> = (0..2000)
        .map(|id| format!("{{\"id\":{id},\"part\":{}}}\n", id % 3))
        .collect();
    let append = "/v0/datasources?mode=append&name=rows&format=ndjson";
    server
        .request("POST", append, rows.concat().as_bytes())
        .unwrap();
    let mut clients = Clients::new();
    for path in [
        "/v0/pipes/by_part.json",
        "/v0/pipes/by_part.json",
        "/v0/pipes/latest.ndjson",
        "/v0/pipes/latest.csv",
        "/v0/pipes/of_named.json",
        "/v0/sql?q=SELECT%20sum(ids)%20FROM%20totals%20FORMAT%20JSON",
    ] {
        clients.read(&address, path);
    }
    let column = |name: &str| {
        ROWS.replace(
            "`part` UInt8",
            &format!("`{name}` String DEFAULT 'x',\n    `part` UInt8"),
        )
    };
    let latest = |columns: &str| {
        format!(
            "NODE n\nSQL >\n    SELECT {columns} FROM rows ORDER BY id DESC LIMIT 5\n\nTYPE endpoint\n"
        )
    };
    for round in 0..3_u64 {
        // A column comes, and an endpoint that reads it.
        files.insert("rows.datasource".to_owned(), column("more"));
        files.insert("latest.pipe".to_owned(), latest("id, more"));
        deployed(&address, &files, "");
        // It goes, with the endpoint that read it.
        files.insert("rows.datasource".to_owned(), ROWS.to_owned());
        files.insert("latest.pipe".to_owned(), latest("id"));
        deployed(&address, &files, "&allow_destructive_operations=true");
        // A type and the keys change.
        let other = ROWS
            .replace("`part` UInt8", "`part` UInt16")
            .replace("SORTING_KEY \"id\"", "SORTING_KEY \"part, id\"");
        files.insert("rows.datasource".to_owned(), other);
        files.insert("to_totals.pipe".to_owned(), to_totals(round + 1));
        deployed(&address, &files, "");
        // A table that an endpoint reads gets another name, and so does the pipe that fills it.
        let (old, new) = if round.is_multiple_of(2) {
            ("named", "renamed")
        } else {
            ("renamed", "named")
        };
        let text = files.remove(&format!("{old}.datasource")).unwrap();
        files.insert(format!("{new}.datasource"), text);
        files.remove(&format!("to_{old}.pipe"));
        files.insert(format!("to_{new}.pipe"), to_named(new));
        files.insert("of_named.pipe".to_owned(), of_named(new));
        files.insert("rows.datasource".to_owned(), ROWS.to_owned());
        deployed(&address, &files, "");
    }
    let answered = clients.end();
    assert!(answered > 200, "{answered}");
    assert_eq!(
        ask(&server, "SELECT sum(rows), sum(ids) FROM totals FORMAT TSV"),
        "2000\t1999000"
    );
    let (_, text) = server
        .request("GET", "/v0/pipes/of_named.csv", b"")
        .unwrap();
    assert_eq!(text, "\"count\"\n2000\n");
}

const NAMED: &str = "SCHEMA >\n    `part` UInt16,\n    `count` UInt64\n\nENGINE \"SummingMergeTree\"\nENGINE_SORTING_KEY \"part\"\n";

fn to_named(name: &str) -> String {
    format!(
        "NODE n\nSQL >\n    SELECT part, count() AS count FROM rows GROUP BY part\n\nTYPE materialized\nDATASOURCE {name}\n"
    )
}

fn of_named(name: &str) -> String {
    format!("NODE n\nSQL >\n    SELECT sum(count) AS count FROM {name}\n\nTYPE endpoint\n")
}

#[test]
fn a_plan_is_shown_one_deploy_goes_on_at_a_time_and_a_rollback_returns() {
    let mut files = project();
    let folder = written(&files);
    let server = Server::start(folder.path());
    let address = server.address().to_owned();
    let rows: Vec<String> = (0..1000)
        .map(|id| format!("{{\"id\":{id},\"part\":1}}\n"))
        .collect();
    let append = "/v0/datasources?mode=append&name=rows&format=ndjson";
    server
        .request("POST", append, rows.concat().as_bytes())
        .unwrap();

    let (status, answer) = deploy(&address, &files, "&check=true");
    assert_eq!(
        (status, &answer["result"]),
        (200, &json!("no_changes")),
        "{answer}"
    );

    files.insert("to_totals.pipe".to_owned(), to_totals(1));
    let (status, answer) = deploy(&address, &files, "&check=true");
    assert_eq!(status, 200, "{answer}");
    let steps = answer["deployment"]["steps"].as_array().unwrap();
    let actions: Vec<&str> = steps
        .iter()
        .map(|step| step["action"].as_str().unwrap())
        .collect();
    assert_eq!(actions, ["fill_table", "change_view"]);
    assert_eq!(steps[0]["estimate"]["reads"]["rows"], 1000);
    assert_eq!(ask(&server, "SELECT 1 FROM rows LIMIT 1 FORMAT TSV"), "1");

    // Many at once: one is done, the others are told.
    let threads: Vec<_> = (0..4)
        .map(|number| {
            let (address, mut files) = (address.clone(), files.clone());
            std::thread::spawn(move || {
                files.insert("to_totals.pipe".to_owned(), to_totals(10 + number));
                deploy(&address, &files, "")
            })
        })
        .collect();
    let answers: Vec<(u16, Value)> = threads
        .into_iter()
        .map(|thread| thread.join().unwrap())
        .collect();
    let told = answers.iter().filter(|(status, _)| *status == 409).count();
    let done = answers.iter().filter(|(status, _)| *status == 200).count();
    assert!(done >= 1 && told + done == 4, "{answers:?}");
    let told = answers.iter().find(|(status, _)| *status == 409);
    if let Some((_, answer)) = told {
        assert!(
            answer["error"]
                .as_str()
                .unwrap()
                .contains("another deploy is going on"),
            "{answer}"
        );
    }

    // Errors change nothing.
    let mut wrong = files.clone();
    wrong.insert(
        "latest.pipe".to_owned(),
        "NODE n\nSQL >\n    SELECT * FROM nowhere\n\nTYPE endpoint\n".to_owned(),
    );
    let (status, answer) = deploy(&address, &wrong, "");
    assert_eq!(
        (status, &answer["result"]),
        (400, &json!("failed")),
        "{answer}"
    );

    // A data source with rows does not go unasked.
    let mut fewer = files.clone();
    for name in ["totals.datasource", "to_totals.pipe", "by_part.pipe"] {
        fewer.remove(name);
    }
    let (status, answer) = deploy(&address, &fewer, "");
    assert_eq!(status, 400, "{answer}");
    assert!(
        answer["error"]
            .as_str()
            .unwrap()
            .contains("drop table totals"),
        "{answer}"
    );

    files.insert(
        "by_part.pipe".to_owned(),
        "NODE n\nSQL >\n    SELECT 7 AS seven\n\nTYPE endpoint\n".to_owned(),
    );
    deployed(&address, &files, "");
    let by_part = || request(&address, "GET", "/v0/pipes/by_part.csv", b"").unwrap();
    assert_eq!(by_part(), (200, "\"seven\"\n7\n".to_owned()));
    let (status, text) = request(&address, "POST", "/v1/rollback?wait=true", b"").unwrap();
    assert_eq!(status, 200, "{text}");
    assert_eq!(
        by_part(),
        (200, "\"part\",\"rows\",\"ids\"\n1,1000,499500\n".to_owned())
    );

    // The version that is in force is in force after a restart, too.
    server.kill();
    let server = Server::start(folder.path());
    let again = server.request("GET", "/v0/pipes/by_part.csv", b"").unwrap();
    assert_eq!(
        again,
        (200, "\"part\",\"rows\",\"ids\"\n1,1000,499500\n".to_owned())
    );

    deployed(
        server.address(),
        &fewer,
        "&allow_destructive_operations=true",
    );
    let (status, text) = server
        .request("POST", "/v1/rollback?wait=true", b"")
        .unwrap();
    assert_eq!(status, 409, "{text}");
    assert!(text.contains("drop table `totals`"), "{text}");
}

#[test]
fn tokens_follow_what_a_deploy_renames_and_lose_what_it_takes_away() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("named.datasource"), NAMED).unwrap();
    std::fs::write(
        folder.path().join("gone.datasource"),
        NAMED.replace("part", "other"),
    )
    .unwrap();
    let server = Server::start(folder.path());
    let made = "/v0/tokens?name=feed&scope=DATASOURCES:APPEND:named&scope=DATASOURCES:READ:gone";
    assert_eq!(server.request("POST", made, b"").unwrap().0, 200);
    let scopes = || server.request("GET", "/v0/tokens/feed", b"").unwrap().1;
    assert!(scopes().contains("\"named\"") && scopes().contains("\"gone\""));
    let files = BTreeMap::from([("renamed.datasource".to_owned(), NAMED.to_owned())]);
    deployed(
        server.address(),
        &files,
        "&allow_destructive_operations=true",
    );
    let scopes = scopes();
    assert!(scopes.contains("\"renamed\""), "{scopes}");
    assert!(
        !scopes.contains("\"named\"") && !scopes.contains("gone"),
        "{scopes}"
    );
}
