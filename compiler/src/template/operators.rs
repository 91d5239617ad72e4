//! The operators of the language: Python's arithmetic, comparisons, indexing and slicing over template values.
//!
//! Every operation that can make a large value says how large before it makes it.

use std::cmp::Ordering;

use indexmap::IndexMap;
use minijinja::Value;
use pipewright_grammar::template::{Comparison, Operator, Unary};

use super::error::{ErrorKind, Outcome, TemplateError, type_error, value_error};
use super::render::Render;
use super::value::{
    Key, Number, Thing, View, as_number, as_text, contains, elements, equal, int, length, list,
    locked, ordering, plain, position, snapshot, to_text, tuple, type_name, view,
};

/// The elements of a set by their keys.
type Set = IndexMap<Key, Value>;

/// `left operator right`.
pub(super) fn binary(
    render: &mut Render,
    left: &Value,
    operator: Operator,
    right: &Value,
) -> Outcome<Value> {
    let placeholder = |value: &Value| matches!(view(value), View::Thing(Thing::Placeholder));
    if placeholder(left) && operator == Operator::Add {
        return Ok(left.clone());
    }
    match operator {
        Operator::Add => {
            if let Some(value) = concatenate(render, left, right)? {
                return Ok(value);
            }
        }
        Operator::Multiply => {
            if let Some(value) = repeat(render, left, right)? {
                return Ok(value);
            }
        }
        Operator::Modulo => {
            if let View::Str(format) = view(left) {
                return percent_format(render, format, right);
            }
        }
        _ => {}
    }
    if let (Some(left), Some(right)) = (as_number(left)?, as_number(right)?) {
        return arithmetic(left, operator, right);
    }
    if let (View::Thing(Thing::Set(left)), View::Thing(Thing::Set(right))) =
        (view(left), view(right))
        && matches!(
            operator,
            Operator::BitAnd | Operator::BitOr | Operator::BitXor | Operator::Subtract
        )
    {
        render.charge((left.len() + right.len()) * 16)?;
        let items = set_operation(left, operator, right);
        return Ok(super::value::thing(Thing::Set(items)));
    }
    type_error(format!(
        "unsupported operand type(s) for {}: '{}' and '{}'",
        sign(operator),
        type_name(left),
        type_name(right)
    ))
}

/// `&`, `|`, `-` or `^` of two sets.
fn set_operation(left: &Set, operator: Operator, right: &Set) -> Set {
    let only = |items: &Set, others: &Set, keep: bool| -> Set {
        let items = items.iter();
        items
            .filter(|(key, _)| others.contains_key(*key) == keep)
            .map(|(key, item)| (key.clone(), item.clone()))
            .collect()
    };
    match operator {
        Operator::BitAnd => return only(left, right, true),
        Operator::Subtract => return only(left, right, false),
        _ => {}
    }
    let mut items = match operator {
        Operator::BitOr => left.clone(),
        _ => only(left, right, false),
    };
    items.extend(only(right, left, false));
    items
}

fn concatenate(render: &mut Render, left: &Value, right: &Value) -> Outcome<Option<Value>> {
    if let Some(text) = as_text(left) {
        return match (as_text(right), view(right)) {
            (Some(more), _) => {
                render.charge(text.len() + more.len())?;
                Ok(Some(Value::from(format!("{text}{more}"))))
            }
            _ => type_error(format!(
                "can only concatenate str (not \"{}\") to str",
                type_name(right)
            )),
        };
    }
    Ok(match (view(left), view(right)) {
        (View::Thing(Thing::List(left)), View::Thing(Thing::List(right))) => {
            let mut items = snapshot(left);
            items.extend(locked(right).iter().cloned());
            render.charge(items.len() * 16)?;
            Some(list(items))
        }
        (View::Thing(Thing::Tuple(left)), View::Thing(Thing::Tuple(right))) => {
            render.charge((left.len() + right.len()) * 16)?;
            Some(tuple(left.iter().chain(right).cloned().collect()))
        }
        _ => None,
    })
}

