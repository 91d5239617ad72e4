//! Rows on their way into a real engine, in this process and in real ones that are killed. These tests fail when libchdb is not installed.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in what it calls too"
)]

mod copies;
mod crashes;
mod events;
mod files;
mod gone;
mod populate;
mod server;
mod types;

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use futures::stream;
use pipewright::engine::{self, Config, Engine, Query};
use pipewright::ingest::{Append, Appended, Format, Ingest, IngestError};
use pipewright_compiler::plan::Plan;
use pipewright_compiler::project::SourceTree;

/// The engine of this process, and the folder of its state.
fn opened() -> &'static (Arc<dyn Engine>, PathBuf) {
    static OPENED: OnceLock<(Arc<dyn Engine>, PathBuf)> = OnceLock::new();
    OPENED.get_or_init(|| {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("ingest-tests");
        _ = std::fs::remove_dir_all(&folder);
        let config = Config::embedded(&folder);
        let open = move || {
            tokio::runtime::Runtime::new()
                .expect("a runtime")
                .block_on(engine::open(config))
        };
        let opened = std::thread::spawn(open).join().expect("no panic");
        (opened.expect("these tests need the engine"), folder)
    })
}

fn engine() -> Arc<dyn Engine> {
    Arc::clone(&opened().0)
}

fn ingest() -> Arc<Ingest> {
    static INGEST: OnceLock<Arc<Ingest>> = OnceLock::new();
    Arc::clone(INGEST.get_or_init(|| Ingest::open(engine(), &opened().1).expect("a folder")))
}

/// A project without errors.
fn checked(files: &[(&str, &str)]) -> Plan {
    let sources = SourceTree::new(
        files
            .iter()
            .map(|(name, text)| ((*name).to_owned(), (*text).to_owned())),
    );
    let (plan, diagnostics) = pipewright_compiler::check(sources);
    assert!(
        diagnostics
            .iter()
            .all(|found| found.severity != pipewright_grammar::diagnostic::Severity::Error),
        "{diagnostics:?}"
    );
    plan
}

/// A project of data sources and pipes, with its tables in the engine.
async fn project(files: &[(&str, &str)]) -> Plan {
    let plan = checked(files);
    let (steps, diagnostics) = pipewright_compiler::deploy::desired(&plan);
    assert!(diagnostics.is_empty(), "{diagnostics:?}");
    for step in steps {
        engine()
            .execute(&step.sql_with_comment())
            .await
            .unwrap_or_else(|error| panic!("{}: {error}", step.sql));
    }
    plan
}

async fn append(
    plan: &Plan,
    name: &str,
    format: Format,
    rows: impl Into<Vec<u8>>,
) -> Result<Appended, IngestError> {
    let append = Append {
        format,
        delimiter: None,
    };
    // Cut into pieces that end anywhere.
    let chunks: Vec<_> = rows
        .into()
        .chunks(7)
        .map(|chunk| Ok(Bytes::copy_from_slice(chunk)))
        .collect();
    ingest()
        .append(
            plan.table(name).expect("the data source"),
            &append,
            stream::iter(chunks),
        )
        .await
}

async fn tsv(sql: &str) -> String {
    let answer = engine()
        .query(Query::new(sql, "TSV"))
        .await
        .unwrap_or_else(|error| panic!("{sql}: {error}"));
    String::from_utf8(answer.bytes().await.expect("bytes").to_vec()).expect("UTF-8")
}

/// Why rows are in a quarantine, one line for each.
async fn reasons(name: &str) -> String {
    tsv(&format!("SELECT arrayStringConcat(arrayMap((c, e) -> concat(c, ': ', e), c__error_column, c__error), '; ') FROM {name}_quarantine ORDER BY all")).await
}
