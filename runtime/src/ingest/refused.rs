//! Rows that fit their columns and that the engine refuses for their values all the same: a default throws, a constraint does not hold, a view throws.
//!
//! The engine says that a statement failed, and not at which row. So the rows are written down with numbers, and ranges of them are tried on a copy of the data source that
//! keeps nothing (`trial`), until it is known which rows are refused (`apart`). What was found out is written beside the file of rows before anything is done
//! by it, as ranges: there may be as many refused rows as a file has. From then on the file's rows mean that: the refused ones go into the quarantine, the others into the data source, under tokens that come from the file's own. A
//! process that dies in between leaves a file with what was found out about it, and the next one does the same again, which the engine knows by the tokens.

use std::borrow::Cow;
use std::ops::Range;
use std::path::{Path, PathBuf};

use pipewright_compiler::emit::{Ingestion, Picked, Written};
use pipewright_compiler::plan::TablePlan;
use serde::{Deserialize, Serialize};

use super::apart::{Search, Trying};
use super::append::write_durably;
use super::keys::{ASKED, KEYS};
use super::load::{Batch, Counts, Settings, Views};
use super::{Ingest, IngestError, on_disk, unique};
use crate::engine::EngineError;

/// How the tables begin that have rows with numbers.
const WRITTEN_DOWN: &str = "pw_numbered_";

/// Rows of which it is known that they are refused, or not which of them are.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Refused<'a> {
    /// The number of the first one in its file, from zero.
    #[serde(rename = "pw_number")]
    first: u64,
    #[serde(rename = "pw_rows", default = "one")]
    rows: u64,
    /// How many of them fit. The others are set aside for that.
    #[serde(rename = "pw_refused", default = "one")]
    fitting: u64,
    #[serde(rename = "pw_error")]
    why: Cow<'a, str>,
}

fn one() -> u64 {
    1
}

impl Refused<'_> {
    fn range(&self) -> Range<u64> {
        self.first..self.first.saturating_add(self.rows)
    }
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

/// What has been found out about the rows of a file; nothing if nothing has been. Blocks.
fn refused_rows(path: &Path) -> std::io::Result<Vec<Refused<'static>>> {
    let text = match std::fs::read_to_string(refused_path(path)) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        text => text?,
    };
    let lines = text.lines().map(serde_json::from_str);
    Ok(lines.collect::<Result<_, _>>()?)
}

/// Which rows of a file are in the quarantine.
#[derive(Debug, Default)]
pub(super) struct Quarantined {
    /// The numbers of those that do not fit, sorted.
    bad: Vec<u64>,
    /// Those that are refused, sorted, with rows that do not fit among them.
    refused: Vec<Range<u64>>,
}

impl Quarantined {
    /// Of the rows that do not fit, and of what was found out about those of a file. Blocks.
    pub(super) fn read(mut bad: Vec<u64>, path: &Path) -> std::io::Result<Self> {
        bad.sort_unstable();
        let mut refused: Vec<_> = refused_rows(path)?.iter().map(Refused::range).collect();
        refused.sort_unstable_by_key(|rows| rows.start);
        Ok(Self { bad, refused })
    }

    /// How many of these rows it are.
    pub(super) fn among(&self, rows: &Range<u64>) -> u64 {
        let bad = |rows: &Range<u64>| {
            let before = |end: u64| self.bad.partition_point(|row| *row < end);
            (before(rows.end) - before(rows.start)) as u64
        };
        let first = self
            .refused
            .partition_point(|range| range.end <= rows.start);
        let ranges = self.refused[first..].iter();
        let refused = ranges
            .take_while(|range| range.start < rows.end)
            .map(|range| range.start.max(rows.start)..range.end.min(rows.end));
        bad(rows)
            + refused
                .map(|both| both.end - both.start - bad(&both))
                .sum::<u64>()
    }
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
        note(batch.path, refused).await?;
        Ok(true)
    }

    /// Writes down that no row of a file is taken, as the engine refuses them together and none of them alone. Returns whether that can be.
    pub(super) async fn refuse_all(
        &self,
        table: &TablePlan,
        ingestion: &Ingestion,
        batch: &Batch<'_>,
        error: &EngineError,
    ) -> Result<bool, IngestError> {
        if self.on_server || Picked::new(table, &batch.input).is_none() {
            return Ok(false);
        }
        let bad = self.count(&ingestion.count_bad()).await?;
        let all = Refused {
            first: 0,
            rows: batch.rows,
            fitting: batch.rows.saturating_sub(bad),
            why: Cow::Owned(format!(
                "rows of one batch are refused together, and none of them alone: {}",
                said(error)
            )),
        };
        note(batch.path, vec![all]).await?;
        Ok(true)
    }

    /// Writes the rows of a file down in the table `name`, and finds those that the table `trial` does not take.
    async fn search(
        &self,
        picked: &Picked<'_>,
        batch: &Batch<'_>,
        (trial, name): (&str, &str),
    ) -> Result<Vec<Refused<'static>>, EngineError> {
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
        for found in search.run(&trying).await? {
            let rows = found.rows.end - found.rows.start;
            // Rows that do not fit are set aside for that, and not once more with what was not told apart.
            let fitting = if found.is_certain {
                rows
            } else {
                self.count(&Picked::count_of(name, &found.rows)).await?
            };
            if fitting > 0 {
                refused.push(Refused {
                    first: found.rows.start,
                    rows,
                    fitting,
                    why: Cow::Owned(found.why),
                });
            }
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
        let refused = on_disk(move || refused_rows(&path)).await?;
        let refused: u64 = refused.iter().map(|rows| rows.fitting).sum();
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

/// Writes beside a file what was found out about its rows.
async fn note(path: &Path, refused: Vec<Refused<'static>>) -> std::io::Result<()> {
    let path = refused_path(path);
    on_disk(move || {
        let mut text = Vec::new();
        for rows in refused {
            serde_json::to_writer(&mut text, &rows)?;
            text.push(b'\n');
        }
        write_durably(&path, &text)
    })
    .await
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
            let of = |kind: &str| {
                let table = view.strip_prefix(kind)?;
                Some(table.split_once('_').map_or(table, |(_, table)| table))
            };
            if let Some(table) = of(KEYS) {
                return format!(
                    "a key or a time to live of `{table}` cannot be made of it: {what} ({name})"
                );
            }
            match of(ASKED) {
                Some(table) => format!("the engine refuses it for `{table}`: {what}"),
                None => format!("the view `{view}` throws on it: {what} ({name})"),
            }
        }
        None => format!("the engine refuses it: {what} ({name})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_a_request_in_the_quarantine_are_counted_once() {
        let known = Quarantined {
            bad: vec![0, 3, 4, 12],
            refused: vec![2..6, 8..9, 11..14],
        };
        let among = [0..2, 2..6, 5..9, 0..14, 9..11, 12..13, 13..40];
        assert_eq!(among.map(|rows| known.among(&rows)), [1, 4, 2, 9, 0, 1, 1]);
    }
}
