//! A data source to try rows on: tables that keep nothing, with the views that follow them.
//!
//! A view that throws on rows throws when they are in its data source. So rows of which a view may throw are given first to a copy of the data source that keeps no
//! rows and has copies of all its views, also of those that follow what these fill. What throws there is found before anything is written, and it is found row by row
//! (`refused`). The copies lie in a database of their own that the engine has in memory only. What is computed of each row that a table keeps, its keys and its times to live, may throw
//! as well, and so may its engine: a copy keeps nothing, so that views over it compute that (`keys`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pipewright_compiler::plan::TablePlan;
use pipewright_compiler::project::PASSING;
use pipewright_compiler::sql::{places_of_name, quote_identifier, quote_literal};
use serde::Deserialize;

use super::Ingest;
use super::keys::tried;
use crate::engine::{EngineError, ask};

/// How the databases begin that have such copies.
const DATABASE: &str = "pw_try_";

/// How often the copies are made once more: jobs make tables for a moment, and what the engine says of its tables may fail on one that is just going.
const ROUNDS: u32 = 10;

/// A data source to try rows on.
#[derive(Debug)]
pub(super) struct Trial {
    database: String,
    /// The copy as it stands in a statement.
    pub(super) table: String,
}

/// The copies that have been made.
#[derive(Debug, Default)]
pub(super) struct Trials {
    number: AtomicU64,
    made: Mutex<Made>,
}

#[derive(Debug, Default)]
struct Made {
    /// By data source; nothing for one that no view follows, or whose views cannot be copied.
    of: BTreeMap<String, Option<Arc<Trial>>>,
    /// Those that are out of date.
    old: Vec<Arc<Trial>>,
}

impl Trials {
    fn made(&self) -> MutexGuard<'_, Made> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets the copies: tables or views have been made anew.
    pub(super) fn forget(&self) {
        let mut made = self.made();
        let old: Vec<_> = std::mem::take(&mut made.of)
            .into_values()
            .flatten()
            .collect();
        made.old.extend(old);
    }

    /// The copies that are out of date, and that nobody uses.
    fn unused(&self) -> Vec<Arc<Trial>> {
        let mut made = self.made();
        let unused = made
            .old
            .extract_if(.., |trial| Arc::strong_count(trial) == 1);
        unused.collect()
    }
}

/// A view that follows a table.
#[derive(Debug, Deserialize)]
struct Following {
    name: String,
    as_select: String,
    /// What it fills, as the engine writes it.
    target: String,
}

/// A table by its database and its name.
type Place = (String, String);

