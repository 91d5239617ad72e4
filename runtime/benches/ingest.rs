//! Rows by our ways against the same bytes given straight to the engine's own insert, in one process and one run.
//!
//! `cargo bench -p pipewright --bench ingest` prints rates and their ratios, and how memory grows with the length of the input. All sides take turns, so that a
//! machine that grows slower does so for all.

#![expect(
    clippy::cast_precision_loss,
    reason = "rates are shown with three digits"
)]

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::stream::{self, StreamExt as _};
use pipewright::engine::{self, Config, Engine, Insert, Query};
use pipewright::ingest::{Append, EventLimits, Events, Format, Ingest, IngestError};
use pipewright_compiler::plan::{Plan, TablePlan};
use pipewright_compiler::project::SourceTree;

const ROUNDS: usize = 5;
/// Rows of one input; `BENCH_ROWS` names another number.
static ROWS: std::sync::LazyLock<u64> = std::sync::LazyLock::new(|| {
    std::env::var("BENCH_ROWS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(600_000)
});
const CHUNK: usize = 256 * 1024;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let state = tempfile::tempdir().expect("a temporary folder");
    runtime.block_on(run(state.path()));
}

async fn run(state: &Path) {
    let engine = engine::open(Config::embedded(state))
        .await
        .expect("the engine is installed");
    let plan = plan();
    let table = plan.table("bench").expect("the data source");
    let (steps, _) = pipewright_compiler::deploy::desired(&plan);
    for step in &steps {
        engine.execute(&step.sql).await.expect("the table");
    }
    let ingest = Ingest::open(Arc::clone(&engine), state).expect("a folder");
    // The first rows change settings of the table: all sides are to have the same one.
    let first = Bytes::from_static(b"{\"at\":\"2026-01-01 00:00:00\",\"id\":1,\"amount\":1,\"count\":1,\"level\":1,\"kind\":\"\"}\n");
    let events = Events::new(Arc::clone(&ingest), EventLimits::default());
    events.push(table, first, 1, true).await.expect("a row");
    events.shutdown().await;
    for format in [Format::Ndjson, Format::Csv, Format::Parquet] {
        compare(&engine, &ingest, table, format).await;
    }
    memory(&engine, &ingest, table).await;
    engine.shutdown().await;
}

#[expect(clippy::print_stdout, reason = "a benchmark reports on stdout")]
fn report(line: &str) {
    println!("{line}");
}

fn plan() -> Plan {
    let schema = "SCHEMA >
    `at` DateTime `json:$.at`,
    `id` UInt64 `json:$.id`,
    `name` Nullable(String) `json:$.name`,
    `amount` Float64 `json:$.amount`,
    `count` Int32 `json:$.count`,
    `level` UInt8 `json:$.level`,
    `kind` LowCardinality(String) `json:$.kind`,
    `tags` Array(String) `json:$.tags[:]`

ENGINE \"MergeTree\"
ENGINE_SORTING_KEY \"id\"
";
    let (plan, diagnostics) = pipewright_compiler::check(SourceTree::new([(
        "bench.datasource".to_owned(),
        schema.to_owned(),
    )]));
    assert!(diagnostics.is_empty(), "{diagnostics:?}");
    plan
}

async fn rows(engine: &Arc<dyn Engine>, format: &str) -> Bytes {
    let query = format!(
        "SELECT toDateTime('2026-01-01 00:00:00') + number AS at, number AS id, if(number % 5 = 0, NULL, concat('name ', toString(number))) AS name, number / 7 AS amount, toInt32(number % 1000) - 500 AS count, toUInt8(number % 200) AS level, concat('kind ', toString(number % 20)) AS kind, [concat('a', toString(number % 10)), 'b'] AS tags FROM numbers({})",
        *ROWS
    );
    engine
        .query(Query::new(query, format))
        .await
        .expect("rows")
        .bytes()
        .await
        .expect("bytes")
}

fn chunks(bytes: &Bytes) -> Vec<std::io::Result<Bytes>> {
    (0..bytes.len())
        .step_by(CHUNK)
        .map(|at| Ok(bytes.slice(at..bytes.len().min(at + CHUNK))))
        .collect()
}

