//! `EXPORT_*`: what a node gives, into a topic or into files.

use pipewright_grammar::syntax::{Directive, NodeKind};

use super::location::Kind;
use super::{Connection, Connector, Context, Sql, Statement, StatementKind, System};
use super::{outside, outside_table};
use crate::emit::default_sql;
use crate::graph::NodeId;
use crate::project::Node;
use crate::sql::{quote_identifier, quote_literal};

impl<'a> Context<'a> {
    pub(super) fn sinks(&mut self) -> Vec<Connector> {
        let plan = self.plan;
        let mut connectors = Vec::new();
        for pipe in plan.project.pipes.values() {
            for node in &pipe.nodes {
                if !matches!(node.kind, NodeKind::Sink | NodeKind::Stream) {
                    continue;
                }
                let id = NodeId::of(pipe, node);
                connectors.extend(self.sink(node, &id));
            }
        }
        connectors
    }

    fn sink(&mut self, node: &'a Node, id: &NodeId) -> Option<Connector> {
        let directive = |keyword: &str| {
            node.directives.iter().rev().find(|directive| {
                directive.keyword.value == keyword && !directive.value.value.trim().is_empty()
            })
        };
        let Some(name) = directive("EXPORT_CONNECTION_NAME") else {
            // A stream need not say where it goes.
            if node.kind == NodeKind::Sink {
                self.missing(node.name.span, "EXPORT_CONNECTION_NAME");
            }
            return None;
        };
        // What does not compile is reported where it is compiled.
        let query = default_sql(self.plan, id).ok()?.sql.into_text();
        let owner = format!("{}.{}", id.pipe, id.node);
        if let Some(topic) = directive("EXPORT_KAFKA_TOPIC") {
            return self.topic(name, topic, owner, &query);
        }
        if let Some(uri) = directive("EXPORT_BUCKET_URI") {
            let file = directive("EXPORT_FILE_TEMPLATE");
            let Some(file) = file else {
                self.missing(uri.keyword.span, "EXPORT_FILE_TEMPLATE");
                return None;
            };
            let truncates = directive("EXPORT_WRITE_STRATEGY")
                .or_else(|| directive("EXPORT_STRATEGY"))
                .is_some_and(|strategy| strategy.value.value.contains("truncate"));
            let format = directive("EXPORT_FORMAT");
            let compression = directive("EXPORT_COMPRESSION");
            return self.files(
                name,
                uri,
                file,
                format,
                compression,
                truncates,
                owner,
                &query,
            );
        }
        let missing = if node.kind == NodeKind::Stream {
            "EXPORT_KAFKA_TOPIC"
        } else {
            "EXPORT_BUCKET_URI"
        };
        self.missing(name.keyword.span, missing);
        None
    }

    fn topic(
        &mut self,
        name: &Directive,
        topic: &Directive,
        owner: String,
        query: &str,
    ) -> Option<Connector> {
        let connection: Connection<'a> = self.connection(name, &["kafka"]);
        let mut statements = Vec::new();
        if connection.is_known() {
            statements.push(self.broker(&connection, name)?);
        }
        let table = owner.replace('.', "__");
        let engine = format!(
            "Kafka({})\nSETTINGS kafka_topic_list = {}, kafka_group_name = 'pipewright', kafka_format = 'RawBLOB'",
            connection.collection(),
            quote_literal(topic.value.value.trim())
        );
        let columns = ["message String".to_owned()];
        statements.push(outside_table(&table, &columns, Sql::from(engine)));
        statements.push(Statement {
            kind: StatementKind::Run,
            sql: Sql::from(format!(
                "INSERT INTO {}\nSELECT formatRowNoNewline('JSONEachRow', *)\nFROM (\n{query}\n)",
                quote_identifier(&outside(&table))
            )),
            name: owner.clone(),
        });
        Some(Connector {
            owner,
            system: System::Kafka,
            connection: Some(connection.name),
            statements,
        })
    }

