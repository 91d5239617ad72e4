//! Values that have types of their own, such as those of a Parquet file.

use super::{Kind, decimal, elements, exact, from_text, is_scalar, kind, no_key, rounded};
use crate::sql::quote_literal;
use crate::types::{Argument, DataType};

/// A value of another type, as the engine read it, as the type; what does not fit is NULL, also inside of a container.
pub(in crate::emit::ingest) fn from_typed(
    value: &str,
    source: &DataType,
    data_type: &DataType,
) -> String {
    typed(value, source, data_type, 0)
}

/// Where something in a container is lost that may be NULL there: what is not, and does not fit.
pub(in crate::emit::ingest) fn lost(
    value: &str,
    source: &DataType,
    data_type: &DataType,
) -> Option<String> {
    (!is_scalar(data_type)).then(|| lost_at(value, source, data_type, 0))?
}

fn lost_at(value: &str, source: &DataType, data_type: &DataType, depth: usize) -> Option<String> {
    let from = source.bare();
    if from == data_type.bare() {
        return None;
    }
    let name = format!("given{depth}");
    match kind(data_type) {
        Kind::Array(element) => {
            let lost = lost_at(&name, item(from)?, element, depth + 1)?;
            Some(format!("arrayExists({name} -> {lost}, {value})"))
        }
        Kind::Map(_, inner) if from.family == "Map" => {
            let lost = lost_at(&name, from.inner_types().nth(1)?, inner, depth + 1)?;
            Some(format!("arrayExists({name} -> {lost}, mapValues({value}))"))
        }
        Kind::Tuple => lost_in_tuple(value, from, data_type, depth),
        Kind::Nested => {
            let lost = lost_in_tuple(&name, item(from)?, data_type, depth + 1)?;
            Some(format!("arrayExists({name} -> {lost}, {value})"))
        }
        _ if is_scalar(data_type) && data_type.is_nullable() => {
            let made = typed(value, source, data_type, depth);
            Some(format!("(isNotNull({value}) AND isNull({made}))"))
        }
        _ => None,
    }
}

fn lost_in_tuple(value: &str, from: &DataType, to: &DataType, depth: usize) -> Option<String> {
    let (given, wanted) = (elements(from), elements(to));
    let parts: Vec<String> = places(&given, &wanted)?
        .into_iter()
        .zip(&wanted)
        .filter_map(|(place, (_, inner))| {
            let element = format!("tupleElement({value}, {})", place + 1);
            lost_at(&element, given[place].1, inner, depth)
        })
        .collect();
    (!parts.is_empty()).then(|| format!("({})", parts.join(" OR ")))
}

fn typed(value: &str, source: &DataType, data_type: &DataType, depth: usize) -> String {
    let from = source.bare();
    let kind = kind(data_type);
    // The keys of a map are compared as texts, whatever they are.
    if from == data_type.bare() && !matches!(kind, Kind::Map(..) | Kind::Array(_) | Kind::Tuple) {
        return value.to_owned();
    }
    if from.family == "String" {
        return from_text(value, data_type);
    }
    let cast = || format!("CAST({value}, {})", quote_literal(&data_type.to_string()));
    match kind {
        Kind::Array(element) => match item(from) {
            Some(given) => each(value, depth, |name| typed(name, given, element, depth + 1)),
            None => cast(),
        },
        Kind::Nested => match item(from) {
            Some(given) if given.bare().family == "Tuple" => each(value, depth, |name| {
                tuple(name, given, data_type, depth + 1).unwrap_or_else(|| name.to_owned())
            }),
            _ => cast(),
        },
        Kind::Map(key, inner) => {
            let mut given = from.inner_types();
            match (given.next(), given.next()) {
                (Some(from_key), Some(from_value)) if from.family == "Map" => {
                    map(value, (from_key, key), (from_value, inner), depth)
                }
                _ => cast(),
            }
        }
        Kind::Tuple => tuple(value, from, data_type, depth).unwrap_or_else(cast),
        _ if is_scalar(data_type) => scalar(value, source, data_type),
        _ => cast(),
    }
}

/// The type of an array's items.
fn item(data_type: &DataType) -> Option<&DataType> {
    (data_type.family == "Array").then(|| data_type.inner_types().next())?
}

