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
            other => panic!("no such role: {other}"),
        }
    });
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