impl Ingest {
    /// The copy of a data source that views follow, for rows to be tried on before they are written.
    pub(super) async fn rehearsal(&self, table: &TablePlan) -> Option<Arc<Trial>> {
        if self.on_server {
            return None;
        }
        let name = table.name.to_string();
        if let Some(known) = self.trials.made().of.get(&name) {
            return known.clone();
        }
        let mut round = 0;
        let made = loop {
            let made = self.make_rehearsal(table).await;
            round += 1;
            if made.is_ok() || round == ROUNDS {
                break made;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        let trial = match made {
            Ok(trial) => trial,
            Err(error) => {
                tracing::warn!(datasource = name, %error, "cannot copy what follows a data source: rows are not tried before they are written");
                None
            }
        };
        let mut made = self.trials.made();
        // Of two that were made at the same time one is used.
        let before = made.of.insert(name, trial.clone()).flatten();
        made.old.extend(before);
        trial
    }

    async fn make_rehearsal(&self, table: &TablePlan) -> Result<Option<Arc<Trial>>, EngineError> {
        for unused in self.trials.unused() {
            self.drop_trial(&unused).await?;
        }
        let place = self.place(table).await?;
        if self.following(&place).await?.is_empty() {
            return Ok(None);
        }
        self.trial(table).await.map(|trial| Some(Arc::new(trial)))
    }

    /// Makes a copy of a data source and of what follows it. It is to be dropped by [`Self::drop_trial`].
    pub(super) async fn trial(&self, table: &TablePlan) -> Result<Trial, EngineError> {
        let number = self.trials.number.fetch_add(1, Ordering::SeqCst);
        let place = self.place(table).await?;
        let trial = Trial {
            database: format!("{DATABASE}{number}"),
            table: format!("{DATABASE}{number}.{}", copied(&place, &place.0)),
        };
        let made = self.copy_all(&trial.database, place).await;
        if made.is_err() {
            self.drop_trial(&trial).await?;
        }
        made.map(|()| trial)
    }

    /// Drops a copy.
    pub(super) async fn drop_trial(&self, trial: &Trial) -> Result<(), EngineError> {
        self.engine
            .execute(&format!("DROP DATABASE IF EXISTS {}", trial.database))
            .await
    }

    /// Where the table of a data source is.
    async fn place(&self, table: &TablePlan) -> Result<Place, EngineError> {
        let database = match &table.name.workspace {
            Some(workspace) => workspace.clone(),
            None => self
                .text("SELECT currentDatabase()")
                .await?
                .trim()
                .to_owned(),
        };
        Ok((database, table.name.name.clone()))
    }

    async fn copy_all(&self, database: &str, place: Place) -> Result<(), EngineError> {
        self.engine
            .execute(&format!(
                "CREATE DATABASE IF NOT EXISTS {database} ENGINE = Memory"
            ))
            .await?;
        let own = place.0.clone();
        let copy = |place: &Place| format!("{database}.{}", copied(place, &own));
        self.copy_table(&place, &copy(&place)).await?;
        let (mut seen, mut waiting) = (BTreeSet::from([place.clone()]), vec![place]);
        while let Some(place) = waiting.pop() {
            for view in self.following(&place).await? {
                let target = parsed(&view.target, &own);
                if seen.insert(target.clone()) {
                    self.copy_table(&target, &copy(&target)).await?;
                    waiting.push(target.clone());
                }
                let query = reading_copy(&view.as_select, &place, &copy(&place));
                self.engine
                    .execute(&format!(
                        "CREATE MATERIALIZED VIEW {database}.{} TO {} AS {query}",
                        quote_identifier(&view.name),
                        copy(&target)
                    ))
                    .await?;
            }
        }
        Ok(())
    }

    async fn copy_table(&self, place: &Place, copy: &str) -> Result<(), EngineError> {
        self.engine
            .execute(&format!(
                "CREATE TABLE {copy} AS {} ENGINE = Null",
                written(place)
            ))
            .await?;
        let (database, name) = copy.split_once('.').unwrap_or(("", copy));
        let plain = name.trim_matches(['`', '"']).replace('.', "_");
        for (at, (kind, expression)) in self.tried_of(place).await?.iter().enumerate() {
            let view = quote_identifier(&format!("{kind}{at}_{plain}"));
            let sql = format!(
                "CREATE MATERIALIZED VIEW {database}.{view} ENGINE = Null AS SELECT {expression} AS pw_key FROM {copy}"
            );
            // What stands nowhere but in a table has no meaning of its own, and nothing is tried on it.
            if let Err(error) = self.engine.execute(&sql).await {
                tracing::debug!(table = name, %error, "rows are not tried on `{expression}`");
            }
        }
        Ok(())
    }

    /// What is tried of each row that a table keeps, with how the views begin that do.
    async fn tried_of(
        &self,
        (database, name): &Place,
    ) -> Result<Vec<(&'static str, String)>, EngineError> {
        let (database, name) = (quote_literal(database), quote_literal(name));
        let sql = format!(
            "SELECT partition_key, sorting_key, sampling_key, engine_full, create_table_query, (SELECT groupArray(expr) FROM system.data_skipping_indices WHERE database = {database} AND table = {name}) AS indices FROM system.tables WHERE database = {database} AND name = {name}"
        );
        let tables: Vec<super::keys::Kept> = ask::rows(self.engine(), &sql).await?;
        Ok(tables.first().map(tried).unwrap_or_default())
    }

    /// The views that follow a table, without those that are there for a moment.
    async fn following(&self, (database, name): &Place) -> Result<Vec<Following>, EngineError> {
        let (database, name) = (quote_literal(database), quote_literal(name));
        let sql = format!(
            "SELECT name, as_select, extract(create_table_query, ' TO ([^ (]+)') AS target FROM system.tables WHERE engine = 'MaterializedView' AND NOT startsWith(name, '{PASSING}') AND target != '' AND has((SELECT arrayZip(dependencies_database, dependencies_table) FROM system.tables WHERE database = {database} AND name = {name}), (database, name)) ORDER BY name"
        );
        ask::rows(self.engine(), &sql).await
    }
}

/// A table as it stands in a statement.
fn written((database, name): &Place) -> String {
    format!("{}.{}", quote_identifier(database), quote_identifier(name))
}

/// The name of the copy of a table, of a data source in the database `own`.
fn copied((database, name): &Place, own: &str) -> String {
    if database == own {
        quote_identifier(name)
    } else {
        quote_identifier(&format!("{database}.{name}"))
    }
}

/// A table's name as the engine writes it in the statement of a view.
fn parsed(written: &str, own: &str) -> Place {
    let plain = |part: &str| part.trim_matches('`').to_owned();
    match written.split_once('.') {
        Some((database, name)) => (plain(database), plain(name)),
        None => (own.to_owned(), plain(written)),
    }
}

/// A view's query as the engine keeps it, which has its tables with their databases, with a copy in place of a table.
fn reading_copy(query: &str, place: &Place, copy: &str) -> String {
    let mut out = query.to_owned();
    let places = places_of_name(query, &format!("{}.{}", place.0, place.1));
    for at in places.into_iter().rev() {
        let quoted = |name: &str| [name.to_owned(), format!("`{name}`"), quote_identifier(name)];
        let found = quoted(&place.0).into_iter().find_map(|database| {
            let rest = query[at..].strip_prefix(&database)?.strip_prefix('.')?;
            let names = quoted(&place.1);
            let name = names.iter().find(|name| {
                rest.starts_with(name.as_str())
                    && !rest[name.len()..]
                        .starts_with(|next: char| next.is_alphanumeric() || next == '_')
            })?;
            Some(database.len() + 1 + name.len())
        });
        if let Some(length) = found {
            out.replace_range(at..at + length, copy);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_takes_the_place_of_a_table_and_of_nothing_else() {
        let place = ("base".to_owned(), "rows".to_owned());
        let query = "SELECT 'base.rows' AS t, base.rows.k FROM base.rows AS r INNER JOIN base.rows_too ON r.k = base.rows_too.k WHERE k IN (SELECT k FROM base.`rows`)";
        assert_eq!(
            reading_copy(query, &place, "pw_try_0.rows"),
            "SELECT 'base.rows' AS t, pw_try_0.rows.k FROM pw_try_0.rows AS r INNER JOIN base.rows_too ON r.k = base.rows_too.k WHERE k IN (SELECT k FROM pw_try_0.rows)"
        );
        assert_eq!(parsed("base.`1st`", "base"), ("base".into(), "1st".into()));
    }
}
