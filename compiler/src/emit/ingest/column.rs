//! The columns of a data source as expressions over one row of an input.

use pipewright_grammar::syntax::DefaultKind;

use super::{convert, endless, given_columns as given, nulls, path, stray};
use crate::plan::{Column, TablePlan};
use crate::sql::{quote_identifier, quote_literal};
use crate::types::{self, Argument, DataType};

/// The rows of an input.
pub(super) struct Row {
    /// What stands behind `FROM`.
    pub(super) source: String,
    /// Expressions that later steps still need.
    pub(super) kept: Vec<String>,
    /// Conditions under which the row as a whole is bad.
    pub(super) conditions: Vec<String>,
    /// Why a row as a whole is bad: conditions with reasons.
    pub(super) reasons: Vec<(String, String)>,
    /// Settings that reading needs.
    pub(super) settings: Vec<(&'static str, String)>,
    /// Whether rows are JSON text.
    json: bool,
}

/// One column: how its value is read, and when it is bad.
pub(super) struct Input<'a> {
    pub(super) column: &'a Column,
    pub(super) data_type: DataType,
    /// The converted value; NULL where it does not fit.
    pub(super) value: String,
    /// The value as text, as it came.
    pub(super) raw: String,
    /// True where the input gives no value.
    absent: String,
    /// True where the default is taken, if that is not everywhere where no value is given.
    defaulted: Option<String>,
    /// True where a container is of another kind.
    mismatch: Option<String>,
}

/// The name of the row's text.
const LINE: &str = "pw_line";

/// The name of the value of the column at this place of the inputs.
pub(super) fn value_name(at: usize) -> String {
    format!("pw_{at}")
}

impl Input<'_> {
    fn has_default(&self) -> bool {
        self.column.default.is_some()
    }

    /// Whether every row must have a value, so that NULL is always wrong.
    pub(super) fn is_required(&self) -> bool {
        convert::is_scalar(&self.data_type) && !self.data_type.is_nullable() && !self.has_default()
    }

    /// True where the value `pw_<at>` does not fit.
    pub(super) fn bad(&self, at: usize) -> Option<String> {
        let value = value_name(at);
        if convert::is_scalar(&self.data_type) {
            let missing = format!("isNull({value})");
            return Some(if self.is_required() {
                missing
            } else {
                format!("({missing} AND NOT ({}))", self.absent)
            });
        }
        let bad = match (convert::misfit(&value, &self.data_type), &self.mismatch) {
            (Some(misfit), Some(mismatch)) => Some(format!("{misfit} OR {mismatch}")),
            (misfit, mismatch) => misfit.or_else(|| mismatch.clone()),
        }?;
        // Of no tuple at all the elements are missing too.
        Some(if convert::is_whole(&self.data_type) {
            format!("(({bad}) AND NOT ({}))", self.absent)
        } else {
            bad
        })
    }

    /// Column names with the expressions that fill them.
    pub(super) fn finals(&self, at: usize) -> (Vec<String>, Vec<String>) {
        let value = value_name(at);
        let names: Vec<String> = if self.data_type.family == "Nested" {
            convert::elements(&self.data_type)
                .into_iter()
                .map(|(name, _)| {
                    quote_identifier(&format!(
                        "{}.{}",
                        self.column.name,
                        name.unwrap_or_default()
                    ))
                })
                .collect()
        } else {
            vec![quote_identifier(&self.column.name)]
        };
        let finals = self
            .completed(&value)
            .into_iter()
            .zip(&names)
            .map(|(expression, name)| format!("{expression} AS {name}"))
            .collect();
        (names, finals)
    }

    /// The value with the column's default where none is given.
    fn completed(&self, value: &str) -> Vec<String> {
        let default = self.column.default.as_ref().map(|(_, default)| default);
        if convert::is_whole(&self.data_type) {
            // Before the cast, which stops at the elements of a tuple that is not there.
            let default = match default {
                Some(default) => convert::as_column(default, &self.data_type),
                None => convert::empty(&self.data_type),
            };
            let value = format!("if({}, {default}, {value})", self.absent);
            return convert::finished(&value, &self.data_type);
        }
        let mut finals = convert::finished(value, &self.data_type);
        if let (Some(default), [only]) = (default, finals.as_mut_slice()) {
            let defaulted = self.defaulted.as_ref().unwrap_or(&self.absent);
            // A text and an enum have texts in common, and what stands for NULL in an enum may have no text.
            let is_other = self.column.data_type.as_deref().is_some_and(|written| {
                types::parse(written).is_ok_and(|written| written != self.data_type)
            });
            let default = if is_other || convert::is_enum(&self.data_type) {
                convert::as_column(default, &self.data_type)
            } else {
                default.clone()
            };
            *only = format!("if({defaulted}, {default}, {only})");
        }
        finals
    }

    /// Why the value is bad, as an expression.
    pub(super) fn reason(&self) -> String {
        let cannot = quote_literal(&format!("cannot read as {}: ", self.data_type));
        let value = format!(
            "concat({cannot}, substring(ifNull({}, ''), 1, 200))",
            self.raw
        );
        if self.is_required() {
            format!(
                "if({}, 'no value, and the column has neither a default nor is it Nullable', {value})",
                self.absent
            )
        } else {
            value
        }
    }
}

