//! DDL from our own model, through templates that are checked when this crate is compiled.

use askama::Template;
use pipewright_grammar::syntax::DefaultKind;

use crate::plan::{Column, Engine, Index, TablePlan};
use crate::project::ResourceName;
use crate::sql::quote_identifier;

#[derive(Template)]
#[template(path = "create_table.sql")]
struct CreateTable {
    name: String,
    entries: Vec<String>,
    engine: String,
    clauses: Vec<String>,
}

#[derive(Template)]
#[template(path = "create_view.sql")]
struct CreateView<'a> {
    name: String,
    target: String,
    select: &'a str,
}

/// `CREATE TABLE` for a data source.
pub fn create_table(table: &TablePlan) -> String {
    let entries = table
        .columns
        .iter()
        .map(column_definition)
        .chain(table.indexes.iter().map(index))
        .collect();
    let template = CreateTable {
        name: table_name(&table.name),
        entries,
        engine: engine(&table.engine),
        clauses: clauses(&table.engine),
    };
    rendered(template.render())
}

/// What stands between a table's definition and the query that gives it its columns.
pub(crate) const EMPTY_AS: &str = "\nEMPTY AS\n";

/// `CREATE TABLE … EMPTY AS …` for a data source whose columns are those of a query.
pub fn create_table_as(table: &TablePlan, select: &str) -> String {
    let mut text = format!(
        "CREATE TABLE IF NOT EXISTS {}\nENGINE = {}",
        table_name(&table.name),
        engine(&table.engine)
    );
    for clause in clauses(&table.engine) {
        text.push('\n');
        text.push_str(&clause);
    }
    text.push_str(EMPTY_AS);
    text.push_str(select);
    text
}

/// `CREATE MATERIALIZED VIEW … TO …` for a materialized node.
pub fn create_view(name: &str, target: &ResourceName, select: &str) -> String {
    rendered(
        CreateView {
            name: quote_identifier(name),
            target: table_name(target),
            select,
        }
        .render(),
    )
}

fn rendered(result: askama::Result<String>) -> String {
    result
        .expect("invariant: writing a DDL template to a string cannot fail")
        .trim_end()
        .to_owned()
}

/// The table of a data source as SQL names it.
pub fn table_name(name: &ResourceName) -> String {
    let table = quote_identifier(&name.name);
    match &name.workspace {
        Some(workspace) => format!("{}.{table}", quote_identifier(workspace)),
        None => table,
    }
}

/// A column as it stands in a `CREATE TABLE`.
pub fn column_definition(column: &Column) -> String {
    let mut text = quote_identifier(&column.name);
    let mut add = |part: &str| {
        text.push(' ');
        text.push_str(part);
    };
    if let Some(data_type) = &column.data_type {
        add(data_type);
    }
    if let Some((kind, expression)) = &column.default {
        add(match kind {
            DefaultKind::Default => "DEFAULT",
            DefaultKind::Materialized => "MATERIALIZED",
            DefaultKind::Alias => "ALIAS",
            DefaultKind::Ephemeral => "EPHEMERAL",
        });
        add(expression);
    }
    if let Some(codec) = &column.codec {
        add(&format!("CODEC({codec})"));
    }
    if let Some(ttl) = &column.ttl {
        add(&format!("TTL {ttl}"));
    }
    text
}

fn index(index: &Index) -> String {
    let granularity = index.granularity.map_or_else(String::new, |granularity| {
        format!(" GRANULARITY {granularity}")
    });
    format!(
        "INDEX {} {} TYPE {}{granularity}",
        quote_identifier(&index.name),
        index.expression,
        index.kind
    )
}

fn engine(engine: &Engine) -> String {
    if engine.arguments.is_empty() {
        engine.name.to_owned()
    } else {
        format!("{}({})", engine.name, engine.arguments.join(", "))
    }
}

fn clauses(engine: &Engine) -> Vec<String> {
    let keyed = |keyword: &str, value: &Option<String>| {
        value
            .as_ref()
            .map(|value| format!("{keyword} {}", parenthesised(value)))
    };
    let plain = |keyword: &str, value: &Option<String>| {
        value.as_ref().map(|value| format!("{keyword} {value}"))
    };
    [
        keyed("PARTITION BY", &engine.partition_key),
        keyed("PRIMARY KEY", &engine.primary_key),
        keyed("ORDER BY", &engine.sorting_key),
        keyed("SAMPLE BY", &engine.sampling_key),
        plain("TTL", &engine.ttl),
        plain("SETTINGS", &engine.settings),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Key expressions go in parentheses, so that a comma list is a tuple; `tuple()` is one already.
fn parenthesised(value: &str) -> String {
    if value == "tuple()" {
        value.to_owned()
    } else {
        format!("({value})")
    }
}
