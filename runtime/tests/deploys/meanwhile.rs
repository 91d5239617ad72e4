//! What happens while a populate waits for its turn, and what an order of rows means for those that take the place of others.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::served::ask;
use super::server::Server;

const ROW: &str =
    "SCHEMA >\n    `id` UInt64 `json:$.id`\n\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"id\"\n";
const MADE: &str = "SCHEMA >\n    `id` UInt64\n\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"id\"\n";

fn view(query: &str, target: &str) -> String {
    format!("NODE n\nSQL >\n    {query}\n\nTYPE materialized\nDATASOURCE {target}\n")
}

fn node(query: &str) -> String {
    format!("NODE n\nSQL >\n    {query}\n")
}

/// A project in which one view takes its time.
fn project(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write(
        "pipewright.toml",
        "[allow]\nfunctions = [\"sleepEachRow\"]\n",
    );
    for name in ["src", "slow"] {
        write(&format!("{name}.datasource"), ROW);
    }
    for name in ["slow_made", "dst"] {
        write(&format!("{name}.datasource"), MADE);
    }
    write(
        "slowly.pipe",
        &view("SELECT id + sleepEachRow(0.1) AS id FROM slow", "slow_made"),
    );
    write(
        "e.pipe",
        "NODE n\nSQL >\n    SELECT 1 AS one\n\nTYPE endpoint\n",
    );
    for (name, text) in files {
        write(name, text);
    }
    folder
}

fn post(server: &Server, path: &str, body: &str) -> String {
    let (status, text) = server.request("POST", path, body.as_bytes()).unwrap();
    assert_eq!(status, 200, "{path}: {text}");
    text
}

fn send(server: &Server, name: &str, mode: &str, ids: std::ops::Range<u64>) {
    let rows: Vec<String> = ids.map(|id| format!("{{\"id\":{id}}}\n")).collect();
    let path = format!("/v0/datasources?mode={mode}&name={name}&format=ndjson");
    post(server, &path, &rows.concat());
}

fn count(server: &Server, name: &str) -> String {
    ask(server, &format!("SELECT count() FROM {name} FORMAT TSV"))
}

/// Has the server do something that later populates wait for.
fn occupy(server: &Server) {
    send(server, "slow", "append", 0..20);
    for _ in 0..2 {
        post(server, "/v0/pipes/slowly/nodes/n/population", "");
    }
    let begun = Instant::now();
    while !jobs(server).contains("\"working\"") {
        assert!(begun.elapsed() < Duration::from_secs(30));
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn jobs(server: &Server) -> String {
    server.request("GET", "/v0/jobs", b"").unwrap().1
}

/// How many populates have not begun.
fn waiting(server: &Server) -> usize {
    let jobs: Value = serde_json::from_str(&jobs(server)).unwrap();
    let jobs = jobs["jobs"].as_array().unwrap();
    let unmade = |job: &&Value| {
        job["kind"] == "populateview"
            && job["status"] != "done"
            && job["progress"]["phase"].is_null()
    };
    jobs.iter().filter(unmade).count()
}

fn no_job_failed(server: &Server) {
    server.settle();
    let jobs = jobs(server);
    assert!(!jobs.contains("\"status\":\"error\""), "{jobs}");
}

#[test]
fn a_populate_that_waits_puts_no_rows_in_that_have_been_replaced() {
    let folder = project(&[("p.pipe", &node("SELECT id FROM src"))]);
    let server = Server::start(folder.path());
    send(&server, "src", "append", 0..100);
    occupy(&server);
    let path = "/v0/pipes/p/nodes/n/materialization?datasource=dst&populate=true";
    post(&server, path, "");
    assert!(waiting(&server) > 0, "{}", jobs(&server));
    send(&server, "src", "replace", 1000..1010);
    no_job_failed(&server);
    assert_eq!(count(&server, "src"), "10");
    assert_eq!(count(&server, "dst"), "10");
}

#[test]
fn a_populate_that_waits_puts_no_rows_in_that_a_deploy_has_put_in() {
    for populate in [true, false] {
        let folder = project(&[
            ("mid.datasource", MADE),
            ("first.pipe", &view("SELECT id FROM src", "mid")),
            ("p.pipe", &node("SELECT id FROM mid")),
        ]);
        let server = Server::start(folder.path());
        send(&server, "src", "append", 0..100);
        occupy(&server);
        let path =
            format!("/v0/pipes/p/nodes/n/materialization?datasource=dst&populate={populate}");
        post(&server, &path, "");
        if !populate {
            post(&server, "/v0/pipes/p/nodes/n/population", "");
        }
        assert!(waiting(&server) > 0, "{}", jobs(&server));
        let mut files = files(folder.path());
        files["p.pipe"] = view("SELECT id FROM mid", "dst").into();
        let query = "SELECT id + 0 AS id FROM src WHERE id >= 0";
        files["first.pipe"] = view(query, "mid").into();
        let path = "/v1/deploy?wait=true&allow_destructive_operations=true";
        post(
            &server,
            path,
            &serde_json::json!({ "files": files }).to_string(),
        );
        no_job_failed(&server);
        assert_eq!(count(&server, "mid"), "100");
        assert_eq!(count(&server, "dst"), "100", "populate={populate}");
    }
}

fn files(folder: &Path) -> Value {
    let mut files = serde_json::Map::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            files.insert(name, std::fs::read_to_string(&path).unwrap().into());
        }
    }
    Value::Object(files)
}

