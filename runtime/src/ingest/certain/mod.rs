//! Rows that fit for certain, found and read without the engine.
//!
//! Who sends events is told at once how many of them do not fit, and nearly always it is none. The engine alone decides what fits; this only recognizes plain
//! rows of plain columns of which the engine's answer is known, in a small part of the time that the engine takes to read them. Whatever is unusual (a number as text,
//! a key twice, a type with rules of its own) is not certain, and the engine is asked. What has been recognized has been read, and is kept as the engine's own
//! columns, so that it is read once.

mod columns;
mod kind;
mod moment;
mod reading;
mod records;
mod scan;

use pipewright_compiler::emit::given_columns;
use pipewright_compiler::plan::TablePlan;
use pipewright_compiler::types;

pub(super) use columns::Columns;
use columns::Shape;
use kind::Kind;
use reading::Reading;
pub(super) use records::Records;
pub(super) use scan::{Number, Scanner};

/// Most columns of a table whose rows are recognized, and most objects that they are in: each is a bit of a number.
const COLUMNS: usize = 128;

/// Columns may take so many times the bytes of their rows, and so many more: a table of many columns must not make much of rows that say little.
const GROWTH: u64 = 4;
const GROWTH_FROM: u64 = 1 << 16;

/// Knows rows of one table that fit for certain.
#[derive(Debug)]
pub(super) struct Certain {
    row: Object,
    /// All columns, and those that every row must have, as bits.
    all: u128,
    required: u128,
    shapes: Vec<Shape>,
    /// The columns as the engine is given them; nothing where it takes more than their values to say what a row means.
    types: Option<Vec<(String, String)>>,
}

/// What is known of rows that fit.
#[derive(Debug)]
pub(super) struct Fitting {
    /// They as columns, unless that is not possible, or too long.
    pub(super) columns: Option<Columns>,
}

#[derive(Debug, Default)]
struct Object {
    fields: Vec<Named>,
}

#[derive(Debug)]
struct Named {
    /// The key with its quotes, as it is written nearly always.
    quoted: Vec<u8>,
    field: Field,
}

#[derive(Debug)]
enum Field {
    Object { number: usize, object: Object },
    Value { at: usize, kind: Kind, null: bool },
}

impl Certain {
    /// For a table of an engine in whose time zone `is_utc` or not; nothing if no row of it can be known to fit.
    pub(super) fn new(table: &TablePlan, is_utc: bool) -> Option<Self> {
        let with_paths = table
            .columns
            .iter()
            .any(|column| column.json_path.is_some());
        let mut certain = Self {
            row: Object::default(),
            all: 0,
            required: 0,
            shapes: Vec::new(),
            types: Some(Vec::new()),
        };
        let mut objects = 0;
        for column in given_columns(table) {
            let path = match (column.json_path.as_deref(), with_paths) {
                (Some(path), _) => path.strip_prefix("$.")?,
                (None, false) => &column.name,
                (None, true) => continue,
            };
            let (path, each) = match path.strip_suffix("[:]") {
                Some(path) => (path, true),
                None => (path, false),
            };
            let at = certain.shapes.len();
            if at >= COLUMNS || path.contains(['[', ']', '\'', '"', '\\']) {
                return None;
            }
            let data_type = types::parse(column.data_type.as_deref()?).ok()?;
            let kind = Kind::of(&data_type, is_utc)?;
            if each != matches!(kind, Kind::Items(_)) {
                return None;
            }
            let is_optional = each || data_type.is_nullable() || column.default.is_some();
            certain.add_column(&column.name, &kind, is_optional);
            // Both NULL and the default may be meant, and the values do not say which.
            if column.default.is_some() && (each || data_type.is_nullable()) {
                certain.types = None;
            }
            let names: Vec<&str> = if with_paths {
                path.split('.').collect()
            } else {
                vec![path]
            };
            let null = is_optional;
            let field = Field::Value { at, kind, null };
            certain.row.add(&names, field, &mut objects)?;
        }
        (!certain.shapes.is_empty()).then_some(certain)
    }

    fn add_column(&mut self, name: &str, kind: &Kind, is_optional: bool) {
        let bit = 1 << self.shapes.len();
        self.all |= bit;
        if !is_optional {
            self.required |= bit;
        }
        let shape = kind.shape(is_optional);
        self.shapes.push(shape);
        if let Some(types) = &mut self.types {
            types.push((name.to_owned(), kind.column_type(shape.may_be_null)));
        }
    }

    /// The columns as the engine is given them, where rows are kept as such.
    pub(super) fn types(&self) -> &[(String, String)] {
        self.types.as_deref().unwrap_or_default()
    }

    /// Reads lines; nothing if one of them is not a row that fits for certain.
    pub(super) fn read(&self, lines: &[u8]) -> Option<Fitting> {
        std::str::from_utf8(lines).ok()?;
        let mut columns = Columns::new(self.shapes.iter().copied());
        let mut is_kept = self.types.is_some();
        let (mut start, mut rows) = (0, 0u64);
        for end in memchr::memchr_iter(b'\n', lines) {
            self.row(&lines[start..end], &mut columns)?;
            start = end + 1;
            rows += 1;
            if rows.is_multiple_of(256) && is_overgrown(&columns, start) {
                is_kept = false;
                columns = Columns::new(self.shapes.iter().copied());
            }
        }
        (start == lines.len()).then_some(Fitting {
            columns: is_kept.then_some(columns),
        })
    }

