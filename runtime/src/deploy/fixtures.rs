//! `fixtures/<datasource>.{ndjson,csv,sql,parquet}` → rows in a data source that has none.
//!
//! Files of rows go the way of an append, so that rows that do not fit are set aside. A fixture that cannot be loaded is told, and the rest goes on.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use futures::stream;
use pipewright_compiler::emit;
use pipewright_compiler::graph::{Edge, Vertex};
use pipewright_compiler::plan::{Plan, TablePlan};
use pipewright_compiler::project::ResourceName;
use pipewright_compiler::sql::{quote_identifier, quote_literal};

use super::{DeployError, Deployed, Progress};
use crate::engine::{Engine, EngineError, Query, ask};
use crate::ingest::{Append, Appended, Format, Ingest, IngestError, Mark};

/// Endings in the order in which they are looked for: rows come before a query that makes some.
const ENDINGS: &[&str] = &["ndjson", "csv", "sql", "parquet"];

/// Folders in the order in which they are looked through; Classic projects have the second.
const FOLDERS: &[&str] = &["fixtures", "datasources/fixtures"];

/// Loads every fixture whose data source was empty before the first one was loaded, and not because its rows were taken away.
pub(super) async fn load(
    plan: &Plan,
    root: &Path,
    ingest: &Arc<Ingest>,
    progress: &dyn Progress,
    deployed: &mut Deployed,
) -> Result<(), DeployError> {
    let engine = ingest.engine();
    let mut waiting = Vec::new();
    for table in plan
        .tables
        .values()
        .filter(|table| table.name.workspace.is_none())
        .filter(|table| !deployed.refused.contains_key(&table.name.name))
    {
        let Some((file, path)) = find(root, &table.name.name) else {
            continue;
        };
        // Who has taken rows away did not want these in their place.
        if ingest
            .marked(Mark::Rewritten, &table.name.to_string())
            .is_some()
        {
            continue;
        }
        // Perhaps of this very fixture, whose load was cut off.
        let expects = ingest.is_expecting(&table.name.to_string());
        if expects.map_err(|error| DeployError::Fixture {
            file: file.clone(),
            source: error.into(),
        })? {
            continue;
        }
        match rows(engine, &table.name).await {
            Ok(0) => waiting.push((table, file, path)),
            Ok(_) => {}
            // A data source without columns that no node makes has no table.
            Err(EngineError::Exception { .. }) if table.columns.is_empty() => {}
            Err(source) => return Err(DeployError::Fixture { file, source }),
        }
    }
    for (table, file, path) in waiting {
        let started = Instant::now();
        progress.say(&format!("loading {file}"));
        let before = reached(plan, &table.name, engine).await;
        let appended = match fill(table, &path, ingest).await {
            Ok(appended) => appended,
            Err(error) => {
                let mut why = why(&error, &file, &path);
                if let Err(left) = taken_back(&before, engine).await {
                    why = format!(
                        "{why}; a part of its rows cannot be taken away, so that it counts as loaded ({left})"
                    );
                }
                deployed.unloaded.push((file, why));
                continue;
            }
        };
        let count = rows(engine, &table.name)
            .await
            .map_err(|source| DeployError::Fixture {
                file: file.clone(),
                source,
            })?;
        let taken = if count == 0 && table.engine.ttl.is_some() {
            ": the data source's TTL takes rows of that age away"
        } else {
            ""
        };
        progress.say(&format!(
            "loaded {file}: {count} rows in {:.1} s{taken}",
            started.elapsed().as_secs_f64()
        ));
        if let Some(appended) = appended.filter(|appended| appended.counts.quarantined > 0) {
            let why = misfits(table, &appended, engine).await;
            deployed.unloaded.push((file, why));
        }
        deployed.loaded.push((table.name.to_string(), count));
    }
    Ok(())
}

/// Why a fixture cannot be loaded, in one line.
fn why(error: &IngestError, file: &str, path: &Path) -> String {
    let path = path.canonicalize().unwrap_or_default();
    error.to_string().replace(&*path.to_string_lossy(), file)
}

/// What became of rows that do not fit.
async fn misfits(table: &TablePlan, appended: &Appended, engine: &dyn Engine) -> String {
    let quarantine = emit::quarantine_name(&table.name);
    let sql = format!(
        "SELECT arrayStringConcat(arrayMap((name, why) -> if(name = '', why, concat('`', name, '`: ', why)), c__error_column, c__error), '; ') FROM {} WHERE startsWith(ifNull(c__import_id, ''), {}) LIMIT 1",
        emit::table_name(&quarantine),
        quote_literal(&appended.import_id)
    );
    let first = ask::text(engine, &sql).await.unwrap_or_default();
    format!(
        "{} rows do not fit and are in `{quarantine}`, the first because of {}",
        appended.counts.quarantined,
        first.trim()
    )
}

