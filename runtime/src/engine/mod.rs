//! The engine: where compiled SQL meets ClickHouse.
//!
//! SQL text and bound parameters go in, bytes in the format that was asked for come out, untouched. One trait,
//! [`Engine`], has two implementations: [`chdb`], ClickHouse inside this process, and [`server`], a ClickHouse server
//! over HTTP. Everything else in the runtime sees the trait only, so that a project can outgrow one machine without
//! any other module knowing. No engine library is mapped into the process until [`open`] is called, because `check`
//! and `build` must start in milliseconds.

mod answer;
pub(crate) mod ask;
pub mod chdb;
mod discreet;
mod error;
mod format;
pub mod install;
mod lock;
mod mortal;
pub mod server;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use pipewright_compiler::project::Limits;

pub use answer::{Answer, Statistics};
pub use error::{EngineError, Position};
pub use install::{InstallError, absence, install, locate, missing};

/// The database that holds the project's tables; unqualified names mean its tables.
pub const DATABASE: &str = "pipewright";

/// Settings of every connection to the embedded engine.
///
/// Recent engines refuse tables that the reference's engine makes, out of caution: `check` warns of such things, and the author decides. And its joins give rows in the
/// order of the left side, as those of the reference do; the parallel one shuffles them. A statement can still name another algorithm.
///
/// What some functions mean changed with versions of the engine, without an error: texts as times (26.5: `''` was the first of 1970), the order of longitude and
/// latitude of H3 (25.1, 25.5), `toTime` (25.12). Projects were written for what they meant before.
///
/// The engine makes text of an answer in threads of its own by default. A short answer waits for these longer than they help: a point lookup takes a tenth less
/// time without them, answers of up to some ten thousand rows and those that are streamed take less, too. Long ones in one piece have a way out of their own.
pub const OWN_SETTINGS: &[(&str, &str)] = &[
    ("allow_dynamic_type_in_join_keys", "1"),
    ("allow_suspicious_codecs", "1"),
    ("allow_suspicious_fixed_string_types", "1"),
    ("allow_suspicious_low_cardinality_types", "1"),
    ("allow_suspicious_ttl_expressions", "1"),
    ("allow_suspicious_types_in_group_by", "1"),
    ("allow_suspicious_types_in_order_by", "1"),
    ("allow_suspicious_variant_types", "1"),
    ("cast_string_to_date_time_mode", "basic"),
    ("geotoh3_argument_order", "lon_lat"),
    ("h3togeo_lon_lat_result_order", "1"),
    ("join_algorithm", "direct,hash"),
    // Public projects join subqueries and `numbers(…)` without naming them.
    ("joined_subquery_requires_alias", "0"),
    // Who may drop what is asked elsewhere; a table that is larger than the engine likes must go, too.
    ("max_partition_size_to_drop", "0"),
    ("max_table_size_to_drop", "0"),
    ("output_format_parallel_formatting", "0"),
    ("use_legacy_to_time", "1"),
];

/// One statement that returns rows, and how it is to be run.
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// The statement: exactly one, without a `FORMAT` clause.
    pub sql: String,
    /// The ClickHouse output format, `JSON` for instance.
    pub format: String,
    /// Values bound to the `{name:Type}` placeholders of the statement, in ClickHouse's escaped text format:
    /// [`Query::text`] escapes a plain string.
    pub parameters: Vec<(String, String)>,
    /// Values of the parameters that nobody may read: no error of [`open`]ed engines shows one.
    pub secrets: Vec<String>,
    /// Engine settings for this statement alone.
    pub settings: Vec<(String, String)>,
    /// After this time the statement is stopped and the answer is [`EngineError::Timeout`].
    pub timeout: Option<Duration>,
    /// Largest result the engine may make, in bytes of its columns and in bytes of its text; larger ones end in an exception.
    pub max_result_bytes: Option<u64>,
}

impl Query {
    /// A query with neither parameters nor limits.
    pub fn new(sql: impl Into<String>, format: impl Into<String>) -> Self {
        Self {
            sql: sql.into(),
            format: format.into(),
            ..Self::default()
        }
    }

