//! `pipewright plan`: what a deploy would do, as a value that `pipewright deploy` runs.
//!
//! The embedded engine belongs to one process, so that no rows arrive while a deploy runs: a table that is made anew is filled from the old one and put in its
//! place in one statement. Every step can be cut off: before that statement the old table is whole, after it the new one, and what lies beside is swept away.

use std::collections::BTreeMap;

use pipewright_compiler::deploy::{
    self as steps, Change, ColumnShape, Effect, Step, StepKind, TableShape, beside,
};
use pipewright_compiler::plan::Plan;
use pipewright_compiler::project::ResourceName;
use pipewright_compiler::sql::{quote_identifier, quote_literal};
use serde::{Deserialize, Serialize};

use super::{DeployError, Progress, describe, introspect};
use crate::engine::{Engine, EngineError, Query};

/// What a deploy does, in order.
#[derive(Debug, Default, Serialize)]
pub struct DeployPlan {
    /// Tables and views that are not there yet.
    pub creates: Vec<Step>,
    /// Tables and views that become others.
    pub changes: Vec<PlannedChange>,
}

/// A change with what it costs.
#[derive(Debug, Serialize)]
pub struct PlannedChange {
    /// The change.
    #[serde(flatten)]
    pub change: Change,
    /// Rows that are there.
    pub rows: u64,
    /// Their bytes on disk.
    pub bytes: u64,
}

impl DeployPlan {
    /// Whether nothing is to be done.
    pub fn is_empty(&self) -> bool {
        self.creates.is_empty() && self.changes.is_empty()
    }

    /// Changes that take values or rows away.
    pub fn destructive(&self) -> Vec<&Change> {
        self.changes
            .iter()
            .map(|planned| &planned.change)
            .filter(|change| change.effect == Effect::Destroys)
            .collect()
    }
}

/// Compares the project with what is in the engine. Only empty tables are made for that, and they are gone again when this returns.
pub async fn plan(plan: &Plan, engine: &dyn Engine) -> Result<DeployPlan, DeployError> {
    let (desired, diagnostics) = steps::desired(plan);
    if let Some(diagnostic) = diagnostics.into_iter().next() {
        return Err(DeployError::NotCompiled(describe(plan, &diagnostic)));
    }
    let failed = |source| DeployError::Introspect { source };
    let actual = introspect(engine, &plan.database).await?;
    let drifted = actual.drifted(&desired);
    let (mut dropped, mut altered, mut made) = (Vec::new(), Vec::new(), Vec::new());
    for step in desired.iter().filter(|step| drifted.contains(&step.name)) {
        if step.kind == StepKind::CreateMaterializedView {
            let (drop, create) = steps::change_view(step);
            dropped.push(PlannedChange {
                change: drop,
                rows: 0,
                bytes: 0,
            });
            made.push(PlannedChange {
                change: create,
                rows: 0,
                bytes: 0,
            });
            continue;
        }
        let wanted = sketch(step, engine).await.map_err(failed)?;
        let found = shape(engine, &step.name).await.map_err(failed)?;
        let forward = plan
            .project
            .datasources
            .get(&ResourceName::local(&step.name))
            .and_then(|datasource| datasource.syntax.forward_query.as_ref());
        let forward = forward.map(|query| query.text.as_str());
        let (rows, bytes) = size(engine, &step.name).await.map_err(failed)?;
        if let Some(change) = steps::change_table(step, &found, &wanted, forward) {
            altered.push(PlannedChange {
                change,
                rows,
                bytes,
            });
        } else {
            let sql = format!(
                "ALTER TABLE {} MODIFY COMMENT {}",
                quote_identifier(&step.name),
                quote_literal(&step.comment())
            );
            engine.execute(&sql).await.map_err(failed)?;
        }
    }
    let creates = steps::missing(desired, &actual.names());
    let creates = creates
        .into_iter()
        .filter(|step| step.kind != StepKind::CreateDatabase)
        .collect();
    Ok(DeployPlan {
        creates,
        changes: dropped.into_iter().chain(altered).chain(made).collect(),
    })
}