#[test]
fn a_populate_that_waits_goes_on_when_its_pipe_gets_another_name() {
    let folder = project(&[("p.pipe", &node("SELECT id FROM src"))]);
    let server = Server::start(folder.path());
    send(&server, "src", "append", 0..100);
    occupy(&server);
    let path = "/v0/pipes/p/nodes/n/materialization?datasource=dst&populate=true";
    post(&server, path, "");
    assert!(waiting(&server) > 0, "{}", jobs(&server));
    // How the rows of before are kept is nobody's business.
    assert!(!jobs(&server).contains("pw_from_"), "{}", jobs(&server));
    let (status, text) = server.request("PUT", "/v0/pipes/p?name=w", b"").unwrap();
    assert_eq!(status, 200, "{text}");
    send(&server, "src", "append", 5000..5001);
    no_job_failed(&server);
    assert_eq!(count(&server, "dst"), "101");
}

#[test]
fn a_replace_gives_views_no_rows_that_they_were_not_to_have() {
    let folder = project(&[
        ("part.datasource", MADE),
        ("all.datasource", MADE),
        ("p.pipe", &node("SELECT id FROM src")),
        ("q.pipe", &node("SELECT id FROM src")),
        ("r.pipe", &node("SELECT id FROM src")),
    ]);
    let server = Server::start(folder.path());
    send(&server, "src", "append", 0..100);
    let make = |pipe: &str, rest: &str| {
        let path = format!("/v0/pipes/{pipe}/nodes/n/materialization?datasource={rest}");
        post(&server, &path, "");
        no_job_failed(&server);
    };
    let replace = || {
        let path =
            "/v0/datasources?mode=replace&name=src&format=ndjson&replace_condition=id%20%3D%2099";
        server.request("POST", path, b"{\"id\":99}\n").unwrap()
    };
    make("r", "all&populate=true");
    let (status, text) = replace();
    assert_eq!(status, 200, "{text}");
    assert_eq!(count(&server, "all"), "100");
    make("p", "dst");
    make("q", "part&populate=true&populate_condition=id%20%3C%2010");
    for (target, pipe, rows) in [("dst", "p", "0"), ("part", "q", "10")] {
        let (status, text) = replace();
        assert_eq!(status, 400, "{text}");
        assert!(text.contains("without all rows that were there"), "{text}");
        assert_eq!(count(&server, target), rows);
        let path = format!("/v0/pipes/{pipe}/nodes/n/population?truncate=true");
        post(&server, &path, "");
        no_job_failed(&server);
        assert_eq!(count(&server, target), "100");
    }
    let (status, text) = replace();
    assert_eq!(status, 200, "{text}");
    assert_eq!(count(&server, "part"), "100");
}

#[test]
fn what_is_made_anew_with_the_same_columns_loses_its_rows_all_the_same() {
    let folder = project(&[
        (
            "old.datasource",
            "SCHEMA >\n    `id` UInt64 `json:$.id`,\n    `one` UInt8 `json:$.one`\n\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"id\"\n",
        ),
        ("p.pipe", &node("SELECT id, toUInt8(1) AS one FROM src")),
        ("q.pipe", &node("SELECT id, toUInt8(1) AS one FROM src")),
    ]);
    let server = Server::start(folder.path());
    send(&server, "src", "append", 0..100);
    send(&server, "old", "append", 0..7);
    let made = "datasource=old&override_datasource=true&populate=true";
    let path = format!("/v0/pipes/p/nodes/n/materialization?{made}");
    post(&server, &path, "");
    no_job_failed(&server);
    assert_eq!(count(&server, "old"), "100");
    // Once more, into what the first one has made.
    let (status, text) = server
        .request("DELETE", "/v0/pipes/p/nodes/n/materialization", b"")
        .unwrap();
    assert!(status < 300, "{text}");
    let path = format!("/v0/pipes/q/nodes/n/materialization?{made}");
    post(&server, &path, "");
    no_job_failed(&server);
    assert_eq!(count(&server, "old"), "100");
}

