//! Rows on their way into a real engine, in this process and in real ones that are killed. These tests fail when libchdb is not installed.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in what it calls too"
)]

mod cascade_crashes;
mod cascades;
mod copies;
mod crashes;
mod defaults;
mod events;
mod files;
mod gone;
mod misfits;
mod opened;
mod ordered;
mod parquet;
mod populate;
mod records;
mod refused;
mod refused_crashes;
mod replaced;
mod server;
mod types;
mod waited;
mod waiting;
mod whole_rows;

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use futures::stream;
use opened::{checked, opened};
use pipewright::engine::Engine;
use pipewright::ingest::{Append, Appended, Format, Ingest, IngestError};
use pipewright_compiler::plan::Plan;

fn engine() -> Arc<dyn Engine> {
    Arc::clone(&opened("ingest-tests").0)
}

fn ingest() -> Arc<Ingest> {
    static INGEST: OnceLock<Arc<Ingest>> = OnceLock::new();
    Arc::clone(
        INGEST.get_or_init(|| Ingest::open(engine(), &opened("ingest-tests").1).expect("a folder")),
    )
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
    opened::text(engine().as_ref(), sql).await
}

/// Why rows are in a quarantine, one line for each.
async fn reasons(name: &str) -> String {
    tsv(&format!("SELECT arrayStringConcat(arrayMap((c, e) -> concat(c, ': ', e), c__error_column, c__error), '; ') FROM {name}_quarantine ORDER BY all")).await
}
