//! `fixtures/<datasource>.{sql,ndjson,csv,parquet}` → rows in a data source that has none.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Instant;

use pipewright_compiler::emit;
use pipewright_compiler::graph::{Edge, Vertex};
use pipewright_compiler::plan::{Plan, TablePlan};
use pipewright_compiler::project::ResourceName;
use pipewright_compiler::sql::{quote_identifier, quote_literal};

use super::{DeployError, Progress};
use crate::engine::{Engine, EngineError, Query};

/// Endings in the order in which they are looked for.
const ENDINGS: &[&str] = &["sql", "ndjson", "csv", "parquet"];

/// Loads every fixture whose data source was empty before the first one was loaded.
pub(super) async fn load(
    plan: &Plan,
    refused: &BTreeMap<String, String>,
    root: &Path,
    engine: &dyn Engine,
    progress: &dyn Progress,
) -> Result<Vec<(String, u64)>, DeployError> {
    let mut waiting = Vec::new();
    for table in plan
        .tables
        .values()
        .filter(|table| table.name.workspace.is_none())
        .filter(|table| !refused.contains_key(&table.name.name))
    {
        let Some(path) = find(root, &table.name.name) else {
            continue;
        };
        if rows(engine, &table.name)
            .await
            .map_err(|source| failed(&path, source))?
            == 0
        {
            waiting.push((table, path));
        }
    }
    let mut loaded = Vec::new();
    for (table, path) in waiting {
        let (started, name) = (Instant::now(), file_name(&path));
        progress.say(&format!("loading {name}"));
        let before = reached(plan, &table.name, engine).await;
        if let Err(source) = fill(table, &path, engine).await {
            if let Err(left) = taken_back(&before, engine).await {
                return Err(DeployError::HalfFixture {
                    file: file_name(&path),
                    why: source.to_string(),
                    source: left,
                });
            }
            return Err(failed(&path, source));
        }
        let count = rows(engine, &table.name)
            .await
            .map_err(|source| failed(&path, source))?;
        progress.say(&format!(
            "loaded {name}: {count} rows in {:.1} s",
            started.elapsed().as_secs_f64()
        ));
        loaded.push((table.name.to_string(), count));
    }
    Ok(loaded)
}

fn failed(path: &Path, source: EngineError) -> DeployError {
    DeployError::Fixture {
        file: file_name(path),
        source,
    }
}

fn file_name(path: &Path) -> String {
    format!(
        "fixtures/{}",
        path.file_name().unwrap_or_default().to_string_lossy()
    )
}

fn find(root: &Path, name: &str) -> Option<PathBuf> {
    ENDINGS
        .iter()
        .map(|ending| root.join("fixtures").join(format!("{name}.{ending}")))
        .find(|path| path.is_file())
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

async fn fill(table: &TablePlan, path: &Path, engine: &dyn Engine) -> Result<(), EngineError> {
    let path = path.canonicalize()?;
    let file = quote_literal(&path.to_string_lossy());
    let statement = match path.extension().and_then(|ending| ending.to_str()) {
        Some("sql") => by_name(table, &std::fs::read_to_string(&path)?, engine).await?,
        Some("ndjson") => emit::insert_json(
            table,
            &format!("file({file}, 'JSONAsString', 'line String')"),
        ),
        Some("csv") if !has_header(table, &path)? => {
            let structure: Vec<String> = table
                .columns
                .iter()
                .map(|column| quote_identifier(&column.name))
                .collect();
            format!(
                "INSERT INTO {} ({}) SELECT * FROM file({file}, 'CSV')",
                emit::table_name(&table.name),
                structure.join(", ")
            )
        }
        Some("csv") => {
            by_name(
                table,
                &format!("SELECT * FROM file({file}, 'CSVWithNames')"),
                engine,
            )
            .await?
        }
        _ => {
            by_name(
                table,
                &format!("SELECT * FROM file({file}, 'Parquet')"),
                engine,
            )
            .await?
        }
    };
    engine.execute(&statement).await
}

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
        return Err(std::io::Error::other(format!(
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

/// Whether the first line of a CSV file names columns of the table.
fn has_header(table: &TablePlan, path: &Path) -> std::io::Result<bool> {
    use std::io::BufRead as _;
    let mut line = String::new();
    std::io::BufReader::new(std::fs::File::open(path)?).read_line(&mut line)?;
    Ok(line.trim().split(',').all(|field| {
        table
            .columns
            .iter()
            .any(|column| column.name == field.trim_matches('"'))
    }))
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
    Err(std::io::Error::other(why).into())
}
