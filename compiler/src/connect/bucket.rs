//! `IMPORT_BUCKET_URI`: files on S3, Google Cloud Storage or at a URL, and Iceberg tables.

use pipewright_grammar::syntax::Directive;

use super::connection::collection;
use super::location::{Kind, Location, format_of};
use super::{
    Connection, Connector, Context, Passage, Source, Sql, Statement, StatementKind, System,
    outside, outside_table,
};
use crate::emit::{Ingestion, Input, given_columns};
use crate::plan::Column;
use crate::sql::{quote_identifier, quote_literal};

/// How rows stand in files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rows {
    Csv,
    Lines,
    Parquet,
    Iceberg,
}

/// When files are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    /// As they come.
    Auto,
    /// Whenever somebody runs the statement.
    OnDemand,
}

impl Context<'_> {
    pub(super) fn bucket(&mut self, source: &Source<'_>) -> Option<Connector> {
        let uri = source.directive("IMPORT_BUCKET_URI")?;
        let connection = source
            .directive("IMPORT_CONNECTION_NAME")
            .map(|name| self.connection(name, &["s3", "gcs"]));
        let location = self.location(uri, connection.as_ref())?;
        if connection.is_none() && location.kind != Kind::Url {
            self.missing(uri.keyword.span, "IMPORT_CONNECTION_NAME");
            return None;
        }
        let rows = self.rows(source, uri)?;
        let when = self.when(source, uri, rows, location.kind)?;
        let mut statements = Vec::new();
        if let Some(connection) = connection.as_ref().filter(|found| found.is_known()) {
            statements.push(self.store(connection, location.kind, uri)?);
        }
        let system = match (rows, location.kind) {
            (Rows::Iceberg, _) => System::Iceberg,
            (_, Kind::Url) if connection.is_none() => System::Url,
            _ => System::Bucket,
        };
        let from = From {
            source,
            rows,
            given: given_columns(source.table).collect(),
            since: source.value("IMPORT_FROM_TIMESTAMP"),
        };
        statements.push(from.table(connection.as_ref(), &location, when));
        statements.extend(match when {
            When::Auto => from.passage(),
            When::OnDemand => from.run(),
        });
        Some(Connector {
            owner: source.table.name.name.clone(),
            system,
            connection: connection.map(|connection| connection.name),
            statements,
        })
    }

    /// Where the files are.
    pub(super) fn location(
        &mut self,
        uri: &Directive,
        connection: Option<&Connection<'_>>,
    ) -> Option<Location> {
        let region = connection
            .and_then(|connection| connection.directive("S3_REGION"))
            .map(|region| region.value.value.trim());
        match Location::of(uri.value.value.trim(), region) {
            Ok(location) => Some(location),
            Err(error) => {
                self.bad(uri.value.span, error);
                None
            }
        }
    }

    /// The collection of a connection to a store.
    pub(super) fn store(
        &mut self,
        connection: &Connection<'_>,
        kind: Kind,
        at: &Directive,
    ) -> Option<Statement> {
        let (id, key) = if kind == Kind::Gcs {
            if let Some(account) = connection.directive("GCS_SERVICE_ACCOUNT_CREDENTIALS_JSON") {
                self.unsupported(
                    account.keyword.span,
                    "Google Cloud Storage by a service account",
                    "ClickHouse reads that store with an HMAC key",
                    "make an HMAC key for the account and give `GCS_HMAC_ACCESS_ID` and `GCS_HMAC_SECRET`",
                );
                return None;
            }
            ("GCS_HMAC_ACCESS_ID", "GCS_HMAC_SECRET")
        } else {
            ("S3_ACCESS_KEY", "S3_SECRET")
        };
        let mut values = Vec::new();
        if let (Some(id), Some(key)) =
            (self.login(connection, id), self.credential(connection, key))
        {
            values.push(("access_key_id", id));
            values.push(("secret_access_key", key));
        } else if connection.has(id) || connection.has(key) || kind == Kind::Gcs {
            self.missing(at.keyword.span, if connection.has(id) { key } else { id });
            return None;
        }
        if let Some(role) = self.text(connection, "S3_ARN") {
            values.push(("role_arn", role));
        }
        if values.is_empty() {
            values.push(("use_environment_credentials", "1".into()));
        }
        Some(collection(connection, &values))
    }

    fn rows(&mut self, source: &Source<'_>, uri: &Directive) -> Option<Rows> {
        let written = source.directive("IMPORT_FORMAT");
        let has_paths = source
            .table
            .columns
            .iter()
            .any(|column| column.json_path.is_some());
        let name = match written {
            Some(written) => written.value.value.trim().to_ascii_lowercase(),
            None => format_of(uri.value.value.trim())
                .unwrap_or(if has_paths { "ndjson" } else { "csv" })
                .to_owned(),
        };
        match name.as_str() {
            "csv" => Some(Rows::Csv),
            "ndjson" | "json" | "jsonl" => Some(Rows::Lines),
            "parquet" => Some(Rows::Parquet),
            "iceberg" => Some(Rows::Iceberg),
            other => {
                let at = written.unwrap_or(uri);
                self.bad(
                    at.value.span,
                    format!("`{other}` is no format of files; there are csv, ndjson, parquet and iceberg"),
                );
                None
            }
        }
    }

    fn when(
        &mut self,
        source: &Source<'_>,
        uri: &Directive,
        rows: Rows,
        kind: Kind,
    ) -> Option<When> {
        let Some(schedule) = source.directive("IMPORT_SCHEDULE") else {
            self.missing(uri.keyword.span, "IMPORT_SCHEDULE");
            return None;
        };
        match schedule.value.value.trim() {
            "@auto" if rows != Rows::Iceberg && kind != Kind::Url => Some(When::Auto),
            "@auto" => {
                self.warn(
                    schedule.value.span,
                    "ClickHouse follows new files in a bucket only: here the statement that reads all is compiled, to be run on demand".to_owned(),
                );
                Some(When::OnDemand)
            }
            "@on-demand" | "@once" => Some(When::OnDemand),
            other if other.split_whitespace().count() == 5 => {
                self.warn(
                    schedule.value.span,
                    "nothing runs this by the clock: the statement is compiled, to be run on demand".to_owned(),
                );
                Some(When::OnDemand)
            }
            other => {
                self.bad(
                    schedule.value.span,
                    format!("`{other}` is none of `@auto`, `@on-demand` and `@once`"),
                );
                None
            }
        }
    }
}

