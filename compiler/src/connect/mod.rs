//! Stage *connect*: data sources that other systems fill, and nodes that other systems get → statements for a ClickHouse server that reaches those systems.
//!
//! The statements are ClickHouse's own: Kafka, `S3Queue`, S3, `PostgreSQL`, URL and Iceberg tables, with the credentials in a named collection. Rows go the way of
//! every other row: those that fit into the data source, the others into its quarantine. The embedded engine is given none of this, because it would begin to
//! read as soon as it starts; `check` says so. What ClickHouse has nothing for is a warning with the reason.

mod bucket;
mod connection;
mod implied;
mod kafka;
mod location;
mod postgres;
mod sink;
mod sql;
#[cfg(test)]
mod tests;
mod text;

use pipewright_grammar::diagnostic::{Diagnostic, Severity};
use pipewright_grammar::source::Span;
use pipewright_grammar::syntax::{DatasourceFile, Directive};
use serde::Serialize;

pub use implied::implied_columns;
pub use sql::{MissingSecret, Sql};

use crate::diagnostics::codes;
use crate::emit::{Ingestion, create_quarantine, table_name};
use crate::plan::{Plan, TablePlan};
use crate::project::{Datasource, ResourceName};
use crate::sql::quote_identifier;
use connection::Connection;

/// What connects a data source or a sink with another system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connector {
    /// The data source, or `<pipe>.<node>` of a sink.
    pub owner: String,
    /// What is on the other side.
    pub system: System,
    /// The connection's name.
    pub connection: Option<String>,
    /// The statements, in order.
    pub statements: Vec<Statement>,
}

/// A system that ClickHouse reads from or writes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum System {
    /// Kafka and what speaks its protocol.
    Kafka,
    /// Files on S3, or on what speaks its protocol.
    Bucket,
    /// A `PostgreSQL` server.
    Postgres,
    /// A file at a URL.
    Url,
    /// An Iceberg table.
    Iceberg,
}

impl System {
    /// The system in words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Kafka => "Kafka",
            Self::Bucket => "a bucket of files",
            Self::Postgres => "PostgreSQL",
            Self::Url => "a URL",
            Self::Iceberg => "an Iceberg table",
        }
    }
}

/// One statement of a connector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// What it makes.
    pub kind: StatementKind,
    /// The object.
    pub name: String,
    /// The statement, without a semicolon.
    pub sql: Sql,
}

impl Statement {
    /// A hash of what the statement says, whatever the secrets are.
    pub fn fingerprint(&self) -> String {
        blake3::hash(self.sql.text().as_bytes()).to_hex()[..16].to_owned()
    }
}

/// What a statement of a connector makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StatementKind {
    /// The named collection with the connection's values.
    Collection,
    /// A table that stands for the other system, or that rows pass through.
    Table,
    /// The table for what does not fit.
    Quarantine,
    /// A view that moves rows.
    View,
    /// The view with which rows begin to come; the last of all, so that none passes before its ways are there.
    Feed,
    /// A statement that moves rows whenever somebody runs it.
    Run,
}

impl Connector {
    /// The statements as the file of a build: without any credential, each where it stands named by its reference.
    pub fn text(&self) -> String {
        let mut text = format!(
            "-- {}: rows {} {}{}.\n-- For a ClickHouse server that reaches it; the embedded engine does not run this.\n",
            self.owner,
            if self.is_sink() { "to" } else { "from" },
            self.system.words(),
            self.connection
                .as_ref()
                .map_or(String::new(), |name| format!(", connection {name}")),
        );
        for statement in &self.statements {
            if statement.kind == StatementKind::Run {
                text.push_str("\n-- To be run when rows are to be moved.");
            }
            text.push('\n');
            text.push_str(&statement.sql.text());
            text.push_str(";\n");
        }
        text
    }

    /// Whether rows leave.
    pub fn is_sink(&self) -> bool {
        self.owner.contains('.')
    }
}

/// The table that stands for the other system.
fn outside(owner: &str) -> String {
    format!("connector__{owner}")
}

/// What all parts of this stage work with.
struct Context<'a> {
    plan: &'a Plan,
    diagnostics: Vec<Diagnostic>,
}

