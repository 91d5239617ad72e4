//! Values in containers that may be NULL there: one that does not fit is read as NULL too, so that there are more NULLs than were written.

use super::convert;
use super::path::Step;
use crate::sql::quote_literal;
use crate::types::DataType;

/// True where there are more NULLs in a column's value than at the place of a row that `arguments` lead to. Nothing where every value fits.
pub(super) fn lost(
    value: &str,
    arguments: &str,
    steps: &[Step],
    data_type: &DataType,
) -> Option<String> {
    if convert::is_scalar(data_type) {
        return None;
    }
    let read = read(value, data_type, 0)?;
    let first = steps.iter().position(|step| *step == Step::Each);
    let rest = first.map_or(&[][..], |at| &steps[at..]);
    let raw = format!("JSONExtractRaw({arguments})");
    let written = written(&raw, rest, data_type, 0)?;
    Some(format!("({read} > 0 AND {read} != {written})"))
}

/// Whether a value of the type may be NULL, and need not fit.
fn may_be_lost(data_type: &DataType) -> bool {
    convert::is_scalar(data_type) && data_type.is_nullable() && data_type.bare().family != "String"
}

fn inner<'a>(data_type: &'a DataType, family: &str, at: usize) -> Option<&'a DataType> {
    let bare = data_type.bare();
    (bare.family == family).then(|| bare.inner_types().nth(at))?
}

/// How many NULLs there are in a value.
fn read(value: &str, data_type: &DataType, depth: usize) -> Option<String> {
    let name = format!("null{depth}");
    if may_be_lost(data_type) {
        return Some(format!("isNull({value})"));
    }
    if let Some(element) = inner(data_type, "Array", 0) {
        let nulls = read(&name, element, depth + 1)?;
        return Some(format!("arraySum({name} -> {nulls}, {value})"));
    }
    if let Some(element) = inner(data_type, "Map", 1) {
        let nulls = read(&name, element, depth + 1)?;
        return Some(format!("arraySum({name} -> {nulls}, mapValues({value}))"));
    }
    let parts = elements(data_type).enumerate();
    sum(parts.filter_map(|(at, (_, inner))| {
        read(&format!("tupleElement({value}, {})", at + 1), inner, depth)
    }))
}

/// The elements of a tuple.
fn elements(data_type: &DataType) -> impl Iterator<Item = (Option<&str>, &DataType)> {
    let is_tuple = data_type.bare().family == "Tuple";
    let elements = is_tuple.then(|| convert::elements(data_type));
    elements.into_iter().flatten()
}

fn sum(parts: impl Iterator<Item = String>) -> Option<String> {
    let parts: Vec<String> = parts.collect();
    (!parts.is_empty()).then(|| format!("({})", parts.join(" + ")))
}

/// How many there are in a JSON text, below it the steps that lead to the items of the arrays of the type.
fn written(raw: &str, steps: &[Step], data_type: &DataType, depth: usize) -> Option<String> {
    let name = format!("null{depth}");
    match steps.split_first() {
        Some((Step::Key(key), rest)) => {
            let below = format!("JSONExtractRaw({raw}, {})", quote_literal(key));
            return written(&below, rest, data_type, depth);
        }
        Some((Step::Item(index), rest)) => {
            let below = format!("JSONExtractRaw({raw}, {})", index + 1);
            return written(&below, rest, data_type, depth);
        }
        Some((Step::Each, _)) | None => {}
    }
    let rest = steps.get(1..).unwrap_or_default();
    if may_be_lost(data_type) {
        return Some(format!("({raw} IN ('null', ''))"));
    }
    if let Some(element) = inner(data_type, "Array", 0) {
        let nulls = written(&name, rest, element, depth + 1)?;
        return Some(format!(
            "arraySum({name} -> {nulls}, JSONExtractArrayRaw({raw}))"
        ));
    }
    if let Some(element) = inner(data_type, "Map", 1) {
        let nulls = written(&format!("{name}.2"), &[], element, depth + 1)?;
        return Some(format!(
            "arraySum({name} -> {nulls}, JSONExtractKeysAndValuesRaw({raw}))"
        ));
    }
    let parts = elements(data_type).enumerate();
    sum(parts.filter_map(|(at, (name, inner))| {
        let item = format!("JSONExtractRaw({raw}, {})", at + 1);
        let below = name.map_or_else(
            || item.clone(),
            |name| {
                let named = format!("JSONExtractRaw({raw}, {})", quote_literal(name));
                format!("if(JSONType({raw}) = 'Array', {item}, {named})")
            },
        );
        written(&below, &[], inner, depth)
    }))
}