/// Runs a plan's changes. What it creates is left to [`super::deploy`], which comes after.
pub async fn change(
    plan: &DeployPlan,
    engine: &dyn Engine,
    progress: &dyn Progress,
) -> Result<(), DeployError> {
    for planned in &plan.changes {
        let change = &planned.change;
        progress.say(&format!(
            "changing {}: {}",
            change.name,
            change.what.join(", ")
        ));
        for sql in &change.sql {
            if let Err(source) = engine.execute(sql).await {
                // Only what was being made can be there: the old table is dropped last, and then there is nothing left to fail.
                if !sql.starts_with("DROP TABLE") {
                    _ = engine
                        .execute(&format!(
                            "DROP TABLE IF EXISTS {} SYNC",
                            quote_identifier(&beside(&change.name))
                        ))
                        .await;
                }
                return Err(DeployError::Step {
                    what: "the changed",
                    name: change.name.clone(),
                    source,
                });
            }
        }
    }
    Ok(())
}

/// Takes away what a deploy or a replace that was cut off left beside its tables. Not while the ways in for rows are open.
pub async fn sweep(engine: &dyn Engine) -> Result<(), DeployError> {
    let failed = |source| DeployError::Introspect { source };
    let sql = "SELECT name FROM system.tables WHERE database = currentDatabase() AND (name LIKE 'pw\\_rebuild\\_%' OR name LIKE 'pw\\_sketch\\_%' OR name LIKE 'pw\\_replace\\_%')";
    for name in lines(engine, sql).await.map_err(failed)? {
        engine
            .execute(&format!(
                "DROP TABLE IF EXISTS {} SYNC",
                quote_identifier(&name)
            ))
            .await
            .map_err(failed)?;
    }
    Ok(())
}

/// The engine's description of a table that the project wants: of an empty one made for a moment.
async fn sketch(step: &Step, engine: &dyn Engine) -> Result<TableShape, EngineError> {
    let name = format!("pw_sketch_{}", step.name);
    let drop = format!("DROP TABLE IF EXISTS {} SYNC", quote_identifier(&name));
    engine.execute(&drop).await?;
    let create = step.sql.replacen(
        &format!(
            "CREATE TABLE IF NOT EXISTS {}",
            quote_identifier(&step.name)
        ),
        &format!("CREATE TABLE IF NOT EXISTS {}", quote_identifier(&name)),
        1,
    );
    engine.execute(&create).await?;
    let found = shape(engine, &name).await;
    engine.execute(&drop).await?;
    found
}

#[derive(Deserialize)]
struct Keys {
    engine_full: String,
    sorting_key: String,
    primary_key: String,
}

#[derive(Deserialize)]
struct Index {
    name: String,
    definition: String,
}

async fn shape(engine: &dyn Engine, name: &str) -> Result<TableShape, EngineError> {
    let table = quote_literal(name);
    let keys = format!(
        "SELECT engine_full, sorting_key, primary_key FROM system.tables WHERE database = currentDatabase() AND name = {table}"
    );
    let keys: Vec<Keys> = rows(engine, &keys).await?;
    let columns = format!(
        "SELECT name, type, default_kind, default_expression, compression_codec AS codec FROM system.columns WHERE database = currentDatabase() AND table = {table} ORDER BY position"
    );
    let columns: Vec<ColumnShape> = rows(engine, &columns).await?;
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
        columns,
        indexes: indexes
            .into_iter()
            .map(|index| (index.name, index.definition))
            .collect(),
    })
}

async fn size(engine: &dyn Engine, name: &str) -> Result<(u64, u64), EngineError> {
    let sql = format!(
        "SELECT toString(sum(rows)) AS rows, toString(sum(bytes_on_disk)) AS bytes FROM system.parts WHERE active AND database = currentDatabase() AND table = {}",
        quote_literal(name)
    );
    let found: Vec<BTreeMap<String, String>> = rows(engine, &sql).await?;
    let number = |key: &str| {
        found
            .first()
            .and_then(|row| row.get(key)?.parse().ok())
            .unwrap_or(0)
    };
    Ok((number("rows"), number("bytes")))
}

async fn rows<T: serde::de::DeserializeOwned>(
    engine: &dyn Engine,
    sql: &str,
) -> Result<Vec<T>, EngineError> {
    let bytes = engine
        .query(Query::new(sql, "JSONEachRow"))
        .await?
        .bytes()
        .await?;
    let lines = bytes
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty());
    Ok(lines
        .map(serde_json::from_slice)
        .collect::<Result<_, _>>()
        .map_err(std::io::Error::from)?)
}

async fn lines(engine: &dyn Engine, sql: &str) -> Result<Vec<String>, EngineError> {
    let bytes = engine
        .query(Query::new(sql, "TSVRaw"))
        .await?
        .bytes()
        .await?;
    Ok(String::from_utf8_lossy(&bytes)
        .lines()
        .map(ToOwned::to_owned)
        .collect())
}
