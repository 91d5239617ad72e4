//! Numbers that are too large for a `Float64`: the engine reads one that is given as a text as an infinite number, and would keep that in its place.

use super::convert;
use crate::sql::quote_literal;
use crate::types::{Argument, DataType};

/// A number between quotes that may be too large, as a pattern; `inf` is none.
const LARGE: &str = "[\"\\']\\s*[+-]?([0-9.]+[eE][+]?[0-9]{3,}|[0-9]{309})";

/// A value that was read from `raw`, or NULL where the number there is too large.
pub(super) fn finite(value: &str, raw: &str, data_type: &DataType) -> String {
    if is_float(data_type) {
        format!("if(isInfinite({value}) AND match({raw}, '[0-9]'), NULL, {value})")
    } else {
        value.to_owned()
    }
}

/// True where a value that has numbers in it, read from a part of `text`, has an infinite one for a number that is too large. Nothing for other types.
pub(super) fn within(value: &str, text: &str, data_type: &DataType) -> Option<String> {
    let infinite = match data_type.bare().family.as_str() {
        "JSON" => {
            let paths = data_type.bare().arguments.iter().filter_map(|argument| {
                let Argument::Named(path, inner) = argument else {
                    return None;
                };
                is_float(inner).then(|| {
                    format!(
                        "ifNull(isInfinite(getSubcolumn(assumeNotNull({value}), {})), 0)",
                        quote_literal(path)
                    )
                })
            });
            let paths: Vec<String> = paths.collect();
            (!paths.is_empty()).then(|| format!("({})", paths.join(" OR ")))?
        }
        _ if !convert::is_scalar(data_type) && has_float(data_type) => {
            format!("match(toString({value}), 'inf')")
        }
        _ => return None,
    };
    Some(format!(
        "(match(ifNull({text}, ''), {}) AND {infinite})",
        quote_literal(LARGE)
    ))
}

fn is_float(data_type: &DataType) -> bool {
    matches!(
        data_type.bare().family.as_str(),
        "Float32" | "Float64" | "BFloat16"
    )
}

fn has_float(data_type: &DataType) -> bool {
    let inner = data_type.bare().arguments.iter();
    is_float(data_type)
        || inner.into_iter().any(|argument| match argument {
            Argument::Named(_, inner) | Argument::Type(inner) => has_float(inner),
            _ => false,
        })
}
