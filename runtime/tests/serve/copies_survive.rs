//! Copies across crashes and restarts: each is there once, and each time of a schedule runs once.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{ADMIN, Project, Server};

const NUMBERS: &str = "SCHEMA >\n    `round` UInt32,\n    `n` UInt64\n\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"n\"\n";
const COUNTS: &str = "SCHEMA >\n    `round` UInt32,\n    `rows` SimpleAggregateFunction(sum, UInt64)\n\nENGINE \"AggregatingMergeTree\"\nENGINE_SORTING_KEY \"round\"\n";

/// More than one block, so that a crash can come in between.
const ROWS: u64 = 2_500_000;

fn query() -> String {
    format!("%\n    SELECT {{{{UInt32(turn, 0)}}}} AS round, number AS n FROM numbers({ROWS})")
}

fn post(server: &Server, path: &str) -> Value {
    let bearer = format!("Bearer {ADMIN}");
    let answer = server.send("POST", path, &[("Authorization", &bearer)], b"");
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    answer.json()
}

fn rows(server: &Server, sql: &str) -> String {
    let bearer = format!("Bearer {ADMIN}");
    let answer = server.send(
        "POST",
        "/v0/sql",
        &[("Authorization", &bearer)],
        sql.as_bytes(),
    );
    assert_eq!(answer.status, 200, "{sql}: {}", answer.text());
    answer.text()
}

fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + Duration::from_secs(40);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < until, "{what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn ended(server: &Server, id: &str) -> Value {
    until("the job does not end", || {
        let job = server.get(&format!("/v0/jobs/{id}")).json();
        let status = job["status"].as_str().expect("a text").to_owned();
        ["done", "error", "cancelled"]
            .contains(&status.as_str())
            .then_some(job)
    })
}

#[test]
fn a_copy_that_is_cut_off_is_there_once_in_the_end() {
    let copier = |target: &str, mode: &str| {
        format!(
            "NODE n\nSQL >\n    {}\nTYPE copy\nTARGET_DATASOURCE {target}\nCOPY_MODE {mode}\n",
            query()
        )
    };
    let project = Project::new(&[
        ("appended.datasource", NUMBERS),
        ("replaced.datasource", NUMBERS),
        ("counts.datasource", COUNTS),
        (
            "count_them.pipe",
            "NODE n\nSQL >\n    SELECT round, count() AS rows FROM appended GROUP BY round\nTYPE materialized\nDATASOURCE counts\n",
        ),
        ("append_them.pipe", &copier("appended", "append")),
        ("replace_them.pipe", &copier("replaced", "replace")),
    ]);
    let mut server = Server::start(&project);
    for (round, delay) in (1..).zip([20u64, 0, 150, 20, 300, 60]) {
        let jobs: Vec<String> = ["append_them", "replace_them"]
            .map(|pipe| {
                post(&server, &format!("/v0/pipes/{pipe}/copy?turn={round}"))["job"]["id"]
                    .as_str()
                    .expect("a text")
                    .to_owned()
            })
            .to_vec();
        // Half of the time the process dies while the copied rows are being written.
        if round % 2 == 0 {
            until("no rows are written", || {
                let job = server.get(&format!("/v0/jobs/{}", jobs[0])).json();
                (job["progress"]["phase"] == "writing").then_some(())
            });
        }
        std::thread::sleep(Duration::from_millis(delay));
        server.kill();
        drop(server);
        server = Server::start(&project);
        for id in &jobs {
            let job = ended(&server, id);
            assert_eq!(job["status"], "done", "{job}");
            assert_eq!(job["statistics"]["rows"], ROWS);
        }
        let replaced = rows(
            &server,
            "SELECT min(round), max(round), count() FROM replaced FORMAT TSV",
        );
        assert_eq!(replaced, format!("{round}\t{round}\t{ROWS}\n"));
    }
    let expected: Vec<String> = (1..=6).map(|round| format!("{round}\t{ROWS}\n")).collect();
    let expected = expected.concat();
    for sql in [
        "SELECT round, count() FROM appended GROUP BY round ORDER BY round FORMAT TSV",
        "SELECT round, sum(rows) FROM counts GROUP BY round ORDER BY round FORMAT TSV",
    ] {
        assert_eq!(rows(&server, sql), expected, "{sql}");
    }
    // Nothing of the jobs is left in the engine.
    let tables = project.path().join(".pipewright/chdb");
    assert!(server.interrupt().0 == Some(0));
    let left: Vec<String> = std::fs::read_dir(tables.join("metadata/pipewright"))
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.starts_with("pw_copy"))
        .collect();
    assert_eq!(left, [] as [String; 0]);
}

