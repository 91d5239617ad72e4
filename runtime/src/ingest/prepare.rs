//! What must be so in the engine before rows come: tables remember the tokens of their latest inserts and have
//! them on disk when they say so, quarantine tables exist.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use pipewright_compiler::emit;
use pipewright_compiler::plan::TablePlan;
use pipewright_compiler::sql::quote_identifier;
use serde::Deserialize;

use super::Ingest;
use crate::engine::{EngineError, ask};

/// How many inserts a table remembers. One is forgotten only when this many came after it, and at most a few are ever in doubt.
pub(super) const WINDOW: u32 = 10_000;

/// The setting that says so.
pub(crate) const REMEMBERS: &str = "non_replicated_deduplication_window = 10000";

/// With these a statement returns when its rows survive a power cut, not only the process: the files of events that they came from go then.
pub(crate) const ON_DISK: &str = "fsync_after_insert = 1, fsync_part_directory = 1";

/// How often tables are looked at again when one of them refuses: jobs make tables for a moment, and let them change places with those of data sources, and
/// what the engine answers then depends on how far it is.
const ROUNDS: u32 = 50;

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
        let mut round = 0;
        while let Err(error) = self.remember_tokens().await? {
            round += 1;
            if round == ROUNDS {
                return Err(error);
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        self.known().insert(name.to_owned());
        Ok(())
    }

    /// Lets all tables remember their latest inserts. The inner error is of a table that refused, which may be of the moment.
    async fn remember_tokens(&self) -> Result<Result<(), EngineError>, EngineError> {
        // On a server there are tables of others, and how safe its disks are is its own affair.
        let (ours, on_disk, settings) = if self.on_server {
            (
                "database = currentDatabase() AND engine NOT LIKE 'Shared%'",
                "1",
                String::new(),
            )
        } else {
            (
                "database NOT IN ('system', 'INFORMATION_SCHEMA', 'information_schema')",
                "engine_full LIKE '%fsync_after_insert = 1%' AND engine_full LIKE '%fsync_part_directory = 1%'",
                format!(", {ON_DISK}"),
            )
        };
        let sql = format!(
            "SELECT database, name FROM system.tables WHERE engine LIKE '%MergeTree' AND engine NOT LIKE 'Replicated%' AND {ours} AND NOT (match(engine_full, 'non_replicated_deduplication_window = ([1-9][0-9]{{3,}})') AND {on_disk})"
        );
        let mut refused = Ok(());
        for found in ask::rows::<Found>(self.engine(), &sql).await? {
            let name = format!(
                "{}.{}",
                quote_identifier(&found.database),
                quote_identifier(&found.name)
            );
            let sql = format!("ALTER TABLE {name} MODIFY SETTING {REMEMBERS}{settings}");
            if let Err(error) = self.engine.execute(&sql).await {
                refused = Err(error);
            }
        }
        Ok(refused)
    }

    /// Makes the quarantine of a data source, or gives it the columns that the data source has got since.
    pub(super) async fn prepare_quarantine(&self, table: &TablePlan) -> Result<(), EngineError> {
        self.engine.execute(&emit::create_quarantine(table)).await?;
        self.engine.execute(&emit::extend_quarantine(table)).await?;
        // How safe a server's disks are is its own affair.
        if self.on_server {
            return Ok(());
        }
        let name = emit::table_name(&emit::quarantine_name(&table.name));
        let sql = format!("ALTER TABLE {name} MODIFY SETTING {ON_DISK}");
        self.engine.execute(&sql).await
    }

    /// Forgets what is ready: after tables or views have been made anew.
    pub fn tables_changed(&self) {
        self.known().clear();
        self.trials.forget();
    }

    fn known(&self) -> std::sync::MutexGuard<'_, BTreeSet<String>> {
        self.prepared
            .tables
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
