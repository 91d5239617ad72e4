//! Servers killed at random moments: every acknowledged row is there once, and views agree with what they read.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use super::server::{Server, command, request};

/// Kills of one run of this test; more with `PIPEWRIGHT_KILLS`.
fn kills() -> u64 {
    std::env::var("PIPEWRIGHT_KILLS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(12)
}

fn project() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let files = [
        (
            "rows.datasource",
            "SCHEMA >\n    `id` UInt64 `json:$.id`,\n    `part` UInt8 `json:$.part`\n\nENGINE \"MergeTree\"\nENGINE_PARTITION_KEY \"part\"\nENGINE_SORTING_KEY \"id\"\n",
        ),
        (
            "totals.datasource",
            "SCHEMA >\n    `part` UInt8,\n    `rows` UInt64,\n    `ids` UInt64\n\nENGINE \"SummingMergeTree\"\nENGINE_SORTING_KEY \"part\"\n",
        ),
        (
            "whole.datasource",
            "SCHEMA >\n    `version` UInt64 `json:$.version`\n\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"version\"\n",
        ),
    ];
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).expect("a file");
    }
    std::fs::write(folder.path().join("to_totals.pipe"), to_totals(0)).expect("a file");
    folder
}

/// The same sums by another query.
fn to_totals(version: u64) -> String {
    format!(
        "NODE n\nSQL >\n    SELECT part, count() AS rows, sum(id + {version}) - {version} * count() AS ids FROM rows GROUP BY part\n\nTYPE materialized\nDATASOURCE totals\n"
    )
}

/// Deploys one version after the other until the server is gone: other queries, keys, columns.
fn deploy(address: &str, folder: &Path, number: &AtomicU64) {
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).expect("a file");
    loop {
        let version = number.fetch_add(1, Ordering::SeqCst);
        let mut rows = read("rows.datasource");
        if version.is_multiple_of(3) {
            rows = rows.replace("SORTING_KEY \"id\"", "SORTING_KEY \"part, id\"");
        }
        if version.is_multiple_of(2) {
            rows = rows.replace("\n\nENGINE", ",\n    `more` UInt8 DEFAULT 1\n\nENGINE");
        }
        let files = serde_json::json!({ "files": {
            "rows.datasource": rows,
            "totals.datasource": read("totals.datasource"),
            "whole.datasource": read("whole.datasource"),
            "to_totals.pipe": to_totals(version),
        }});
        let path = "/v1/deploy?wait=true&allow_destructive_operations=true";
        match request(address, "POST", path, files.to_string().as_bytes()) {
            // One goes on that an earlier process began.
            Some((409, _)) => std::thread::sleep(Duration::from_millis(20)),
            Some((200, text)) => assert!(!text.contains("\"failed\""), "{text}"),
            Some((status, text)) => panic!("{status}: {text}"),
            None => return,
        }
    }
}

/// Fills what the view fills anew until the server is gone.
fn populate(address: &str, begun: &AtomicU64) {
    let path = "/v0/pipes/to_totals/nodes/n/population?truncate=true";
    while let Some((status, text)) = request(address, "POST", path, b"") {
        assert!(matches!(status, 200 | 400 | 403 | 429), "{status}: {text}");
        begun.fetch_add(u64::from(status == 200), Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(300));
    }
}

/// Puts a hundred rows in place of those before, until the server is gone; notes which were acknowledged.
fn replace(address: &str, next: &AtomicU64, acknowledged: &AtomicU64) {
    let path = "/v0/datasources?mode=replace&name=whole&format=ndjson";
    loop {
        let version = next.fetch_add(1, Ordering::SeqCst);
        let body = format!("{{\"version\":{version}}}\n").repeat(100);
        match request(address, "POST", path, body.as_bytes()) {
            Some((200, _)) => _ = acknowledged.fetch_max(version, Ordering::SeqCst),
            Some((429, _)) => {}
            Some((status, text)) => panic!("{status}: {text}"),
            None => return,
        }
    }
}

/// A number that differs from call to call, without a crate for it.
fn random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

fn body(first: u64, rows: u64) -> String {
    let rows: Vec<String> = (first..first + rows)
        .map(|id| format!("{{\"id\":{id},\"part\":{}}}\n", id % 3))
        .collect();
    rows.concat()
}

/// Sends rows until the server is gone; notes what was acknowledged.
fn send(address: &str, shared: &Shared, kind: u64) {
    loop {
        let rows = if kind == 2 { 5000 } else { 1 + kind * 20 };
        let first = shared.next.fetch_add(rows, Ordering::SeqCst);
        let path = match kind {
            0 => "/v0/events?name=rows",
            1 => "/v0/events?name=rows&wait=true",
            _ => "/v0/datasources?mode=append&name=rows&format=ndjson",
        };
        match request(address, "POST", path, body(first, rows).as_bytes()) {
            Some((200 | 202, _)) => shared
                .acknowledged
                .lock()
                .expect("lock")
                .extend(first..first + rows),
            Some((429, _)) => std::thread::sleep(Duration::from_millis(20)),
            Some((status, text)) => panic!("{status}: {text}"),
            None => return,
        }
    }
}

