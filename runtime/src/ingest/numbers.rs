//! Numbers that stay as they are written.
//!
//! The engine's functions for JSON read a number into 64 bits before they make a text of it: `1.0` becomes `1`, `1e3` becomes `1000`, and of a row with a whole number
//! of more than 64 bits nothing is read at all. Its own format for rows keeps the digits. So such numbers are put between quotes before the engine sees
//! them, where a text is wanted, or where nothing else could be made of them.

use std::collections::BTreeMap;

use pipewright_compiler::emit::given_columns;
use pipewright_compiler::plan::TablePlan;
use pipewright_compiler::types::{self, DataType};

use super::certain::{Number, Scanner};

/// Deepest nesting that is looked into.
const DEPTH: usize = 64;

/// A number that is written in so many bytes is one double and no other.
const DIGITS: usize = 15;

/// Where the rows of a table have texts, and what is to be left alone.
#[derive(Debug)]
pub(super) struct Numbers {
    row: Place,
}

/// What a place of a row is read as.
#[derive(Debug)]
enum Place {
    /// Nothing, or a single value that is no text.
    Plain,
    Text,
    /// A number of more digits than a double has.
    Decimal,
    /// The engine makes of it what it likes.
    Alone,
    Object(BTreeMap<Vec<u8>, Place>),
    Items(Box<Place>),
    /// An object of which every value is read alike.
    Values(Box<Place>),
}

static PLAIN: Place = Place::Plain;

impl Numbers {
    /// For a table; nothing if its rows are kept as a whole.
    pub(super) fn new(table: &TablePlan) -> Option<Self> {
        let with_paths = table
            .columns
            .iter()
            .any(|column| column.json_path.is_some());
        let mut row = Place::Object(BTreeMap::new());
        for column in given_columns(table) {
            let path = match (column.json_path.as_deref(), with_paths) {
                (Some(path), _) => path.strip_prefix("$.")?,
                (None, false) => &column.name,
                (None, true) => continue,
            };
            if path.contains(['\'', '"', '\\']) {
                return None;
            }
            let data_type = types::parse(column.data_type.as_deref()?).ok()?;
            let steps: Vec<&str> = if with_paths {
                path.split('.').collect()
            } else {
                vec![path]
            };
            row.add(&steps, &data_type);
        }
        Some(Self { row })
    }

    /// The lines with such numbers between quotes; nothing if there are none.
    pub(super) fn kept(&self, lines: &[u8]) -> Option<Vec<u8>> {
        let mut kept = Vec::new();
        let (mut start, mut copied) = (0, 0);
        for end in memchr::memchr_iter(b'\n', lines) {
            let mut found = Vec::new();
            let mut scanner = Scanner::new(&lines[start..end]);
            let read = walk(&mut scanner, &self.row, &mut found, DEPTH);
            // What is no JSON stays as it is, to be set aside so.
            if read.is_some() && scanner.is_at_end() {
                for (from, to) in found {
                    kept.extend_from_slice(&lines[copied..start + from]);
                    kept.push(b'"');
                    kept.extend_from_slice(&lines[start + from..start + to]);
                    kept.push(b'"');
                    copied = start + to;
                }
            }
            start = end + 1;
        }
        (copied > 0).then(|| {
            kept.extend_from_slice(&lines[copied..]);
            kept
        })
    }
}

impl Place {
    /// Adds what is read at a path. What two columns read in different ways is left alone.
    fn add(&mut self, steps: &[&str], data_type: &DataType) {
        let Some((first, rest)) = steps.split_first() else {
            *self = match self {
                Self::Plain => Self::of(data_type),
                Self::Text if data_type.bare().family == "String" => return,
                _ => Self::Alone,
            };
            return;
        };
        if matches!(self, Self::Plain) {
            *self = Self::Object(BTreeMap::new());
        }
        let Self::Object(keys) = self else {
            *self = Self::Alone;
            return;
        };
        let (key, each) = match first.split_once('[') {
            Some((key, ":]")) => (key, true),
            Some((key, _)) => {
                keys.insert(key.as_bytes().to_vec(), Self::Alone);
                return;
            }
            None => (*first, false),
        };
        let place = keys.entry(key.as_bytes().to_vec()).or_insert(Self::Plain);
        if !each {
            return place.add(rest, data_type);
        }
        if matches!(place, Self::Plain) {
            *place = Self::Items(Box::new(Self::Plain));
        }
        match (place, data_type.bare().inner_types().next()) {
            (Self::Items(item), Some(inner)) if data_type.bare().family == "Array" => {
                item.add(rest, inner);
            }
            (place, _) => *place = Self::Alone,
        }
    }

    fn of(data_type: &DataType) -> Self {
        let bare = data_type.bare();
        let inner = |at: usize| bare.inner_types().nth(at).map(Self::of).map(Box::new);
        match bare.family.as_str() {
            "String" => Self::Text,
            "Decimal" => Self::Decimal,
            "Array" => inner(0).map_or(Self::Alone, Self::Items),
            "Map" => inner(1).map_or(Self::Alone, Self::Values),
            "Tuple" | "Nested" | "JSON" | "Dynamic" | "Variant" | "Bool" => Self::Alone,
            _ => Self::Plain,
        }
    }
}

