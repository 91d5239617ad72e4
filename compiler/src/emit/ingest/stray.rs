//! Items of arrays in arrays that are no arrays, and other values in places where they cannot be: the engine's reader leaves them out in silence.

use super::convert;
use super::path::Step;
use crate::sql::quote_literal;
use crate::types::DataType;

/// True where an item below the place that `arguments` lead to is of a kind that its type is not read from. Nothing for arrays of single values, whose items
/// are NULL when they do not fit.
pub(super) fn items(
    value: &str,
    arguments: &str,
    steps: &[Step],
    data_type: &DataType,
) -> Option<String> {
    let first = steps.iter().position(|step| *step == Step::Each);
    let rest = first.map_or(&[][..], |at| &steps[at + 1..]);
    let element = element(data_type)?;
    let mut found = Vec::new();
    let item = "stray0";
    if let Some(stray) = place(item, rest, element, 1) {
        found.push(format!(
            "arrayExists({item} -> {stray}, JSONExtractArrayRaw({arguments}))"
        ));
    }
    // An inner array of which no item can be read comes as an empty one.
    if let Some(count) = count(item, rest, element, 1) {
        found.push(format!(
            "arraySum({item} -> {count}, JSONExtractArrayRaw({arguments})) != length(arrayFlatten({value}))"
        ));
    }
    (!found.is_empty()).then(|| format!("({})", found.join(" OR ")))
}

/// The type of an array's items.
fn element(data_type: &DataType) -> Option<&DataType> {
    let bare = data_type.bare();
    (bare.family == "Array").then(|| bare.inner_types().next())?
}

/// True where the JSON text `raw` is of another kind than what is read there.
fn place(raw: &str, steps: &[Step], data_type: &DataType, depth: usize) -> Option<String> {
    match steps.split_first() {
        None => {
            let kinds = convert::json_kinds(data_type)?;
            let wrong = format!("JSONType({raw}) NOT IN ({kinds}, 'Null')");
            Some(within(raw, &[], data_type, wrong, depth))
        }
        Some((Step::Each, rest)) => {
            let wrong = format!("JSONType({raw}) NOT IN ('Array', 'Null')");
            Some(within(raw, rest, data_type, wrong, depth))
        }
        Some((Step::Key(key), rest)) => {
            let inner = format!("JSONExtractRaw({raw}, {})", quote_literal(key));
            place(&inner, rest, data_type, depth)
        }
        Some((Step::Item(index), rest)) => {
            let inner = format!("JSONExtractRaw({raw}, {})", index + 1);
            place(&inner, rest, data_type, depth)
        }
    }
}

/// The same also for the items of an array that is read there.
fn within(raw: &str, steps: &[Step], data_type: &DataType, wrong: String, depth: usize) -> String {
    let item = format!("stray{depth}");
    match element(data_type).and_then(|element| place(&item, steps, element, depth + 1)) {
        Some(inner) => {
            format!("({wrong} OR arrayExists({item} -> {inner}, JSONExtractArrayRaw({raw})))")
        }
        None => wrong,
    }
}

/// How many single values there are in the arrays below `raw`; nothing where there is no array.
fn count(raw: &str, steps: &[Step], data_type: &DataType, depth: usize) -> Option<String> {
    let raw = match steps.split_first() {
        Some((Step::Key(key), rest)) => {
            let inner = format!("JSONExtractRaw({raw}, {})", quote_literal(key));
            return count(&inner, rest, data_type, depth);
        }
        Some((Step::Item(index), rest)) => {
            let inner = format!("JSONExtractRaw({raw}, {})", index + 1);
            return count(&inner, rest, data_type, depth);
        }
        _ => raw,
    };
    let (element, rest) = (element(data_type)?, steps.get(1..).unwrap_or_default());
    let item = format!("stray{depth}");
    Some(match count(&item, rest, element, depth + 1) {
        Some(inner) => format!("arraySum({item} -> {inner}, JSONExtractArrayRaw({raw}))"),
        None if convert::is_scalar(element) => format!("JSONLength({raw})"),
        None => return None,
    })
}
