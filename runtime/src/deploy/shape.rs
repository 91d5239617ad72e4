//! Tables as the engine describes them: those that are there, and those that a project would make.

use pipewright_compiler::deploy::{ColumnShape, Step, StepKind, TableShape};
use pipewright_compiler::sql::{quote_identifier, quote_literal};
use serde::Deserialize;

use super::names;
use crate::engine::ask::{rows, text};
use crate::engine::{Engine, EngineError};

/// The statement of a step with another name for what it makes.
pub(super) fn create_as(step: &Step, sql: &str, name: &str) -> String {
    let kind = match step.kind {
        StepKind::CreateMaterializedView => "MATERIALIZED VIEW",
        _ => "TABLE",
    };
    sql.replacen(
        &format!(
            "CREATE {kind} IF NOT EXISTS {}",
            quote_identifier(&step.name)
        ),
        // What is there already under a name for a moment is something else.
        &format!("CREATE {kind} {}", quote_identifier(name)),
        1,
    )
}

/// The engine's description of a table that the project wants: of an empty one made for a moment.
pub(super) async fn sketch(step: &Step, engine: &dyn Engine) -> Result<TableShape, EngineError> {
    let name = names::sketch(&step.name);
    let drop = format!("DROP TABLE IF EXISTS {} SYNC", quote_identifier(&name));
    engine.execute(&drop).await?;
    engine.execute(&create_as(step, &step.sql, &name)).await?;
    let found = shape(engine, &name).await;
    engine.execute(&drop).await?;
    found
}

/// A column's own TTL, as the table's definition with a column on each line has it.
fn column_ttl<'a>(definition: &'a str, name: &str) -> &'a str {
    let start = format!("    `{}` ", name.replace('\\', "\\\\").replace('`', "\\`"));
    let line = definition
        .lines()
        .find_map(|line| line.strip_prefix(&start))
        .unwrap_or_default();
    let Some((_, ttl)) = line.rsplit_once(" TTL ") else {
        return "";
    };
    let ttl = ttl.strip_suffix(',').unwrap_or(ttl);
    // Inside a string it is none.
    if ttl.matches('\'').count() % 2 == 0 {
        ttl
    } else {
        ""
    }
}

#[derive(Deserialize)]
struct Keys {
    engine_full: String,
    sorting_key: String,
    primary_key: String,
    partition_key: String,
    sampling_key: String,
}

#[derive(Deserialize)]
struct Index {
    name: String,
    definition: String,
}

/// The engine's description of a table.
pub(super) async fn shape(engine: &dyn Engine, name: &str) -> Result<TableShape, EngineError> {
    let table = quote_literal(name);
    let keys = format!(
        "SELECT engine_full, sorting_key, primary_key, partition_key, sampling_key FROM system.tables WHERE database = currentDatabase() AND name = {table}"
    );
    let keys: Vec<Keys> = rows(engine, &keys).await?;
    let columns = format!(
        "SELECT name, type, default_kind, default_expression, compression_codec AS codec FROM system.columns WHERE database = currentDatabase() AND table = {table} ORDER BY position"
    );
    let mut columns: Vec<ColumnShape> = rows(engine, &columns).await?;
    let definition = format!(
        "SELECT formatQuery(create_table_query) FROM system.tables WHERE database = currentDatabase() AND name = {table}"
    );
    let definition = text(engine, &definition).await?;
    for column in &mut columns {
        column.ttl = column_ttl(&definition, &column.name).to_owned();
    }
    let indexes = format!(
        "SELECT name, concat(expr, ' TYPE ', type_full, ' GRANULARITY ', toString(granularity)) AS definition FROM system.data_skipping_indices WHERE database = currentDatabase() AND table = {table} ORDER BY name"
    );
    let indexes: Vec<Index> = rows(engine, &indexes).await?;
    let keys = keys
        .into_iter()
        .next()
        .ok_or_else(|| EngineError::Unavailable(format!("the table `{name}` has gone")))?;
    Ok(TableShape {
        engine_full: keys.engine_full,
        sorting_key: keys.sorting_key,
        primary_key: keys.primary_key,
        partition_key: keys.partition_key,
        sampling_key: keys.sampling_key,
        columns,
        indexes: indexes
            .into_iter()
            .map(|index| (index.name, index.definition))
            .collect(),
    })
}
