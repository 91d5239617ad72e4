//! Types that hold all that another held: such a column changes in place, without its table being written anew.

use std::collections::BTreeSet;

use super::{ColumnShape, TableShape};
use crate::types::{Argument, DataType};

/// How a column becomes one of another type in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Widening {
    /// Only the description changes.
    Description,
    /// The values of this column are written anew, those of the others stay.
    Values,
}

/// Whether every value of the old type is one of the new, and nothing that the table is ordered or found by depends on the column.
pub(super) fn widened(
    actual: &TableShape,
    old: &ColumnShape,
    column: &ColumnShape,
) -> Option<Widening> {
    let parsed = |text: &str| crate::types::parse(text).ok();
    let widening = widening(&parsed(&old.data_type)?, &parsed(&column.data_type)?)?;
    let is_stored = |column: &ColumnShape| ["", "DEFAULT"].contains(&column.default_kind.as_str());
    let others = actual
        .columns
        .iter()
        .flat_map(|other| [&other.default_expression, &other.ttl])
        .chain(actual.indexes.iter().map(|(_, definition)| definition))
        .chain([
            &actual.engine_full,
            &actual.sorting_key,
            &actual.primary_key,
        ]);
    let is_used = others.into_iter().any(|text| names(text, &old.name));
    (!is_used && is_stored(old) && is_stored(column)).then_some(widening)
}

/// Whether a text has a name as a whole word.
fn names(text: &str, name: &str) -> bool {
    let is_name = |sign: char| sign.is_alphanumeric() || sign == '_';
    text.match_indices(name).any(|(at, _)| {
        !text[..at].ends_with(is_name) && !text[at + name.len()..].starts_with(is_name)
    })
}

/// Integers and floating points by how much they hold.
const NUMBERS: &[&[&str]] = &[
    &["UInt8", "UInt16", "UInt32", "UInt64", "UInt128", "UInt256"],
    &["Int8", "Int16", "Int32", "Int64", "Int128", "Int256"],
    &["Float32", "Float64"],
];

fn widening(old: &DataType, new: &DataType) -> Option<Widening> {
    if old == new {
        return Some(Widening::Description);
    }
    let inner = |data_type: &DataType| match data_type.arguments.as_slice() {
        [Argument::Type(inner)] => Some(inner.clone()),
        _ => None,
    };
    if new.family == "Nullable" {
        let (old_is, inner_new) = (old.family == "Nullable", inner(new)?);
        let old = if old_is { inner(old)? } else { old.clone() };
        let widening = widening(&old, &inner_new)?;
        return Some(if old_is { widening } else { Widening::Values });
    }
    if new.family == "LowCardinality" || old.family == "LowCardinality" {
        let bare = |data_type: &DataType| match data_type.family.as_str() {
            "LowCardinality" => inner(data_type),
            _ => Some(data_type.clone()),
        };
        widening(&bare(old)?, &bare(new)?)?;
        return Some(Widening::Values);
    }
    if old.family.starts_with("Enum") && new.family.starts_with("Enum") {
        return is_superset(new, old).then_some(if old.family == new.family {
            Widening::Description
        } else {
            Widening::Values
        });
    }
    if !old.arguments.is_empty() || !new.arguments.is_empty() {
        return None;
    }
    let is_wider = NUMBERS.iter().any(|family| {
        let place = |name: &str| family.iter().position(|known| *known == name);
        matches!((place(&old.family), place(&new.family)), (Some(old), Some(new)) if old < new)
    });
    (is_wider || (old.family == "Date" && new.family == "Date32")).then_some(Widening::Values)
}

/// Whether an enumeration has all values of another, with the same numbers.
fn is_superset(new: &DataType, old: &DataType) -> bool {
    // As the engine prints them, each has its number.
    let values = |data_type: &DataType| -> BTreeSet<String> {
        data_type
            .arguments
            .iter()
            .map(|value| format!("{value:?}"))
            .collect()
    };
    values(new).is_superset(&values(old))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn between(old: &str, new: &str) -> Option<Widening> {
        let parsed = |text: &str| crate::types::parse(text).unwrap();
        widening(&parsed(old), &parsed(new))
    }

    #[test]
    fn a_wider_type_holds_every_value_of_the_other() {
        for (old, new) in [
            ("UInt8", "UInt64"),
            ("Int32", "Int256"),
            ("Float32", "Float64"),
            ("UInt8", "Nullable(UInt16)"),
            ("Nullable(Int8)", "Nullable(Int16)"),
            ("String", "LowCardinality(String)"),
            ("LowCardinality(String)", "LowCardinality(Nullable(String))"),
            ("Date", "Date32"),
            ("Enum8('a' = 1)", "Enum16('a' = 1, 'b' = 300)"),
        ] {
            assert_eq!(between(old, new), Some(Widening::Values), "{old} {new}");
        }
        assert_eq!(
            between("Enum8('a' = 1)", "Enum8('a' = 1, 'b' = 2)"),
            Some(Widening::Description)
        );
        for (old, new) in [
            ("UInt16", "UInt8"),
            ("UInt8", "Int16"),
            ("Int8", "UInt16"),
            ("Int64", "Float64"),
            ("Nullable(Int8)", "Int8"),
            ("LowCardinality(Nullable(String))", "LowCardinality(String)"),
            ("Enum8('a' = 1, 'b' = 2)", "Enum8('a' = 1)"),
            ("Enum8('a' = 1)", "Enum8('a' = 2)"),
            ("FixedString(3)", "FixedString(4)"),
            ("DateTime", "DateTime64(3)"),
            ("Array(UInt8)", "Array(UInt16)"),
            (
                "AggregateFunction(sum, UInt8)",
                "AggregateFunction(sum, UInt16)",
            ),
        ] {
            assert_eq!(between(old, new), None, "{old} {new}");
        }
    }
}
