//! A data source as events come to it: its table, and what is known of its rows without the engine.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use pipewright_compiler::plan::TablePlan;

use super::super::Ingest;
use super::super::certain::{Certain, Fitting};

/// Bodies longer than this are read beside the threads that answer requests.
const LONG: usize = 32 * 1024;

/// A table as it was when rows came to it.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) table: TablePlan,
    pub(super) certain: Option<Certain>,
}

/// The data sources that rows have come to.
#[derive(Debug, Default)]
pub(super) struct KnownTables(Mutex<BTreeMap<String, Arc<Known>>>);

impl KnownTables {
    /// What is known of a table.
    pub(super) async fn of(&self, ingest: &Ingest, table: &TablePlan) -> Arc<Known> {
        let name = table.name.to_string();
        if let Some(known) = self.found(&name)
            && known.is_of(table)
        {
            return known;
        }
        let known = Arc::new(Known {
            certain: Certain::new(table, ingest.is_utc().await),
            table: table.clone(),
        });
        let mut tables = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tables.insert(name, Arc::clone(&known));
        known
    }

    fn found(&self, name: &str) -> Option<Arc<Known>> {
        let tables = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tables.get(name).cloned()
    }
}

impl Known {
    /// Whether it is what is known of this table: the same rows mean the same to it.
    pub(super) fn is_of(&self, table: &TablePlan) -> bool {
        self.table.name == table.name && self.table.columns == table.columns
    }

    /// The columns that rows are kept as once they have been read.
    pub(super) fn types(&self) -> &[(String, String)] {
        self.certain.as_ref().map_or(&[], Certain::types)
    }

    /// Reads lines; nothing if it is not certain that all of them fit.
    pub(super) async fn read(self: &Arc<Self>, lines: &Bytes) -> Option<Fitting> {
        let certain = self.certain.as_ref()?;
        if lines.len() <= LONG {
            return certain.read(lines);
        }
        let (known, lines) = (Arc::clone(self), lines.clone());
        let read = tokio::task::spawn_blocking(move || known.certain.as_ref()?.read(&lines)).await;
        read.ok().flatten()
    }
}
