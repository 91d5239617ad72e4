//! Records of CSV files that fit for certain: what they mean is known as it is of rows of JSON.
//!
//! A field is text, between quotes or not, and a column takes it as the engine would take that text. Whatever readers of CSV differ about (blanks around a value, quotes in the
//! middle of one, lines with more or fewer fields) is left to the engine.

use std::borrow::Cow;

use pipewright_compiler::emit::given_columns;
use pipewright_compiler::plan::TablePlan;
use pipewright_compiler::types;

use super::columns::{Columns, Shape};
use super::kind::Kind;
use super::reading::Reading;
use super::scan::Scanner;
use super::{COLUMNS, is_overgrown};

/// Knows records of one file for one table that fit for certain.
#[derive(Debug)]
pub(in crate::ingest) struct Records {
    /// For each field the column that takes it, if one does.
    fields: Vec<Option<Taking>>,
    delimiter: u8,
    shapes: Vec<Shape>,
    types: Vec<(String, String)>,
}

/// How a column takes a field.
#[derive(Debug)]
struct Taking {
    at: usize,
    kind: Kind,
    /// What no text means: a text without characters, no value, or nothing that is certain.
    empty: Empty,
}

#[derive(Debug, Clone, Copy)]
enum Empty {
    Text,
    Nothing,
    Unknown,
}

impl Records {
    /// For a file whose columns have these names, or are those of the table. Nothing if no record can be known to fit.
    pub(in crate::ingest) fn new(
        table: &TablePlan,
        names: Option<&[String]>,
        delimiter: char,
        is_utc: bool,
    ) -> Option<Self> {
        // Blanks may stand around values, unless they are what separates them.
        if !matches!(delimiter, ',' | ';' | '|') {
            return None;
        }
        let own: Vec<String> = given_columns(table)
            .map(|column| column.name.clone())
            .collect();
        let names = names.unwrap_or(&own);
        let mut records = Self {
            fields: names.iter().map(|_| None).collect(),
            delimiter: u8::try_from(delimiter).ok()?,
            shapes: Vec::new(),
            types: Vec::new(),
        };
        for column in given_columns(table) {
            let data_type = types::parse(column.data_type.as_deref()?).ok()?;
            let (is_nullable, has_default) = (data_type.is_nullable(), column.default.is_some());
            let is_optional = is_nullable || has_default;
            let Some(field) = names.iter().position(|name| *name == column.name) else {
                // Of a column that must have a value no row has one.
                is_optional.then_some(())?;
                continue;
            };
            let kind = Kind::of(&data_type, is_utc)?;
            let has_items = matches!(kind, Kind::Items(_));
            // Both NULL and the default may be meant, and the values do not say which.
            if has_default && (has_items || is_nullable) || records.shapes.len() >= COLUMNS {
                return None;
            }
            let empty = match kind {
                Kind::Text if !is_nullable => Empty::Text,
                _ if is_optional || has_items => Empty::Nothing,
                _ => Empty::Unknown,
            };
            let shape = kind.shape(is_optional);
            let type_name = kind.column_type(shape.may_be_null);
            records.fields[field] = Some(Taking {
                at: records.shapes.len(),
                kind,
                empty,
            });
            records.shapes.push(shape);
            records.types.push((column.name.clone(), type_name));
        }
        (!records.shapes.is_empty()).then_some(records)
    }

    /// The columns as the engine is given them.
    pub(in crate::ingest) fn types(&self) -> &[(String, String)] {
        &self.types
    }

    /// Reads whole records; nothing if one of them is not certain to fit, or if they are much longer as columns.
    pub(in crate::ingest) fn read(&self, bytes: &[u8]) -> Option<Columns> {
        std::str::from_utf8(bytes).ok()?;
        let mut columns = Columns::new(self.shapes.iter().copied());
        let (mut at, mut rows) = (0, 0u64);
        while at < bytes.len() {
            at = self.record(bytes, at, &mut columns)?;
            columns.end_row();
            rows += 1;
            if rows.is_multiple_of(256) && is_overgrown(&columns, at) {
                return None;
            }
        }
        Some(columns)
    }