#[test]
fn each_time_of_a_schedule_runs_once_also_across_crashes() {
    let copier = |name: &str| {
        (
            format!("{name}.pipe"),
            "NODE n\nSQL >\n    %\n    SELECT {{String(job_timestamp)}} AS at\nTYPE copy\nTARGET_DATASOURCE times\nCOPY_SCHEDULE 0 0 1 1 *\n".to_owned(),
        )
    };
    let (first, second) = (copier("first"), copier("second"));
    let project = Project::new(&[
        ("times.datasource", "SCHEMA >\n    `at` String\n"),
        (&first.0, &first.1),
        (&second.0, &second.1),
    ]);
    let state = project.path().join(".pipewright/state.sqlite");
    let since = |pipe_id: &str, from: Option<i64>| -> Option<i64> {
        let connection = rusqlite::Connection::open(&state).unwrap();
        connection.busy_timeout(Duration::from_secs(5)).unwrap();
        if let Some(from) = from {
            let changed = connection
                .execute(
                    "UPDATE schedules SET since = ?1 WHERE pipe_id = ?2",
                    rusqlite::params![from, pipe_id],
                )
                .unwrap();
            assert_eq!(changed, 1);
        }
        connection
            .query_row(
                "SELECT since FROM schedules WHERE pipe_id = ?1",
                [pipe_id],
                |row| row.get(0),
            )
            .ok()
    };
    let jobs_of = |server: &Server, pipe: &str| -> Vec<Value> {
        let jobs = server.get("/v0/jobs?kind=copy").json()["jobs"]
            .as_array()
            .unwrap()
            .clone();
        jobs.into_iter()
            .filter(|job| job["pipe_name"] == pipe)
            .collect()
    };
    let mut server = Server::start(&project);
    let id = |server: &Server, name: &str| {
        server.get(&format!("/v0/pipes/{name}")).json()["id"]
            .as_str()
            .expect("a text")
            .to_owned()
    };
    let (first, second) = (id(&server, "first"), id(&server, "second"));
    until("the schedules are not followed", || {
        since(&first, None).zip(since(&second, None))
    });
    server.kill();
    drop(server);
    // The process was gone since 2020: of the times that it missed, the latest runs.
    since(&first, Some(1_577_836_801));
    server = Server::start(&project);
    let job = until("the copy does not run", || jobs_of(&server, "first").pop());
    server.kill();
    drop(server);
    server = Server::start(&project);
    assert_eq!(
        ended(&server, job["id"].as_str().expect("a text"))["status"],
        "done"
    );
    // While the other's times come twice, the first's does not come again.
    for times in 1..=2 {
        since(&second, Some(1_577_836_801));
        until("the other copy does not run", || {
            (jobs_of(&server, "second").len() == times).then_some(())
        });
        let job = jobs_of(&server, "second")[0]["id"]
            .as_str()
            .expect("a text")
            .to_owned();
        assert_eq!(ended(&server, &job)["trigger"], "scheduled");
    }
    assert_eq!(jobs_of(&server, "first").len(), 1);
    let expected = "SELECT toString(toStartOfYear(now())) || ' 00:00:00' AS at, 3 AS c FORMAT TSV";
    assert_eq!(
        rows(
            &server,
            "SELECT at, count() FROM times GROUP BY at FORMAT TSV"
        ),
        rows(&server, expected)
    );
}

