//! What the engine trait costs over the bare C interface: a point lookup on ten million rows, whole JSON document out.
//!
//! Run with `cargo bench -p pipewright --bench engine`. Both sides run in one process on the same table, interleaved,
//! so that whatever else the machine does disturbs both alike. Percentiles are of single calls.
#![expect(clippy::print_stdout, reason = "the numbers are the result")]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pipewright::engine::chdb::{Chdb, Config, ffi::Library};
use pipewright::engine::{DATABASE, Engine, Query, locate};

const ROWS: u64 = 10_000_000;
const CALLS: u64 = 4_000;
const ROUNDS: usize = 3;

fn sql(number: u64) -> String {
    // Spread over the table, the same on both sides.
    format!(
        "SELECT id, name, value FROM lookups WHERE id = {}",
        number.wrapping_mul(7_919_993) % ROWS
    )
}

fn main() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("engine-bench");
    let engine = Arc::new(Chdb::open(&Config::new(&folder)).expect("the engine opens"));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(fill(engine.as_ref()));
    let library =
        Library::open(&locate().expect("the library is there")).expect("the library opens");
    let argument = format!("--path={}", folder.join("chdb").display());
    println!(
        "{:>8} {:>8} {:>10} {:>10} {:>10} {:>10}",
        "clients", "side", "p50 µs", "p90 µs", "p99 µs", "calls/s"
    );
    for clients in [1, 8] {
        let (mut bare, mut through) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            bare.push(run_bare(library, &argument, clients));
            through.push(run_through(&runtime, &engine, clients));
        }
        report(clients, "C API", bare);
        report(clients, "engine", through);
    }
    runtime.block_on(engine.shutdown());
}

async fn fill(engine: &dyn Engine) {
    let exists =
        "SELECT count() FROM system.tables WHERE name = 'lookups' AND database = currentDatabase()";
    let answer = engine
        .query(Query::new(exists, "TSVRaw"))
        .await
        .expect("asks");
    if answer.bytes().await.expect("answers").as_ref() == b"1\n" {
        return;
    }
    let create = "CREATE TABLE lookups (id UInt64, name String, value Float64) ENGINE = MergeTree ORDER BY id";
    engine.execute(create).await.expect("creates");
    let rows = format!(
        "INSERT INTO lookups SELECT number, concat('name ', toString(number)), number / 3 FROM numbers({ROWS})"
    );
    engine.execute(&rows).await.expect("fills");
    engine
        .execute("OPTIMIZE TABLE lookups FINAL")
        .await
        .expect("merges");
}

/// The latencies of single calls, and how long all of them took.
type Run = (Vec<Duration>, Duration);

fn run_bare(library: &'static Library, argument: &str, clients: u64) -> Run {
    let start = Instant::now();
    let latencies = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..clients)
            .map(|client| {
                scope.spawn(move || {
                    let mut connection = library.connect(&[argument.to_owned()]).expect("connects");
                    let entered = connection.query(&format!("USE {DATABASE}"), "Null", &[]);
                    assert!(entered.error().is_none(), "{:?}", entered.error());
                    let calls = (0..CALLS / clients).map(|call| {
                        let sql = sql(client * CALLS + call);
                        let start = Instant::now();
                        let result = connection.query(&sql, "JSON", &[]);
                        assert!(result.as_ref().len() > 100, "{:?}", result.error());
                        start.elapsed()
                    });
                    calls.collect::<Vec<_>>()
                })
            })
            .collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().expect("runs"))
            .collect()
    });
    (latencies, start.elapsed())
}

fn run_through(runtime: &tokio::runtime::Runtime, engine: &Arc<Chdb>, clients: u64) -> Run {
    let start = Instant::now();
    let tasks: Vec<_> = (0..clients)
        .map(|client| {
            let engine = Arc::clone(engine);
            runtime.spawn(async move {
                let mut latencies = Vec::new();
                for call in 0..CALLS / clients {
                    let sql = sql(client * CALLS + call);
                    let start = Instant::now();
                    let query = Query::new(sql, "JSON").timeout(Duration::from_secs(10));
                    let bytes = engine
                        .query(query)
                        .await
                        .expect("answers")
                        .bytes()
                        .await
                        .expect("ends");
                    assert!(bytes.len() > 100);
                    latencies.push(start.elapsed());
                }
                latencies
            })
        })
        .collect();
    let latencies = tasks
        .into_iter()
        .flat_map(|task| runtime.block_on(task).expect("runs"))
        .collect();
    (latencies, start.elapsed())
}

fn report(clients: u64, side: &str, runs: Vec<Run>) {
    let took: Duration = runs.iter().map(|(_, took)| *took).sum();
    let mut latencies: Vec<Duration> = runs
        .into_iter()
        .flat_map(|(latencies, _)| latencies)
        .collect();
    latencies.sort_unstable();
    let at = |share: usize| latencies[(latencies.len() - 1) * share / 100].as_micros();
    let rate = latencies.len() as u128 * 1_000_000 / took.as_micros().max(1);
    println!(
        "{clients:>8} {side:>8} {:>10} {:>10} {:>10} {rate:>10}",
        at(50),
        at(90),
        at(99)
    );
}