/// Goes through a value and notes the places of numbers that do not stay as they are written. Nothing if it is no JSON.
fn walk(
    scanner: &mut Scanner<'_>,
    place: &Place,
    found: &mut Vec<(usize, usize)>,
    depth: usize,
) -> Option<()> {
    let depth = depth.checked_sub(1)?;
    match scanner.peek()? {
        b'{' => {
            let (inside, is_alone) = match place {
                Place::Object(_) | Place::Values(_) | Place::Plain => (place, false),
                _ => (&PLAIN, true),
            };
            scanner.take(b'{')?;
            if scanner.takes(b'}') {
                return Some(());
            }
            let before = found.len();
            loop {
                let key = scanner.string()?;
                scanner.take(b':')?;
                let value = match inside {
                    Place::Object(keys) => keys.get(key.as_ref()).unwrap_or(&PLAIN),
                    Place::Values(value) => value,
                    _ => &PLAIN,
                };
                walk(scanner, value, found, depth)?;
                if !scanner.takes(b',') {
                    break;
                }
            }
            if is_alone {
                found.truncate(before);
            }
            scanner.take(b'}')
        }
        b'[' => {
            let (item, is_alone) = match place {
                Place::Items(item) => (item.as_ref(), false),
                Place::Plain => (place, false),
                _ => (&PLAIN, true),
            };
            scanner.take(b'[')?;
            if scanner.takes(b']') {
                return Some(());
            }
            let before = found.len();
            loop {
                walk(scanner, item, found, depth)?;
                if !scanner.takes(b',') {
                    break;
                }
            }
            if is_alone {
                found.truncate(before);
            }
            scanner.take(b']')
        }
        b'-' | b'0'..=b'9' => {
            let from = scanner.place();
            let is_whole = scanner.any_number()?;
            let written = scanner.since(from);
            let is_kept = match Scanner::new(written).number() {
                Some(Number::Natural(_) | Number::Negative(_)) => true,
                // A zero with a sign is read as one without.
                _ => match place {
                    Place::Text => false,
                    Place::Alone => true,
                    Place::Decimal => written.len() <= DIGITS,
                    _ => !is_whole || written == b"-0",
                },
            };
            if !is_kept {
                found.push((from, scanner.place()));
            }
            Some(())
        }
        _ => scanner.skip(),
    }
}

#[cfg(test)]
mod tests {
    use pipewright_compiler::project::SourceTree;

    use super::*;

    fn numbers(schema: &str) -> Option<Numbers> {
        let text = format!("SCHEMA >\n    {schema}\n");
        let tree = SourceTree::new([("rows.datasource".to_owned(), text)]);
        let (plan, _) = pipewright_compiler::check(tree);
        Numbers::new(plan.table("rows").expect("a data source"))
    }

    #[test]
    fn numbers_stay_as_they_are_written_where_they_would_not() {
        let numbers = numbers("`s` LowCardinality(String) `json:$.a.s`, `f` Float64 `json:$.f`, `i` Nullable(Int128) `json:$.i`, `tags` Array(String) `json:$.tags[:]`, `names` Array(String) `json:$.list[:].name`, `map` Map(String, String) `json:$.map`, `doc` JSON `json:$.doc`").unwrap();
        let long = "12345678901234567890123";
        for (row, expected) in [
            (
                r#"{"a":{"s":1.0},"f":1.0}"#,
                Some(r#"{"a":{"s":"1.0"},"f":1.0}"#),
            ),
            (r#"{"a":{"s":12,"t":1.50},"f":-0}"#, None),
            (
                r#"{"a" : {"s" : -0 , "x":[1.0]}}"#,
                Some(r#"{"a" : {"s" : "-0" , "x":[1.0]}}"#),
            ),
            (
                r#"{"tags":[1e3,"x",-2.50,true,7]}"#,
                Some(r#"{"tags":["1e3","x","-2.50",true,7]}"#),
            ),
            (
                r#"{"list":[{"name":1.0,"n":1.0},{}]}"#,
                Some(r#"{"list":[{"name":"1.0","n":1.0},{}]}"#),
            ),
            (
                r#"{"map":{"a":1.0,"b":{"c":1.0}}}"#,
                Some(r#"{"map":{"a":"1.0","b":{"c":1.0}}}"#),
            ),
            (r#"{"doc":{"a":LONG}}"#, None),
            (r#"{"a":{"s":{"b":LONG}}}"#, None),
            (
                r#"{"i":LONG,"f":-LONG,"other":[{"x":LONG}],"a":{"s":LONG}}"#,
                Some(r#"{"i":"LONG","f":"-LONG","other":[{"x":"LONG"}],"a":{"s":"LONG"}}"#),
            ),
            (r#"{"a":{"s":1e999}}"#, Some(r#"{"a":{"s":"1e999"}}"#)),
            (r#"{"a":{"s":01.0}}"#, None),
            (r#"{"a":{"s":1.0}"#, None),
            (r#"{"a":{"s":1.0}} x"#, None),
        ] {
            let lines = format!("{{}}\n{row}\n{{}}\n").replace("LONG", long);
            let expected = expected.map(|row| format!("{{}}\n{row}\n{{}}\n").replace("LONG", long));
            let kept = numbers.kept(lines.as_bytes());
            let kept = kept.map(|lines| String::from_utf8(lines).unwrap());
            assert_eq!(kept, expected, "{row}");
        }
        let deep = format!("{{\"x\":{}1.0{}}}\n", "[".repeat(5000), "]".repeat(5000));
        assert_eq!(numbers.kept(deep.as_bytes()), None);
    }

    #[test]
    fn rows_that_are_kept_as_a_whole_are_left_alone() {
        assert!(numbers("`all` String `json:$`, `s` String `json:$.s`").is_none());
    }
}