#[test]
fn a_stop_does_not_wait_for_a_long_copy_and_the_next_start_takes_it_up() {
    let project = Project::new(&[
        ("numbers_of.datasource", NUMBERS),
        (
            "slow.pipe",
            "NODE n\nSQL >\n    SELECT toUInt32(1) AS round, number AS n FROM numbers(1000000000000) WHERE cityHash64(number) = 1\nTYPE copy\nTARGET_DATASOURCE numbers_of\n",
        ),
        ("pipewright.toml", "[limits]\nquery_timeout_ms = 300\n"),
    ]);
    let server = Server::start(&project);
    let job = post(&server, "/v0/pipes/slow/copy")["job"]["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    let status = |server: &Server| server.get(&format!("/v0/jobs/{job}")).json()["status"].clone();
    until("the copy does not begin", || {
        (status(&server) == "working").then_some(())
    });
    let began = Instant::now();
    let (code, messages) = server.interrupt();
    assert_eq!(code, Some(0), "{messages}");
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "{:?}",
        began.elapsed()
    );
    let server = Server::start(&project);
    until("the copy does not go on", || {
        (status(&server) == "working").then_some(())
    });
    post(&server, &format!("/v0/jobs/{job}/cancel"));
    assert_eq!(ended(&server, &job)["status"], "cancelled");
}

#[test]
fn the_end_of_a_job_is_in_the_log_also_when_the_process_dies_at_once() {
    let project = Project::new(&[
        ("appended.datasource", NUMBERS),
        (
            "few.pipe",
            "NODE n\nSQL >\n    SELECT toUInt32(1) AS round, number AS n FROM numbers(3)\nTYPE copy\nTARGET_DATASOURCE appended\n",
        ),
    ]);
    let server = Server::start(&project);
    let ids: Vec<String> = (0..2)
        .map(|_| {
            let job = post(&server, "/v0/pipes/few/copy")["job"]["id"].clone();
            let id = job.as_str().expect("an id").to_owned();
            assert_eq!(ended(&server, &id)["status"], "done");
            id
        })
        .collect();
    server.kill();
    drop(server);
    let server = Server::start(&project);
    let logged = |sql: &str| {
        let text = rows(&server, &format!("{sql} FORMAT TSV"));
        text.trim().to_owned()
    };
    let ends = "SELECT count(), uniqExact(job_id), countIf(position(job_metadata, 'memory') > 0) FROM tinybird.jobs_log FINAL WHERE status = 'done'";
    until("the ends are in the log", || {
        (logged(ends) == "2\t2\t0").then_some(())
    });
    let operations = "SELECT count(), uniqExact(job_id), sum(rows) FROM tinybird.datasources_ops_log WHERE event_type = 'copy'";
    until("what was done is in the log", || {
        (logged(operations) == "2\t2\t6").then_some(())
    });
    // Once, however often it starts.
    drop(server);
    let server = Server::start(&project);
    std::thread::sleep(Duration::from_millis(1500));
    let text = rows(&server, &format!("{operations} FORMAT TSV"));
    assert_eq!(text.trim(), "2\t2\t6");
    assert_eq!(ids.len(), 2);
}

#[test]
fn the_progress_of_a_copy_moves_while_it_works() {
    let project = Project::new(&[
        ("appended.datasource", NUMBERS),
        (
            "long.pipe",
            "NODE n\nSQL >\n    SELECT toUInt32(1) AS round, number AS n FROM numbers(200000000000) WHERE sipHash64(number) % 1000000000 = 7\nTYPE copy\nTARGET_DATASOURCE appended\n",
        ),
    ]);
    let server = Server::start(&project);
    let job = post(&server, "/v0/pipes/long/copy")["job"]["id"].clone();
    let path = format!("/v0/jobs/{}", job.as_str().expect("an id"));
    let read = || {
        let job = server.get(&path).json();
        assert!(
            job["status"] == "waiting" || job["status"] == "working",
            "{job}"
        );
        job["progress"]["read_rows"].as_u64().unwrap_or(0)
    };
    let first = until("it reads", || Some(read()).filter(|rows| *rows > 0));
    until("it reads more", || {
        Some(read()).filter(|rows| *rows > first)
    });
    let cancelled = server.ask(ADMIN, "POST", &format!("{path}/cancel"), "");
    assert_eq!(cancelled.status, 200, "{}", cancelled.text());
}
