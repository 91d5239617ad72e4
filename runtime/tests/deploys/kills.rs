//! Servers that die before, during and after each statement of a deploy that has every kind of step, of a populate and of a replace: what was acknowledged is
//! there once, and the version in force is the old one or the new one as a whole.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use super::server::{Server, request};

/// Kills of one run of this test; more with `PIPEWRIGHT_KILLS`.
fn kills() -> u64 {
    std::env::var("PIPEWRIGHT_KILLS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(12)
}

type Files = BTreeMap<String, String>;

const ROWS: &str = "SCHEMA >\n    `id` UInt64 `json:$.id`,\n    `part` UInt8 `json:$.part`\n\nENGINE \"MergeTree\"\nENGINE_PARTITION_KEY \"part\"\nENGINE_SORTING_KEY \"id\"\n";
const SUMS: &str = "SCHEMA >\n    `part` UInt8,\n    `rows` UInt64,\n    `ids` UInt64\n\nENGINE \"SummingMergeTree\"\nENGINE_SORTING_KEY \"part\"\n";

fn view(query: &str, target: &str) -> String {
    format!("NODE n\nSQL >\n    {query}\n\nTYPE materialized\nDATASOURCE {target}\n")
}

fn keyed(name: &str, rest: &str) -> String {
    format!(
        "SCHEMA >\n    `{name}` UInt64 `json:$.{name}`\n\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"{name}\"\n{rest}"
    )
}

/// One of two versions, between which every kind of step lies in each direction.
fn version(second: bool) -> Files {
    let mut files = vec![
        ("totals.datasource", SUMS.to_owned()),
        ("overall.datasource", SUMS.to_owned()),
        (
            "to_overall.pipe",
            view(
                "SELECT toUInt8(0) AS part, sum(rows) AS rows, sum(ids) AS ids FROM totals",
                "overall",
            ),
        ),
        ("whole.datasource", keyed("version", "")),
    ];
    // A column in place, another query whose results go on into a second view, a sorting key.
    let (rows, totals, plain) = if second {
        (
            ROWS.replace(
                "\n\nENGINE \"",
                ",\n    `more` UInt8 DEFAULT 1\n\nENGINE \"",
            ),
            "SELECT part, count() AS rows, sum(id + 3) - 3 * count() AS ids FROM rows GROUP BY part",
            keyed("number", "").replace("KEY \"number\"", "KEY \"number % 7, number\""),
        )
    } else {
        (
            ROWS.to_owned(),
            "SELECT part, count() AS rows, sum(id) AS ids FROM rows GROUP BY part",
            keyed("number", ""),
        )
    };
    files.push(("rows.datasource", rows));
    files.push(("to_totals.pipe", view(totals, "totals")));
    files.push(("plain.datasource", plain));
    // A table with another name, one that is gone, one that is new and filled with what was there.
    if second {
        files.push(("fresh.datasource", keyed("word", "")));
        files.push(("extra.datasource", SUMS.to_owned()));
        files.push((
            "to_extra.pipe",
            view(
                "SELECT part, count() AS rows, sum(id) AS ids FROM rows GROUP BY part",
                "extra",
            ),
        ));
    } else {
        files.push(("old.datasource", keyed("word", "")));
        files.push(("gone.datasource", keyed("nothing", "")));
    }
    files
        .into_iter()
        .map(|(name, text)| (name.to_owned(), text))
        .collect()
}

struct World {
    folder: tempfile::TempDir,
    die_at: PathBuf,
    next: Arc<AtomicU64>,
    acknowledged: Arc<Mutex<BTreeSet<u64>>>,
    /// The last replacement that was acknowledged, and the last that was begun.
    replaced: Arc<AtomicU64>,
    replacing: u64,
    second: bool,
    kills: u64,
}

/// Sends rows until the server is gone.
fn send(address: &str, next: &AtomicU64, acknowledged: &Mutex<BTreeSet<u64>>) {
    loop {
        let first = next.fetch_add(10, Ordering::SeqCst);
        let rows: Vec<String> = (first..first + 10)
            .map(|id| format!("{{\"id\":{id},\"part\":{}}}\n", id % 3))
            .collect();
        let path = "/v0/events?name=rows&wait=true";
        match request(address, "POST", path, rows.concat().as_bytes()) {
            Some((200 | 202, _)) => acknowledged.lock().unwrap().extend(first..first + 10),
            Some((429, _)) => {}
            Some((status, text)) => panic!("{status}: {text}"),
            None => return,
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn ask(server: &Server, sql: &str) -> (u16, String) {
    let (status, text) = server.request("POST", "/v0/sql", sql.as_bytes()).unwrap();
    (status, text.trim().to_owned())
}

/// What a client asks of a server that is to die meanwhile; nothing when it is gone.
type Wish<'a> = &'a dyn Fn(&str) -> Option<(u16, String)>;

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in version(false) {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let world = Self {
            die_at: folder.path().join("die-at"),
            folder,
            next: Arc::default(),
            acknowledged: Arc::default(),
            replaced: Arc::default(),
            replacing: 0,
            second: false,
            kills: 0,
        };
        let server = Server::start(world.path());
        for (name, column, count) in [("plain", "number", 1000), ("old", "word", 50)] {
            let rows: Vec<String> = (0..count)
                .map(|number| format!("{{\"{column}\":{number}}}\n"))
                .collect();
            let path = format!("/v0/datasources?mode=append&name={name}&format=ndjson");
            let answer = server.request("POST", &path, rows.concat().as_bytes());
            assert_eq!(answer.unwrap().0, 200);
        }
        server.kill();
        world
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Has a server do something and die at its statement of that number. Returns whether it died.
    fn die(&mut self, number: u64, when: &str, with_rows: bool, wish: Wish<'_>) -> bool {
        let server = Server::start_mortal(self.path(), &self.die_at);
        let clients: Vec<_> = (0..usize::from(with_rows))
            .map(|_| {
                let (address, next, acknowledged) = (
                    server.address().to_owned(),
                    Arc::clone(&self.next),
                    Arc::clone(&self.acknowledged),
                );
                std::thread::spawn(move || send(&address, &next, &acknowledged))
            })
            .collect();
        std::thread::sleep(Duration::from_millis(60));
        let ignored =
            "INSERT INTO rows |INSERT INTO pw_service|INSERT INTO `tinybird|INSERT INTO tinybird";
        std::fs::write(&self.die_at, format!("{number} {when} {ignored}")).unwrap();
        let answer = wish(server.address());
        let died = answer.is_none();
        if let Some((status, text)) = answer {
            assert_eq!(status, 200, "{text}");
        }
        _ = std::fs::remove_file(&self.die_at);
        server.kill();
        for client in clients {
            client.join().unwrap();
        }
        self.kills += 1;
        let server = Server::start(self.path());
        server.settle();
        self.second = is_second(&server);
        self.check(&server, &format!("{when} statement {number}, died: {died}"));
        server.kill();
        died
    }

    fn check(&self, server: &Server, at: &str) {
        let equal = |one: &str, other: &str| {
            assert_eq!(ask(server, one), ask(server, other), "{one}, {at}");
        };
        let is = |sql: &str, answer: &str| {
            assert_eq!(ask(server, sql), (200, answer.to_owned()), "{sql}, {at}");
        };
        is("SELECT count() - uniqExact(id) FROM rows FORMAT TSV", "0");
        let (_, there) = ask(server, "SELECT id FROM rows FORMAT TSV");
        let there: BTreeSet<u64> = there.lines().map(|line| line.parse().unwrap()).collect();
        let acknowledged = self.acknowledged.lock().unwrap();
        let lost: Vec<&u64> = acknowledged.difference(&there).take(5).collect();
        assert!(lost.is_empty(), "{lost:?} are missing, {at}");
        let sums = |table: &str| {
            format!(
                "SELECT part, sum(rows), sum(ids) FROM {table} GROUP BY part ORDER BY part FORMAT TSV"
            )
        };
        let source =
            "SELECT part, count(), sum(id) FROM rows GROUP BY part ORDER BY part FORMAT TSV";
        equal(source, &sums("totals"));
        equal(
            "SELECT count(), sum(id) FROM rows FORMAT TSV",
            "SELECT sum(rows), sum(ids) FROM overall FORMAT TSV",
        );
        is(
            "SELECT count(), sum(number), uniqExact(number) FROM plain FORMAT TSV",
            "1000\t499500\t1000",
        );
        let (name, other) = if self.second {
            equal(source, &sums("extra"));
            is("SELECT countIf(more != 1) FROM rows FORMAT TSV", "0");
            ("fresh", "old")
        } else {
            ("old", "fresh")
        };
        let counted = format!("SELECT count(), uniqExact(word) FROM {name} FORMAT TSV");
        is(&counted, "50\t50");
        let (status, _) = ask(server, &format!("SELECT count() FROM {other} FORMAT TSV"));
        assert_ne!(status, 200, "{other} is there too, {at}");
        let (_, whole) = ask(
            server,
            "SELECT count(), min(version), max(version) FROM whole FORMAT TSV",
        );
        let whole: Vec<u64> = whole
            .split('\t')
            .map(|number| number.parse().unwrap())
            .collect();
        let (acknowledged, begun) = (self.replaced.load(Ordering::SeqCst), self.replacing);
        assert!(
            (acknowledged == 0 && whole[0] == 0)
                || whole[0] == 100
                    && whole[1] == whole[2]
                    && (acknowledged..=begun).contains(&whole[1]),
            "{whole:?} of {acknowledged} to {begun}, {at}"
        );
    }
}

/// Whether the second version is in force: it has a data source that the first has not.
fn is_second(server: &Server) -> bool {
    let (status, _) = server.request("GET", "/v0/datasources/extra", b"").unwrap();
    status == 200
}

/// Deploys a version and waits for it.
fn deploy(address: &str, files: &Files) -> Option<(u16, String)> {
    let body = json!({ "files": files }).to_string();
    let path = "/v1/deploy?wait=true&allow_destructive_operations=true";
    let (status, text) = request(address, "POST", path, body.as_bytes())?;
    let answer: Value = serde_json::from_str(&text).unwrap_or_default();
    assert_eq!(answer["deployment"]["live"], true, "{text}");
    Some((status, text))
}

/// Fills what a view fills anew, and waits for it.
fn populate(address: &str) -> Option<(u16, String)> {
    let path = "/v0/pipes/to_overall/nodes/n/population?truncate=true";
    let (status, text) = request(address, "POST", path, b"")?;
    let answer: Value = serde_json::from_str(&text).unwrap_or_default();
    let id = answer["job"]["job_id"]
        .as_str()
        .or(answer["job_id"].as_str());
    let id = id.unwrap_or_else(|| panic!("{text}")).to_owned();
    loop {
        let (_, job) = request(address, "GET", &format!("/v0/jobs/{id}"), b"")?;
        let job: Value = serde_json::from_str(&job).unwrap_or_default();
        match job["status"].as_str() {
            Some("done") => return Some((status, text)),
            Some("error" | "cancelled") => panic!("{job}"),
            _ => std::thread::sleep(Duration::from_millis(10)),
        }
    }
}

/// Lets a server die at one statement after the other, until the whole of what it does is behind it. Not more than `budget` times.
fn each(world: &mut World, budget: u64, about: u64, wish: &dyn Fn(&mut World, u64, &str) -> bool) {
    let stride = about.div_ceil(budget.max(1)).max(1);
    for when in ["before", "during", "after"] {
        // Different statements each time when only some are taken.
        let mut number = 1 + u64::from(std::process::id()) % stride;
        while wish(world, number, when) {
            number += stride;
        }
    }
}

#[test]
fn a_server_may_die_at_any_statement() {
    let mut world = World::new();
    let budget = kills() / 8;
    // Two directions, of which each ends in the other version.
    each(&mut world, budget * 2, 100, &|world, number, when| {
        let target = !world.second;
        let files = version(target);
        world.die(number, when, true, &|address| deploy(address, &files))
    });
    println!("{} kills with the deploys", world.kills);
    each(&mut world, budget / 2, 15, &|world, number, when| {
        world.die(number, when, true, &populate)
    });
    println!("{} kills with the populates", world.kills);
    each(&mut world, budget / 2, 15, &|world, number, when| {
        world.replacing += 1;
        let (number_of, replaced) = (world.replacing, Arc::clone(&world.replaced));
        let body = format!("{{\"version\":{number_of}}}\n").repeat(100);
        world.die(number, when, true, &|address| {
            let path = "/v0/datasources?mode=replace&name=whole&format=ndjson";
            let answer = request(address, "POST", path, body.as_bytes())?;
            replaced.store(number_of, Ordering::SeqCst);
            Some(answer)
        })
    });
    println!("{} kills in all", world.kills);
    assert!(world.acknowledged.lock().unwrap().len() > 50);
}
