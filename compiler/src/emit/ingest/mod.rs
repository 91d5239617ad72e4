//! How rows from outside become rows of a data source: statements that keep the rows that fit and set the others aside with a reason.
//!
//! The engine's own readers stop at the first bad row and wrap numbers that do not fit. So rows come in as text or as their own types, and every column
//! is converted in SQL such that a value that does not fit is NULL; what follows is one condition for each row. A JSON row is read once, into one tuple
//! that holds all paths, which is faster than the engine's JSON format.

mod column;
mod convert;
mod endless;
mod nulls;
mod path;
mod picked;
mod stray;

use column::{Input as ColumnInput, Row};
pub use picked::{Picked, Written};
use pipewright_grammar::syntax::DefaultKind;

use crate::emit::table_name;
use crate::plan::{Column, TablePlan};
use crate::project::ResourceName;
use crate::sql::{quote_identifier, quote_literal};
use crate::types;

/// What the engine's message says when [`Ingestion::insert_all`] met a row that does not fit.
pub const BAD_ROW: &str = "pipewright: a row does not fit its data source";

/// Where rows come from.
#[derive(Debug, Clone)]
pub enum Input<'a> {
    /// JSON objects, as a table expression with a column `line String`.
    Json(&'a str),
    /// A CSV file.
    Csv {
        /// A table expression with the columns of [`csv_fields`].
        rows: &'a str,
        /// The column names in the file's order; the table's order when absent.
        columns: Option<&'a [String]>,
        /// What separates fields.
        delimiter: char,
    },
    /// Rows with their own types, as a table expression with its columns and their types.
    Typed(&'a str, &'a [(String, String)]),
    /// Fields of a CSV file, as a table expression with the columns `pw_field0`, `pw_field1`, … and one more for what is too much.
    Fields(&'a str),
    /// Messages, as a table expression with a column `line String` and what is known of each.
    Messages {
        /// The table expression.
        rows: &'a str,
        /// Columns that are filled with what is known of a message.
        also: &'a [Also],
    },
    /// The same with types of their own in place of a text.
    TypedMessages {
        /// The table expression.
        rows: &'a str,
        /// Its columns and their types.
        columns: &'a [(String, String)],
        /// Columns that are filled with what is known of a message.
        also: &'a [Also],
    },
}

/// A column that is filled with an expression over the rows as they come, without any conversion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Also {
    /// The column.
    pub column: String,
    /// The expression.
    pub value: String,
}

/// Statements that read one input into one data source.
#[derive(Debug, Clone)]
pub struct Ingestion {
    table: ResourceName,
    /// The table that rows go into, quoted: that of the data source, unless it is only tried.
    target: String,
    /// Names of the columns that are inserted, quoted.
    targets: Vec<String>,
    /// What is inserted into them.
    values: Vec<String>,
    /// Rows with their converted values `pw_0`, `pw_1`, …
    rows: String,
    /// True for rows that do not fit.
    bad: String,
    /// For the quarantine: column, raw value, condition and reason.
    quarantine: Vec<Quarantined>,
    /// A condition and reason of the row as a whole.
    row_reasons: Vec<(String, String)>,
    /// Settings that reading needs.
    settings: Vec<(&'static str, String)>,
}

#[derive(Debug, Clone)]
struct Quarantined {
    name: String,
    /// The column of the quarantine.
    kept_as: String,
    raw: String,
    bad: Option<String>,
    reason: String,
}

impl Ingestion {
    /// Plans how the rows of `input` go into `table`. Columns that the input does not have take their defaults.
    pub fn new(table: &TablePlan, input: &Input<'_>) -> Self {
        Self::passing(table, input, &[])
    }

