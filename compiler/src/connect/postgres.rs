//! `PG_*`: a table of a `PostgreSQL` server, and the statement that takes its rows over.

use super::connection::collection;
use super::{
    Connector, Context, Source, Sql, Statement, StatementKind, System, outside, outside_table,
};
use crate::emit::{given_columns, table_name};
use crate::sql::{quote_identifier, quote_literal};

impl Context<'_> {
    pub(super) fn postgres(&mut self, source: &Source<'_>) -> Option<Connector> {
        let (name, table) = (
            source.directive("PG_CONNECTION_NAME"),
            source.directive("PG_TABLE"),
        );
        let (Some(name), Some(table)) = (name, table) else {
            let at = source.first(&["PG_CONNECTION_NAME", "PG_TABLE"])?;
            let missing = if name.is_none() {
                "PG_CONNECTION_NAME"
            } else {
                "PG_TABLE"
            };
            self.missing(at.keyword.span, missing);
            return None;
        };
        let connection = self.connection(name, &["postgres", "postgresql"]);
        let mut statements = Vec::new();
        if connection.is_known() {
            let mut values = Vec::new();
            for (keyword, key) in [
                ("PG_HOST", "host"),
                ("PG_PORT", "port"),
                ("PG_DATABASE", "database"),
            ] {
                match self.text(&connection, keyword) {
                    Some(text) => values.push((key, text)),
                    None if key == "port" => values.push((key, "5432".into())),
                    None => {
                        self.missing(name.keyword.span, keyword);
                        return None;
                    }
                }
            }
            let user = self.login(&connection, "PG_USER");
            let password = self.credential(&connection, "PG_PASSWORD");
            let (Some(user), Some(password)) = (user, password) else {
                self.missing(name.keyword.span, "PG_USER` and `PG_PASSWORD");
                return None;
            };
            values.extend([("user", user), ("password", password)]);
            statements.push(collection(&connection, &values));
        }
        let owner = &source.table.name.name;
        let (schema, table) = table
            .value
            .value
            .trim()
            .split_once('.')
            .map_or((None, table.value.value.trim()), |(schema, table)| {
                (Some(schema), table)
            });
        let mut engine = format!(
            "PostgreSQL({}, table = {}",
            connection.collection(),
            quote_literal(table)
        );
        if let Some(schema) = schema {
            engine.push_str(", schema = ");
            engine.push_str(&quote_literal(schema));
        }
        engine.push(')');
        let columns: Vec<String> = given_columns(source.table)
            .map(|column| {
                format!(
                    "{} {}",
                    quote_identifier(&column.name),
                    column.data_type.as_deref().unwrap_or("String")
                )
            })
            .collect();
        statements.push(outside_table(owner, &columns, Sql::from(engine)));
        let names: Vec<String> = given_columns(source.table)
            .map(|column| quote_identifier(&column.name))
            .collect();
        let names = names.join(", ");
        statements.push(Statement {
            kind: StatementKind::Run,
            name: owner.clone(),
            sql: Sql::from(format!(
                "INSERT INTO {} ({names})\nSELECT {names}\nFROM {}",
                table_name(&source.table.name),
                quote_identifier(&outside(owner))
            )),
        });
        Some(Connector {
            owner: owner.clone(),
            system: System::Postgres,
            connection: Some(connection.name),
            statements,
        })
    }
}
