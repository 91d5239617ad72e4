//! A value of an old column as one of the new: what does not fit stops the statement, so that nothing is cut, rounded or made NULL without a word.
//!
//! The engine's exact cast does not go far enough: it makes NULL of a text that is no number where the new type takes NULL, cuts seconds off a time, lets
//! elements of a tuple go and keeps numbers that an `Enum` no longer names. So the value must be the same on the way back.

use super::change::ColumnShape;
use crate::sql::{quote_identifier, quote_literal};
use crate::types::{self, DataType};

/// The expression over the old table.
pub(super) fn converted(column: &ColumnShape, old: &ColumnShape) -> String {
    let name = quote_identifier(&old.name);
    if column.data_type == old.data_type {
        return name;
    }
    let new_type = quote_literal(&column.data_type);
    let parsed = types::parse(&column.data_type).ok();
    let exact = parsed.filter(|new| !new.is_aggregate_state() && !new.is_simple_aggregate());
    let Some(new) = exact else {
        return format!("CAST({name}, {new_type})");
    };
    let Some(from) = types::parse(&old.data_type).ok() else {
        return format!("accurateCast({name}, {new_type})");
    };
    // By name: the exact cast goes by number, also by one that the new type does not have.
    let by_name = is_enum(&from) && is_enum(&new);
    let source = match (by_name, from.is_nullable()) {
        (true, true) => format!("CAST({name}, 'Nullable(String)')"),
        (true, false) => format!("CAST({name}, 'String')"),
        (false, _) => name.clone(),
    };
    let value = format!("accurateCast({source}, {new_type})");
    let Some(loses) = loses(&name, &value, &from, &new, &old.data_type) else {
        return value;
    };
    let message = quote_literal(&format!(
        "a value of column {} does not fit {}",
        old.name, column.data_type
    ));
    format!("if(throwIf({loses}, {message}) = 0, {value}, defaultValueOfTypeName({new_type}))")
}

/// When a value is not the same any more; `None` where the exact cast says so itself.
fn loses(
    name: &str,
    value: &str,
    from: &DataType,
    new: &DataType,
    old_type: &str,
) -> Option<String> {
    let (family, new_family) = (&from.bare().family, &new.bare().family);
    let is_text = |family: &str| matches!(family, "String" | "FixedString");
    if is_text(new_family) || matches!(new_family.as_str(), "JSON" | "Dynamic" | "Variant") {
        return None;
    }
    // Another spelling of the same value is no loss.
    if is_text(family) || (is_enum(from) && is_enum(new)) {
        return new
            .is_nullable()
            .then(|| format!("isNull({value}) AND isNotNull({name})"));
    }
    let differs = format!(
        "NOT isNotDistinctFrom(CAST({value}, {}), {name})",
        quote_literal(old_type)
    );
    let is_float = matches!(family.as_str(), "Float32" | "Float64" | "BFloat16");
    Some(if is_float {
        // What is no number is not the same as itself.
        format!("{differs} AND NOT ifNull(isNaN({name}), 0)")
    } else {
        differs
    })
}

fn is_enum(data_type: &DataType) -> bool {
    data_type.bare().family.starts_with("Enum")
}