fn repeat(render: &mut Render, left: &Value, right: &Value) -> Outcome<Option<Value>> {
    let count = |value: &Value| match view(&plain(value)) {
        View::Int(count) => Some(usize::try_from(count.max(0)).unwrap_or(usize::MAX)),
        View::Bool(value) => Some(usize::from(value)),
        _ => None,
    };
    for (sequence, times) in [(left, right), (right, left)] {
        let Some(times) = count(times) else { continue };
        if let Some(text) = as_text(sequence) {
            render.charge(text.len().saturating_mul(times))?;
            return Ok(Some(Value::from(text.repeat(times))));
        }
        let items = match view(sequence) {
            View::Thing(Thing::List(items)) => snapshot(items),
            View::Thing(Thing::Tuple(items)) => items.clone(),
            _ => continue,
        };
        render.charge(items.len().saturating_mul(times).saturating_mul(16))?;
        let repeated = items
            .iter()
            .cycle()
            .take(items.len() * times)
            .cloned()
            .collect();
        return Ok(Some(match view(sequence) {
            View::Thing(Thing::List(_)) => list(repeated),
            _ => tuple(repeated),
        }));
    }
    Ok(None)
}

/// `'%s and %d' % (a, b)`.
fn percent_format(render: &mut Render, format: &str, right: &Value) -> Outcome<Value> {
    render.walk(right)?;
    let mut values = match view(right) {
        View::Thing(Thing::Tuple(items)) => items.clone(),
        _ => vec![right.clone()],
    }
    .into_iter();
    let mut out = String::new();
    let mut rest = format.chars();
    while let Some(character) = rest.next() {
        if character != '%' {
            out.push(character);
            continue;
        }
        match rest.next() {
            Some('%') => out.push('%'),
            Some(kind @ ('s' | 'r' | 'd' | 'i')) => {
                let Some(value) = values.next() else {
                    return value_error("not enough arguments for format string");
                };
                out.push_str(&match (kind, as_number(&value)?) {
                    ('s', _) => to_text(&value),
                    ('r', _) => super::value::repr(&value),
                    (_, Some(number)) => integer_of(number)?.to_string(),
                    _ => {
                        return value_error(format!(
                            "%d format: a number is required, not {}",
                            type_name(&value)
                        ));
                    }
                });
            }
            _ => return value_error("unsupported format character"),
        }
        render.charge(out.len())?;
    }
    if values.next().is_some() && matches!(view(right), View::Thing(Thing::Tuple(_)) | View::Str(_))
    {
        return value_error("not all arguments converted during string formatting");
    }
    Ok(Value::from(out))
}

/// The integer that a number is cut to.
pub(super) fn integer_of(number: Number) -> Outcome<i128> {
    match number {
        Number::Int(value) => Ok(value),
        #[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
        Number::Float(value) if value.is_finite() && value.abs() < 1e37 => {
            Ok(value.trunc() as i128)
        }
        Number::Float(_) => value_error("cannot convert float to integer"),
    }
}