/// The connectors of a project, in order of their owners' names, and what is to be said about them.
pub fn connectors(plan: &Plan) -> (Vec<Connector>, Vec<Diagnostic>) {
    let mut context = Context {
        plan,
        diagnostics: Vec::new(),
    };
    let datasources = plan.project.datasources.values();
    let mut connectors: Vec<Connector> = datasources
        .filter_map(|datasource| context.datasource(datasource))
        .collect();
    connectors.extend(context.sinks());
    (connectors, context.diagnostics)
}

/// The connector of one data source.
pub(crate) fn connector_of(plan: &Plan, name: &ResourceName) -> Option<Connector> {
    let mut context = Context {
        plan,
        diagnostics: Vec::new(),
    };
    context.datasource(plan.project.datasources.get(name)?)
}

/// A data source that may have a connector.
struct Source<'a> {
    table: &'a TablePlan,
    syntax: &'a DatasourceFile,
}

impl<'a> Source<'a> {
    /// The directive, unless it says nothing.
    fn directive(&self, keyword: &str) -> Option<&'a Directive> {
        self.syntax
            .directive(keyword)
            .filter(|directive| !directive.value.value.trim().is_empty())
    }

    fn value(&self, keyword: &str) -> Option<&'a str> {
        Some(self.directive(keyword)?.value.value.trim())
    }

    fn flag(&self, keyword: &str) -> bool {
        self.value(keyword).is_some_and(is_yes)
    }

    fn first(&self, keywords: &[&str]) -> Option<&'a Directive> {
        keywords.iter().find_map(|keyword| self.directive(keyword))
    }
}

/// Whether a word means yes, as the original reads it.
fn is_yes(word: &str) -> bool {
    ["true", "t", "1", "y", "yes", "on"].contains(&word.to_ascii_lowercase().as_str())
}

impl Context<'_> {
    fn datasource(&mut self, datasource: &Datasource) -> Option<Connector> {
        // What another workspace shares is connected there.
        if datasource.name.workspace.is_some() || datasource.made_by.is_some() {
            return None;
        }
        let table = self.plan.tables.get(&datasource.name)?;
        if table.columns.is_empty() {
            return None;
        }
        self.source(&Source {
            table,
            syntax: &datasource.syntax,
        })
    }

    fn source(&mut self, source: &Source<'_>) -> Option<Connector> {
        let kafka = [
            "KAFKA_TOPIC",
            "KAFKA_CONNECTION_NAME",
            "KAFKA_BOOTSTRAP_SERVERS",
        ];
        let (at, connector) = if let Some(at) = source.first(&kafka) {
            (at, self.kafka(source))
        } else if let Some(at) = source.first(&["PG_CONNECTION_NAME", "PG_TABLE"]) {
            (at, self.postgres(source))
        } else if let Some(at) = source.first(&["IMPORT_TABLE_ARN", "IMPORT_EXPORT_BUCKET"]) {
            self.unsupported(
                at.keyword.span,
                "DynamoDB",
                "ClickHouse has no table or function that reads it",
                "export the table to S3 and read the files with `IMPORT_BUCKET_URI`",
            );
            return None;
        } else if let Some(at) = source.first(&["IMPORT_BUCKET_URI"]) {
            (at, self.bucket(source))
        } else if let Some(at) = source.first(&["IMPORT_EXTERNAL_DATASOURCE", "IMPORT_QUERY"]) {
            let system = source.value("IMPORT_SERVICE").unwrap_or("a warehouse");
            self.unsupported(
                at.keyword.span,
                system,
                "ClickHouse has no table or function that reads it",
                "export the rows to S3 or Google Cloud Storage and read the files with `IMPORT_BUCKET_URI`",
            );
            return None;
        } else {
            let at = source.first(&["IMPORT_CONNECTION_NAME"])?;
            self.missing(at.keyword.span, "IMPORT_BUCKET_URI");
            return None;
        };
        let connector = connector?;
        self.diagnostics.push(
            Diagnostic::new(
                Severity::Note,
                codes::NEEDS_EXTERNAL_SYSTEM,
                format!(
                    "data source `{}` is filled from {}, which the embedded engine does not start",
                    source.table.name,
                    connector.system.words()
                ),
            )
            .label(at.keyword.span, "")
            .help("`build` writes the statements for a ClickHouse server to `connectors/`; a project with `[server] clickhouse_url` deploys them"),
        );
        Some(connector)
    }

    fn unsupported(&mut self, at: Span, system: &str, reason: &str, help: &str) {
        self.diagnostics.push(
            Diagnostic::warning(
                codes::UNSUPPORTED_CONNECTOR,
                format!("rows from {system} are not compiled: {reason}"),
            )
            .label(at, "the data source is made, and nothing fills it")
            .help(help.to_owned()),
        );
    }

    fn missing(&mut self, at: Span, keyword: &str) {
        self.diagnostics.push(
            Diagnostic::error(
                codes::BAD_CONNECTOR,
                format!("`{keyword}` is missing for this connector"),
            )
            .label(at, ""),
        );
    }

    fn bad(&mut self, at: Span, message: String) {
        self.diagnostics
            .push(Diagnostic::error(codes::BAD_CONNECTOR, message).label(at, ""));
    }

    fn warn(&mut self, at: Span, message: String) {
        self.diagnostics
            .push(Diagnostic::warning(codes::UNSUPPORTED_CONNECTOR, message).label(at, ""));
    }
}

