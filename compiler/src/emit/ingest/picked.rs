//! Rows of an input by their numbers: tried some at a time, and those left out that the engine refuses for their values.
//!
//! Which rows these are is not seen in the rows: a default, a constraint or a view throws. So an input is written down with its rows numbered, ranges of it are
//! tried, and what was found out is a file that has the ranges of refused rows with the reasons. A range may be as long as the input, so that no row of it is
//! written out or joined: a row's range is the one that begins last before it, which the engine looks up in the sorted beginnings.

use super::{Ingestion, Input, csv_settings};
use crate::plan::TablePlan;
use crate::sql::quote_literal;

/// The column that numbers rows, from zero.
const NUMBER: &str = "pw_number";
/// The column that says why a row is refused.
const ERROR: &str = "pw_error";
/// The column with the number of the first row of the range that a row may be in.
const FIRST: &str = "pw_first";

/// How rows are written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// Each time that they are read they are converted. There is no input of which this is not possible.
    AsTheyCame,
    /// As what goes into the data source: trying them is several times as fast.
    Converted,
}

/// The rows of an input, numbered.
#[derive(Debug, Clone)]
pub struct Picked<'a> {
    table: &'a TablePlan,
    input: Input<'a>,
    /// The input as a table expression, and settings that reading it needs.
    source: String,
    settings: Vec<(&'static str, String)>,
}

impl<'a> Picked<'a> {
    /// The rows of `input` on their way into `table`; nothing for inputs that are no files.
    pub fn new(table: &'a TablePlan, input: &Input<'a>) -> Option<Self> {
        let (source, mut settings) = match input {
            Input::Json(source) | Input::Typed(source, _) => (source, Vec::new()),
            Input::Csv {
                rows, delimiter, ..
            } => (rows, csv_settings(*delimiter)),
            _ => return None,
        };
        // The same rows have the same numbers each time.
        settings.push(("max_threads", "1".to_owned()));
        settings.push(("input_format_parallel_parsing", "0".to_owned()));
        settings.push(("input_format_parquet_preserve_order", "1".to_owned()));
        Some(Self {
            table,
            input: input.clone(),
            source: (*source).to_owned(),
            settings,
        })
    }

    fn numbered(&self) -> String {
        format!(
            "(SELECT rowNumberInAllBlocks() AS {NUMBER}, * FROM {})",
            self.source
        )
    }

    /// Makes a table of the numbered rows that fit, from which a range is read without the rest.
    pub fn write_down(&self, name: &str, written: Written) -> String {
        let ingestion = self.read_from(&self.numbered(), &[NUMBER]);
        let rows = match written {
            Written::AsTheyCame => format!(
                "SELECT * FROM {} WHERE {NUMBER} IN (SELECT {NUMBER} FROM (\n    {}\n)\nWHERE NOT ({}))",
                self.numbered(),
                ingestion.rows,
                ingestion.bad
            ),
            Written::Converted => {
                format!(
                    "SELECT {NUMBER}, {}\nFROM (\n    {}\n)\nWHERE NOT ({})",
                    ingestion.values.join(", "),
                    ingestion.rows,
                    ingestion.bad
                )
            }
        };
        let settings: Vec<String> = self
            .settings
            .iter()
            .map(|(name, value)| format!("{name} = {}", quote_literal(value)))
            .collect();
        format!(
            "CREATE TABLE {name} ENGINE = MergeTree ORDER BY {NUMBER} SETTINGS index_granularity = 256 AS {rows} SETTINGS {}",
            settings.join(", ")
        )
    }

    /// How many rows of a range are written down in `name`: those that fit.
    pub fn count_of(name: &str, range: &std::ops::Range<u64>) -> String {
        format!(
            "SELECT count() FROM {name} WHERE {NUMBER} >= {} AND {NUMBER} < {}",
            range.start, range.end
        )
    }

