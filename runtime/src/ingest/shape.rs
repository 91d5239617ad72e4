//! Tables that become others while rows are on their way to them.
//!
//! Rows that were taken under an old version of a data source may be written under a new one: what counts is what the table is when they are written. A deploy has
//! all tables that it touches alone, for as short as it can.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use pipewright_compiler::graph::Vertex;
use pipewright_compiler::plan::{Column, Plan, TablePlan};
use pipewright_compiler::project::ResourceName;
use pipewright_compiler::sql::quote_literal;
use pipewright_grammar::syntax::DefaultKind;
use serde::Deserialize;
use tokio::sync::{OwnedMutexGuard, OwnedRwLockWriteGuard};
use tokio::time::Instant;

use super::given::is_too_old;
use super::populate::upstream_by;
use super::{Ingest, IngestError};
use crate::engine::{Engine, EngineError, ask};
use crate::state::Job;

/// So long others may overtake the one who wants tables alone.
const PATIENCE: Duration = Duration::from_millis(200);

/// What deploys of this process made of data sources.
#[derive(Debug, Default)]
pub(super) struct Newest {
    /// By name, as of the last deploy.
    tables: BTreeMap<String, TablePlan>,
    /// New names by old ones.
    names: BTreeMap<String, String>,
    /// What leads to what, as of then.
    edges: Vec<(Vertex, Vertex)>,
    /// Whether these are all tables that there are.
    is_known: bool,
    /// Tables that were made from other files than the project has now, as those files say: until a deploy changes them, rows go by these.
    standing: BTreeMap<String, TablePlan>,
}