impl Row {
    /// The condition that finds rows that are no JSON, where no column does so.
    pub(super) fn unless_read(&self, inputs: &[Input<'_>]) -> Option<String> {
        // A text that takes the whole row is there whatever the row is: alone, it takes everything.
        let takes_all = |input: &Input<'_>| input.value == LINE;
        let only_texts = inputs.iter().all(takes_all);
        let mut required = inputs.iter().filter(|input| input.is_required());
        if !self.json || required.any(|input| only_texts || !takes_all(input)) {
            return None;
        }
        let single = inputs
            .iter()
            .position(|input| convert::is_scalar(&input.data_type) && !takes_all(input));
        Some(match single {
            // Nothing is read from what is no JSON: only rows without this value have to be looked at again.
            Some(at) => format!("(isNull(pw_{at}) AND NOT isValidJSON({LINE}))"),
            None => format!("NOT isValidJSON({LINE})"),
        })
    }
}

fn data_type(column: &Column) -> DataType {
    let text = column.data_type.as_deref().unwrap_or("String");
    let unknown = || DataType {
        family: text.to_owned(),
        arguments: Vec::<Argument>::new(),
    };
    let parsed = types::parse(text).unwrap_or_else(|_| unknown());
    read_as(parsed)
}

/// The type in whose place another is read, of which the engine makes it when it is inserted.
fn read_as(mut parsed: DataType) -> DataType {
    for argument in &mut parsed.arguments {
        if let Argument::Named(_, inner) | Argument::Type(inner) = argument {
            *inner = read_as(inner.clone());
        }
    }
    // Intervals are numbers. Points and what is made of them are tuples and arrays by other names, and vectors that are kept by bits are arrays.
    let plain = match parsed.family.as_str() {
        family if family.starts_with("Interval") => "Int64",
        "QBit" => {
            "Array".clone_into(&mut parsed.family);
            parsed.arguments.truncate(1);
            return parsed;
        }
        "Point" => "Tuple(Float64, Float64)",
        "Ring" | "LineString" => "Array(Tuple(Float64, Float64))",
        "Polygon" | "MultiLineString" => "Array(Array(Tuple(Float64, Float64)))",
        "MultiPolygon" => "Array(Array(Array(Tuple(Float64, Float64))))",
        _ => return parsed,
    };
    types::parse(plain).unwrap_or(parsed)
}

/// Columns by their JSON paths. Without a path, a column takes the key of its own name when no column has a path, and its default otherwise.
pub(super) fn json<'a>(
    table: &'a TablePlan,
    source: &str,
    keeps_all: bool,
) -> (Row, Vec<Input<'a>>) {
    let with_paths = table
        .columns
        .iter()
        .any(|column| column.json_path.is_some());
    let mut trees: Vec<path::Tree> = Vec::new();
    let mut inputs = Vec::new();
    for column in given(table) {
        let steps = match (&column.json_path, with_paths) {
            (Some(text), _) => path::parse(text),
            (None, false) => vec![path::Step::Key(column.name.clone())],
            (None, true) => continue,
        };
        let name = value_name(inputs.len());
        inputs.push(json_column(column, &name, &steps, &mut trees));
    }
    let rows: Vec<String> = trees
        .iter()
        .enumerate()
        .map(|(at, tree)| {
            format!(
                ", JSONExtract(line, {}) AS pw_row{at}",
                quote_literal(&tree.data_type())
            )
        })
        .collect();
    let row = Row {
        source: format!(
            "(SELECT {}line AS {LINE}{} FROM {source})",
            if keeps_all { "*, " } else { "" },
            rows.concat()
        ),
        kept: vec![LINE.to_owned()],
        conditions: vec![format!("NOT startsWith({LINE}, '{{')")],
        reasons: vec![
            (
                format!("NOT startsWith({LINE}, '{{')"),
                format!("concat('not a JSON object: ', substring({LINE}, 1, 10000))"),
            ),
            (
                format!("startsWith({LINE}, '{{') AND NOT isValidJSON({LINE})"),
                format!(
                    "concat('not JSON that the engine can read: ', substring({LINE}, 1, 10000))"
                ),
            ),
        ],
        settings: Vec::new(),
        json: true,
    };
    (row, inputs)
}

