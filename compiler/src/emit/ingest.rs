//! How a JSON row becomes the columns of a data source: one expression for each column, by its JSON path.

use crate::plan::{Column, TablePlan};
use crate::sql::{quote_identifier, quote_literal};
use crate::types::{self, Argument, DataType};

/// The name under which the row's text is read.
const ROW: &str = "json";

/// An `INSERT … SELECT` that reads JSON rows as text (a column `json String`) from `source`, a table expression.
///
/// Columns without a path take the key of their own name when no column has a path, and their default otherwise.
pub fn insert_json(table: &TablePlan, source: &str) -> String {
    let with_paths = table
        .columns
        .iter()
        .any(|column| column.json_path.is_some());
    let (names, expressions): (Vec<String>, Vec<String>) = table
        .columns
        .iter()
        .filter(|column| {
            column
                .default
                .as_ref()
                .is_none_or(|(kind, _)| *kind == pipewright_grammar::syntax::DefaultKind::Default)
        })
        .filter_map(|column| {
            let path = match (&column.json_path, with_paths) {
                (Some(path), _) => Path::parse(path),
                (None, false) => Path {
                    keys: vec![column.name.clone()],
                    item: None,
                },
                (None, true) => return None,
            };
            Some((quote_identifier(&column.name), expression(column, &path)))
        })
        .unzip();
    format!(
        "INSERT INTO {} ({})\nSELECT\n    {}\nFROM {source}",
        crate::emit::table_name(&table.name),
        names.join(", "),
        expressions.join(",\n    ")
    )
}

/// A path of keys, with the keys inside of each item where it goes through an array (`$.a[:].b`).
struct Path {
    keys: Vec<String>,
    item: Option<Vec<String>>,
}

impl Path {
    fn parse(text: &str) -> Self {
        let text = text.strip_prefix('$').unwrap_or(text);
        let (outer, item) = match text.split_once("[:]") {
            Some((outer, item)) => (outer, Some(keys(item))),
            None => (text, None),
        };
        Self {
            keys: keys(outer),
            item,
        }
    }
}

fn keys(text: &str) -> Vec<String> {
    text.split('.')
        .filter(|key| !key.is_empty())
        .map(|key| key.trim_matches(['[', ']', '\'', '"']).to_owned())
        .collect()
}

fn expression(column: &Column, path: &Path) -> String {
    let data_type = column
        .data_type
        .as_deref()
        .and_then(|text| types::parse(text).ok());
    let arguments = path.keys.iter().fold(ROW.to_owned(), |arguments, key| {
        format!("{arguments}, {}", quote_literal(key))
    });
    let value = match &path.item {
        None => scalar(
            &arguments,
            column.data_type.as_deref().unwrap_or("String"),
            data_type.as_ref(),
        ),
        Some(item) => array(&arguments, item, data_type.as_ref()),
    };
    match &column.default {
        Some((_, default)) if !path.keys.is_empty() => {
            format!("if(JSONHas({arguments}), {value}, {default})")
        }
        _ => value,
    }
}

fn scalar(arguments: &str, written: &str, data_type: Option<&DataType>) -> String {
    let inner = data_type.map(DataType::bare);
    let text = format!("JSONExtract({arguments}, 'Nullable(String)')");
    // Dates come in many spellings and as numbers; the type's own JSON reader takes only one.
    let parsed = match inner {
        Some(inner) => match inner.family.as_str() {
            "DateTime64" => Some(format!(
                "parseDateTime64BestEffortOrNull({text}, {})",
                precision(inner)
            )),
            "DateTime" => Some(format!("parseDateTimeBestEffortOrNull({text})")),
            "Date" | "Date32" => Some(format!("toDate(parseDateTimeBestEffortOrNull({text}))")),
            _ => None,
        },
        None => None,
    };
    let nullable = data_type.is_some_and(DataType::is_nullable);
    match parsed {
        Some(parsed) if nullable => parsed,
        Some(parsed) => format!("assumeNotNull({parsed})"),
        None => format!("JSONExtract({arguments}, {})", quote_literal(written)),
    }
}

/// The digits after the second of a `DateTime64`.
fn precision(data_type: &DataType) -> String {
    match data_type.arguments.first() {
        Some(Argument::Number(digits)) => digits.clone(),
        _ => "3".to_owned(),
    }
}

fn array(arguments: &str, item: &[String], data_type: Option<&DataType>) -> String {
    let element = data_type
        .and_then(|data_type| data_type.inner_types().next())
        .map_or_else(|| "String".to_owned(), ToString::to_string);
    if item.is_empty() {
        return format!(
            "JSONExtract({arguments}, {})",
            quote_literal(&format!("Array({element})"))
        );
    }
    let inner = item.iter().fold("item".to_owned(), |arguments, key| {
        format!("{arguments}, {}", quote_literal(key))
    });
    format!(
        "arrayMap(item -> JSONExtract({inner}, {}), JSONExtractArrayRaw({arguments}))",
        quote_literal(&element)
    )
}