    /// Reads the record that begins at a place; returns where the next one begins.
    fn record(&self, bytes: &[u8], mut at: usize, columns: &mut Columns) -> Option<usize> {
        let (last, others) = self.fields.split_last()?;
        for taking in others {
            let (text, end) = self.field(bytes, at)?;
            (bytes.get(end) == Some(&self.delimiter)).then_some(())?;
            give(taking.as_ref(), &text, columns)?;
            at = end + 1;
        }
        let (text, end) = self.field(bytes, at)?;
        // A line without anything is a record to some readers and none to others.
        (end > at || !others.is_empty()).then_some(())?;
        give(last.as_ref(), &text, columns)?;
        match &bytes[end..] {
            [] => Some(end),
            [b'\n', ..] => Some(end + 1),
            [b'\r', b'\n', ..] => Some(end + 2),
            _ => None,
        }
    }

    /// The text of the field that begins at a place, and where it ends.
    fn field<'a>(&self, bytes: &'a [u8], at: usize) -> Option<(Cow<'a, [u8]>, usize)> {
        if bytes.get(at) == Some(&b'"') {
            return quoted(bytes, at + 1);
        }
        let rest = &bytes[at..];
        let mut length = 0;
        while let Some(byte) = rest.get(length) {
            match byte {
                b'\n' => break,
                b'\r' if rest.get(length + 1) == Some(&b'\n') => break,
                byte if *byte == self.delimiter => break,
                b'"' | 0..0x20 => return None,
                _ => length += 1,
            }
        }
        let text = &rest[..length];
        // Blanks around it, quotes of another kind and a byte order mark are the engine's.
        let is_plain = !matches!(text, [b' ' | b'\'' | 0xef, ..] | [.., b' ']);
        is_plain.then_some((Cow::Borrowed(text), at + length))
    }
}

/// The text that is between quotes from a place on, and the place behind them.
fn quoted(bytes: &[u8], start: usize) -> Option<(Cow<'_, [u8]>, usize)> {
    let (mut from, mut text) = (start, Vec::new());
    loop {
        let end = from + memchr::memchr(b'"', bytes.get(from..)?)?;
        if bytes.get(end + 1) != Some(&b'"') {
            let last = &bytes[from..end];
            let text = if text.is_empty() {
                Cow::Borrowed(last)
            } else {
                text.extend_from_slice(last);
                Cow::Owned(text)
            };
            return Some((text, end + 1));
        }
        text.extend_from_slice(&bytes[from..=end]);
        from = end + 2;
    }
}

/// Gives a column the text of a field.
fn give(taking: Option<&Taking>, text: &[u8], columns: &mut Columns) -> Option<()> {
    let Some(Taking { at, kind, empty }) = taking else {
        return Some(());
    };
    match (text, empty) {
        (b"", Empty::Text) => columns.text(*at, text),
        (b"", Empty::Nothing) => columns.nothing(*at),
        (b"", Empty::Unknown) | (b"\\N", _) => return None,
        _ => value(*at, kind, text, columns)?,
    }
    Some(())
}

/// Gives a column a text that has characters.
fn value(at: usize, kind: &Kind, text: &[u8], columns: &mut Columns) -> Option<()> {
    match kind {
        Kind::Integer { .. } | Kind::Float => {
            let mut scanner = Scanner::new(text);
            // No blanks: the engine has its own rules for those.
            matches!(text[0], b'-' | b'0'..=b'9').then_some(())?;
            let number = scanner.number()?;
            (scanner.place() == text.len()).then_some(())?;
            columns.number(at, kind, number)
        }
        Kind::Text => {
            columns.text(at, text);
            Some(())
        }
        Kind::Truth => {
            let is_true = text == b"true";
            (is_true || text == b"false").then_some(())?;
            columns.value(at, &[is_true.into()]);
            Some(())
        }
        Kind::Day | Kind::Second { .. } => columns.moment(at, kind, text),
        Kind::Items(item) => items(at, item, text, columns),
    }
}