    /// Puts the rows of a range that fit into `target`, which may be another table than that of the data source, from the table that has them written down.
    pub fn insert_range(
        &self,
        target: &str,
        (name, written): (&str, Written),
        range: &std::ops::Range<u64>,
    ) -> String {
        let range = format!(
            "{name} WHERE {NUMBER} >= {} AND {NUMBER} < {}",
            range.start, range.end
        );
        if written == Written::Converted {
            let columns = self.read_from(&self.source, &[]).targets.join(", ");
            return format!("INSERT INTO {target} ({columns}) SELECT {columns} FROM {range}");
        }
        let rows = format!("(SELECT * EXCEPT {NUMBER} FROM {range})");
        self.read_from(&rows, &[])
            .into_table(target)
            .insert_good(&[])
    }

    /// Puts the rows that fit into the data source, without those that the file `refused` names.
    pub fn insert_others(&self, refused: &str, settings: &[(&str, String)]) -> String {
        let rows = format!(
            "({} SELECT * EXCEPT ({NUMBER}, {FIRST}) FROM {} WHERE NOT ({IS_REFUSED}))",
            ranges(refused),
            self.with_ranges()
        );
        self.read_from(&rows, &[])
            .insert_good(&self.with_own(settings))
    }

    /// Puts the rows of the ranges in the file `refused` into the quarantine, with why; not those that do not fit, which are there for that.
    pub fn insert_refused(
        &self,
        refused: &str,
        import_id: &str,
        settings: &[(&str, String)],
    ) -> String {
        let rows = format!(
            "({} SELECT * EXCEPT ({NUMBER}, {FIRST}), transform({FIRST}, pw_firsts, pw_errors, '') AS {ERROR} FROM {} WHERE {IS_REFUSED})",
            ranges(refused),
            self.with_ranges()
        );
        let ingestion = self.read_from(&rows, &[ERROR]);
        let raw: Vec<String> = ingestion
            .quarantine
            .iter()
            .map(|column| format!(", {}", column.raw))
            .collect();
        let rows = format!(
            "SELECT [''], [{ERROR}], {}, now(){}\nFROM (\n    {}\n)\nWHERE NOT ({})",
            quote_literal(import_id),
            raw.concat(),
            ingestion.rows,
            ingestion.bad
        );
        ingestion.set_aside(&rows, &self.with_own(settings))
    }

    /// The numbered rows with the range that each may be in.
    fn with_ranges(&self) -> String {
        format!(
            "(SELECT roundDown({NUMBER}, pw_firsts) AS {FIRST}, * FROM {})",
            self.numbered()
        )
    }

    fn with_own<'s>(&self, settings: &[(&'s str, String)]) -> Vec<(&'s str, String)> {
        let is_new = |name: &str| settings.iter().all(|(other, _)| *other != name);
        let own = self.settings.iter().filter(|(name, _)| is_new(name));
        settings.iter().cloned().chain(own.cloned()).collect()
    }

    /// The same rows from elsewhere, with more columns.
    fn read_from(&self, rows: &str, passed: &[&str]) -> Ingestion {
        let input = match &self.input {
            Input::Typed(_, columns) => Input::Typed(rows, columns),
            Input::Csv {
                columns, delimiter, ..
            } => Input::Csv {
                rows,
                columns: *columns,
                delimiter: *delimiter,
            },
            _ => Input::Json(rows),
        };
        Ingestion::passing(self.table, &input, passed)
    }
}

impl Ingestion {
    /// The same with rows that go into another table of the same columns, `name` as it stands in a statement.
    #[must_use]
    pub fn into_table(mut self, name: &str) -> Self {
        name.clone_into(&mut self.target);
        self
    }
}

/// Whether a row is in the range that begins last before it.
const IS_REFUSED: &str =
    "pw_number >= pw_first AND pw_number < transform(pw_first, pw_firsts, pw_ends, toUInt64(0))";

/// What a file of refused rows says, sorted, for the statement that follows. A line without a length is of one row.
fn ranges(path: &str) -> String {
    let file = format!(
        "(SELECT * FROM file({}, 'JSONEachRow', '{NUMBER} UInt64, pw_rows UInt64, {ERROR} String') ORDER BY {NUMBER})",
        quote_literal(path)
    );
    format!(
        "WITH (SELECT groupArray({NUMBER}) FROM {file}) AS pw_firsts, (SELECT groupArray({NUMBER} + greatest(pw_rows, 1)) FROM {file}) AS pw_ends, (SELECT groupArray({ERROR}) FROM {file}) AS pw_errors"
    )
}
