//! Rows that fit for certain, found without the engine.
//!
//! Who sends events is told at once how many of them do not fit, and nearly always it is none. The engine alone decides what fits; this only recognizes plain
//! rows of plain columns of which the engine's answer is known, in a small part of the time that the engine takes to read them. Whatever is unusual (a number as text,
//! a key twice, a type with rules of its own) is not certain, and the engine is asked.

use std::collections::HashMap;
use std::fmt;

use pipewright_compiler::emit::given_columns;
use pipewright_compiler::plan::TablePlan;
use pipewright_compiler::types::{self, DataType};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// Most columns of a table whose rows are recognized: each is a bit of a number.
const COLUMNS: usize = 128;

/// Knows rows of one table that fit for certain.
#[derive(Debug)]
pub(super) struct Certain {
    row: Object,
    /// The columns that every row must have, as bits.
    required: u128,
}

#[derive(Debug, Default)]
struct Object {
    fields: HashMap<String, Field>,
}

#[derive(Debug)]
enum Field {
    Object(Object),
    Value { bit: u128, kind: Kind, null: bool },
}

/// Which JSON values a column takes as they are.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Integer { least: i64, most: u64 },
    Float,
    Text,
    Truth,
    Day,
    Second,
    Items(Box<Kind>),
}

impl Certain {
    /// For a table; nothing if no row of it can be known to fit.
    pub(super) fn new(table: &TablePlan) -> Option<Self> {
        let with_paths = table
            .columns
            .iter()
            .any(|column| column.json_path.is_some());
        let (mut row, mut required) = (Object::default(), 0);
        for (at, column) in given_columns(table).enumerate() {
            let path = match (column.json_path.as_deref(), with_paths) {
                (Some(path), _) => path.strip_prefix("$.")?,
                (None, false) => &column.name,
                (None, true) => continue,
            };
            let (path, each) = match path.strip_suffix("[:]") {
                Some(path) => (path, true),
                None => (path, false),
            };
            if at >= COLUMNS || path.contains(['[', ']', '\'', '"']) {
                return None;
            }
            let data_type = types::parse(column.data_type.as_deref()?).ok()?;
            let kind = Kind::of(&data_type)?;
            if each != matches!(kind, Kind::Items(_)) {
                return None;
            }
            let (bit, is_optional) = (
                1 << at,
                each || data_type.is_nullable() || column.default.is_some(),
            );
            if !is_optional {
                required |= bit;
            }
            let names: Vec<&str> = if with_paths {
                path.split('.').collect()
            } else {
                vec![path]
            };
            let null = is_optional;
            row.add(&names, Field::Value { bit, kind, null })?;
        }
        Some(Self { row, required })
    }

    /// Whether every one of these lines is a row that fits.
    pub(super) fn fit(&self, lines: &[u8]) -> bool {
        lines
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .all(|line| self.fits(line))
    }

    fn fits(&self, line: &[u8]) -> bool {
        let mut seen = 0;
        let mut reader = serde_json::Deserializer::from_slice(line);
        let row = InObject {
            object: &self.row,
            seen: &mut seen,
        };
        line.starts_with(b"{")
            && row.deserialize(&mut reader).is_ok()
            && reader.end().is_ok()
            && seen & self.required == self.required
    }
}

impl Object {
    /// Adds a field at a path; nothing if another is in its way.
    fn add(&mut self, path: &[&str], field: Field) -> Option<()> {
        let (first, rest) = path.split_first()?;
        if first.is_empty() {
            return None;
        }
        if rest.is_empty() {
            return self
                .fields
                .insert((*first).to_owned(), field)
                .is_none()
                .then_some(());
        }
        let inner = self
            .fields
            .entry((*first).to_owned())
            .or_insert_with(|| Field::Object(Self::default()));
        match inner {
            Field::Object(inner) => inner.add(rest, field),
            Field::Value { .. } => None,
        }
    }
}

impl Kind {
    fn of(data_type: &DataType) -> Option<Self> {
        let inner = data_type.bare();
        let integer = |least, most| Some(Self::Integer { least, most });
        match inner.family.as_str() {
            "UInt8" => integer(0, u8::MAX.into()),
            "UInt16" => integer(0, u16::MAX.into()),
            "UInt32" => integer(0, u32::MAX.into()),
            "UInt64" => integer(0, u64::MAX),
            "Int8" => integer(i8::MIN.into(), i8::MAX as u64),
            "Int16" => integer(i16::MIN.into(), i16::MAX as u64),
            "Int32" => integer(i32::MIN.into(), i32::MAX as u64),
            "Int64" => integer(i64::MIN, i64::MAX as u64),
            "Float64" => Some(Self::Float),
            "String" => Some(Self::Text),
            "Bool" => Some(Self::Truth),
            "Date" if inner.arguments.is_empty() => Some(Self::Day),
            "DateTime" if inner.arguments.is_empty() => Some(Self::Second),
            "Array" => {
                let item = Self::of(inner.inner_types().next()?)?;
                let is_plain =
                    !matches!(item, Self::Items(_)) && !inner.inner_types().next()?.is_nullable();
                is_plain.then(|| Self::Items(Box::new(item)))
            }
            _ => None,
        }
    }
}