fn arithmetic(left: Number, operator: Operator, right: Number) -> Outcome<Value> {
    let overflow = || TemplateError::new(ErrorKind::ValueError, "the result does not fit 128 bits");
    if let (Number::Int(left), Number::Int(right)) = (left, right) {
        let result = match operator {
            Operator::Add => left.checked_add(right),
            Operator::Subtract => left.checked_sub(right),
            Operator::Multiply => left.checked_mul(right),
            Operator::FloorDivide | Operator::Modulo if right == 0 => {
                return value_error("integer division or modulo by zero");
            }
            Operator::FloorDivide => left
                .checked_div_euclid(right)
                .map(|_| floor_divide(left, right)),
            Operator::Modulo => left
                .checked_rem(right)
                .map(|_| left.wrapping_sub(floor_divide(left, right).wrapping_mul(right))),
            Operator::Power if right >= 0 => u32::try_from(right)
                .ok()
                .and_then(|right| left.checked_pow(right)),
            Operator::ShiftLeft => u32::try_from(right)
                .ok()
                .filter(|right| *right < 120)
                .and_then(|right| left.checked_mul(1i128 << right)),
            Operator::ShiftRight => u32::try_from(right)
                .ok()
                .map(|right| left >> right.min(127)),
            Operator::BitAnd => Some(left & right),
            Operator::BitOr => Some(left | right),
            Operator::BitXor => Some(left ^ right),
            Operator::Divide | Operator::Power => {
                return float_arithmetic(Number::Int(left), operator, Number::Int(right));
            }
            Operator::MatrixMultiply => return type_error("unsupported operand type(s) for @"),
        };
        return result.map(int).ok_or_else(overflow);
    }
    float_arithmetic(left, operator, right)
}

fn floor_divide(left: i128, right: i128) -> i128 {
    let quotient = left.wrapping_div(right);
    if left.wrapping_rem(right) != 0 && (left < 0) != (right < 0) {
        quotient - 1
    } else {
        quotient
    }
}

fn float_arithmetic(left: Number, operator: Operator, right: Number) -> Outcome<Value> {
    let (left, right) = (left.float(), right.float());
    let divisor = |result: f64| {
        if right == 0.0 {
            value_error("division by zero")
        } else {
            Ok(result)
        }
    };
    let result = match operator {
        Operator::Add => left + right,
        Operator::Subtract => left - right,
        Operator::Multiply => left * right,
        Operator::Divide => divisor(left / right)?,
        Operator::FloorDivide => divisor((left / right).floor())?,
        Operator::Modulo => divisor(left - right * (left / right).floor())?,
        Operator::Power => left.powf(right),
        _ => {
            return type_error(format!(
                "unsupported operand type(s) for {}: 'float' and 'float'",
                sign(operator)
            ));
        }
    };
    Ok(Value::from(result))
}

fn sign(operator: Operator) -> &'static str {
    match operator {
        Operator::Add => "+",
        Operator::Subtract => "-",
        Operator::Multiply => "*",
        Operator::Divide => "/",
        Operator::FloorDivide => "//",
        Operator::Modulo => "%",
        Operator::Power => "**",
        Operator::MatrixMultiply => "@",
        Operator::ShiftLeft => "<<",
        Operator::ShiftRight => ">>",
        Operator::BitAnd => "&",
        Operator::BitOr => "|",
        Operator::BitXor => "^",
    }
}

/// `operator value`.
pub(super) fn unary(operator: Unary, value: &Value) -> Outcome<Value> {
    if operator == Unary::Not {
        return Ok(Value::from(!value.is_true()));
    }
    match (operator, as_number(value)?) {
        (Unary::Minus, Some(Number::Int(number))) => {
            number.checked_neg().map(int).ok_or_else(|| {
                TemplateError::new(ErrorKind::ValueError, "the result does not fit 128 bits")
            })
        }
        (Unary::Minus, Some(Number::Float(number))) => Ok(Value::from(-number)),
        (Unary::Plus, Some(Number::Int(number))) => Ok(int(number)),
        (Unary::Plus, Some(Number::Float(number))) => Ok(Value::from(number)),
        (Unary::Invert, Some(Number::Int(number))) => Ok(int(!number)),
        _ => type_error(format!(
            "bad operand type for unary operator: '{}'",
            type_name(value)
        )),
    }
}