/// The ways of rows that come by themselves: a table that keeps nothing, from which those that fit go into the data source and the others into the quarantine, and
/// last the view that begins to read.
struct Passage<'a> {
    table: &'a TablePlan,
    /// The columns of the rows on their way, as a table has them.
    columns: Vec<String>,
    /// What the feeding view selects, from the table that stands for the other system.
    feed: String,
}

impl Passage<'_> {
    fn name(&self) -> String {
        format!("{}__rows", outside(&self.table.name.name))
    }

    fn statements(&self, ingestion: &Ingestion) -> Vec<Statement> {
        let owner = &self.table.name.name;
        let (outside, rows) = (outside(owner), self.name());
        let (good, bad) = (format!("{outside}__good"), format!("{outside}__bad"));
        let feed = format!("{outside}__feed");
        let quarantine = crate::emit::quarantine_name(&self.table.name);
        let view = |name: &str, to: &str, select: &str| {
            format!(
                "CREATE MATERIALIZED VIEW IF NOT EXISTS {} TO {to} AS\n{select}",
                quote_identifier(name)
            )
        };
        let mut statements = vec![
            Statement {
                kind: StatementKind::Table,
                sql: Sql::from(format!(
                    "CREATE TABLE IF NOT EXISTS {}\n(\n    {}\n)\nENGINE = Null",
                    quote_identifier(&rows),
                    self.columns.join(",\n    ")
                )),
                name: rows.clone(),
            },
            Statement {
                kind: StatementKind::Quarantine,
                sql: Sql::from(create_quarantine(self.table)),
                name: quarantine.name.clone(),
            },
            Statement {
                kind: StatementKind::View,
                sql: Sql::from(view(
                    &good,
                    &table_name(&self.table.name),
                    &ingestion.good_rows(),
                )),
                name: good,
            },
        ];
        if ingestion.may_refuse() {
            statements.push(Statement {
                kind: StatementKind::View,
                sql: Sql::from(view(
                    &bad,
                    &table_name(&quarantine),
                    &ingestion.quarantined_rows(owner),
                )),
                name: bad,
            });
        }
        statements.push(Statement {
            kind: StatementKind::Feed,
            sql: Sql::from(view(
                &feed,
                &quote_identifier(&rows),
                &format!("{}\nFROM {}", self.feed, quote_identifier(&outside)),
            )),
            name: feed,
        });
        statements
    }
}

/// A table that stands for another system.
fn outside_table(owner: &str, columns: &[String], engine: Sql) -> Statement {
    let name = outside(owner);
    let mut sql = Sql::from(format!(
        "CREATE TABLE IF NOT EXISTS {}\n(\n    {}\n)\nENGINE = ",
        quote_identifier(&name),
        columns.join(",\n    ")
    ));
    sql.append(engine);
    Statement {
        kind: StatementKind::Table,
        name,
        sql,
    }
}