/// What clients share over all servers.
#[derive(Default)]
struct Shared {
    next: AtomicU64,
    acknowledged: Mutex<BTreeSet<u64>>,
    deploys: AtomicU64,
    populates: AtomicU64,
    versions: AtomicU64,
    replaced: AtomicU64,
}

/// Everything that changes data, at the same time, until the server is gone.
fn clients(address: &str, folder: &Path, shared: &Arc<Shared>) -> Vec<JoinHandle<()>> {
    let of = |action: fn(&str, &Path, &Shared)| {
        let (address, folder, shared) = (address.to_owned(), folder.to_owned(), Arc::clone(shared));
        std::thread::spawn(move || action(&address, &folder, &shared))
    };
    vec![
        of(|address, _, shared| send(address, shared, 0)),
        of(|address, _, shared| send(address, shared, 0)),
        of(|address, _, shared| send(address, shared, 1)),
        of(|address, _, shared| send(address, shared, 2)),
        of(|address, folder, shared| deploy(address, folder, &shared.deploys)),
        of(|address, _, shared| populate(address, &shared.populates)),
        of(|address, _, shared| replace(address, &shared.versions, &shared.replaced)),
    ]
}

/// Starts to serve a project, and kills that after some time, wherever it is.
fn start_and_kill(folder: &Path, after: Duration) {
    let mut process = command(folder)
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary runs");
    std::thread::sleep(after);
    process.kill().expect("kill");
    process.wait().expect("wait");
}

#[test]
fn acknowledged_rows_survive_kills_once() {
    let folder = project();
    let shared = Arc::new(Shared::default());
    shared.deploys.store(1, Ordering::SeqCst);
    shared.versions.store(1, Ordering::SeqCst);
    let mut seed = 0x9E37_79B9_7F4A_7C15 ^ u64::from(std::process::id());
    let (mut killed, mut starting) = (0, 0);
    let mut server = Server::start(folder.path());
    while killed + starting < kills() {
        let clients = clients(server.address(), folder.path(), &shared);
        std::thread::sleep(Duration::from_millis(50 + random(&mut seed) % 1500));
        server.kill();
        killed += 1;
        for client in clients {
            client.join().expect("the client");
        }
        // Now and then while the next one puts things in order.
        while random(&mut seed).is_multiple_of(4) {
            start_and_kill(
                folder.path(),
                Duration::from_millis(random(&mut seed) % 800),
            );
            starting += 1;
        }
        server = Server::start(folder.path());
        server.settle();
        let kill = killed + starting;
        check(&server, &shared.acknowledged.lock().expect("lock"), kill);
        check_whole(&server, shared.replaced.load(Ordering::SeqCst), kill);
        if kill.is_multiple_of(20) {
            println!("{kill} kills");
        }
    }
    let acknowledged = shared.acknowledged.lock().expect("lock").len();
    println!(
        "{killed} kills amid all of it and {starting} amid the start after one: {acknowledged} rows acknowledged, {} deploys, {} populates and {} replaces begun",
        shared.deploys.load(Ordering::SeqCst),
        shared.populates.load(Ordering::SeqCst),
        shared.versions.load(Ordering::SeqCst)
    );
    assert!(acknowledged > 100);
}

/// What is replaced is there as a whole: the version that was acknowledged last, or one after it.
fn check_whole(server: &Server, acknowledged: u64, kill: u64) {
    let whole = ask(
        server,
        "SELECT count(), min(version), max(version) FROM whole FORMAT TSV",
    );
    let numbers: Vec<u64> = whole
        .split('\t')
        .map(|number| number.parse().expect("a number"))
        .collect();
    assert!(
        acknowledged == 0 && numbers[0] == 0
            || numbers[0] == 100 && numbers[1] == numbers[2] && numbers[1] >= acknowledged,
        "{whole} after kill {kill}; version {acknowledged} was acknowledged"
    );
}

fn ask(server: &Server, sql: &str) -> String {
    let (status, text) = server
        .request("POST", "/v0/sql", sql.as_bytes())
        .expect("an answer");
    assert_eq!(status, 200, "{text}");
    text.trim().to_owned()
}

fn check(server: &Server, acknowledged: &BTreeSet<u64>, kill: u64) {
    let ask = |sql: &str| ask(server, sql);
    assert_eq!(
        ask("SELECT count() - uniqExact(id) FROM rows FORMAT TSV"),
        "0",
        "rows are there twice after kill {kill}"
    );
    let there = ask("SELECT id FROM rows FORMAT TSV");
    let there: BTreeSet<u64> = there
        .lines()
        .map(|line| line.parse().expect("a number"))
        .collect();
    let lost: Vec<&u64> = acknowledged.difference(&there).take(5).collect();
    assert!(
        lost.is_empty(),
        "acknowledged rows are missing after kill {kill}: {lost:?}"
    );
    let source =
        ask("SELECT part, count(), sum(id) FROM rows GROUP BY part ORDER BY part FORMAT TSV");
    let view =
        ask("SELECT part, sum(rows), sum(ids) FROM totals GROUP BY part ORDER BY part FORMAT TSV");
    assert_eq!(source, view, "the view disagrees after kill {kill}");
}
