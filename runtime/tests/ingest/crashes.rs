//! Servers killed at random moments: every acknowledged row is there once, and views agree with what they read.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::server::{Server, request};

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
            "to_totals.pipe",
            "NODE n\nSQL >\n    SELECT part, count() AS rows, sum(id) AS ids FROM rows GROUP BY part\n\nTYPE materialized\nDATASOURCE totals\n",
        ),
    ];
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).expect("a file");
    }
    folder
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
fn send(
    address: &str,
    next: &AtomicU64,
    acknowledged: &Mutex<BTreeSet<u64>>,
    sent: &AtomicU64,
    kind: u64,
) {
    loop {
        let rows = if kind == 2 { 5000 } else { 1 + kind * 20 };
        let first = next.fetch_add(rows, Ordering::SeqCst);
        sent.fetch_max(first + rows, Ordering::SeqCst);
        let path = match kind {
            0 => "/v0/events?name=rows",
            1 => "/v0/events?name=rows&wait=true",
            _ => "/v0/datasources?mode=append&name=rows&format=ndjson",
        };
        match request(address, "POST", path, body(first, rows).as_bytes()) {
            Some((200 | 202, _)) => acknowledged
                .lock()
                .expect("lock")
                .extend(first..first + rows),
            Some((429, _)) => std::thread::sleep(Duration::from_millis(20)),
            Some((status, text)) => panic!("{status}: {text}"),
            None => return,
        }
    }
}

#[test]
fn acknowledged_rows_survive_kills_once() {
    let folder = project();
    let (next, sent, acknowledged) = (
        Arc::new(AtomicU64::new(0)),
        Arc::new(AtomicU64::new(0)),
        Arc::new(Mutex::new(BTreeSet::new())),
    );
    let mut seed = 0x9E37_79B9_7F4A_7C15 ^ u64::from(std::process::id());
    for kill in 0..kills() {
        let server = Server::start(folder.path());
        let clients: Vec<_> = [0, 0, 1, 2]
            .into_iter()
            .map(|kind| {
                let (address, next, sent, acknowledged) = (
                    server.address().to_owned(),
                    Arc::clone(&next),
                    Arc::clone(&sent),
                    Arc::clone(&acknowledged),
                );
                std::thread::spawn(move || send(&address, &next, &acknowledged, &sent, kind))
            })
            .collect();
        std::thread::sleep(Duration::from_millis(50 + random(&mut seed) % 1500));
        server.kill();
        for client in clients {
            client.join().expect("the client");
        }
        let server = Server::start(folder.path());
        check(&server, &acknowledged.lock().expect("lock"), kill);
        server.kill();
    }
    assert!(acknowledged.lock().expect("lock").len() > 100);
}

fn check(server: &Server, acknowledged: &BTreeSet<u64>, kill: u64) {
    let ask = |sql: &str| {
        let (status, text) = server
            .request("POST", "/v0/sql", sql.as_bytes())
            .expect("an answer");
        assert_eq!(status, 200, "{text}");
        text.trim().to_owned()
    };
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
