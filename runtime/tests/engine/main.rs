//! The embedded engine, for real: these tests fail when libchdb is not installed.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod bounded;
mod cancellation;
mod inserts;
mod processes;
mod queries;
mod settings;
mod streams;

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use pipewright::engine::chdb::{self, Chdb};
use pipewright::engine::{Engine, EngineError, Query};

/// The engine of this process: the library serves one data folder at a time.
fn engine() -> Arc<dyn Engine> {
    static ENGINE: OnceLock<Arc<dyn Engine>> = OnceLock::new();
    let opened = ENGINE.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("engine-tests");
        let _ = std::fs::remove_dir_all(&folder);
        Arc::new(open(&folder))
    });
    Arc::clone(opened)
}

fn open(folder: &Path) -> Chdb {
    match Chdb::open(&chdb::Config::new(folder)) {
        Ok(engine) => engine,
        Err(error) => panic!("these tests need the engine: {error}"),
    }
}

/// The whole result as text.
async fn text(query: Query) -> Result<String, EngineError> {
    let bytes = engine().query(query).await?.bytes().await?;
    Ok(String::from_utf8(bytes.to_vec()).expect("the result is UTF-8"))
}

async fn tsv(sql: &str) -> String {
    text(Query::new(sql, "TSV"))
        .await
        .unwrap_or_else(|error| panic!("{sql}: {error}"))
}

/// Statements with `needle` in their text that are running now.
async fn running(needle: &str) -> u64 {
    let sql = format!(
        "SELECT count() FROM system.processes WHERE position(query, '{needle}') > 0 AND query_id != queryID()"
    );
    let count = tsv(&sql).await;
    count.trim().parse().unwrap_or_else(|_| panic!("{count:?}"))
}

/// Waits until `count` statements with `needle` run.
async fn until_running(needle: &str, count: u64) {
    let start = Instant::now();
    while running(needle).await != count {
        assert!(
            start.elapsed() < Duration::from_secs(10),
            "never {count} × {needle}"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Resident memory of this process in MiB, now or at its highest.
#[cfg(target_os = "linux")]
fn memory(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<u64>()
        .unwrap()
        / 1024
}