fn json_column<'a>(
    column: &'a Column,
    name: &str,
    steps: &[path::Step],
    trees: &mut Vec<path::Tree>,
) -> Input<'a> {
    let data_type = data_type(column);
    if steps.is_empty() {
        return whole_line(column, data_type);
    }
    let arguments = path::arguments(LINE, steps);
    // `[:]` into a column that is no array: the whole array is the value.
    let each = steps.iter().position(|step| *step == path::Step::Each);
    let (steps, leaf) = match path::leaf(&data_type, steps) {
        Some(leaf) => (steps, leaf),
        None => (
            &steps[..each.unwrap_or(steps.len())],
            convert::json_type(&data_type),
        ),
    };
    let found = trees.iter_mut().position(|tree| tree.add(steps, &leaf));
    let at = found.unwrap_or_else(|| {
        let mut tree = path::Tree::row();
        tree.add(steps, &leaf);
        trees.push(tree);
        trees.len() - 1
    });
    let value = convert::from_json(&path::access(&format!("pw_row{at}"), steps, 0), &data_type);
    let value = endless::finite(&value, &format!("JSONExtractRaw({arguments})"), &data_type);
    let absent = format!("JSONType({arguments}) = 'Null'");
    let is_default = matches!(&column.default, Some((DefaultKind::Default, _)));
    // A Nullable column with a default takes NULL where NULL is written.
    let defaulted = (is_default && data_type.is_nullable())
        .then(|| format!("isNull({name}) AND NOT JSONHas({arguments})"));
    let mismatch = mismatch(name, &arguments, steps, &data_type);
    let mismatch = either(mismatch, endless::within(name, LINE, &data_type));
    let raw = format!(
        "nullIf(if(JSONType({arguments}) = 'String', JSONExtractString({arguments}), JSONExtractRaw({arguments})), '')"
    );
    Input {
        column,
        data_type,
        value,
        raw,
        absent,
        defaulted,
        mismatch,
    }
}

fn either(one: Option<String>, other: Option<String>) -> Option<String> {
    match (one, other) {
        (Some(one), Some(other)) => Some(format!("{one} OR {other}")),
        (one, other) => one.or(other),
    }
}

/// A column that takes the whole row.
fn whole_line(column: &Column, data_type: DataType) -> Input<'_> {
    let value = if data_type.bare().family == "String" {
        LINE.to_owned()
    } else {
        format!(
            "JSONExtract({LINE}, {})",
            quote_literal(&convert::json_type(&data_type))
        )
    };
    Input {
        column,
        value: convert::from_json(&value, &data_type),
        raw: LINE.to_owned(),
        absent: "0".to_owned(),
        defaulted: None,
        mismatch: None,
        data_type,
    }
}

/// The columns that must have values and have none in any row, of those that are looked for in an input. Rows without paths to them take their defaults.
fn lacking(table: &TablePlan, is_there: impl Fn(&str) -> bool) -> impl Iterator<Item = Input<'_>> {
    let with_paths = table
        .columns
        .iter()
        .any(|column| column.json_path.is_some());
    given(table)
        .filter(move |column| {
            !is_there(&column.name) && (column.json_path.is_some() || !with_paths)
        })
        .map(|column| {
            let data_type = data_type(column);
            let none = format!("Nullable({})", data_type.bare());
            Input {
                column,
                value: format!("CAST(NULL, {})", quote_literal(&none)),
                data_type,
                raw: "CAST(NULL, 'Nullable(String)')".to_owned(),
                absent: "1".to_owned(),
                defaulted: None,
                mismatch: None,
            }
        })
        .filter(Input::is_required)
}

/// Whether a row has something else at a path than a column can take.
fn mismatch(
    name: &str,
    arguments: &str,
    steps: &[path::Step],
    data_type: &DataType,
) -> Option<String> {
    let stray = stray::items(name, arguments, steps, data_type);
    let lost = nulls::lost(name, arguments, steps, data_type);
    let kinds = convert::json_kinds(data_type)?;
    let wrong = match data_type.bare().family.as_str() {
        // An array of which no item can be read comes as an empty one.
        "Array" | "Map" | "Nested" => format!(
            "(empty({name}) AND (JSONType({arguments}) NOT IN ({kinds}, 'Null') OR JSONLength({arguments}) > 0))"
        ),
        _ => format!("(JSONType({arguments}) NOT IN ({kinds}, 'Null'))"),
    };
    let all = [Some(wrong), stray, lost].into_iter().flatten();
    Some(all.collect::<Vec<_>>().join(" OR "))
}

