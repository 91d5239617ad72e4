//! Data sources as the API shows them.

use std::borrow::Cow;
use std::collections::HashMap;

use pipewright_compiler::emit;
use pipewright_compiler::graph::Vertex;
use pipewright_compiler::plan::{Column, TablePlan};
use pipewright_compiler::project::prose;
use pipewright_compiler::sql::quote_literal;
use pipewright_grammar::syntax::DefaultKind;
use serde_json::{Value, json};

use super::App;
use super::error::ApiError;
use crate::catalog::Current;
use crate::engine::Query;
use crate::ingest::{IngestError, columns_there};

/// Rows and bytes by table.
pub(super) type Sizes = HashMap<String, (u64, u64)>;

/// A data source.
pub(super) async fn body(app: &App, table: &TablePlan) -> Result<Value, ApiError> {
    let sizes = sizes(app, Some(&table.name.name)).await?;
    let table = with_columns(app, table).await?;
    Ok(with_size(app, &table, &sizes))
}

/// A data source with the columns of its table, where no file has them.
pub(super) async fn with_columns<'a>(
    app: &App,
    table: &'a TablePlan,
) -> Result<Cow<'a, TablePlan>, ApiError> {
    if !table.columns.is_empty() {
        return Ok(Cow::Borrowed(table));
    }
    let columns = columns_there(app.engine.as_ref(), &table.name)
        .await
        .map_err(IngestError::from)?;
    let mut table = table.clone();
    table.columns = columns;
    Ok(Cow::Owned(table))
}

/// What the engine has of one table, or of all.
pub(super) async fn sizes(app: &App, table: Option<&str>) -> Result<Sizes, ApiError> {
    let only = table.map_or(String::new(), |name| {
        format!(" AND name = {}", quote_literal(name))
    });
    let sql = format!(
        "SELECT name, toUInt64(ifNull(total_rows, 0)) AS rows, toUInt64(ifNull(total_bytes, 0)) AS bytes FROM system.tables WHERE database = currentDatabase(){only}",
    );
    let answer = app
        .engine
        .query(Query::new(sql, "JSONCompactEachRow"))
        .await
        .map_err(IngestError::from)?;
    let bytes = answer.bytes().await.map_err(IngestError::from)?;
    let number = |value: &Value| match value {
        Value::String(text) => text.parse().unwrap_or(0),
        value => value.as_u64().unwrap_or(0),
    };
    let rows = bytes
        .split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice::<[Value; 3]>(line).ok());
    Ok(rows
        .filter_map(|[name, rows, bytes]| {
            Some((name.as_str()?.to_owned(), (number(&rows), number(&bytes))))
        })
        .collect())
}

/// A data source, with what it holds taken from the sizes.
pub(super) fn with_size(app: &App, table: &TablePlan, sizes: &Sizes) -> Value {
    let current = app.catalog.current();
    let name = &table.name.name;
    let object = current.objects.datasource(name);
    let (rows, bytes) = sizes.get(name).copied().unwrap_or_default();
    let columns: Vec<Value> = table.columns.iter().map(column).collect();
    let has_paths = table
        .columns
        .iter()
        .any(|column| column.json_path.is_some());
    let indexes = table.indexes.iter().map(|index| {
        json!({ "name": index.name, "expr": index.expression, "type_full": index.kind, "granularity": index.granularity.map(|granularity| granularity.to_string()) })
    });
    json!({
        "id": object.map_or_else(|| name.clone(), |object| object.id.clone()),
        "name": table.name.to_string(),
        "description": description(&current, name),
        "type": if has_paths { "ndjson" } else { "csv" },
        "cluster": null,
        "tags": {},
        "created_at": object.map(crate::catalog::Object::created_at),
        "updated_at": object.map(crate::catalog::Object::updated_at),
        "replicated": false,
        "version": 0,
        "project": null,
        "headers": {},
        "shared_with": [],
        "columns": columns,
        "schema": { "sql_schema": sql_schema(&table.columns) },
        "indexes": indexes.collect::<Vec<_>>(),
        "engine": engine(table),
        "used_by": used_by(&current, table),
        "statistics": { "row_count": rows, "bytes": bytes },
        "quarantine": emit::quarantine_name(&table.name).to_string(),
    })
}