/// Gives a column an array, which is written as JSON or with single quotes, as the engine writes it.
fn items(at: usize, item: &Kind, text: &[u8], columns: &mut Columns) -> Option<()> {
    let (has_single, has_double) = (text.contains(&b'\''), text.contains(&b'"'));
    if text.contains(&b'\\') || has_single && has_double {
        return None;
    }
    let mut json = Cow::Borrowed(text);
    if has_single {
        for byte in json.to_mut() {
            if *byte == b'\'' {
                *byte = b'"';
            }
        }
    }
    let mut reading = Reading {
        scanner: Scanner::new(&json),
        columns,
        seen: 0,
        objects: 0,
    };
    reading.items(at, item)?;
    (reading.scanner.place() == json.len()).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records_of(schema: &str, names: Option<&[&str]>) -> Option<Records> {
        let text = format!("SCHEMA >\n    {schema}\n");
        let tree =
            pipewright_compiler::project::SourceTree::new([("rows.datasource".to_owned(), text)]);
        let (plan, _) = pipewright_compiler::check(tree);
        let names: Option<Vec<String>> =
            names.map(|names| names.iter().map(ToString::to_string).collect());
        let table = plan.table("rows").expect("a data source");
        Records::new(table, names.as_deref(), ',', true)
    }

    #[test]
    fn plain_records_fit_for_certain() {
        let schema = "`id` UInt8, `a` Nullable(String), `f` Float64 DEFAULT 1, `at` DateTime, `tags` Array(LowCardinality(String))";
        let known = records_of(schema, None).expect("a plain table");
        let at = "2026-01-02 03:04:05";
        for (record, expected) in [
            (format!("1,x,1.5,{at},[]\n"), true),
            (format!("1,x,1.5,{at},\n"), true),
            (format!("1,x,1.5,{at},\r\n2,,,{at},"), true),
            (format!("1,\"a\"\"\r\nb\",,\"{at}\",\"['a','b']\"\n"), true),
            (format!("1,x,1.5,{at}\n"), false),
            (format!("1,x,1.5,{at},[],\n"), false),
            (format!("1,x,1.5,{at},[]\n\n"), false),
            (format!("256,x,1.5,{at},[]\n"), false),
            (format!(",x,1.5,{at},[]\n"), false),
            (format!("1, x,1.5,{at},[]\n"), false),
            (format!("1,x ,1.5,{at},[]\n"), false),
            (format!("1,\"x\" ,1.5,{at},[]\n"), false),
            (format!("1,x\"y\",1.5,{at},[]\n"), false),
            (format!("1,\"open,1.5,{at},[]\n"), false),
            (format!("1,\\N,1.5,{at},[]\n"), false),
            (format!("1,x,1.5x,{at},[]\n"), false),
            (format!("1,x,1.5,{at},\"['a'\"\n"), false),
            (format!("1,x,1.5,{at},\"[\"\"it's\"\"]\"\n"), false),
        ] {
            assert_eq!(
                known.read(record.as_bytes()).is_some(),
                expected,
                "{record}"
            );
        }
    }

    #[test]
    fn a_file_may_have_other_columns_than_its_table() {
        let schema = "`id` UInt8, `a` Nullable(String), `u` Nullable(UUID)";
        assert!(records_of(schema, None).is_none());
        let known = records_of(schema, Some(&["more", "id"])).expect("known columns");
        assert_eq!(known.types(), [("id".to_owned(), "UInt8".to_owned())]);
        assert!(known.read(b"\"any,thing\",1\n").is_some());
        assert!(
            records_of(schema, Some(&["a"])).is_none(),
            "a row without `id` does not fit"
        );
    }
}