/// Makes a view in the place of a data source with rows, and fills it.
fn make_anew(server: &Server) -> Option<u16> {
    let path =
        "/v0/pipes/p/nodes/n/materialization?datasource=dst&override_datasource=true&populate=true";
    server.request("POST", path, b"").map(|(status, _)| status)
}

#[test]
fn a_process_that_dies_when_a_view_is_made_has_the_next_one_fill_it() {
    let mut deaths = 0;
    for number in 1.. {
        let folder = project(&[("p.pipe", &node("SELECT id, toUInt8(1) AS one FROM src"))]);
        let die_at = folder.path().join("die-at");
        let server = Server::start_mortal(folder.path(), &die_at);
        send(&server, "src", "append", 0..100);
        send(&server, "dst", "append", 0..7);
        // The change is written before the old table is dropped, which is before anything is done for the job.
        let others = "CREATE|INSERT|ALTER|SYSTEM|RENAME|EXCHANGE|DROP VIEW|DROP TABLE IF EXISTS pw_to|DROP TABLE IF EXISTS pw_from";
        std::fs::write(&die_at, format!("{number} before {others}")).unwrap();
        let status = make_anew(&server);
        _ = std::fs::remove_file(&die_at);
        assert!(status.is_none_or(|status| status == 200), "{status:?}");
        server.kill();
        let server = Server::start(folder.path());
        no_job_failed(&server);
        send(&server, "src", "append", 1000..1001);
        let (_, pipe) = server.request("GET", "/v0/pipes/p", b"").unwrap();
        let rows = if pipe.contains("\"materialized\":null") {
            "7"
        } else {
            "101"
        };
        let at = format!("before statement {number}: {pipe}");
        assert_eq!(count(&server, "dst"), rows, "{at}");
        if status.is_some() {
            break;
        }
        deaths += 1;
    }
    assert!(deaths > 0);
}

const VERSIONS: &str = "SCHEMA >\n    `id` UInt64,\n    `day` UInt8,\n    `v` UInt64\n\nENGINE \"ReplacingMergeTree\"\nENGINE_SORTING_KEY \"id\"\n";

fn send_csv(server: &Server, name: &str, mode: &str, rows: &str) {
    let condition = if mode == "replace" {
        "&replace_condition=day%3D2"
    } else {
        ""
    };
    let path = format!("/v0/datasources?mode={mode}&name={name}&format=csv{condition}");
    post(server, &path, rows);
}

#[test]
fn rows_that_a_condition_does_not_name_stay_in_their_order_and_before_the_new_ones() {
    let folder = project(&[("versions.datasource", VERSIONS)]);
    let server = Server::start(folder.path());
    for v in [1, 11] {
        let rows: Vec<String> = (0..600_000).map(|id| format!("{id},1,{v}\n")).collect();
        send_csv(&server, "versions", "append", &rows.concat());
    }
    send_csv(
        &server,
        "versions",
        "replace",
        "5,2,20\n900001,2,20\n900002,1,20\n",
    );
    let sql = "SELECT v, count() FROM versions FINAL GROUP BY v ORDER BY v FORMAT TSV";
    assert_eq!(ask(&server, sql), "11\t599999\n20\t2");
    let sql = "SELECT count() FROM versions WHERE day = 1 AND id = 5 FORMAT TSV";
    assert_ne!(ask(&server, sql), "0");
}

#[test]
fn what_views_show_of_rows_with_one_key_is_the_new_one_after_a_replace() {
    let folder = project(&[
        ("seen.datasource", &VERSIONS.replace("Replacing", "")),
        ("latest.datasource", VERSIONS),
        ("v.pipe", &view("SELECT id, day, v FROM seen", "latest")),
    ]);
    let server = Server::start(folder.path());
    for v in [1, 11] {
        let rows: Vec<String> = (0..600_000).map(|id| format!("{id},1,{v}\n")).collect();
        send_csv(&server, "seen", "append", &rows.concat());
    }
    send_csv(
        &server,
        "seen",
        "replace",
        "5,2,20\n900001,2,20\n900002,1,20\n",
    );
    let sql = "SELECT v, count() FROM latest FINAL GROUP BY v ORDER BY v FORMAT TSV";
    assert_eq!(ask(&server, sql), "11\t599999\n20\t2");
}
