//! Values beside each other: equality, order, numbers, membership, positions.

use minijinja::Value;

use super::{
    Key, MAX_DEPTH, Thing, View, as_text, elements, locked, plain, snapshot, type_name, view,
};
use crate::template::error::{ErrorKind, Outcome, TemplateError, type_error, value_error};

/// Whether two values are equal; values of different types are not.
pub(in crate::template) fn equal(left: &Value, right: &Value) -> bool {
    equal_at(left, right, 0)
}

fn equal_at(left: &Value, right: &Value, depth: usize) -> bool {
    if depth > MAX_DEPTH {
        return false;
    }
    let sequences = |left: &[Value], right: &[Value]| {
        left.len() == right.len()
            && left
                .iter()
                .zip(right)
                .all(|(left, right)| equal_at(left, right, depth + 1))
    };
    match (view(&plain(left)), view(&plain(right))) {
        (View::None, View::None) => true,
        (View::Thing(Thing::List(left)), View::Thing(Thing::List(right))) => {
            let (left, right) = (snapshot(left), snapshot(right));
            sequences(&left, &right)
        }
        (View::Thing(Thing::Tuple(left)), View::Thing(Thing::Tuple(right))) => {
            sequences(left, right)
        }
        (View::Thing(Thing::Set(left)), View::Thing(Thing::Set(right))) => {
            left.len() == right.len() && left.keys().all(|key| right.contains_key(key))
        }
        (View::Thing(Thing::Dict(left)), View::Thing(Thing::Dict(right))) => {
            let (left, right) = (snapshot(left), snapshot(right));
            left.len() == right.len()
                && left.iter().all(|(key, value)| {
                    right
                        .get(key)
                        .is_some_and(|other| equal_at(value, other, depth + 1))
                })
        }
        (View::Thing(Thing::Big(left)), View::Thing(Thing::Big(right))) => left == right,
        (View::Thing(Thing::Function(left)), View::Thing(Thing::Function(right))) => left == right,
        _ => match (as_text(left), as_text(right)) {
            (Some(left), Some(right)) => left == right,
            (None, None) => ordering(left, right).is_some_and(std::cmp::Ordering::is_eq),
            _ => false,
        },
    }
}

/// The order of two values if they have one.
pub(in crate::template) fn ordering(left: &Value, right: &Value) -> Option<std::cmp::Ordering> {
    ordering_at(left, right, 0)
}

fn ordering_at(left: &Value, right: &Value, depth: usize) -> Option<std::cmp::Ordering> {
    if depth > MAX_DEPTH {
        return None;
    }
    let (left, right) = (plain(left), plain(right));
    let number = |value: &Value| match view(value) {
        View::Bool(value) => Some(Number::Int(i128::from(value))),
        View::Int(value) => Some(Number::Int(value)),
        View::Float(value) => Some(Number::Float(value)),
        _ => None,
    };
    if let (Some(left), Some(right)) = (number(&left), number(&right)) {
        return match (left, right) {
            (Number::Int(left), Number::Int(right)) => Some(left.cmp(&right)),
            (left, right) => left.float().partial_cmp(&right.float()),
        };
    }
    if let (Some(left), Some(right)) = (big_digits(&left), big_digits(&right)) {
        return Some(compare_digits(&left, &right));
    }
    if let (Some(left), Some(right)) = (as_text(&left), as_text(&right)) {
        return Some(left.cmp(&right));
    }
    let items = |value: &Value, tuple: bool| match view(value) {
        View::Thing(Thing::List(items)) if !tuple => Some(snapshot(items)),
        View::Thing(Thing::Tuple(items)) if tuple => Some(items.clone()),
        _ => None,
    };
    for tuple in [false, true] {
        if let (Some(left), Some(right)) = (items(&left, tuple), items(&right, tuple)) {
            for (left, right) in left.iter().zip(&right) {
                if !equal(left, right) {
                    return ordering_at(left, right, depth + 1);
                }
            }
            return Some(left.len().cmp(&right.len()));
        }
    }
    None
}

/// A number of either kind.
#[derive(Clone, Copy)]
pub(in crate::template) enum Number {
    Int(i128),
    Float(f64),
}

impl Number {
    #[expect(
        clippy::cast_precision_loss,
        reason = "the language converts integers to floats where they mix"
    )]
    pub(in crate::template) fn float(self) -> f64 {
        match self {
            Self::Int(value) => value as f64,
            Self::Float(value) => value,
        }
    }
}

/// A number, with booleans as 0 and 1.
pub(in crate::template) fn as_number(value: &Value) -> Outcome<Option<Number>> {
    Ok(match view(&plain(value)) {
        View::Bool(value) => Some(Number::Int(i128::from(value))),
        View::Int(value) => Some(Number::Int(value)),
        View::Float(value) => Some(Number::Float(value)),
        View::Thing(Thing::Big(_)) => {
            return Err(TemplateError::new(
                ErrorKind::ValueError,
                "integers beyond 128 bits can be compared and printed, not calculated with",
            ));
        }
        _ => None,
    })
}

fn big_digits(value: &Value) -> Option<String> {
    match view(value) {
        View::Int(number) => Some(number.to_string()),
        View::Thing(Thing::Big(digits)) => Some(digits.clone()),
        _ => None,
    }
}

/// Compares two integers in decimal digits.
pub(in crate::template) fn compare_digits(left: &str, right: &str) -> std::cmp::Ordering {
    let split = |text: &str| -> (bool, String) {
        (
            text.starts_with('-'),
            text.trim_start_matches('-').to_owned(),
        )
    };
    let ((left_negative, left), (right_negative, right)) = (split(left), split(right));
    let magnitude = left.len().cmp(&right.len()).then_with(|| left.cmp(&right));
    match (left_negative, right_negative) {
        (false, true) => std::cmp::Ordering::Greater,
        (true, false) => std::cmp::Ordering::Less,
        (false, false) => magnitude,
        (true, true) => magnitude.reverse(),
    }
}

/// Whether `needle in haystack`.
pub(in crate::template) fn contains(haystack: &Value, needle: &Value) -> Outcome<bool> {
    if let Some(text) = as_text(haystack) {
        return match as_text(needle) {
            Some(needle) => Ok(text.contains(&*needle)),
            None => value_error(format!(
                "'in <string>' requires string as left operand, not {}",
                type_name(needle)
            )),
        };
    }
    if let View::Thing(Thing::Dict(items)) = view(haystack) {
        return Ok(locked(items).contains_key(&Key::of(needle)?));
    }
    if let View::Thing(Thing::Set(items)) = view(haystack) {
        return Ok(Key::of(needle).is_ok_and(|key| items.contains_key(&key)));
    }
    if !matches!(
        view(haystack),
        View::Thing(Thing::List(_) | Thing::Tuple(_) | Thing::Placeholder)
    ) {
        return value_error(format!(
            "argument of type '{}' is not iterable",
            type_name(haystack)
        ));
    }
    Ok(elements(haystack)?.iter().any(|item| equal(item, needle)))
}

/// An index into a sequence of `length` elements; negative ones count from the end.
pub(in crate::template) fn position(index: &Value, length: usize) -> Outcome<Option<usize>> {
    let index = match view(&plain(index)) {
        View::Int(index) => index,
        View::Bool(index) => i128::from(index),
        _ => {
            return type_error(format!(
                "indices must be integers, not {}",
                type_name(index)
            ));
        }
    };
    let length = i128::try_from(length).unwrap_or(i128::MAX);
    let index = if index < 0 { index + length } else { index };
    Ok((0..length)
        .contains(&index)
        .then(|| usize::try_from(index).unwrap_or(usize::MAX)))
}