    /// The same for rows that have more columns than those of the input, which are kept beside the converted values.
    fn passing(table: &TablePlan, input: &Input<'_>, passed: &[&str]) -> Self {
        let (mut row, inputs) = match input {
            Input::Json(source) => column::json(table, source, !passed.is_empty()),
            Input::Messages { rows, .. } => column::json(table, rows, true),
            Input::Csv {
                rows,
                columns,
                delimiter,
            } => {
                let settings = csv_settings(*delimiter);
                column::fields(table, (*rows).to_owned(), *columns, settings)
            }
            Input::Fields(rows) => column::fields(table, (*rows).to_owned(), None, Vec::new()),
            Input::Typed(source, columns)
            | Input::TypedMessages {
                rows: source,
                columns,
                ..
            } => column::typed(table, source, columns),
        };
        row.kept.extend(passed.iter().map(ToString::to_string));
        let also: &[Also] = match input {
            Input::Messages { also, .. } | Input::TypedMessages { also, .. } => also,
            _ => &[],
        };
        Self::assemble(table, row, &inputs, also)
    }

    fn assemble(
        table: &TablePlan,
        mut row: Row,
        inputs: &[ColumnInput<'_>],
        also: &[Also],
    ) -> Self {
        let (mut targets, mut values, mut quarantine, mut conditions) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut converted = row.kept.clone();
        for (at, also) in also.iter().enumerate() {
            let column = quote_identifier(&also.column);
            converted.push(format!("{} AS pw_also{at}", also.value));
            values.push(format!("pw_also{at} AS {column}"));
            targets.push(column);
        }
        // A message of which nothing is read may be anything.
        let is_opaque = inputs.is_empty() && !also.is_empty();
        if is_opaque {
            row.conditions.clear();
            row.reasons.clear();
        }
        conditions.extend(row.conditions.clone());
        for (at, input) in inputs.iter().enumerate() {
            converted.push(format!("{} AS {}", input.value, column::value_name(at)));
            let (names, finals) = input.finals(at);
            targets.extend(names);
            values.extend(finals);
            let bad = input.bad(at);
            conditions.extend(bad.clone());
            quarantine.push(Quarantined {
                name: input.column.name.clone(),
                kept_as: quarantined_column(table, &input.column.name),
                raw: input.raw.clone(),
                bad,
                reason: input.reason(),
            });
        }
        if !is_opaque {
            conditions.extend(row.unless_read(inputs));
        }
        let rows = format!(
            "SELECT\n        {}\n    FROM {}",
            converted.join(",\n        "),
            row.source
        );
        let bad = if conditions.is_empty() {
            "0".to_owned()
        } else {
            conditions.join("\n    OR ")
        };
        Self {
            table: table.name.clone(),
            target: table_name(&table.name),
            targets,
            values,
            rows,
            bad,
            quarantine,
            row_reasons: row.reasons,
            settings: row.settings,
        }
    }

    /// Inserts every row, or stops with [`BAD_ROW`] in the message and inserts none.
    pub fn insert_all(&self, settings: &[(&str, String)]) -> String {
        let condition = if self.bad == "0" {
            "1".to_owned()
        } else {
            format!("NOT throwIf({}, {})", self.bad, quote_literal(BAD_ROW))
        };
        self.insert(&condition, settings)
    }

    /// Inserts the rows that fit.
    pub fn insert_good(&self, settings: &[(&str, String)]) -> String {
        self.insert(&format!("NOT ({})", self.bad), settings)
    }

    fn insert(&self, condition: &str, settings: &[(&str, String)]) -> String {
        let (name, targets) = (&self.target, self.targets.join(", "));
        format!(
            "INSERT INTO {name} ({targets})\n{}{}",
            self.select(condition),
            self.settings(settings)
        )
    }

    fn select(&self, condition: &str) -> String {
        let values = self.values.join(",\n    ");
        format!(
            "SELECT\n    {values}\nFROM (\n    {}\n)\nWHERE {condition}",
            self.rows
        )
    }

    /// The rows that fit, each column under its name: the query of a view.
    pub fn good_rows(&self) -> String {
        self.select(&format!("NOT ({})", self.bad))
    }

    /// Whether there are rows that do not fit.
    pub fn may_refuse(&self) -> bool {
        self.bad != "0"
    }

    /// Counts the rows that do not fit.
    pub fn count_bad(&self) -> String {
        format!(
            "SELECT count() FROM (\n    {}\n)\nWHERE {}{}",
            self.rows,
            self.bad,
            self.settings(&[])
        )
    }

    /// The numbers of the rows that do not fit, counted from zero, one in each row.
    pub fn bad_rows(&self) -> String {
        let ordered = [
            ("max_threads", "1".to_owned()),
            ("input_format_parallel_parsing", "0".to_owned()),
        ];
        format!(
            "SELECT number FROM (\n    SELECT rowNumberInAllBlocks() AS number, ({}) AS bad FROM (\n    {}\n)\n)\nWHERE bad{}",
            self.bad,
            self.rows,
            self.settings(&ordered)
        )
    }

    /// Puts the rows that do not fit into the quarantine table, with why.
    pub fn insert_quarantine(&self, import_id: &str, settings: &[(&str, String)]) -> String {
        self.set_aside(&self.quarantined_rows(import_id), settings)
    }

    fn set_aside(&self, rows: &str, settings: &[(&str, String)]) -> String {
        let names: Vec<String> = self
            .quarantine
            .iter()
            .map(|column| format!(", {}", quote_identifier(&column.kept_as)))
            .collect();
        format!(
            "INSERT INTO {} (c__error_column, c__error, c__import_id, insertion_date{})\n{rows}{}",
            table_name(&quarantine_name(&self.table)),
            names.concat(),
            self.settings(settings)
        )
    }

    /// The rows that do not fit as the quarantine has them, each column under its name.
    pub fn quarantined_rows(&self, import_id: &str) -> String {
        let reasons = self.quarantine.iter().filter_map(|column| {
            let bad = column.bad.as_ref()?;
            Some(format!(
                "if({bad}, ({}, {}), ('', ''))",
                quote_literal(&column.name),
                column.reason
            ))
        });
        let whole: Vec<String> = self
            .row_reasons
            .iter()
            .map(|(condition, reason)| format!("if({condition}, ('', {reason}), ('', ''))"))
            .collect();
        let reasons = format!(
            "arrayFilter(found -> notEmpty(found.2), [\n            {}\n        ])",
            reasons.collect::<Vec<_>>().join(",\n            ")
        );
        // What is no row at all has no reasons column by column.
        let found = match whole.first() {
            None => reasons,
            Some(_) => format!(
                "arrayFilter(found -> notEmpty(found.2), [{}]) AS pw_whole, if(notEmpty(pw_whole), pw_whole, {reasons})",
                whole.join(", ")
            ),
        };
        let raw: Vec<String> = self
            .quarantine
            .iter()
            .enumerate()
            .map(|(at, column)| format!("{} AS pw_raw{at}", column.raw))
            .collect();
        let kept: Vec<String> = self
            .quarantine
            .iter()
            .enumerate()
            .map(|(at, column)| format!(", pw_raw{at} AS {}", quote_identifier(&column.kept_as)))
            .collect();
        let raw: Vec<String> = raw.iter().map(|raw| format!("{raw},\n        ")).collect();
        format!(
            "SELECT arrayMap(found -> found.1, pw_found) AS c__error_column, arrayMap(found -> found.2, pw_found) AS c__error, {} AS c__import_id, now() AS insertion_date{}\nFROM (\n    SELECT\n        {}{found} AS pw_found\n    FROM (\n    {}\n    )\n    WHERE {}\n)",
            quote_literal(import_id),
            kept.concat(),
            raw.concat(),
            self.rows,
            self.bad,
        )
    }

    fn settings(&self, more: &[(&str, String)]) -> String {
        let all = self
            .settings
            .iter()
            .chain(more)
            .map(|(name, value)| format!("{name} = {}", quote_literal(value)));
        match all.collect::<Vec<_>>().join(", ") {
            none if none.is_empty() => none,
            all => format!("\nSETTINGS {all}"),
        }
    }
}

/// The columns, with their types, as which the rows of a CSV file of so many columns are read: texts, and one for what is too much.
pub fn csv_fields(columns: usize) -> String {
    let fields: Vec<String> = (0..=columns)
        .map(|at| format!("pw_field{at} Nullable(String)"))
        .collect();
    fields.join(", ")
}

/// Settings under which the engine reads a CSV file as these columns.
pub fn csv_settings(delimiter: char) -> Vec<(&'static str, String)> {
    let mut settings = csv_delimiter(delimiter);
    settings.extend([
        (
            "input_format_csv_allow_variable_number_of_columns",
            "1".to_owned(),
        ),
        ("input_format_csv_empty_as_default", "0".to_owned()),
        ("format_csv_null_representation", "\u{1}".to_owned()),
    ]);
    settings
}

/// Settings under which the engine finds the fields of a CSV file.
pub fn csv_delimiter(delimiter: char) -> Vec<(&'static str, String)> {
    let mut settings = vec![("format_csv_delimiter", delimiter.to_string())];
    // Else the engine takes blanks for what may stand around a value.
    if matches!(delimiter, ' ' | '\t') {
        let name = "input_format_csv_allow_whitespace_or_tab_as_delimiter";
        settings.push((name, "1".to_owned()));
    }
    settings
}

/// An `INSERT … SELECT` of JSON rows from a table expression with a column `line String`, which stops at a row that does not fit.
pub fn insert_json(table: &TablePlan, source: &str) -> String {
    Ingestion::new(table, &Input::Json(source)).insert_all(&[])
}

/// The data source that holds what does not fit into another.
pub fn quarantine_name(name: &ResourceName) -> ResourceName {
    ResourceName {
        workspace: name.workspace.clone(),
        name: crate::project::quarantine_name(&name.name),
    }
}

/// What a quarantine says of each row.
const ABOUT_ROWS: [&str; 4] = [
    "c__error_column",
    "c__error",
    "c__import_id",
    "insertion_date",
];

/// The column of the quarantine that keeps a column's values as they came: of the same name, unless the quarantine has one of that name itself.
fn quarantined_column(table: &TablePlan, name: &str) -> String {
    let mut kept_as = name.to_owned();
    if !ABOUT_ROWS.contains(&name) {
        return kept_as;
    }
    while ABOUT_ROWS.contains(&kept_as.as_str())
        || table.columns.iter().any(|column| column.name == kept_as)
    {
        kept_as.insert_str(0, "c__value_");
    }
    kept_as
}

/// The columns of a quarantine that keep values, quoted.
fn quarantined_columns(table: &TablePlan) -> impl Iterator<Item = String> {
    let given = table.columns.iter().filter(|column| is_given(column));
    given.map(|column| quote_identifier(&quarantined_column(table, &column.name)))
}

/// The table of a quarantine: why, when and from where, and every column as text.
pub fn create_quarantine(table: &TablePlan) -> String {
    let columns: Vec<String> = quarantined_columns(table)
        .map(|column| format!(",\n    {column} Nullable(String)"))
        .collect();
    format!(
        "CREATE TABLE IF NOT EXISTS {} (\n    c__error_column Array(String),\n    c__error Array(String),\n    c__import_id Nullable(String),\n    insertion_date DateTime{}\n)\nENGINE = MergeTree\nPARTITION BY toYYYYMM(insertion_date)\nORDER BY insertion_date\nSETTINGS non_replicated_deduplication_window = 1000",
        table_name(&quarantine_name(&table.name)),
        columns.concat()
    )
}

/// Statements that give an older quarantine table the columns that its data source has got since.
pub fn extend_quarantine(table: &TablePlan) -> String {
    let columns: Vec<String> = quarantined_columns(table)
        .map(|column| format!("ADD COLUMN IF NOT EXISTS {column} Nullable(String)"))
        .collect();
    format!(
        "ALTER TABLE {} {}",
        table_name(&quarantine_name(&table.name)),
        columns.join(", ")
    )
}

/// The columns that an insert gives, in order: a CSV file without a header has these.
pub fn given_columns(table: &TablePlan) -> impl Iterator<Item = &Column> {
    table
        .columns
        .iter()
        .filter(|column| is_given(column) && column.data_type.is_some())
}

/// Whether an insert gives the column: not what the engine computes or a connector fills, and not the states of aggregate functions, which have no text.
fn is_given(column: &Column) -> bool {
    let computed = column
        .default
        .as_ref()
        .is_some_and(|(kind, _)| *kind != DefaultKind::Default);
    let state = column
        .data_type
        .as_deref()
        .and_then(|text| types::parse(text).ok())
        .is_some_and(|data_type| data_type.is_aggregate_state());
    !computed && !state && !column.implied
}

#[cfg(test)]
mod tests;