    fn row(&self, line: &[u8], columns: &mut Columns) -> Option<()> {
        let mut reading = Reading {
            scanner: Scanner::new(line),
            columns,
            seen: 0,
            objects: 0,
        };
        if !line.starts_with(b"{") {
            return None;
        }
        reading.object(&self.row)?;
        if !reading.scanner.is_at_end() || reading.seen & self.required != self.required {
            return None;
        }
        let mut missing = self.all & !reading.seen;
        while missing != 0 {
            columns.nothing(missing.trailing_zeros() as usize);
            missing &= missing - 1;
        }
        columns.end_row();
        Some(())
    }
}

/// Whether columns take too much for rows of so many bytes.
fn is_overgrown(columns: &Columns, bytes: usize) -> bool {
    columns.bytes() > GROWTH_FROM + GROWTH * bytes as u64
}

impl Object {
    /// Adds a field at a path; nothing if another is in its way.
    fn add(&mut self, path: &[&str], field: Field, objects: &mut usize) -> Option<()> {
        let (first, rest) = path.split_first()?;
        // Of a key that is not printed as it is, other spellings are usual.
        if first.is_empty() || first.chars().any(char::is_control) {
            return None;
        }
        let quoted = format!("\"{first}\"").into_bytes();
        let found = self.fields.iter().position(|named| named.quoted == quoted);
        if rest.is_empty() {
            self.fields.push(Named { quoted, field });
            return found.is_none().then_some(());
        }
        let at = if let Some(at) = found {
            at
        } else {
            let field = Field::Object {
                number: *objects,
                object: Self::default(),
            };
            *objects += 1;
            self.fields.push(Named { quoted, field });
            self.fields.len() - 1
        };
        if *objects > COLUMNS {
            return None;
        }
        match &mut self.fields[at].field {
            Field::Object { object, .. } => object.add(rest, field, objects),
            Field::Value { .. } => None,
        }
    }

    /// The place of the field with this key.
    fn position(&self, key: &[u8]) -> Option<usize> {
        self.fields
            .iter()
            .position(|named| named.quoted[1..named.quoted.len() - 1] == *key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certain_of(schema: &str) -> Option<Certain> {
        let text = format!("SCHEMA >\n    {schema}\n");
        let tree =
            pipewright_compiler::project::SourceTree::new([("rows.datasource".to_owned(), text)]);
        let (plan, _) = pipewright_compiler::check(tree);
        Certain::new(plan.table("rows").expect("a data source"), true)
    }

    #[test]
    fn plain_rows_fit_for_certain() {
        let schema = "`id` UInt8 `json:$.id`, `a` Nullable(String) `json:$.in.a`, `f` Float64 `json:$.in.f` DEFAULT 1, `at` DateTime `json:$.at`, `tags` Array(LowCardinality(String)) `json:$.tags[:]`, `low` LowCardinality(String) `json:$.low`";
        let known = certain_of(schema).expect("a plain table");
        let base = r#""at":"2026-01-02 03:04:05","low":"x""#;
        for (row, expected) in [
            (format!(r#"{{"id":255,{base}}}"#), true),
            (
                format!(
                    r#"{{"id":1,"in":{{"a":"é\n","f":1.5e3}},"tags":["a","b"],"more":[{{}}],{base}}}"#
                ),
                true,
            ),
            (
                format!(r#"{{"id":1,"in":{{"a":null,"f":null}},"tags":null,{base}}}"#),
                true,
            ),
            (format!(r#"{{"id":256,{base}}}"#), false),
            (format!(r#"{{"id":-1,{base}}}"#), false),
            (format!(r#"{{"id":"1",{base}}}"#), false),
            (format!(r#"{{"id":1.0,{base}}}"#), false),
            (format!(r#"{{"id":1,"id":1,{base}}}"#), false),
            (format!(r#"{{"id":1,"in":{{}},"in":{{}},{base}}}"#), false),
            (format!(r#"{{"id":1,"in":"text",{base}}}"#), false),
            (format!(r#"{{"id":1,"tags":"a",{base}}}"#), false),
            (format!(r#"{{"id":1,"tags":[null],{base}}}"#), false),
            (format!(r#"{{"id":null,{base}}}"#), false),
            (format!("{{{base}}}"), false),
            (format!(r#"{{"id":1,{base}}} x"#), false),
            (format!(r#"{{"id":1,{base}"#), false),
            (
                r#"{"id":1,"low":"x","at":"2026-02-30 03:04:05"}"#.to_owned(),
                false,
            ),
            (
                r#"{"id":1,"low":"x","at":"2026-02-03T03:04:05Z"}"#.to_owned(),
                false,
            ),
            (r#"{"id":1,"low":"x","at":5}"#.to_owned(), false),
            (
                r#"{"id":1,"low":1.0,"at":"2026-02-03 03:04:05"}"#.to_owned(),
                false,
            ),
            (
                r#"{"id":1,"low":-1,"at":"2026-02-03 03:04:05"}"#.to_owned(),
                true,
            ),
            ("[1]".to_owned(), false),
        ] {
            assert_eq!(
                known.read(format!("{row}\n").as_bytes()).is_some(),
                expected,
                "{row}"
            );
        }
    }

    #[test]
    fn tables_with_rules_of_their_own_are_left_to_the_engine() {
        for schema in [
            "`a` UUID `json:$.a`",
            "`a` Array(Int8) `json:$.a[:].b`",
            "`a` Decimal(10, 2) `json:$.a`",
            "`a` String `json:$`",
            "`a` String `json:$.a`, `b` String `json:$.a.b`",
            "`a` String `json:$.a`, `b` Int8 `json:$.a`",
            "`a` Map(String, String) `json:$.a`",
            "`a` DateTime('Asia/Tokyo') `json:$.a`",
        ] {
            assert!(certain_of(schema).is_none(), "{schema}");
        }
    }
}