    /// Asks for the columns that a `SELECT` would return, found out with so much memory: subqueries that stand for a value are run for it. 0 for no limit.
    pub(crate) fn describing(sql: &str, memory_bytes: u64) -> Self {
        // The closing parenthesis has its own line because the text may end in a `--` comment.
        Self::new(format!("{DESCRIBE}{sql}\n)"), "JSONCompactEachRow")
            .within_memory(memory_bytes)
            .timeout(DESCRIBE_LIMIT)
    }

    /// Keeps the query within what one query may read, use and answer.
    #[must_use]
    pub fn within(mut self, limits: &Limits) -> Self {
        self.max_result_bytes = Some(limits.result_bytes);
        self.within_memory(limits.memory_bytes)
            .limited("max_rows_to_read", limits.rows_read)
            .limited("max_bytes_to_read", limits.bytes_read)
    }

    /// Keeps the query within the memory that one query may use; 0 for no limit.
    #[must_use]
    pub fn within_memory(self, bytes: u64) -> Self {
        self.limited("max_memory_usage", bytes)
    }

    fn limited(mut self, name: &str, limit: u64) -> Self {
        if limit > 0 {
            self.settings.push((name.to_owned(), limit.to_string()));
        }
        self
    }

    /// Binds a plain string to the placeholder `{name:String}`, whatever it holds.
    #[must_use]
    pub fn text(self, name: impl Into<String>, value: &str) -> Self {
        let mut escaped = String::with_capacity(value.len());
        for character in value.chars() {
            match character {
                '\\' => escaped.push_str("\\\\"),
                '\t' => escaped.push_str("\\t"),
                '\n' => escaped.push_str("\\n"),
                '\r' => escaped.push_str("\\r"),
                '\0' => escaped.push_str("\\0"),
                other => escaped.push(other),
            }
        }
        self.parameter(name, escaped)
    }

    /// Binds the value of a secret to the placeholder `{name:String}`.
    #[must_use]
    pub fn secret(mut self, name: impl Into<String>, value: &str) -> Self {
        self.secrets.push(value.to_owned());
        self.text(name, value)
    }

    /// Binds a value, in ClickHouse's escaped text format, to the placeholder `{name:Type}`.
    #[must_use]
    pub fn parameter(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.parameters.push((name.into(), value.into()));
        self
    }

    /// Sets an engine setting for this statement.
    #[must_use]
    pub fn setting(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.push((name.into(), value.into()));
        self
    }

    /// Stops the statement after `timeout`.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }
}

/// Where streamed rows go, and what their bytes mean.
#[derive(Debug, Clone, Default)]
pub struct Insert {
    /// The quoted table name, with a column list where one is wanted: `` `hits` (`time`, `url`) ``.
    pub target: String,
    /// The ClickHouse input format of the bytes, `JSONEachRow` for instance.
    pub format: String,
    /// Engine settings for this insert alone.
    pub settings: Vec<(String, String)>,
}

/// Chunks of rows on their way into a table; chunk borders may fall anywhere.
pub type Rows = BoxStream<'static, std::io::Result<Bytes>>;

/// What an insert wrote, materialized views included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Written {
    /// Rows written.
    pub rows: u64,
    /// Bytes written, uncompressed.
    pub bytes: u64,
}

/// A column of a result, as the engine names and types it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// The column's name.
    pub name: String,
    /// The ClickHouse type, as text.
    pub type_name: String,
}

/// A ClickHouse, wherever it runs.
///
/// Dropping the future of [`Engine::query`], or the [`Answer`] before its end, stops the statement in the engine.
#[async_trait]
pub trait Engine: Send + Sync + fmt::Debug {
    /// Runs a statement and hands its result through in the format asked for.
    ///
    /// Row-by-row formats (CSV, NDJSON and their kin) arrive in chunks while the statement runs, in constant memory.
    /// Formats that are one document (JSON, Parquet) arrive whole.
    async fn query(&self, query: Query) -> Result<Answer, EngineError>;

    /// Runs a statement whose result is of no interest: DDL, `INSERT … SELECT`. Settings it makes do not last.
    async fn execute(&self, sql: &str) -> Result<(), EngineError>;

    /// Streams rows into a table in constant memory. Blocks that reached the table before a failure stay there. What
    /// was written is not known of a server and is zero then.
    async fn insert(&self, insert: Insert, rows: Rows) -> Result<Written, EngineError>;

