//! `KAFKA_*`: a Kafka table whose messages pass through the data source's own conversions.

use super::connection::collection;
use super::implied::META;
use super::text::Text;
use super::{
    Connection, Connector, Context, Passage, Source, Sql, Statement, System, outside_table,
};
use crate::emit::{Also, Ingestion, Input};
use crate::plan::{Column, TablePlan};
use crate::sql::{quote_identifier, quote_literal};

/// What is known of a message, as columns on the way.
const ON_THE_WAY: &[(&str, &str, &str)] = &[
    ("pw_topic", "LowCardinality(String)", "_topic"),
    ("pw_partition", "UInt64", "_partition"),
    ("pw_offset", "UInt64", "_offset"),
    ("pw_timestamp", "Nullable(DateTime)", "_timestamp"),
    ("pw_key", "String", "_key"),
    (
        "pw_headers",
        "Map(String, String)",
        "mapFromArrays(_headers.name, _headers.value)",
    ),
];

/// How messages are written.
enum Message {
    /// A JSON object, or any text where no column is read from it.
    Text,
    /// The same behind the five bytes with which a schema registry begins.
    TextWithSchema,
    /// Avro with its schema in a registry.
    Avro { registry: Text },
}

impl Context<'_> {
    pub(super) fn kafka(&mut self, source: &Source<'_>) -> Option<Connector> {
        let at = source.first(&[
            "KAFKA_CONNECTION_NAME",
            "KAFKA_TOPIC",
            "KAFKA_BOOTSTRAP_SERVERS",
        ])?;
        let connection = match source.directive("KAFKA_CONNECTION_NAME") {
            Some(name) if !source.syntax.directives.iter().any(is_bootstrap) => {
                self.connection(name, &["kafka"])
            }
            _ if source.syntax.directives.iter().any(is_bootstrap) => Connection::of_source(source),
            _ => {
                self.missing(at.keyword.span, "KAFKA_CONNECTION_NAME");
                return None;
            }
        };
        let Some(topic) = source.value("KAFKA_TOPIC") else {
            self.missing(at.keyword.span, "KAFKA_TOPIC");
            return None;
        };
        let group = source.value("KAFKA_GROUP_ID");
        if group.is_none() {
            self.warn(
                at.keyword.span,
                format!(
                    "`KAFKA_GROUP_ID` is missing: the group is called `{}`",
                    source.table.name
                ),
            );
        }
        self.offset(source);
        let message = self.message(source, &connection)?;
        let mut statements = Vec::new();
        if connection.is_known() {
            statements.push(self.broker(&connection, at)?);
        }
        let group = group.unwrap_or(&source.table.name.name);
        let table = self.kafka_table(source, &connection, topic, group, &message)?;
        statements.push(table);
        statements.extend(self.passage(source, &message)?);
        Some(Connector {
            owner: source.table.name.name.clone(),
            system: System::Kafka,
            connection: Some(connection.name),
            statements,
        })
    }

    fn offset(&mut self, source: &Source<'_>) {
        let Some(offset) = source.directive("KAFKA_AUTO_OFFSET_RESET") else {
            return;
        };
        match offset.value.value.trim() {
            "earliest" => {}
            "latest" => self.warn(
                offset.value.span,
                "ClickHouse begins at the earliest message of a new group; `latest` is a setting of the server (`auto_offset_reset` under `kafka`)".to_owned(),
            ),
            other => self.bad(
                offset.value.span,
                format!("`{other}` is neither `earliest` nor `latest`"),
            ),
        }
    }

    /// The collection of a connection to brokers.
    pub(super) fn broker(
        &mut self,
        connection: &Connection<'_>,
        at: &pipewright_grammar::syntax::Directive,
    ) -> Option<Statement> {
        let Some(servers) = self.text(connection, "KAFKA_BOOTSTRAP_SERVERS") else {
            self.missing(at.keyword.span, "KAFKA_BOOTSTRAP_SERVERS");
            return None;
        };
        if let Some(method) = connection.directive("KAFKA_SASL_OAUTHBEARER_METHOD") {
            self.unsupported(
                method.keyword.span,
                "Kafka with OAUTHBEARER",
                "ClickHouse gets no tokens of its own for a broker",
                "use SCRAM or PLAIN credentials",
            );
            return None;
        }
        if let Some(certificate) = connection.directive("KAFKA_SSL_CA_PEM") {
            self.warn(
                certificate.keyword.span,
                "ClickHouse takes the brokers' certificate from the server's own settings (`ssl_ca_location` under `kafka`)".to_owned(),
            );
        }
        let mut values = vec![("kafka_broker_list", servers)];
        let protocol = self.text(connection, "KAFKA_SECURITY_PROTOCOL");
        let protocol = protocol
            .and_then(|text| text.plain().map(str::to_ascii_lowercase))
            .unwrap_or_else(|| "sasl_ssl".to_owned());
        values.push(("kafka_security_protocol", Text::from(protocol.as_str())));
        if protocol.starts_with("sasl") {
            let mechanism = self.text(connection, "KAFKA_SASL_MECHANISM");
            values.push((
                "kafka_sasl_mechanism",
                mechanism.unwrap_or_else(|| Text::from("PLAIN")),
            ));
        }
        if let Some(key) = self.login(connection, "KAFKA_KEY") {
            values.push(("kafka_sasl_username", key));
        }
        if let Some(secret) = self.credential(connection, "KAFKA_SECRET") {
            values.push(("kafka_sasl_password", secret));
        }
        Some(collection(connection, &values))
    }

    fn message(&mut self, source: &Source<'_>, connection: &Connection<'_>) -> Option<Message> {
        if let Some(key) = source.directive("KAFKA_KEY_FORMAT")
            && !["string", "json_without_schema"].contains(&key.value.value.trim())
        {
            self.warn(
                key.value.span,
                "keys of messages are kept as they come, whatever their format".to_owned(),
            );
        }
        let Some(format) = source.directive("KAFKA_VALUE_FORMAT") else {
            return Some(Message::Text);
        };
        match format.value.value.trim().to_ascii_lowercase().as_str() {
            "string" | "json" | "json_without_schema" => Some(Message::Text),
            "json_with_schema" => Some(Message::TextWithSchema),
            "avro" => {
                let registry = self.login(connection, "KAFKA_SCHEMA_REGISTRY_URL");
                if registry.is_none() {
                    self.missing(format.keyword.span, "KAFKA_SCHEMA_REGISTRY_URL");
                }
                Some(Message::Avro {
                    registry: registry?,
                })
            }
            other => {
                self.bad(
                    format.value.span,
                    format!("`{other}` is no format of messages; there are string, json_without_schema, json_with_schema and avro"),
                );
                None
            }
        }
    }

    fn kafka_table(
        &mut self,
        source: &Source<'_>,
        connection: &Connection<'_>,
        topic: &str,
        group: &str,
        message: &Message,
    ) -> Option<Statement> {
        let (columns, format) = match message {
            Message::Text | Message::TextWithSchema => {
                (vec!["message String".to_owned()], "RawBLOB")
            }
            Message::Avro { .. } => {
                let fields = self.avro_fields(source)?;
                let columns = fields.iter().map(|(field, column)| {
                    format!("{} {}", quote_identifier(field), data_type(column))
                });
                (columns.collect(), "AvroConfluent")
            }
        };
        let mut engine = Sql::from(format!(
            "Kafka({})\nSETTINGS kafka_topic_list = {}, kafka_group_name = {}, kafka_format = '{format}'",
            connection.collection(),
            quote_literal(topic),
            quote_literal(group)
        ));
        if let Message::Avro { registry } = message {
            engine.push(", format_avro_schema_registry_url = ");
            engine.literal(registry);
        }
        Some(outside_table(&source.table.name.name, &columns, engine))
    }

    /// The fields of an Avro message, each with the column that it fills.
    fn avro_fields<'t>(&mut self, source: &Source<'t>) -> Option<Vec<(String, &'t Column)>> {
        let mut fields = Vec::new();
        for column in crate::emit::given_columns(source.table) {
            if is_meta(&column.name) {
                continue;
            }
            let field = match &column.json_path {
                None => column.name.clone(),
                Some(path) => {
                    let field = path
                        .strip_prefix("$.")
                        .filter(|field| !field.is_empty() && !field.contains(['.', '[', '$', ' ']));
                    let Some(field) = field else {
                        let at = source.directive("KAFKA_VALUE_FORMAT")?;
                        self.bad(
                            at.value.span,
                            format!(
                                "column `{}`: only fields at the top of an Avro message can be read, not `{path}`",
                                column.name
                            ),
                        );
                        return None;
                    };
                    field.to_owned()
                }
            };
            fields.push((field, column));
        }
        Some(fields)
    }

    fn passage(&mut self, source: &Source<'_>, message: &Message) -> Option<Vec<Statement>> {
        let (columns, values, fields) = match message {
            Message::Text => (
                vec!["line String".to_owned()],
                vec!["message AS line".to_owned()],
                None,
            ),
            Message::TextWithSchema => (
                vec!["line String".to_owned()],
                vec![
                    "if(startsWith(message, '\\0'), substring(message, 6), message) AS line"
                        .to_owned(),
                ],
                None,
            ),
            Message::Avro { .. } => {
                let fields = self.avro_fields(source)?;
                let (mut columns, mut values) = (Vec::new(), Vec::new());
                for (field, column) in &fields {
                    let name = quote_identifier(&column.name);
                    columns.push(format!("{name} {}", data_type(column)));
                    values.push(format!("{} AS {name}", quote_identifier(field)));
                }
                (columns, values, Some(fields))
            }
        };
        let way = ON_THE_WAY.iter();
        let columns = columns
            .into_iter()
            .chain(way.clone().map(|(name, kind, _)| format!("{name} {kind}")))
            .collect();
        let values: Vec<String> = values
            .into_iter()
            .chain(way.map(|(name, _, value)| format!("{value} AS {name}")))
            .collect();
        let passage = Passage {
            table: source.table,
            columns,
            feed: format!("SELECT\n    {}", values.join(",\n    ")),
        };
        let also = also(source, fields.is_some());
        let rows = passage.name();
        let (plain, input_columns);
        let from = quote_identifier(&rows);
        let ingestion = {
            plain = without_meta(source.table);
            let input = match &fields {
                None => Input::Messages {
                    rows: &from,
                    also: &also,
                },
                Some(fields) => {
                    input_columns = fields
                        .iter()
                        .map(|(_, column)| (column.name.clone(), data_type(column).to_owned()))
                        .collect::<Vec<_>>();
                    Input::TypedMessages {
                        rows: &from,
                        columns: &input_columns,
                        also: &also,
                    }
                }
            };
            Ingestion::new(&plain, &input)
        };
        Some(passage.statements(&ingestion))
    }
}