async fn compare(
    engine: &Arc<dyn Engine>,
    ingest: &Arc<Ingest>,
    table: &TablePlan,
    format: Format,
) {
    let name = match format {
        Format::Ndjson => "JSONEachRow",
        Format::Csv => "CSV",
        Format::Parquet => "Parquet",
    };
    let bytes = rows(engine, name).await;
    let megabytes = bytes.len() as f64 / 1e6;
    let (mut own, mut append, mut events) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        empty(engine).await;
        let started = Instant::now();
        let insert = Insert {
            target: "bench".to_owned(),
            format: name.to_owned(),
            settings: Vec::new(),
        };
        engine
            .insert(insert, stream::iter(chunks(&bytes)).boxed())
            .await
            .expect("the engine's own insert");
        own.push(started.elapsed());
        check(engine).await;
        empty(engine).await;
        let started = Instant::now();
        let done = ingest
            .append(
                table,
                &Append {
                    format,
                    delimiter: None,
                },
                stream::iter(chunks(&bytes)),
            )
            .await
            .expect("an append");
        append.push(started.elapsed());
        assert_eq!(
            (done.counts.successful, done.counts.quarantined),
            (*ROWS, 0)
        );
        check(engine).await;
        if format == Format::Ndjson {
            empty(engine).await;
            let started = Instant::now();
            push(ingest, table, &bytes).await;
            events.push(started.elapsed());
            check(engine).await;
        }
    }
    let own = best(&own);
    report(&format!(
        "{name}: {megabytes:.0} MB, engine's own insert {:.0} MB/s, {:.0} rows/s",
        megabytes / own,
        *ROWS as f64 / own
    ));
    for (what, times) in [("file append", &append), ("events, 8 clients", &events)] {
        if !times.is_empty() {
            let best = best(times);
            report(&format!(
                "  {what}: {:.0} MB/s, {:.0} rows/s, {:.0} % of the engine's own",
                megabytes / best,
                *ROWS as f64 / best,
                100.0 * own / best
            ));
        }
    }
}

fn best(times: &[Duration]) -> f64 {
    times.iter().min().map_or(f64::NAN, Duration::as_secs_f64)
}

/// The Events API by eight clients with bodies of about a megabyte, until every row is in the engine. Each client has a task of its own, as each connection of the
/// server has.
async fn push(ingest: &Arc<Ingest>, table: &TablePlan, bytes: &Bytes) {
    let events = Events::new(Arc::clone(ingest), EventLimits::default());
    send(&events, table, bodies(bytes)).await;
    events.shutdown().await;
}

/// Whole rows of about a megabyte at a time.
fn bodies(bytes: &Bytes) -> VecDeque<Bytes> {
    let (mut bodies, mut rest) = (VecDeque::new(), bytes.clone());
    while !rest.is_empty() {
        let cut = rest.len().min(1_000_000);
        let end = rest[..cut]
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(rest.len(), |at| at + 1);
        bodies.push_back(rest.split_to(end));
    }
    bodies
}

async fn send(events: &Arc<Events>, table: &TablePlan, bodies: VecDeque<Bytes>) {
    let bodies = Arc::new(Mutex::new(bodies));
    let clients = (0..8).map(|_| {
        let (events, table, bodies) = (Arc::clone(events), table.clone(), Arc::clone(&bodies));
        tokio::spawn(async move {
            let next = || bodies.lock().expect("no panic").pop_front();
            while let Some(body) = next() {
                let (lines, rows) = pipewright::ingest::json_lines(body, false).expect("lines");
                while let Err(error) = events.push(&table, lines.clone(), rows, false).await {
                    assert!(matches!(error, IngestError::Busy), "{error}");
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            }
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.expect("the client");
    }
}

async fn empty(engine: &Arc<dyn Engine>) {
    engine
        .execute("TRUNCATE TABLE bench SYNC")
        .await
        .expect("an empty table");
}

async fn check(engine: &Arc<dyn Engine>) {
    let answer = engine
        .query(Query::new(
            "SELECT count(), uniqExact(id) FROM bench",
            "TSV",
        ))
        .await
        .expect("a count");
    assert_eq!(
        answer.bytes().await.expect("bytes").as_ref(),
        format!("{0}\t{0}\n", *ROWS).as_bytes()
    );
}

/// The highest memory of this process after ever longer inputs.
async fn memory(engine: &Arc<dyn Engine>, ingest: &Arc<Ingest>, table: &TablePlan) {
    let Ok(largest) = std::env::var("BENCH_MEGABYTES")
        .unwrap_or_else(|_| "500".to_owned())
        .parse::<usize>()
    else {
        return;
    };
    let bytes = rows(engine, "JSONEachRow").await;
    for megabytes in [10, 100, largest] {
        empty(engine).await;
        let copies = (megabytes * 1_000_000).div_ceil(bytes.len());
        let all = stream::iter(0..copies).flat_map(|_| stream::iter(chunks(&bytes)));
        ingest
            .append(
                table,
                &Append {
                    format: Format::Ndjson,
                    delimiter: None,
                },
                all,
            )
            .await
            .expect("an append");
        report(&format!(
            "memory after {} MB of NDJSON: highest {} MiB",
            copies * bytes.len() / 1_000_000,
            highest()
        ));
        empty(engine).await;
        let events = Events::new(Arc::clone(ingest), EventLimits::default());
        for _ in 0..copies {
            send(&events, table, bodies(&bytes)).await;
        }
        events.shutdown().await;
        report(&format!(
            "memory after the same as events: highest {} MiB",
            highest()
        ));
    }
}

fn highest() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM"))
        .unwrap_or("");
    line.split_whitespace()
        .nth(1)
        .and_then(|number| number.parse::<u64>().ok())
        .unwrap_or(0)
        / 1024
}