/// The fixture of a data source: as one says it, and where it is.
fn find(root: &Path, name: &str) -> Option<(String, PathBuf)> {
    FOLDERS
        .iter()
        .flat_map(|folder| {
            ENDINGS
                .iter()
                .map(move |ending| format!("{folder}/{name}.{ending}"))
        })
        .map(|file| (root.join(&file), file))
        .find(|(path, _)| path.is_file())
        .map(|(path, file)| (file, path))
}

async fn rows(engine: &dyn Engine, name: &ResourceName) -> Result<u64, EngineError> {
    let answer = engine
        .query(Query::new(
            format!("SELECT count() FROM {}", emit::table_name(name)),
            "TSV",
        ))
        .await?;
    let bytes = answer.bytes().await?;
    Ok(String::from_utf8_lossy(&bytes).trim().parse().unwrap_or(0))
}

async fn fill(
    table: &TablePlan,
    path: &Path,
    ingest: &Arc<Ingest>,
) -> Result<Option<Appended>, IngestError> {
    let format = match path.extension().and_then(|ending| ending.to_str()) {
        Some("ndjson") => Format::Ndjson,
        Some("csv") => Format::Csv,
        Some("parquet") => Format::Parquet,
        _ => {
            let engine = ingest.engine();
            let statement = by_name(table, &std::fs::read_to_string(path)?, engine).await?;
            engine.execute(&statement).await?;
            return Ok(None);
        }
    };
    let append = Append {
        format,
        delimiter: None,
    };
    let file = std::fs::File::open(path)?;
    ingest.append(table, &append, pieces(file)).await.map(Some)
}

/// A file as it is read.
fn pieces(file: std::fs::File) -> impl futures::Stream<Item = io::Result<Bytes>> + Send {
    use std::io::Read as _;
    stream::unfold(Some(file), |file| async {
        let mut file = file?;
        let mut piece = vec![0; PIECE];
        match file.read(&mut piece) {
            Ok(0) => None,
            Ok(read) => {
                piece.truncate(read);
                Some((Ok(piece.into()), Some(file)))
            }
            Err(error) => Some((Err(error), None)),
        }
    })
}

/// How much of a file is read at a time.
const PIECE: usize = 1 << 18;

/// An insert of the query's columns that the table has too, by name.
async fn by_name(
    table: &TablePlan,
    query: &str,
    engine: &dyn Engine,
) -> Result<String, EngineError> {
    let query = query.trim().trim_end_matches(';');
    let given: BTreeSet<String> = engine
        .describe(query)
        .await?
        .into_iter()
        .map(|column| column.name)
        .collect();
    let columns: Vec<String> = table
        .columns
        .iter()
        .filter(|column| given.contains(&column.name))
        .map(|column| quote_identifier(&column.name))
        .collect();
    if columns.is_empty() {
        let names: Vec<String> = given.into_iter().collect();
        return Err(io::Error::other(format!(
            "none of its columns ({}) is a column of `{}`",
            names.join(", "),
            table.name
        ))
        .into());
    }
    let columns = columns.join(", ");
    Ok(format!(
        "INSERT INTO {} ({columns}) SELECT {columns} FROM (\n{query}\n)",
        emit::table_name(&table.name)
    ))
}

/// The data sources that rows of this one reach, with how many rows each has. What cannot be counted is not there.
async fn reached(
    plan: &Plan,
    name: &ResourceName,
    engine: &dyn Engine,
) -> Vec<(ResourceName, u64)> {
    let edges = plan.graph.edges();
    let mut reached: BTreeSet<&Vertex> = BTreeSet::new();
    let start = Vertex::Datasource(name.clone());
    let mut waiting = vec![&start];
    while let Some(vertex) = waiting.pop() {
        if reached.insert(vertex) {
            waiting.extend(
                edges
                    .iter()
                    .filter(|(from, _, kind)| *from == vertex && *kind != Edge::Copy)
                    .map(|(_, to, _)| *to),
            );
        }
    }
    let mut counted = Vec::new();
    for vertex in reached {
        if let Vertex::Datasource(name) = vertex
            && let Ok(count) = rows(engine, name).await
        {
            counted.push((name.clone(), count));
        }
    }
    counted
}

/// Takes the rows of a failed load away again, also from what materialized views made of them: as far as there were no others.
async fn taken_back(
    before: &[(ResourceName, u64)],
    engine: &dyn Engine,
) -> Result<(), EngineError> {
    let mut taken = Ok(());
    for (name, count) in before {
        // One after the other all the same: as little as can be stays.
        let done = if *count == 0 {
            let sql = format!("TRUNCATE TABLE {}", emit::table_name(name));
            engine.execute(&sql).await
        } else {
            is_as_before(name, *count, engine).await
        };
        if let Err(error) = done {
            taken = Err(error);
        }
    }
    taken
}

async fn is_as_before(
    name: &ResourceName,
    count: u64,
    engine: &dyn Engine,
) -> Result<(), EngineError> {
    let now = rows(engine, name).await?;
    if now == count {
        return Ok(());
    }
    let why = format!("`{name}` had {count} rows before, and has {now} now");
    Err(io::Error::other(why).into())
}
