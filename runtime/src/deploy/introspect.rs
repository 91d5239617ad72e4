//! What is really in the engine.

use std::collections::{BTreeMap, BTreeSet};

use pipewright_compiler::deploy::{Step, StepKind};
use serde::Deserialize;

use super::DeployError;
use crate::engine::{Engine, Query};

/// The tables and views that are there.
#[derive(Debug, Default)]
pub struct Actual {
    tables: BTreeMap<String, ActualTable>,
}

/// One table or view, as the engine describes it.
#[derive(Debug, Deserialize)]
struct ActualTable {
    database: String,
    name: String,
    comment: String,
}

/// Asks the engine for its tables; those of `database` get their bare names.
pub async fn introspect(engine: &dyn Engine, database: &str) -> Result<Actual, DeployError> {
    let sql = "SELECT database, name, comment FROM system.tables WHERE database NOT IN ('system', 'INFORMATION_SCHEMA', 'information_schema')";
    let answer = engine
        .query(Query::new(sql, "JSONEachRow"))
        .await
        .map_err(|source| DeployError::Introspect { source })?;
    let bytes = answer
        .bytes()
        .await
        .map_err(|source| DeployError::Introspect { source })?;
    let mut actual = Actual::default();
    for line in bytes
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
    {
        let table: ActualTable =
            serde_json::from_slice(line).map_err(|error| DeployError::Introspect {
                source: std::io::Error::from(error).into(),
            })?;
        let name = if table.database == database {
            table.name.clone()
        } else {
            format!("{}.{}", table.database, table.name)
        };
        actual.tables.insert(name, table);
    }
    Ok(actual)
}

impl Actual {
    /// The names of tables and views.
    pub fn names(&self) -> BTreeSet<String> {
        self.tables.keys().cloned().collect()
    }

    /// The objects that were made from another statement than the project now has. The fingerprint of the statement is the object's comment.
    pub fn drifted(&self, desired: &[Step]) -> Vec<String> {
        let differs = |step: &&Step| {
            step.kind != StepKind::CreateDatabase
                && self.tables.get(&step.name).is_some_and(|table| {
                    !table.comment.is_empty() && table.comment != step.comment()
                })
        };
        desired
            .iter()
            .filter(differs)
            .map(|step| step.name.clone())
            .collect()
    }
}