/// Columns by their place in rows of fields, which a table expression has as `pw_field0`, `pw_field1`, …, all read as text.
pub(super) fn fields<'a>(
    table: &'a TablePlan,
    source: String,
    columns: Option<&[String]>,
    settings: Vec<(&'static str, String)>,
) -> (Row, Vec<Input<'a>>) {
    let own: Vec<String> = given(table).map(|column| column.name.clone()).collect();
    let columns = columns.unwrap_or(&own);
    let fields = columns.len();
    let mut number = 0;
    let inputs: Vec<Input<'a>> = given(table)
        .filter_map(|column| {
            let at = columns.iter().position(|name| *name == column.name)?;
            let (data_type, raw) = (data_type(column), format!("pw_field{at}"));
            let text = format!("nullIf({raw}, '\\\\N')");
            let plain = data_type.bare().family == "String" && !data_type.is_nullable();
            let text = if plain { text } else { format!("nullIf({text}, '')") };
            let absent = format!("isNull({text})");
            // A Nullable column with a default takes NULL where it is written, and its default where nothing is.
            let is_default = matches!(&column.default, Some((DefaultKind::Default, _)));
            let defaulted = (is_default && data_type.is_nullable()).then(|| format!("({absent} AND ifNull({raw}, '') != '\\\\N')"));
            let mismatch = (!convert::is_scalar(&data_type) && convert::json_kinds(&data_type).is_some()).then(|| format!("(notEmpty(ifNull({text}, '')) AND NOT isValidJSON(replaceAll({text}, '\\'', '\"')))"));
            let mismatch = either(mismatch, endless::within(&value_name(number), &raw, &data_type));
            number += 1;
            Some(Input { column, value: convert::from_text(&text, &data_type), raw, absent, defaulted, mismatch, data_type })
        })
        .chain(lacking(table, |name| columns.iter().any(|column| column == name)))
        .collect();
    let row = Row {
        source,
        kept: (0..=fields).map(|at| format!("pw_field{at}")).collect(),
        conditions: vec![
            format!("isNotNull(pw_field{fields})"),
            format!("isNull(pw_field{})", fields.saturating_sub(1)),
        ],
        reasons: vec![
            (
                format!("isNotNull(pw_field{fields})"),
                quote_literal(&format!("more than {fields} fields")),
            ),
            (
                format!("isNull(pw_field{})", fields.saturating_sub(1)),
                quote_literal(&format!("fewer than {fields} fields")),
            ),
        ],
        settings,
        json: false,
    };
    (row, inputs)
}

/// Columns by their names in rows that have types of their own.
pub(super) fn typed<'a>(
    table: &'a TablePlan,
    source: &str,
    columns: &[(String, String)],
) -> (Row, Vec<Input<'a>>) {
    // What is given has names of its own, for a column's name means what goes into the table: where a default stands for NULL, there is none any more.
    let given_name = |at: usize| format!("pw_given{at}");
    let found = given(table).filter_map(|column| {
        let found = columns.iter().find(|(name, _)| *name == column.name)?;
        Some((column, found))
    });
    let mut inputs: Vec<Input<'a>> = found
        .enumerate()
        .map(|(at, (column, (name, written)))| {
            let (data_type, raw) = (data_type(column), quote_identifier(name));
            let given = types::parse(written).ok();
            let value = given.as_ref().map_or_else(
                || raw.clone(),
                |given| convert::from_typed(&raw, given, &data_type),
            );
            let mismatch = given
                .as_ref()
                .and_then(|given| convert::lost(&given_name(at), given, &data_type));
            Input {
                column,
                data_type,
                value,
                raw,
                absent: String::new(),
                defaulted: None,
                mismatch,
            }
        })
        .collect();
    let mut kept = Vec::new();
    for (at, input) in inputs.iter_mut().enumerate() {
        let given = given_name(at);
        kept.push(format!("{} AS {given}", input.raw));
        input.absent = format!("isNull({given})");
        input.raw = format!("toString({given})");
    }
    inputs.extend(lacking(table, |name| {
        columns.iter().any(|(column, _)| column == name)
    }));
    (
        Row {
            source: source.to_owned(),
            kept,
            conditions: Vec::new(),
            reasons: Vec::new(),
            settings: Vec::new(),
            json: false,
        },
        inputs,
    )
}
