//! Rows that fit their columns and that the engine refuses for their values all the same: a default throws, a constraint does not hold, a view throws.
//!
//! The engine says that a statement failed, and not at which row. So the rows are written down with numbers, and ranges of them are tried on a copy of the data source that
//! keeps nothing (`trial`), until it is known which rows are refused (`apart`). What was found out is written beside the file of rows before anything is done
//! by it. From then on the file's rows mean that: the refused ones go into the quarantine, the others into the data source, under tokens that come from the file's own. A
//! process that dies in between leaves a file with what was found out about it, and the next one does the same again, which the engine knows by the tokens.

use std::borrow::Cow;
use std::ops::Range;
use std::path::{Path, PathBuf};

use pipewright_compiler::emit::{Ingestion, Picked, Written};
use pipewright_compiler::plan::TablePlan;
use serde::{Deserialize, Serialize};

use super::apart::{Search, Trying};
use super::append::write_durably;
use super::keys::KEYS;
use super::load::{Batch, Counts, Settings, Views};
use super::{Ingest, IngestError, on_disk, unique};
use crate::engine::{EngineError, ask};

/// How the tables begin that have rows with numbers.
const WRITTEN_DOWN: &str = "pw_numbered_";

/// A refused row.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Refused<'a> {
    /// Its number in its file, from zero.
    pw_number: u64,
    pw_error: Cow<'a, str>,
}

/// Errors that are about values; any other may be of the moment, or of the statement, and says nothing about rows.
const OF_VALUES: &[&str] = &[
    "ARGUMENT_OUT_OF_BOUND",
    "ATTEMPT_TO_READ_AFTER_EOF",
    "BAD_ARGUMENTS",
    "CANNOT_COMPILE_REGEXP",
    "CANNOT_CONVERT_TYPE",
    "CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN",
    "CANNOT_READ_ARRAY_FROM_TEXT",
    "CANNOT_READ_MAP_FROM_TEXT",
    "DECIMAL_OVERFLOW",
    "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO",
    "ILLEGAL_DIVISION",
    "INCORRECT_DATA",
    "PARAMETER_OUT_OF_BOUND",
    "SIZES_OF_ARRAYS_DONT_MATCH",
    "SIZES_OF_ARRAYS_DOESNT_MATCH",
    "TOO_LARGE_ARRAY_SIZE",
    "TOO_LARGE_STRING_SIZE",
    "TYPE_MISMATCH",
    "UNEXPECTED_END_OF_FILE",
    "UNKNOWN_ELEMENT_OF_ENUM",
    "VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE",
    "VIOLATED_CONSTRAINT",
    "ZERO_ARRAY_OR_TUPLE_INDEX",
];

/// Whether the engine refused a statement for the values of its rows.
pub(super) fn is_of_values(error: &EngineError) -> bool {
    matches!(error, EngineError::Exception { name, .. } if name.starts_with("CANNOT_PARSE_") || OF_VALUES.contains(&name.as_str()))
}

/// Where it stands which rows of a file are refused.
pub(super) fn refused_path(path: &Path) -> PathBuf {
    path.with_extension("refused")
}

/// Removes a file whose rows are in, and what was found out about them. Blocks.
pub(super) fn remove_rows(path: &Path) -> std::io::Result<()> {
    std::fs::remove_file(path)?;
    _ = std::fs::remove_file(refused_path(path));
    Ok(())
}

/// The numbers of the rows of a file that are refused; none if none has been. Blocks.
pub(super) fn refused_rows(path: &Path) -> std::io::Result<Vec<u64>> {
    let text = match std::fs::read_to_string(refused_path(path)) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        text => text?,
    };
    let read = |line| serde_json::from_str::<Refused<'_>>(line).map(|row| row.pw_number);
    Ok(text.lines().map(read).collect::<Result<_, _>>()?)
}

/// Rows that have been written down, tried on a copy of their data source.
struct OnCopy<'a> {
    ingest: &'a Ingest,
    picked: &'a Picked<'a>,
    trial: &'a str,
    written: (&'a str, Written),
}

impl Trying for OnCopy<'_> {
    type Error = EngineError;

    async fn attempt(&self, rows: Range<u64>) -> Result<Option<String>, EngineError> {
        let sql = self.picked.insert_range(self.trial, self.written, &rows);
        match self.ingest.engine.execute(&sql).await {
            Ok(()) => Ok(None),
            Err(error) if is_of_values(&error) => Ok(Some(said(&error))),
            Err(error) => Err(error),
        }
    }
}