/// `left comparison right`.
pub(super) fn compare(
    render: &mut Render,
    left: &Value,
    comparison: Comparison,
    right: &Value,
) -> Outcome<bool> {
    match comparison {
        Comparison::In | Comparison::NotIn => charge_search(render, left, right)?,
        // The shorter of two texts is soon gone through, and sequences of different lengths are not equal.
        _ if is_text(left) || is_text(right) => {}
        _ => match (length(left), length(right)) {
            (Ok(left), Ok(right)) if left != right && !is_order(comparison) => {}
            (Ok(_), Ok(_)) => render.walk(left)?,
            _ => {}
        },
    }
    Ok(match comparison {
        Comparison::Equal => equal(left, right),
        Comparison::NotEqual => !equal(left, right),
        Comparison::In => contains(right, left)?,
        Comparison::NotIn => !contains(right, left)?,
        Comparison::Is => identical(left, right),
        Comparison::IsNot => !identical(left, right),
        Comparison::Less => ordered(left, right, "<")?.is_some_and(Ordering::is_lt),
        Comparison::LessEqual => ordered(left, right, "<=")?.is_some_and(Ordering::is_le),
        Comparison::Greater => ordered(left, right, ">")?.is_some_and(Ordering::is_gt),
        Comparison::GreaterEqual => ordered(left, right, ">=")?.is_some_and(Ordering::is_ge),
    })
}

fn is_text(value: &Value) -> bool {
    as_text(value).is_some()
}

fn is_order(comparison: Comparison) -> bool {
    matches!(
        comparison,
        Comparison::Less | Comparison::LessEqual | Comparison::Greater | Comparison::GreaterEqual
    )
}

/// Uses steps for looking for a value in another.
fn charge_search(render: &mut Render, needle: &Value, haystack: &Value) -> Outcome<()> {
    match view(haystack) {
        View::Thing(Thing::Dict(_) | Thing::Set(_)) => render.walk(needle),
        _ => match as_text(haystack) {
            Some(text) => render.charge(text.len()),
            None => render.walk(haystack),
        },
    }
}

/// `None`, booleans and equal scalars of the same type are the same object.
fn identical(left: &Value, right: &Value) -> bool {
    type_name(left) == type_name(right) && equal(left, right)
}

/// The order of two values; an error if they have none. Comparisons with NaN have no order and are false.
pub(super) fn ordered(left: &Value, right: &Value, sign: &str) -> Outcome<Option<Ordering>> {
    let float =
        |value: &Value| matches!(view(&plain(value)), View::Float(number) if number.is_nan());
    match ordering(left, right) {
        Some(order) => Ok(Some(order)),
        None if float(left) || float(right) => Ok(None),
        None => {
            let hint = if matches!(view(left), View::Thing(Thing::Placeholder) | View::Str(_)) {
                "; wrap the parameter in a type, such as `Int32(…)`"
            } else {
                ""
            };
            type_error(format!(
                "'{sign}' not supported between instances of '{}' and '{}'{hint}",
                type_name(left),
                type_name(right)
            ))
        }
    }
}

/// `value[key]`.
pub(super) fn index(render: &mut Render, value: &Value, key: &Value) -> Outcome<Value> {
    let out_of_range = || TemplateError::new(ErrorKind::IndexOutOfRange, "index out of range");
    match view(value) {
        View::Thing(Thing::Dict(items)) => {
            let wanted = render.key(key)?;
            locked(items).get(&wanted).cloned().ok_or_else(|| {
                TemplateError::new(
                    ErrorKind::MissingKey,
                    format!("there is no key {}", super::value::repr(key)),
                )
            })
        }
        View::Thing(Thing::List(items)) => {
            let items = locked(items);
            let at = position(key, items.len())?.ok_or_else(out_of_range)?;
            Ok(items[at].clone())
        }
        View::Thing(Thing::Tuple(items)) => {
            let at = position(key, items.len())?.ok_or_else(out_of_range)?;
            Ok(items[at].clone())
        }
        View::Thing(Thing::Placeholder) => match view(key) {
            View::Int(_) | View::Bool(_) => Ok(value.clone()),
            _ => type_error("'>' not supported between instances of 'str' and 'int'"),
        },
        _ => match as_text(value) {
            Some(text) => {
                render.charge(text.len())?;
                let at = position(key, text.chars().count())?.ok_or_else(out_of_range)?;
                Ok(Value::from(
                    text.chars().skip(at).take(1).collect::<String>(),
                ))
            }
            None => value_error(format!(
                "'{}' object is not subscriptable",
                type_name(value)
            )),
        },
    }
}