/// Files that fill a data source.
struct From<'a> {
    source: &'a Source<'a>,
    rows: Rows,
    given: Vec<&'a Column>,
    /// Only files that are newer.
    since: Option<&'a str>,
}

impl From<'_> {
    /// The columns of the table that stands for the files.
    fn outside_columns(&self) -> Vec<String> {
        let typed = |column: &&Column| {
            format!(
                "{} {}",
                quote_identifier(&column.name),
                column.data_type.as_deref().unwrap_or("String")
            )
        };
        match self.rows {
            Rows::Lines => vec!["line String".to_owned()],
            Rows::Parquet | Rows::Iceberg => self.given.iter().map(typed).collect(),
            Rows::Csv => {
                let names = self
                    .given
                    .iter()
                    .map(|column| quote_identifier(&column.name));
                // What is there beside the columns makes a row one that does not fit.
                let names = names.chain(["pw_more".to_owned()]);
                names
                    .map(|name| format!("{name} Nullable(String)"))
                    .collect()
            }
        }
    }

    fn table(
        &self,
        connection: Option<&Connection<'_>>,
        location: &Location,
        when: When,
    ) -> Statement {
        let owner = &self.source.table.name.name;
        let format = match self.rows {
            Rows::Csv => "CSV",
            Rows::Lines => "LineAsString",
            Rows::Parquet | Rows::Iceberg => "Parquet",
        };
        let url = quote_literal(&location.url);
        let mut engine = match connection {
            Some(connection) => {
                let name = match (self.rows, when) {
                    (Rows::Iceberg, _) => "IcebergS3",
                    (_, When::Auto) => "S3Queue",
                    (_, When::OnDemand) => "S3",
                };
                format!(
                    "{name}({}, url = {url}, format = '{format}')",
                    connection.collection()
                )
            }
            None => format!("URL({url}, '{format}')"),
        };
        let mut settings = Vec::new();
        if when == When::Auto {
            settings.push("mode = 'unordered'".to_owned());
            // The server's record of which files it has read outlives the table.
            settings.push(format!(
                "keeper_path = {}",
                quote_literal(&format!("/pipewright/s3queue/{owner}"))
            ));
        }
        if self.rows == Rows::Csv {
            settings.extend(
                [
                    "input_format_csv_allow_variable_number_of_columns = 1",
                    "input_format_csv_empty_as_default = 0",
                    "format_csv_null_representation = '\\x01'",
                ]
                .map(ToOwned::to_owned),
            );
        }
        if !settings.is_empty() {
            engine.push_str("\nSETTINGS ");
            engine.push_str(&settings.join(", "));
        }
        outside_table(owner, &self.outside_columns(), Sql::from(engine))
    }

    /// The columns of the rows on their way, and the expressions that make them of what the files have.
    fn on_the_way(&self) -> (Vec<String>, Vec<String>) {
        if self.rows != Rows::Csv {
            let columns = self.outside_columns();
            let names = match self.rows {
                Rows::Lines => vec!["line".to_owned()],
                _ => self
                    .given
                    .iter()
                    .map(|column| quote_identifier(&column.name))
                    .collect(),
            };
            return (columns, names);
        }
        let names = self
            .given
            .iter()
            .map(|column| quote_identifier(&column.name));
        names
            .chain(["pw_more".to_owned()])
            .enumerate()
            .map(|(at, name)| {
                (
                    format!("pw_field{at} Nullable(String)"),
                    format!("{name} AS pw_field{at}"),
                )
            })
            .unzip()
    }

    fn condition(&self) -> String {
        self.since.map_or(String::new(), |since| {
            format!(
                "\nWHERE _time >= parseDateTimeBestEffort({})",
                quote_literal(since)
            )
        })
    }

    fn ingestion(&self, rows: &str) -> Ingestion {
        let typed: Vec<(String, String)> = self
            .given
            .iter()
            .map(|column| {
                (
                    column.name.clone(),
                    column
                        .data_type
                        .clone()
                        .unwrap_or_else(|| "String".to_owned()),
                )
            })
            .collect();
        let input = match self.rows {
            Rows::Csv => Input::Fields(rows),
            Rows::Lines => Input::Json(rows),
            Rows::Parquet | Rows::Iceberg => Input::Typed(rows, &typed),
        };
        Ingestion::new(self.source.table, &input)
    }

    /// Rows that come by themselves.
    fn passage(&self) -> Vec<Statement> {
        let (columns, values) = self.on_the_way();
        let passage = Passage {
            table: self.source.table,
            columns,
            feed: format!("SELECT\n    {}", values.join(",\n    ")),
        };
        let ingestion = self.ingestion(&quote_identifier(&passage.name()));
        let mut statements = passage.statements(&ingestion);
        if let Some(feed) = statements.last_mut() {
            feed.sql.push(&self.condition());
        }
        statements
    }

    /// The statements that read everything once: those that fit, and the others.
    fn run(&self) -> Vec<Statement> {
        let owner = &self.source.table.name.name;
        let (_, values) = self.on_the_way();
        let rows = format!(
            "(\n    SELECT {}\n    FROM {}{}\n)",
            values.join(", "),
            quote_identifier(&outside(owner)),
            self.condition()
        );
        let ingestion = self.ingestion(&rows);
        let quarantine = crate::emit::quarantine_name(&self.source.table.name);
        vec![
            Statement {
                kind: StatementKind::Quarantine,
                name: quarantine.name.clone(),
                sql: Sql::from(crate::emit::create_quarantine(self.source.table)),
            },
            Statement {
                kind: StatementKind::Run,
                name: quarantine.name,
                sql: Sql::from(ingestion.insert_quarantine(owner, &[])),
            },
            Statement {
                kind: StatementKind::Run,
                name: owner.clone(),
                sql: Sql::from(ingestion.insert_good(&[])),
            },
        ]
    }
}