    /// The columns a `SELECT` would return.
    async fn describe(&self, sql: &str) -> Result<Vec<Column>, EngineError> {
        let description = self.described(Query::describing(sql, 0)).await;
        description.map_err(|error| error.shifted(DESCRIBE.len(), sql.len()))
    }

    /// The columns that a `DESCRIBE` in `JSONCompactEachRow` gives.
    async fn described(&self, query: Query) -> Result<Vec<Column>, EngineError> {
        let answer = self.query(query.timeout(DESCRIBE_LIMIT)).await?;
        columns(&answer.bytes().await?)
    }

    /// The ClickHouse version, `26.7.2.1` for instance.
    fn version(&self) -> &str;

    /// Lets running statements finish for a short while, stops the rest, and lets go of the data. Later calls fail.
    async fn shutdown(&self);
}

/// A description reads no rows: one that takes longer waits for something that does not come.
const DESCRIBE_LIMIT: Duration = Duration::from_secs(30);

/// What stands before a statement that is described.
const DESCRIBE: &str = "DESCRIBE TABLE (\n";

/// The columns of a statement, from the answer to [`Query::describing`] it; places in an error are those of the statement.
pub(crate) fn columns_of(
    sql: &str,
    described: Result<Bytes, EngineError>,
) -> Result<Vec<Column>, EngineError> {
    let columns = described.and_then(|bytes| columns(&bytes));
    columns.map_err(|error| error.shifted(DESCRIBE.len(), sql.len()))
}

/// Reads the rows of a `DESCRIBE` in `JSONCompactEachRow`: arrays that begin with name and type.
pub(crate) fn columns(rows: &[u8]) -> Result<Vec<Column>, EngineError> {
    rows.split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| {
            let row: Vec<serde_json::Value> =
                serde_json::from_slice(line).map_err(std::io::Error::from)?;
            let text = |index: usize| {
                row.get(index)
                    .and_then(|value| value.as_str())
                    .unwrap_or_default()
                    .to_owned()
            };
            Ok(Column {
                name: text(0),
                type_name: text(1),
            })
        })
        .collect()
}

/// Which engine to open, and where its data is.
#[derive(Debug, Clone)]
pub enum Config {
    /// ClickHouse inside this process.
    Embedded(chdb::Config),
    /// A ClickHouse server over HTTP.
    Server(server::Config),
}

impl Config {
    /// The embedded engine with its data in `<state>/chdb` and its lock in `<state>/lock`.
    pub fn embedded(state: impl Into<PathBuf>) -> Self {
        Self::Embedded(chdb::Config::new(state))
    }
}

/// Opens the engine. The embedded one must have been found by [`locate`] or made by [`install()`] before.
pub async fn open(config: Config) -> Result<Arc<dyn Engine>, EngineError> {
    let engine: Arc<dyn Engine> = match config {
        Config::Embedded(config) => {
            let opened = tokio::task::spawn_blocking(move || chdb::Chdb::open(&config)).await;
            let engine = opened.map_err(std::io::Error::other)??;
            mortal::maybe(Arc::new(engine))
        }
        Config::Server(config) => mortal::maybe(Arc::new(server::Server::open(config).await?)),
    };
    Ok(Arc::new(discreet::Discreet(engine)))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Takes down how long statements may take, and answers none.
    #[derive(Debug, Default)]
    struct Timed(Mutex<Vec<Option<Duration>>>);

    #[async_trait]
    impl Engine for Timed {
        async fn query(&self, query: Query) -> Result<Answer, EngineError> {
            self.0.lock().unwrap().push(query.timeout);
            Err(EngineError::Cancelled)
        }

        async fn execute(&self, _: &str) -> Result<(), EngineError> {
            Ok(())
        }

        async fn insert(&self, _: Insert, _: Rows) -> Result<Written, EngineError> {
            Ok(Written::default())
        }

        fn version(&self) -> &'static str {
            ""
        }

        async fn shutdown(&self) {}
    }

    #[tokio::test]
    async fn nobody_waits_for_a_description_without_end() {
        let engine = Timed::default();
        engine.describe("SELECT 1").await.unwrap_err();
        assert_eq!(*engine.0.lock().unwrap(), [Some(DESCRIBE_LIMIT)]);
    }
}
