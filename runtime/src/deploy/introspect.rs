//! What is really in the engine.

use std::collections::{BTreeMap, BTreeSet};

use pipewright_compiler::deploy::{Step, StepKind};
use serde::Deserialize;

use super::DeployError;
use super::names;
use crate::engine::Engine;
use crate::engine::ask::rows;

/// The tables and views that are there.
#[derive(Debug, Default)]
pub struct Actual {
    tables: BTreeMap<String, ActualTable>,
}

/// One table or view, as the engine describes it.
#[derive(Debug, Clone, Deserialize)]
pub struct ActualTable {
    database: String,
    name: String,
    comment: String,
    /// Its engine's name.
    pub engine: String,
    /// The statement that makes it.
    pub create_table_query: String,
    /// The query of a view, in canonical form.
    pub as_select: String,
    /// The views that follow its inserts.
    pub dependencies_table: Vec<String>,
    /// Rows that are there.
    pub rows: u64,
    /// Their bytes on disk.
    pub bytes: u64,
}

/// Asks the engine for its tables; those of `database` get their bare names.
pub async fn introspect(engine: &dyn Engine, database: &str) -> Result<Actual, DeployError> {
    let sql = "SELECT database, name, comment, engine, create_table_query, as_select, dependencies_table, ifNull(total_rows, 0) AS rows, ifNull(total_bytes, 0) AS bytes FROM system.tables WHERE database NOT IN ('system', 'INFORMATION_SCHEMA', 'information_schema') AND NOT startsWith(database, 'pw_')";
    let found: Vec<ActualTable> = rows(engine, sql)
        .await
        .map_err(|source| DeployError::Introspect { source })?;
    let mut actual = Actual::default();
    for table in found {
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

    /// The table or view of that name.
    pub fn table(&self, name: &str) -> Option<&ActualTable> {
        self.tables.get(name)
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

    /// What a deploy of an earlier project made in its database, and this one does not name.
    pub fn left_over(&self, desired: &[Step], database: &str) -> Vec<(&str, &ActualTable)> {
        let wanted: BTreeSet<&str> = desired.iter().map(|step| step.name.as_str()).collect();
        self.tables
            .iter()
            .filter(|(name, table)| {
                table.database == database
                    && table.comment.starts_with("pipewright ")
                    && !names::is_passing(name)
                    && !wanted.contains(name.as_str())
            })
            .map(|(name, table)| (name.as_str(), table))
            .collect()
    }

    /// The views in the project's database that fill a table.
    pub fn views_into(&self, table: &str) -> Vec<(&str, &ActualTable)> {
        self.tables
            .iter()
            .filter(|(_, view)| {
                view.is_view()
                    && view.target().as_deref() == Some(table)
                    && !super::connect::is_connector(&view.comment)
            })
            .map(|(name, view)| (name.as_str(), view))
            .collect()
    }
}

impl ActualTable {
    /// What it carries as its comment.
    pub(super) fn comment(&self) -> &str {
        &self.comment
    }

    /// Whether it is a materialized view.
    pub fn is_view(&self) -> bool {
        self.engine == "MaterializedView"
    }

    /// Whether it keeps rows that a new table can be filled from.
    pub fn keeps_rows(&self) -> bool {
        self.engine.ends_with("MergeTree")
    }

    /// The table that a view fills.
    pub fn target(&self) -> Option<String> {
        let (_, rest) = self.create_table_query.split_once(" TO ")?;
        let name = rest.split([' ', '\n', '(']).next()?;
        let bare = name
            .strip_prefix(&format!("{}.", self.database))
            .unwrap_or(name);
        Some(bare.trim_matches('`').to_owned())
    }
}
