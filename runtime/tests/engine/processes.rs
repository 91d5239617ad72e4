//! What other processes see, and how a process with an engine ends.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use super::open;
use futures::StreamExt;
use pipewright::engine::chdb::{self, Chdb};
use pipewright::engine::{Engine, EngineError, Query};

/// Starts this test binary again to play `role` in `folder`.
fn child(role: &str, folder: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args([
            "--exact",
            "processes::plays_a_role",
            "--ignored",
            "--nocapture",
        ])
        .env("ENGINE_TEST_ROLE", role)
        .env("ENGINE_TEST_FOLDER", folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Not a test: what the child processes run.
#[expect(clippy::exit, reason = "that is what is tested")]
#[test]
#[ignore = "run by other tests in a process of its own"]
fn plays_a_role() {
    let Some(folder) = std::env::var_os("ENGINE_TEST_FOLDER") else {
        return;
    };
    let role = std::env::var("ENGINE_TEST_ROLE").unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let engine: &'static Chdb = Box::leak(Box::new(open(Path::new(&folder))));
    runtime.block_on(async {
        let endless = |format: &str| {
            Query::new(
                "SELECT number, sipHash64(number) FROM numbers(1000000000000)",
                format,
            )
        };
        engine
            .query(Query::new("SELECT 1", "TSV"))
            .await
            .unwrap()
            .bytes()
            .await
            .unwrap();
        match role.as_str() {
            "hold" => {
                println!("ready");
                std::thread::sleep(Duration::from_mins(1));
            }
            "exit" => println!("ready"),
            "exit while running" => {
                let _running = tokio::spawn(engine.query(endless("JSON")));
                let mut streaming = engine.query(endless("CSV")).await.unwrap();
                streaming.next().await.unwrap().unwrap();
                std::mem::forget(streaming);
                println!("ready");
                std::process::exit(0);
            }
            "panic" => panic!("as asked"),
            "shut down while running" => {
                let running = tokio::spawn(engine.query(endless("Null")));
                let mut streaming = engine.query(endless("CSV")).await.unwrap();
                streaming.next().await.unwrap().unwrap();
                tokio::time::sleep(Duration::from_millis(100)).await;
                let start = Instant::now();
                engine.shutdown().await;
                assert!(
                    start.elapsed() < Duration::from_secs(6),
                    "{:?}",
                    start.elapsed()
                );
                let outcome = running.await.unwrap();
                assert!(
                    matches!(outcome, Err(EngineError::Cancelled)),
                    "{outcome:?}"
                );
                let rest: Vec<_> = streaming.collect().await;
                assert!(
                    matches!(rest.last(), Some(Err(EngineError::Cancelled))),
                    "{:?}",
                    rest.last()
                );
                let late = engine.query(Query::new("SELECT 1", "TSV")).await;
                assert!(matches!(late, Err(EngineError::Stopping)), "{late:?}");
                // The data is free again, for this process too.
                drop(open(Path::new(
                    &std::env::var_os("ENGINE_TEST_FOLDER").unwrap(),
                )));
                println!("ready");
            }
            "count jobs" => {
                let short = "SELECT number AS x FROM numbers(5)";
                let outside = "SELECT arrayJoin(range(5)) AS x";
                for (sql, threads) in [(short, "0"), (outside, "0"), (short, "1")] {
                    let before = thread_jobs(engine).await;
                    for _ in 0..100 {
                        let mut query = Query::new(sql, "JSON");
                        query.max_result_bytes = Some(1_000_000);
                        if threads == "1" {
                            query = query.setting("output_format_parallel_formatting", "1");
                        }
                        engine.query(query).await.unwrap().bytes().await.unwrap();
                    }
                    println!("jobs {}", thread_jobs(engine).await - before);
                }
                println!("ready");
            }
            other => panic!("no such role: {other}"),
        }
    });
}

/// How much work threads of the engine have been given within its statements.
async fn thread_jobs(engine: &Chdb) -> u64 {
    let sql = "SELECT sum(value) FROM system.events WHERE event = 'LocalThreadPoolJobs'";
    let answer = engine.query(Query::new(sql, "TSV")).await.unwrap();
    let text = String::from_utf8_lossy(&answer.bytes().await.unwrap()).into_owned();
    text.trim().parse().unwrap()
}

#[test]
fn the_text_of_answers_is_made_in_no_threads_of_the_engine() {
    let output = ended("count jobs");
    assert_clean(&output);
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let jobs: Vec<u64> = stdout
        .lines()
        .filter_map(|line| line.strip_prefix("jobs ")?.parse().ok())
        .collect();
    let [short, outside, in_threads] = jobs[..] else {
        panic!("{stdout}");
    };
    // A hundred answers each. What the engine does in the background now and then is counted, too.
    assert!(in_threads >= 300, "{in_threads}: they are counted");
    assert!(short < 50 && outside < 50, "{short}, {outside}");
}

fn ended(role: &str) -> Output {
    let folder = tempfile::tempdir().unwrap();
    child(role, folder.path()).output().unwrap()
}

fn assert_clean(output: &Output) {
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{}\n{stdout}\n{stderr}",
        output.status
    );
    assert!(stdout.contains("ready"), "{stdout}");
    assert!(stderr.is_empty(), "{stderr}");
}

/// A child that holds the engine, ended when dropped.
struct Holder(Child);

impl Holder {
    fn start(folder: &Path) -> Self {
        let mut child = child("hold", folder).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready = lines
            .map_while(Result::ok)
            .any(|line| line.contains("ready"));
        let holder = Self(child);
        assert!(ready, "the child did not start");
        holder
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_second_process_is_told_who_holds_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let holder = Holder::start(folder.path());
    let refused = Chdb::open(&chdb::Config::new(folder.path())).unwrap_err();
    match &refused {
        EngineError::Busy { owner, .. } => assert_eq!(*owner, Some(holder.0.id())),
        other => panic!("{other:?}"),
    }
    let message = refused
        .to_string()
        .replace(&folder.path().display().to_string(), "[folder]");
    let expected = format!(
        "[folder] is in use by another process (process id {}); stop that process, or choose another project folder",
        holder.0.id()
    );
    assert_eq!(message, expected);
    drop(holder);
    // The lock went with the process, even though it was killed.
    assert_clean(&child("exit", folder.path()).output().unwrap());
}

#[test]
fn a_process_that_just_ends_ends_cleanly() {
    assert_clean(&ended("exit"));
}

#[test]
fn a_process_that_exits_in_the_middle_of_queries_ends_cleanly() {
    assert_clean(&ended("exit while running"));
}

#[test]
fn shutting_down_stops_what_runs_and_frees_the_data() {
    assert_clean(&ended("shut down while running"));
}

#[test]
fn a_panic_stays_a_panic() {
    let output = ended("panic");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(101), "{stderr}");
    assert!(stderr.contains("as asked"), "{stderr}");
}

#[cfg(unix)]
#[test]
fn a_termination_signal_ends_the_process_at_once() {
    use std::os::unix::process::ExitStatusExt;
    let folder = tempfile::tempdir().unwrap();
    let mut holder = Holder::start(folder.path());
    let start = Instant::now();
    let sent = Command::new("kill")
        .args(["-TERM", &holder.0.id().to_string()])
        .status()
        .unwrap();
    assert!(sent.success());
    let status = holder.0.wait().unwrap();
    assert_eq!(status.signal(), Some(15));
    assert!(start.elapsed() < Duration::from_secs(1));
}
