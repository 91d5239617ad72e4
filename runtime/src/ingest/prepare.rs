//! What must be so in the engine before rows come: tables remember the tokens of their latest inserts, quarantine tables exist.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use pipewright_compiler::emit;
use pipewright_compiler::plan::TablePlan;
use pipewright_compiler::sql::quote_identifier;
use serde::Deserialize;

use super::Ingest;
use crate::engine::{EngineError, Query};

/// How many inserts a table remembers. One is forgotten only when this many came after it, and at most a few are ever in doubt.
const WINDOW: u32 = 10_000;

/// The engine's code for a table that is not there.
const UNKNOWN_TABLE: i32 = 60;

/// The tables that are known to be ready.
#[derive(Debug, Default)]
pub(super) struct Prepared {
    tables: Mutex<BTreeSet<String>>,
}

#[derive(Deserialize)]
struct Found {
    database: String,
    name: String,
}

impl Ingest {
    /// Makes every table remember the tokens of its inserts, also those that materialized views fill. Done once for each table that rows go to.
    pub(super) async fn prepare(&self, table: &TablePlan) -> Result<(), EngineError> {
        self.prepare_named(&table.name.to_string()).await
    }

    /// The same for the table of a data source by its name.
    pub(super) async fn prepare_named(&self, name: &str) -> Result<(), EngineError> {
        if self.known().contains(name) {
            return Ok(());
        }
        let sql = "SELECT database, name FROM system.tables WHERE engine LIKE '%MergeTree' AND engine NOT LIKE 'Replicated%' AND database NOT IN ('system', 'INFORMATION_SCHEMA', 'information_schema') AND NOT match(engine_full, 'non_replicated_deduplication_window = ([1-9][0-9]{3,})')".to_string();
        let rows = self
            .engine
            .query(Query::new(sql, "JSONEachRow"))
            .await?
            .bytes()
            .await?;
        for line in rows
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
        {
            let found: Found = serde_json::from_slice(line).map_err(std::io::Error::from)?;
            let name = format!(
                "{}.{}",
                quote_identifier(&found.database),
                quote_identifier(&found.name)
            );
            let sql = format!(
                "ALTER TABLE {name} MODIFY SETTING non_replicated_deduplication_window = {WINDOW}"
            );
            match self.engine.execute(&sql).await {
                // A table for a moment, of a job that has ended since.
                Err(EngineError::Exception {
                    code: UNKNOWN_TABLE,
                    ..
                }) => {}
                done => done?,
            }
        }
        self.known().insert(name.to_owned());
        Ok(())
    }

    /// Makes the quarantine of a data source, or gives it the columns that the data source has got since.
    pub(super) async fn prepare_quarantine(&self, table: &TablePlan) -> Result<(), EngineError> {
        self.engine.execute(&emit::create_quarantine(table)).await?;
        self.engine.execute(&emit::extend_quarantine(table)).await
    }

    /// Forgets what is ready: after tables or views have been made anew.
    pub fn tables_changed(&self) {
        self.known().clear();
    }

    fn known(&self) -> std::sync::MutexGuard<'_, BTreeSet<String>> {
        self.prepared
            .tables
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