/// An array with something made of each item.
fn each(value: &str, depth: usize, made: impl FnOnce(&str) -> String) -> String {
    let name = format!("given{depth}");
    match made(&name) {
        same if same == name => value.to_owned(),
        made => format!("arrayMap({name} -> {made}, {value})"),
    }
}

/// A map, with its keys as texts where they are no texts: one that does not fit is such as no key has.
fn map(
    value: &str,
    (from_key, key): (&DataType, &DataType),
    (from_value, inner): (&DataType, &DataType),
    depth: usize,
) -> String {
    let names = (format!("key{depth}"), format!("given{depth}"));
    let read = typed(&names.0, from_key, key, depth + 1);
    let read = match no_key(key) {
        Some(none) => format!("ifNull(toString({read}), {})", quote_literal(&none)),
        None => read,
    };
    let made = typed(&names.1, from_value, inner, depth + 1);
    if read == names.0 && made == names.1 {
        return value.to_owned();
    }
    format!(
        "mapApply(({}, {}) -> ({read}, {made}), {value})",
        names.0, names.1
    )
}

/// Elements of tuples: their names, if they have any, and their types.
type Elements<'a> = [(Option<&'a str>, &'a DataType)];

/// Where the elements of a tuple are in another: by their names where all have names, or else in the same order.
fn places(given: &Elements<'_>, wanted: &Elements<'_>) -> Option<Vec<usize>> {
    let named: Option<Vec<usize>> = wanted
        .iter()
        .map(|(name, _)| {
            given
                .iter()
                .position(|(given, _)| name.is_some() && given == name)
        })
        .collect();
    named.or_else(|| (given.len() == wanted.len()).then(|| (0..given.len()).collect()))
}

/// A tuple of the elements of another.
fn tuple(value: &str, from: &DataType, data_type: &DataType, depth: usize) -> Option<String> {
    let (given, wanted) = (elements(from), elements(data_type));
    if from.bare().family != "Tuple" {
        return None;
    }
    let places = places(&given, &wanted)?;
    let mut is_same = places.len() == given.len();
    let parts: Vec<String> = places
        .into_iter()
        .zip(&wanted)
        .enumerate()
        .map(|(at, (place, (_, inner)))| {
            let element = format!("tupleElement({value}, {})", place + 1);
            let made = typed(&element, given[place].1, inner, depth);
            is_same &= at == place && made == element;
            made
        })
        .collect();
    Some(if is_same {
        value.to_owned()
    } else {
        format!("tuple({})", parts.join(", "))
    })
}

/// Whether the values are texts of as many bytes as the numbers of a type of more than 64 bits have.
fn are_bytes_of(from: &DataType, number: &DataType) -> bool {
    let bytes = match number.family.as_str() {
        "Int128" | "UInt128" => "16",
        "Int256" | "UInt256" => "32",
        _ => return false,
    };
    from.family == "FixedString"
        && matches!(from.arguments.as_slice(), [Argument::Number(length)] if length == bytes)
}

/// A single value.
fn scalar(value: &str, source: &DataType, data_type: &DataType) -> String {
    let (from, to) = (source.bare(), data_type.bare());
    match kind(data_type) {
        Kind::Text => format!("toString({value})"),
        Kind::Moment(moment) if source.is_date_or_time() => moment.within(value),
        Kind::Rounded if source.is_number() => rounded(value, data_type),
        Kind::Single if source.is_number() => {
            let (single, double) = (
                rounded(value, data_type),
                format!("CAST({value}, 'Nullable(Float64)')"),
            );
            format!("if(isInfinite({single}) AND isFinite({double}), NULL, {single})")
        }
        Kind::Decimal => decimal(value, data_type, false),
        // What the engine itself writes for them: the number that an address is, and the bytes of a number.
        Kind::Scalar if to.family == "IPv4" && source.is_number() => {
            format!("CAST(accurateCastOrNull({value}, 'UInt32'), 'Nullable(IPv4)')")
        }
        Kind::Scalar if to.family == "IPv6" && from.family == "FixedString" => {
            rounded(value, data_type)
        }
        Kind::WideInteger if are_bytes_of(from, to) => {
            let name = quote_literal(&to.to_string());
            format!("if(isNull({value}), NULL, reinterpret(assumeNotNull({value}), {name}))")
        }
        _ => exact(value, data_type),
    }
}
