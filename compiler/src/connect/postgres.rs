//! `PG_*`: a table of a `PostgreSQL` server, and the statement that takes its rows over.

use pipewright_grammar::syntax::Directive;

use super::connection::collection;
use super::{
    Connection, Connector, Context, Source, Sql, Statement, StatementKind, System, outside_table,
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
            statements.push(self.database(&connection, name)?);
        }
        let owner = &source.table.name.name;
        let engine = engine(&connection, table.value.value.trim());
        statements.push(outside(source, engine));
        statements.push(take_over(source));
        Some(Connector {
            owner: owner.clone(),
            system: System::Postgres,
            connection: Some(connection.name),
            statements,
        })
    }
    /// The collection of a connection to a database.
    fn database(&mut self, connection: &Connection<'_>, name: &Directive) -> Option<Statement> {
        let mut values = Vec::new();
        for (keyword, key) in [
            ("PG_HOST", "host"),
            ("PG_PORT", "port"),
            ("PG_DATABASE", "database"),
        ] {
            match self.text(connection, keyword) {
                Some(text) => values.push((key, text)),
                None if key == "port" => values.push((key, "5432".into())),
                None => {
                    self.missing(name.keyword.span, keyword);
                    return None;
                }
            }
        }
        let user = self.login(connection, "PG_USER");
        let password = self.credential(connection, "PG_PASSWORD");
        let (Some(user), Some(password)) = (user, password) else {
            self.missing(name.keyword.span, "PG_USER` and `PG_PASSWORD");
            return None;
        };
        values.extend([("user", user), ("password", password)]);
        Some(collection(connection, &values))
    }
}

/// The engine of the table that stands for one of the database, which may be named with its schema.
fn engine(connection: &Connection<'_>, table: &str) -> String {
    let (schema, table) = match table.split_once('.') {
        Some((schema, table)) => (Some(schema), table),
        None => (None, table),
    };
    let schema = schema.map_or(String::new(), |schema| {
        format!(", schema = {}", quote_literal(schema))
    });
    format!(
        "PostgreSQL({}, table = {}{schema})",
        connection.collection(),
        quote_literal(table)
    )
}

/// The table that stands for one of the database, with the columns that the data source takes.
fn outside(source: &Source<'_>, engine: String) -> Statement {
    let columns: Vec<String> = given_columns(source.table)
        .map(|column| {
            format!(
                "{} {}",
                quote_identifier(&column.name),
                column.data_type.as_deref().unwrap_or("String")
            )
        })
        .collect();
    outside_table(&source.table.name.name, &columns, Sql::from(engine))
}

/// The statement that takes the rows over.
fn take_over(source: &Source<'_>) -> Statement {
    let owner = &source.table.name.name;
    let names: Vec<String> = given_columns(source.table)
        .map(|column| quote_identifier(&column.name))
        .collect();
    let names = names.join(", ");
    Statement {
        kind: StatementKind::Run,
        name: owner.clone(),
        sql: Sql::from(format!(
            "INSERT INTO {} ({names})\nSELECT {names}\nFROM {}",
            table_name(&source.table.name),
            quote_identifier(&super::outside(owner))
        )),
    }
}