fn is_bootstrap(directive: &pipewright_grammar::syntax::Directive) -> bool {
    directive.keyword.value == "KAFKA_BOOTSTRAP_SERVERS" && !directive.value.value.trim().is_empty()
}

fn data_type(column: &Column) -> &str {
    column.data_type.as_deref().unwrap_or("String")
}

/// Whether the connector fills the column.
fn is_meta(name: &str) -> bool {
    META.iter().any(|(meta, ..)| *meta == name)
}

/// The table with the columns that are read from the message itself.
fn without_meta(table: &TablePlan) -> TablePlan {
    let mut table = table.clone();
    table
        .columns
        .retain(|column| !is_meta(&column.name) || column.json_path.is_some());
    table
}

/// What the connector itself puts into the row.
fn also(source: &Source<'_>, is_typed: bool) -> Vec<Also> {
    let stores_value = source.flag("KAFKA_STORE_RAW_VALUE") && !is_typed;
    source
        .table
        .columns
        .iter()
        .filter(|column| column.json_path.is_none())
        .filter_map(|column| {
            let (name, _, value) = META.iter().find(|(name, ..)| *name == column.name)?;
            let value = if *name == "__value" && !stores_value {
                "''"
            } else {
                value
            };
            Some(Also {
                column: column.name.clone(),
                value: format!("CAST({value}, {})", quote_literal(data_type(column))),
            })
        })
        .collect()
}