impl Ingest {
    /// What a data source is now, whatever it was called and whatever it was when somebody looked it up.
    pub(super) fn newest<'a>(&self, table: &'a TablePlan) -> Cow<'a, TablePlan> {
        if table.name.workspace.is_some() {
            return Cow::Borrowed(table);
        }
        let newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        let mut name = table.name.name.as_str();
        // As many steps as there are names, at most: names may have changed in a circle.
        for _ in 0..newest.names.len() {
            match newest.names.get(name) {
                Some(next) if !newest.tables.contains_key(name) => name = next,
                _ => break,
            }
        }
        if let Some(standing) = newest.standing.get(name) {
            return Cow::Owned(standing.clone());
        }
        match newest.tables.get(name) {
            Some(newest) => Cow::Owned(newest.clone()),
            None => Cow::Borrowed(table),
        }
    }

    /// Whether the version that is in force has a data source no more, under any name.
    pub(super) fn is_gone(&self, table: &TablePlan) -> bool {
        let name = self.newest(table).name.clone();
        let newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        newest.is_known && name.workspace.is_none() && !newest.tables.contains_key(&name.name)
    }

    /// The data sources from which rows reach a data source in the version that is in force; none when no version has come since the process began.
    pub(super) fn upstream_now(&self, source: &str) -> BTreeSet<String> {
        let newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        let edges: Vec<(&Vertex, &Vertex)> =
            newest.edges.iter().map(|(from, to)| (from, to)).collect();
        upstream_by(&edges, source)
    }

    /// A data source as rows find it: what is in force of it and, where no file has its columns, those of its table.
    pub async fn as_it_is<'a>(
        &self,
        table: &'a TablePlan,
    ) -> Result<Cow<'a, TablePlan>, IngestError> {
        if self.on_server && is_too_old(self.engine.version()) {
            return Err(IngestError::Engine(EngineError::Unsupported {
                feature: "taking rows".to_owned(),
                version: self.engine.version().to_owned(),
            }));
        }
        let table = self.newest(table);
        if !table.columns.is_empty() {
            return Ok(table);
        }
        let columns = columns_there(self.engine(), &table.name).await?;
        if columns.is_empty() {
            return Err(IngestError::Unreadable(format!(
                "data source `{}` has no columns: neither its file nor a pipe says which",
                table.name
            )));
        }
        let mut table = table.into_owned();
        table.columns = columns;
        Ok(Cow::Owned(table))
    }

    /// These tables are other ones than the files in force say, until [`Self::let_go`].
    pub(crate) fn stand(&self, tables: BTreeMap<String, TablePlan>) {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        newest.standing = tables;
    }

    /// From now on all tables but these are what the files in force say.
    pub(crate) fn let_go(&self, but: &BTreeSet<String>) {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        newest.standing.retain(|name, _| but.contains(name));
    }

    /// From now on the tables are those of this version.
    pub(crate) fn adopt(&self, plan: &Plan, renames: &[(String, String)]) {
        {
            let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
            newest.tables = plan
                .tables
                .iter()
                .filter(|(name, _)| name.workspace.is_none())
                .map(|(name, table)| (name.name.clone(), table.clone()))
                .collect();
            newest.names.extend(renames.iter().cloned());
            let edges = plan.graph.edges().into_iter();
            newest.edges = edges
                .map(|(from, to, _)| (from.clone(), to.clone()))
                .collect();
            newest.is_known = true;
        }
        self.tables_changed();
    }

    /// The names that data sources got in earlier processes: rows that wait on disk may be addressed to old ones.
    pub fn know_renames(&self, renames: impl IntoIterator<Item = (String, String)>) {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        newest.names.extend(renames);
    }

    /// The names that data sources had.
    pub(super) fn old_names(&self) -> Vec<String> {
        let newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        newest.names.keys().cloned().collect()
    }

    /// The data source that is called so now, or was.
    pub(super) fn table_of<'a>(&self, plan: &'a Plan, name: &str) -> Option<&'a TablePlan> {
        let newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        let mut name = name;
        for _ in 0..=newest.names.len() {
            if let Some(table) = plan.table(name) {
                return Some(table);
            }
            name = newest.names.get(name)?;
        }
        None
    }

    /// Whether two tables could change places: they have the same columns and keys.
    pub(crate) async fn are_alike(&self, one: &str, other: &str) -> Result<bool, EngineError> {
        let described = |name: &str| {
            let name = quote_literal(name);
            format!(
                "SELECT (partition_key, sorting_key, engine, (SELECT groupArray((name, type)) FROM (SELECT name, type FROM system.columns WHERE database = currentDatabase() AND table = {name} ORDER BY position))) FROM system.tables WHERE database = currentDatabase() AND name = {name}"
            )
        };
        let one = self.text(&described(one)).await?;
        Ok(one == self.text(&described(other)).await?)
    }

    /// No rows come to any of these data sources while this is held.
    pub(crate) async fn all_alone(
        &self,
        names: &BTreeSet<String>,
    ) -> Result<Vec<OwnedRwLockWriteGuard<()>>, IngestError> {
        self.unless_shut(names, self.every_gate(names)).await
    }

    async fn every_gate(&self, names: &BTreeSet<String>) -> Vec<OwnedRwLockWriteGuard<()>> {
        let gates: Vec<_> = names
            .iter()
            .map(|name| self.gate(&ResourceName::local(name)))
            .collect();
        // Who waits for a lock lets nobody pass: while one long insert goes on, short ones go on too.
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            let held: Option<Vec<_>> = gates
                .iter()
                .map(|gate| Arc::clone(gate).try_write_owned().ok())
                .collect();
            if let Some(held) = held {
                return held;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let mut held = Vec::with_capacity(gates.len());
        for gate in gates {
            held.push(gate.write_owned().await);
        }
        held
    }

    /// The right to change the shapes of tables, or to rely on them.
    pub(crate) async fn change_shapes(&self) -> OwnedMutexGuard<()> {
        Arc::clone(&self.shapes).lock_owned().await
    }

    /// Whether rows are being deleted from a data source.
    pub(crate) fn is_deleting(&self, name: &str) -> bool {
        let deleting = self.deleting.lock().unwrap_or_else(PoisonError::into_inner);
        deleting.get(name).is_some_and(|count| *count > 0)
    }

    /// Whether rows may be in one of these tables of which nobody knows for certain: those of a copy that was cut off and is not taken up yet, and of rows that
    /// are being deleted.
    pub(crate) fn is_in_doubt(&self, jobs: &[Job], names: &BTreeSet<String>) -> bool {
        let is_writing = jobs.iter().any(|job| {
            job.kind == super::COPY
                && job.progress["phase"] == "writing"
                && job.request["datasource"]["name"]
                    .as_str()
                    .is_some_and(|name| names.contains(name))
        });
        is_writing || names.iter().any(|name| self.is_deleting(name))
    }

    /// Notes that rows are being deleted from a data source, until what is returned is dropped.
    pub(super) async fn deleting(&self, name: &str) -> Result<Deleting<'_>, IngestError> {
        // Not in the moment in which a deploy looks whether that is so.
        let _together = self.together_named(&ResourceName::local(name)).await?;
        let mut deleting = self.deleting.lock().unwrap_or_else(PoisonError::into_inner);
        *deleting.entry(name.to_owned()).or_default() += 1;
        Ok(Deleting {
            ingest: self,
            name: name.to_owned(),
        })
    }
}