impl Ingest {
    /// Finds the rows of a file that the engine refuses for their values, and writes down which they are. Returns whether there are any.
    pub(super) async fn find_refused(
        &self,
        table: &TablePlan,
        batch: &Batch<'_>,
    ) -> Result<bool, IngestError> {
        // A server reads no files of what was found out.
        if self.on_server {
            return Ok(false);
        }
        let Some(picked) = Picked::new(table, &batch.input) else {
            return Ok(false);
        };
        let written = format!("{WRITTEN_DOWN}{}", unique()?.replace('-', "_"));
        let trial = self.trial(table).await?;
        let found = self.search(&picked, batch, (&trial.table, &written)).await;
        self.drop_trial(&trial).await?;
        self.engine
            .execute(&format!("DROP TABLE IF EXISTS {written} SYNC"))
            .await?;
        let refused = found?;
        if refused.is_empty() {
            return Ok(false);
        }
        let mut text = Vec::new();
        for (numbers, error) in refused {
            for pw_number in numbers {
                let row = Refused {
                    pw_number,
                    pw_error: Cow::Borrowed(&error),
                };
                serde_json::to_writer(&mut text, &row).map_err(std::io::Error::from)?;
                text.push(b'\n');
            }
        }
        let path = refused_path(batch.path);
        on_disk(move || write_durably(&path, &text)).await?;
        Ok(true)
    }

    /// Writes the rows of a file down in the table `name`, and finds those that the table `trial` does not take.
    async fn search(
        &self,
        picked: &Picked<'_>,
        batch: &Batch<'_>,
        (trial, name): (&str, &str),
    ) -> Result<Vec<(Vec<u64>, String)>, EngineError> {
        let mut written = Written::Converted;
        // Not everything that goes into a table can be a column of another one.
        if let Err(error) = self.engine.execute(&picked.write_down(name, written)).await {
            tracing::debug!(%error, "rows are written down as they came");
            self.engine
                .execute(&format!("DROP TABLE IF EXISTS {name} SYNC"))
                .await?;
            written = Written::AsTheyCame;
            self.engine
                .execute(&picked.write_down(name, written))
                .await?;
        }
        let rows = self
            .count(&format!("SELECT max(pw_number) + 1 FROM {name}"))
            .await?;
        let search = Search {
            requests: batch.requests(rows),
            patience: batch.patience,
        };
        let trying = OnCopy {
            ingest: self,
            picked,
            trial,
            written: (name, written),
        };
        let mut refused = Vec::new();
        for (rows, error) in search.run(&trying).await? {
            if rows.end - rows.start == 1 {
                refused.push((vec![rows.start], error));
                continue;
            }
            // Rows that do not fit are set aside for that, and not once more with what was not told apart.
            let numbers = ask::lines(self.engine(), &Picked::numbers_of(name, &rows)).await?;
            let numbers = numbers.iter().filter_map(|number| number.parse().ok());
            refused.push((numbers.collect(), error));
        }
        Ok(refused)
    }

    /// Does with a file what was found out about its rows. Running it again changes nothing.
    pub(super) async fn load_without_refused(
        &self,
        table: &TablePlan,
        ingestion: &Ingestion,
        batch: &Batch<'_>,
        views: Views,
        settings: Settings,
    ) -> Result<Counts, IngestError> {
        let Some(picked) = Picked::new(table, &batch.input) else {
            return Ok(Counts::default());
        };
        let path = batch.path.to_owned();
        let refused = on_disk(move || refused_rows(&path)).await?.len() as u64;
        let bad = self.count(&ingestion.count_bad()).await?;
        if bad > 0 {
            self.set_aside(table, ingestion, batch.token, settings)
                .await?;
        }
        self.prepare_quarantine(table).await?;
        let path = refused_path(batch.path);
        let (path, token) = (path.to_string_lossy(), batch.token);
        let aside = settings(&format!("{token}:refused"), Views::All);
        self.engine
            .execute(&picked.insert_refused(&path, token, &aside))
            .await?;
        self.engine
            .execute(&picked.insert_others(&path, &settings(token, views)))
            .await?;
        Ok(Counts {
            successful: batch.rows.saturating_sub(bad + refused),
            quarantined: bad + refused,
        })
    }
}

/// Why a row is refused.
fn said(error: &EngineError) -> String {
    let EngineError::Exception { message, name, .. } = error else {
        return error.to_string();
    };
    let what = message.split(": while ").next().unwrap_or(message);
    let what = what.split(" for table pw_try_").next().unwrap_or(what);
    match message.split_once("while pushing to view ") {
        Some((_, view)) => {
            let view = view.split([' ', ':']).next().unwrap_or(view);
            let view = view.trim_end_matches('.');
            let view = view.rsplit_once('.').map_or(view, |(_, name)| name);
            match view.strip_prefix(KEYS) {
                Some(table) => {
                    let table = table.split_once('_').map_or(table, |(_, table)| table);
                    format!(
                        "a key or a time to live of `{table}` cannot be made of it: {what} ({name})"
                    )
                }
                None => format!("the view `{view}` throws on it: {what} ({name})"),
            }
        }
        None => format!("the engine refuses it: {what} ({name})"),
    }
}