fn description(current: &Current, name: &str) -> String {
    let datasource = current.plan.project.datasource(name);
    let description = datasource.and_then(|datasource| datasource.syntax.description.as_ref());
    description.map_or(String::new(), |text| prose::described(&text.value))
}

fn column(column: &Column) -> Value {
    let data_type = column.data_type.as_deref().unwrap_or("");
    let inner = data_type
        .strip_prefix("Nullable(")
        .and_then(|rest| rest.strip_suffix(')'));
    json!({
        "name": column.name,
        "type": inner.unwrap_or(data_type),
        "nullable": inner.is_some(),
        "normalized_name": column.name,
        "codec": column.codec,
        "jsonpath": column.json_path,
        "default_value": default_value(column),
    })
}

fn default_value(column: &Column) -> Option<String> {
    let (kind, expression) = column.default.as_ref()?;
    let keyword = match kind {
        DefaultKind::Default => "DEFAULT",
        DefaultKind::Materialized => "MATERIALIZED",
        DefaultKind::Alias => "ALIAS",
        DefaultKind::Ephemeral => "EPHEMERAL",
    };
    Some(format!("{keyword} {expression}").trim_end().to_owned())
}

/// The columns as one text, as a request to make the data source would have them.
fn sql_schema(columns: &[Column]) -> String {
    let columns = columns.iter().map(|column| {
        let mut parts = vec![format!("`{}`", column.name)];
        parts.extend(column.data_type.clone());
        parts.extend(
            column
                .json_path
                .as_ref()
                .map(|path| format!("`json:{path}`")),
        );
        parts.extend(default_value(column));
        parts.extend(column.codec.as_ref().map(|codec| format!("CODEC({codec})")));
        parts.extend(column.ttl.as_ref().map(|ttl| format!("TTL {ttl}")));
        parts.join(" ")
    });
    columns.collect::<Vec<_>>().join(", ")
}

fn engine(table: &TablePlan) -> Value {
    let engine = &table.engine;
    let mut out = json!({
        "engine": engine.name,
        "engine_partition_key": engine.partition_key,
        "engine_sorting_key": engine.sorting_key,
        "engine_primary_key": engine.primary_key,
        "engine_ttl": engine.ttl,
    });
    let keys = [
        ("engine_sampling_key", &engine.sampling_key),
        ("ttl", &engine.ttl),
        ("engine_settings", &engine.settings),
    ];
    for (key, value) in keys {
        if let Some(value) = value {
            out[key] = value.as_str().into();
        }
    }
    out
}

/// The pipes that read or fill a data source.
fn used_by(current: &Current, table: &TablePlan) -> Vec<Value> {
    let pipes = reader_pipes(current, table);
    let described = pipes.into_iter().map(|pipe| {
        let id = current.objects.pipe(&pipe).map(|object| object.id.clone());
        json!({ "id": id, "name": pipe })
    });
    described.collect()
}

/// The names of the pipes that read a data source or fill it.
pub(super) fn reader_pipes(current: &Current, table: &TablePlan) -> Vec<String> {
    let readers = current.readers(&Vertex::Datasource(table.name.clone()));
    let reading = readers
        .iter()
        .filter_map(|reader| reader.split_once('.'))
        .map(|(pipe, _)| pipe.to_owned());
    let mut pipes: Vec<String> = reading.chain(fillers(current, table)).collect();
    pipes.sort();
    pipes.dedup();
    pipes
}

/// The names of the pipes whose nodes fill a data source.
fn fillers(current: &Current, table: &TablePlan) -> Vec<String> {
    use pipewright_compiler::plan::Role;
    let fills = |role: &Role| match role {
        Role::Materialized { target } | Role::Copy { target, .. } => *target == table.name,
        _ => false,
    };
    let pipes = current
        .plan
        .pipes
        .values()
        .filter(|pipe| pipe.nodes.iter().any(|node| fills(&node.role)));
    pipes.map(|pipe| pipe.name.to_string()).collect()
}