    #[expect(clippy::too_many_arguments, reason = "each is a directive of the node")]
    fn files(
        &mut self,
        name: &Directive,
        uri: &Directive,
        file: &Directive,
        format: Option<&Directive>,
        compression: Option<&Directive>,
        truncates: bool,
        owner: String,
        query: &str,
    ) -> Option<Connector> {
        let connection: Connection<'a> = self.connection(name, &["s3", "gcs"]);
        let location = self.location(uri, Some(&connection))?;
        if location.kind == Kind::Url {
            self.bad(
                uri.value.span,
                "files are written to s3:// and gs:// only".to_owned(),
            );
            return None;
        }
        let (format, ending) = self.format(format)?;
        let packed = self.compression(compression)?;
        let (path, partition) = match template(file.value.value.trim()) {
            Ok(found) => found,
            Err(error) => {
                self.bad(file.value.span, error);
                return None;
            }
        };
        let mut statements = Vec::new();
        if connection.is_known() {
            statements.push(self.store(&connection, location.kind, uri)?);
        }
        let url = format!(
            "{}/{path}.{ending}{packed}",
            location.url.trim_end_matches('/')
        );
        let partition = partition.map_or(String::new(), |partition| {
            format!("\nPARTITION BY {partition}")
        });
        let setting = if truncates {
            "s3_truncate_on_insert"
        } else {
            "s3_create_new_file_on_insert"
        };
        statements.push(Statement {
            kind: StatementKind::Run,
            name: owner.clone(),
            sql: Sql::from(format!(
                "INSERT INTO FUNCTION s3({}, url = {}, format = '{format}', structure = 'auto'){partition}\nSELECT *\nFROM (\n{query}\n)\nSETTINGS {setting} = 1",
                connection.collection(),
                quote_literal(&url)
            )),
        });
        Some(Connector {
            owner,
            system: System::Bucket,
            connection: Some(connection.name),
            statements,
        })
    }

    fn format(&mut self, format: Option<&Directive>) -> Option<(&'static str, &'static str)> {
        let Some(format) = format else {
            return Some(("CSVWithNames", "csv"));
        };
        match format.value.value.trim().to_ascii_lowercase().as_str() {
            "csv" => Some(("CSVWithNames", "csv")),
            "ndjson" | "json" => Some(("JSONEachRow", "ndjson")),
            "parquet" => Some(("Parquet", "parquet")),
            other => {
                self.bad(
                    format.value.span,
                    format!("`{other}` is no format of files; there are csv, ndjson and parquet"),
                );
                None
            }
        }
    }

    fn compression(&mut self, compression: Option<&Directive>) -> Option<&'static str> {
        let Some(compression) = compression else {
            return Some("");
        };
        match compression.value.value.trim().to_ascii_lowercase().as_str() {
            "none" => Some(""),
            "gz" | "gzip" => Some(".gz"),
            "zst" | "zstd" => Some(".zst"),
            "br" | "brotli" => Some(".br"),
            "xz" | "lzma" => Some(".xz"),
            other => {
                self.bad(
                    compression.value.span,
                    format!("`{other}` is no compression; there are none, gz, zst, br and xz"),
                );
                None
            }
        }
    }
}

/// The name of the files, and the expression whose values stand in it: what is in braces is a column, or a column and how its time is written.
fn template(text: &str) -> Result<(String, Option<String>), String> {
    let mut pieces = Vec::new();
    let (mut before, mut after) = (String::new(), String::new());
    let mut rest = text;
    while let Some(start) = rest.find('{') {
        let end = rest[start..]
            .find('}')
            .ok_or_else(|| "`{` is not closed".to_owned())?;
        let plain = &rest[..start];
        if pieces.is_empty() {
            plain.clone_into(&mut before);
        } else if !plain.is_empty() {
            pieces.push(quote_literal(plain));
        }
        let inside = &rest[start + 1..start + end];
        let (column, form) = inside
            .split_once(',')
            .map_or((inside.trim(), None), |(column, form)| {
                (column.trim(), Some(form.trim().trim_matches(['\'', '"'])))
            });
        if column.is_empty() {
            return Err("`{}` names no column".to_owned());
        }
        let column = quote_identifier(column);
        pieces.push(match form {
            None => format!("toString({column})"),
            Some(number) if number.parse::<u32>().is_ok() => {
                format!("toString(cityHash64({column}) % {number})")
            }
            Some(form) => format!("formatDateTime({column}, {})", quote_literal(form)),
        });
        rest = &rest[start + end + 1..];
        rest.clone_into(&mut after);
    }
    Ok(match pieces.len() {
        0 => (text.to_owned(), None),
        1 => (format!("{before}{{_partition_id}}{after}"), pieces.pop()),
        _ => (
            format!("{before}{{_partition_id}}{after}"),
            Some(format!("concat({})", pieces.join(", "))),
        ),
    })
}