/// `value[start:stop:step]`.
pub(super) fn slice(value: &Value, bounds: [&Value; 3]) -> Outcome<Value> {
    let items: Vec<Value> = match view(value) {
        View::Str(_)
        | View::Thing(
            Thing::List(_) | Thing::Tuple(_) | Thing::Sql { .. } | Thing::Unescaped { .. },
        ) => elements(value)?,
        View::Thing(Thing::Placeholder) => {
            return type_error("'>' not supported between instances of 'slice' and 'int'");
        }
        _ => {
            return value_error(format!(
                "'{}' object is not subscriptable",
                type_name(value)
            ));
        }
    };
    let bound = |value: &Value| match view(&plain(value)) {
        View::None => Ok(None),
        View::Int(number) => Ok(Some(number)),
        View::Bool(value) => Ok(Some(i128::from(value))),
        _ => type_error("slice indices must be integers or None"),
    };
    let step = bound(bounds[2])?.unwrap_or(1);
    if step == 0 {
        return value_error("slice step cannot be zero");
    }
    let count = i128::try_from(items.len()).unwrap_or(i128::MAX);
    let clamp = |bound: Option<i128>, missing: i128| {
        let (low, high) = if step > 0 {
            (0, count)
        } else {
            (-1, count - 1)
        };
        bound.map_or(missing, |at| {
            if at < 0 { at.saturating_add(count) } else { at }.clamp(low, high)
        })
    };
    let (first, last) = if step > 0 {
        (0, count)
    } else {
        (count - 1, -1)
    };
    let (mut at, stop) = (
        clamp(bound(bounds[0])?, first),
        clamp(bound(bounds[1])?, last),
    );
    let mut taken = Vec::new();
    while (step > 0 && at < stop) || (step < 0 && at > stop) {
        if let Some(item) = usize::try_from(at).ok().and_then(|at| items.get(at)) {
            taken.push(item.clone());
        }
        at = at.saturating_add(step);
    }
    Ok(match view(value) {
        View::Thing(Thing::List(_)) => list(taken),
        View::Thing(Thing::Tuple(_)) => tuple(taken),
        _ => Value::from(taken.iter().map(to_text).collect::<String>()),
    })
}

/// `target[key] = value`.
pub(super) fn store_item(
    render: &mut Render,
    target: &Value,
    key: &Value,
    value: Value,
) -> Outcome<()> {
    render.charge(16)?;
    match view(target) {
        View::Thing(Thing::Dict(items)) => {
            let key = render.key(key)?;
            locked(items).insert(key, value);
            Ok(())
        }
        View::Thing(Thing::List(items)) => {
            let mut items = locked(items);
            let Some(at) = position(key, items.len())? else {
                return Err(TemplateError::new(
                    ErrorKind::IndexOutOfRange,
                    "index out of range",
                ));
            };
            items[at] = value;
            Ok(())
        }
        _ => value_error(format!(
            "'{}' object does not support item assignment",
            type_name(target)
        )),
    }
}

/// The `count` values that are assigned to a tuple of targets.
pub(super) fn unpack(value: &Value, count: usize) -> Outcome<Vec<Value>> {
    if length(value).is_err() && !matches!(view(value), View::Thing(Thing::Placeholder)) {
        return value_error(format!(
            "cannot unpack non-iterable {} object",
            type_name(value)
        ));
    }
    let items = elements(value)?;
    match items.len().cmp(&count) {
        Ordering::Equal => Ok(items),
        Ordering::Greater => value_error(format!("too many values to unpack (expected {count})")),
        Ordering::Less => value_error(format!(
            "not enough values to unpack (expected {count}, got {})",
            items.len()
        )),
    }
}