/// Why reading a row stops. Nobody sees it.
fn uncertain<E: Error>() -> E {
    E::custom("uncertain")
}

struct InObject<'a> {
    object: &'a Object,
    seen: &'a mut u128,
}

impl<'de> DeserializeSeed<'de> for InObject<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for InObject<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        // The objects that were here: a key that comes twice is one value to some readers and another to others.
        let mut inner: Vec<*const Object> = Vec::new();
        while let Some(field) = map.next_key_seed(Key(self.object))? {
            match field {
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
                Some(Field::Object(object)) => {
                    if inner.contains(&std::ptr::from_ref(object)) {
                        return Err(uncertain());
                    }
                    inner.push(object);
                    map.next_value_seed(InObject {
                        object,
                        seen: self.seen,
                    })?;
                }
                Some(Field::Value { bit, kind, null }) => {
                    if *self.seen & bit != 0 {
                        return Err(uncertain());
                    }
                    *self.seen |= bit;
                    map.next_value_seed(Fits { kind, null: *null })?;
                }
            }
        }
        Ok(())
    }
}

/// A key, found without a copy of it.
struct Key<'a>(&'a Object);

impl<'a, 'de> DeserializeSeed<'de> for Key<'a> {
    type Value = Option<&'a Field>;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Self::Value, D::Error> {
        reader.deserialize_str(self)
    }
}

impl<'a> Visitor<'_> for Key<'a> {
    type Value = Option<&'a Field>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a key")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(self.0.fields.get(text))
    }
}

struct Fits<'a> {
    kind: &'a Kind,
    null: bool,
}

impl<'de> DeserializeSeed<'de> for Fits<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_any(self)
    }
}

fn certain<E: Error>(is_certain: bool) -> Result<(), E> {
    if is_certain { Ok(()) } else { Err(uncertain()) }
}

impl<'de> Visitor<'de> for Fits<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value that fits")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        certain(self.null)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        certain(*self.kind == Kind::Truth)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<(), E> {
        certain(match self.kind {
            Kind::Integer { most, .. } => number <= *most,
            // Larger ones are not kept to the digit.
            Kind::Float => number < 1 << 53,
            _ => false,
        })
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<(), E> {
        certain(match self.kind {
            Kind::Integer { least, .. } => number >= *least,
            Kind::Float => number > -(1 << 53),
            _ => false,
        })
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<(), E> {
        certain(*self.kind == Kind::Float && number.abs() < 1e300)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        certain(match self.kind {
            Kind::Text => true,
            Kind::Day => is_day(text.as_bytes()),
            Kind::Second => is_second(text.as_bytes()),
            _ => false,
        })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let Kind::Items(kind) = self.kind else {
            return Err(uncertain());
        };
        while items
            .next_element_seed(Fits { kind, null: false })?
            .is_some()
        {}
        Ok(())
    }
}

/// `YYYY-MM-DD` from 1971 to 2099, up to the 28th, which every month has.
fn is_day(text: &[u8]) -> bool {
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = *text else {
        return false;
    };
    let year = [y1, y2, y3, y4];
    year.iter().all(u8::is_ascii_digit)
        && (*b"1971"..=*b"2099").contains(&year)
        && between(m1, m2, 1, 12)
        && between(d1, d2, 1, 28)
}

/// `YYYY-MM-DD hh:mm:ss`.
fn is_second(text: &[u8]) -> bool {
    let Some((day, time)) = text.split_at_checked(10) else {
        return false;
    };
    let [b' ', h1, h2, b':', m1, m2, b':', s1, s2] = *time else {
        return false;
    };
    is_day(day) && between(h1, h2, 0, 23) && between(m1, m2, 0, 59) && between(s1, s2, 0, 59)
}

fn between(tens: u8, ones: u8, least: u8, most: u8) -> bool {
    tens.is_ascii_digit()
        && ones.is_ascii_digit()
        && (least..=most).contains(&((tens - b'0') * 10 + (ones - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certain_of(schema: &str) -> Option<Certain> {
        let text = format!("SCHEMA >\n    {schema}\n");
        let tree =
            pipewright_compiler::project::SourceTree::new([("rows.datasource".to_owned(), text)]);
        let (plan, _) = pipewright_compiler::check(tree);
        Certain::new(plan.table("rows").expect("a data source"))
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
            (format!(r#"{{{base}}}"#), false),
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
                r#"{"id":1,"low":1,"at":"2026-02-03 03:04:05"}"#.to_owned(),
                false,
            ),
            ("[1]".to_owned(), false),
        ] {
            assert_eq!(known.fit(row.as_bytes()), expected, "{row}");
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