/// The engine's id of a table, which stays with the table whatever it is called; empty when there is none.
pub(crate) async fn table_id(engine: &dyn Engine, name: &str) -> Result<String, EngineError> {
    let sql = format!(
        "SELECT toString(uuid) FROM system.tables WHERE database = currentDatabase() AND name = {}",
        quote_literal(name)
    );
    Ok(ask::text(engine, &sql).await?.trim().to_owned())
}

/// The engine of a table made after another whose rows are to stay as they come: keys of the other that are not named are taken over, and one that samples keeps the key
/// for that.
pub(crate) async fn unsorted(engine: &dyn Engine, name: &str) -> Result<String, EngineError> {
    let sql = format!(
        "SELECT sampling_key FROM system.tables WHERE database = currentDatabase() AND name = {}",
        quote_literal(name)
    );
    let sampling = ask::text(engine, &sql).await?;
    let key = match sampling.trim() {
        "" => "tuple()".to_owned(),
        key => format!("({key})"),
    };
    Ok(format!(
        "ENGINE = MergeTree PRIMARY KEY {key} ORDER BY {key}"
    ))
}

/// The columns of a data source's table; none where there is no table.
pub(crate) async fn columns_there(
    engine: &dyn Engine,
    name: &ResourceName,
) -> Result<Vec<Column>, EngineError> {
    #[derive(Deserialize)]
    struct Found {
        name: String,
        data_type: String,
        kind: String,
        expression: String,
    }
    let (database, table) = match &name.workspace {
        Some(workspace) => (quote_literal(workspace), quote_literal(&name.name)),
        None => ("currentDatabase()".to_owned(), quote_literal(&name.name)),
    };
    let sql = format!(
        "SELECT name, type AS data_type, default_kind AS kind, default_expression AS expression FROM system.columns WHERE database = {database} AND table = {table} ORDER BY position"
    );
    let mut columns = Vec::new();
    for found in ask::rows::<Found>(engine, &sql).await? {
        let kind = match found.kind.as_str() {
            "DEFAULT" => Some(DefaultKind::Default),
            "MATERIALIZED" => Some(DefaultKind::Materialized),
            "ALIAS" => Some(DefaultKind::Alias),
            "EPHEMERAL" => Some(DefaultKind::Ephemeral),
            _ => None,
        };
        columns.push(Column {
            name: found.name,
            data_type: Some(found.data_type),
            default: kind.map(|kind| (kind, found.expression)),
            codec: None,
            ttl: None,
            json_path: None,
            implied: false,
        });
    }
    Ok(columns)
}

/// The columns of a table that an insert gives.
pub(crate) async fn stored_columns(
    engine: &dyn Engine,
    table: &str,
) -> Result<Vec<String>, EngineError> {
    let is_stored = |column: &Column| {
        use DefaultKind::{Alias, Ephemeral, Materialized};
        !matches!(column.default, Some((Materialized | Alias | Ephemeral, _)))
    };
    column_names(engine, table, is_stored).await
}

/// The columns of a table that a query can read.
pub(crate) async fn readable_columns(
    engine: &dyn Engine,
    table: &str,
) -> Result<Vec<String>, EngineError> {
    let is_readable =
        |column: &Column| !matches!(column.default, Some((DefaultKind::Ephemeral, _)));
    column_names(engine, table, is_readable).await
}

async fn column_names(
    engine: &dyn Engine,
    table: &str,
    is_wanted: impl Fn(&Column) -> bool,
) -> Result<Vec<String>, EngineError> {
    let mut columns = columns_there(engine, &ResourceName::local(table)).await?;
    columns.retain(is_wanted);
    Ok(columns.into_iter().map(|column| column.name).collect())
}

/// Rows are being deleted.
pub(super) struct Deleting<'a> {
    ingest: &'a Ingest,
    name: String,
}

impl Drop for Deleting<'_> {
    fn drop(&mut self) {
        let mut deleting = self
            .ingest
            .deleting
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = deleting.get_mut(&self.name) {
            *count -= 1;
        }
    }
}
