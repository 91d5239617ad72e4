//! A data source as rows come to it: its table, and what is known of its rows without the engine.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use pipewright_compiler::plan::TablePlan;

use super::Ingest;
use super::certain::{Certain, Fitting, Records};
use super::numbers::Numbers;

/// Bodies longer than this are read beside the threads that answer requests.
const LONG: usize = 32 * 1024;

/// A table as it was when rows came to it.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) table: TablePlan,
    pub(super) certain: Option<Certain>,
    numbers: Option<Numbers>,
    is_utc: bool,
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
        let known = Arc::new(Known::new(ingest, table).await);
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
    /// What is known of a table.
    pub(super) async fn new(ingest: &Ingest, table: &TablePlan) -> Self {
        let is_utc = ingest.is_utc().await;
        Self {
            certain: Certain::new(table, is_utc),
            numbers: Numbers::new(table),
            is_utc,
            table: table.clone(),
        }
    }

    /// Whether it is what is known of this table: the same rows mean the same to it.
    pub(super) fn is_of(&self, table: &TablePlan) -> bool {
        self.table.name == table.name && self.table.columns == table.columns
    }

    /// The columns that rows are kept as once they have been read.
    pub(super) fn types(&self) -> &[(String, String)] {
        self.certain.as_ref().map_or(&[], Certain::types)
    }

    /// What is known of the records of a CSV file: the names of its columns, or none where it has those of the table.
    pub(super) fn records(&self, names: Option<&[String]>, delimiter: char) -> Option<Records> {
        Records::new(&self.table, names, delimiter, self.is_utc)
    }

    /// Reads lines, of which numbers are put between quotes that would not stay as they are written. Nothing is known of them if it is not certain that all of them
    /// fit.
    pub(super) async fn read(self: &Arc<Self>, lines: Bytes) -> (Bytes, Option<Fitting>) {
        if lines.len() <= LONG {
            return self.read_here(lines);
        }
        let (known, given) = (Arc::clone(self), lines.clone());
        let read = tokio::task::spawn_blocking(move || known.read_here(given));
        read.await.unwrap_or((lines, None))
    }

    /// The same on this thread.
    pub(super) fn read_here(&self, lines: Bytes) -> (Bytes, Option<Fitting>) {
        let read = |lines: &[u8]| self.certain.as_ref()?.read(lines);
        let fitting = read(&lines);
        if fitting.is_some() {
            return (lines, fitting);
        }
        let numbers = self.numbers.as_ref();
        match numbers.and_then(|numbers| numbers.kept(&lines)) {
            Some(kept) => {
                let fitting = read(&kept);
                (kept.into(), fitting)
            }
            None => (lines, None),
        }
    }
}
