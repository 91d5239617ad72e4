//! Python's own functions, as far as templates use them.

use minijinja::Value;

use super::scalar::truth;
use super::{Arguments, Function, Helper, Scalar};
use crate::template::error::{ErrorKind, Outcome, TemplateError, value_error};
use crate::template::methods::{range, set_of, sorted, whole};
use crate::template::operators::{binary, integer_of, ordered, unary};
use crate::template::render::Render;
use crate::template::value::{
    Key, Number, Thing, View, as_number, as_text, dict, elements, int, length, list, none, plain,
    repr, snapshot, to_text, tuple, type_name, view,
};
use pipewright_grammar::template::{Operator, Unary};

pub(super) fn call(
    helper: Helper,
    render: &mut Render,
    arguments: &Arguments<'_>,
) -> Outcome<Value> {
    let first = || arguments.required(0, "x");
    Ok(match helper {
        Helper::Len => Value::from(length(first()?)?),
        Helper::List | Helper::TupleOf | Helper::Set | Helper::Frozenset => {
            collection(helper, render, arguments)?
        }
        Helper::Min | Helper::Max => extreme(arguments, helper == Helper::Min)?,
        Helper::ToInt => to_int(arguments)?,
        Helper::ToFloat => to_float(arguments)?,
        Helper::Str => Value::from(arguments.get(0, "object").map(to_text).unwrap_or_default()),
        Helper::Repr => Value::from(repr(first()?)),
        Helper::Bool => Value::from(i64::from(truth(first()?))),
        Helper::Sum => sum(render, arguments)?,
        Helper::Range => {
            let number = |at| match arguments.get(at, "") {
                None => Ok(None),
                Some(value) => whole(value),
            };
            let limit = i128::from(i64::MAX);
            let bound = |value: i128| value.clamp(-limit, limit);
            match (number(0)?, number(1)?, number(2)?) {
                (Some(stop), None, _) => range(render, 0, bound(stop), 1)?,
                (Some(start), Some(stop), step) => {
                    range(render, bound(start), bound(stop), bound(step.unwrap_or(1)))?
                }
                _ => return value_error("range() takes whole numbers"),
            }
        }
        Helper::Sorted => order(render, arguments)?,
        Helper::Reversed => {
            let mut items = elements(first()?)?;
            items.reverse();
            list(items)
        }
        Helper::Enumerate => {
            let start = arguments
                .get(1, "start")
                .map(whole)
                .transpose()?
                .flatten()
                .unwrap_or(0);
            let pairs = elements(first()?)?.into_iter().zip(0i128..);
            list(
                pairs
                    .map(|(item, at)| tuple(vec![int(start.saturating_add(at)), item]))
                    .collect(),
            )
        }
        Helper::Zip => zip(arguments)?,
        Helper::Map2 | Helper::Filter => apply(helper, render, arguments)?,
        Helper::Any => Value::from(elements(first()?)?.iter().any(Value::is_true)),
        Helper::All => Value::from(elements(first()?)?.iter().all(Value::is_true)),
        Helper::Abs => match as_number(first()?)? {
            Some(Number::Int(number)) if number < 0 => unary(Unary::Minus, first()?)?,
            Some(Number::Float(number)) => Value::from(number.abs()),
            Some(Number::Int(number)) => int(number),
            None => {
                return value_error(format!(
                    "bad operand type for abs(): '{}'",
                    type_name(first()?)
                ));
            }
        },
        Helper::Round => round(arguments)?,
        Helper::Pow => binary(
            render,
            first()?,
            Operator::Power,
            arguments.required(1, "exp")?,
        )?,
        Helper::Divmod => {
            let second = arguments.required(1, "y")?;
            let quotient = binary(render, first()?, Operator::FloorDivide, second)?;
            tuple(vec![
                quotient,
                binary(render, first()?, Operator::Modulo, second)?,
            ])
        }
        Helper::Dict => dictionary(render, arguments)?,
        Helper::Chr => {
            let code = whole(first()?)?.and_then(|code| u32::try_from(code).ok());
            match code.and_then(char::from_u32) {
                Some(character) => Value::from(character.to_string()),
                None => return value_error("chr() arg not in range"),
            }
        }
        Helper::Ord => match as_text(first()?)
            .as_deref()
            .map(|text| (text.chars().next(), text.chars().count()))
        {
            Some((Some(character), 1)) => Value::from(character as u32),
            _ => return value_error("ord() expected a character"),
        },
        Helper::Hex => Value::from(format!("{:#x}", whole(first()?)?.unwrap_or_default())),
        Helper::Isinstance => Value::from(is_instance(first()?, arguments.required(1, "class")?)),
        Helper::Next => match elements(first()?)?.into_iter().next() {
            Some(item) => item,
            None => arguments.get(1, "default").cloned().unwrap_or_else(none),
        },
        Helper::Iter => list(elements(first()?)?),
        _ => {
            return Err(TemplateError::new(
                ErrorKind::NotAFunction,
                format!("{}() cannot be called here", arguments.function),
            ));
        }
    })
}

fn collection(helper: Helper, render: &mut Render, arguments: &Arguments<'_>) -> Outcome<Value> {
    let items = match arguments.get(0, "iterable") {
        Some(value) => elements(value)?,
        None => Vec::new(),
    };
    render.charge(items.len() * 16)?;
    match helper {
        Helper::List => Ok(list(items)),
        Helper::TupleOf => Ok(tuple(items)),
        _ => set_of(render, items),
    }
}

fn extreme(arguments: &Arguments<'_>, smallest: bool) -> Outcome<Value> {
    let items = match arguments.positional {
        [] => {
            return Err(TemplateError::new(
                ErrorKind::MissingArgument,
                "at least one argument is expected",
            ));
        }
        [one] => elements(one)?,
        several => several.to_vec(),
    };
    let mut items = items.into_iter();
    let Some(mut best) = items.next() else {
        return match arguments.keyword("default") {
            Some(default) => Ok(default.clone()),
            None => value_error("the argument is an empty sequence"),
        };
    };
    for item in items {
        let order = ordered(&item, &best, if smallest { "<" } else { ">" })?;
        if order.is_some_and(|order| {
            if smallest {
                order.is_lt()
            } else {
                order.is_gt()
            }
        }) {
            best = item;
        }
    }
    Ok(best)
}

fn to_int(arguments: &Arguments<'_>) -> Outcome<Value> {
    let Some(value) = arguments.get(0, "x") else {
        return Ok(Value::from(0));
    };
    if let Some(text) = as_text(value) {
        let clean = super::ascii_digits(text.trim());
        let digits = clean.strip_prefix(['+', '-']).unwrap_or(&clean);
        let well_formed =
            !digits.starts_with('_') && !digits.ends_with('_') && !digits.contains("__");
        return match clean.replace('_', "").parse::<i128>() {
            Ok(number) if well_formed => Ok(int(number)),
            _ => value_error(format!(
                "'{}' is not an integer",
                text.chars().take(40).collect::<String>().escape_debug()
            )),
        };
    }
    match as_number(value)? {
        Some(number) => Ok(int(integer_of(number)?)),
        None => value_error(format!(
            "int() takes a string or a number, not '{}'",
            type_name(value)
        )),
    }
}

fn to_float(arguments: &Arguments<'_>) -> Outcome<Value> {
    let Some(value) = arguments.get(0, "x") else {
        return Ok(Value::from(0.0));
    };
    if let Some(text) = as_text(value) {
        return match super::numbers::float(&text.replace('_', "")) {
            Some(number) => Ok(Value::from(number)),
            None => value_error(format!(
                "'{}' is not a number",
                text.chars().take(40).collect::<String>().escape_debug()
            )),
        };
    }
    match as_number(value)? {
        Some(number) => Ok(Value::from(number.float())),
        None => value_error(format!(
            "float() takes a string or a number, not '{}'",
            type_name(value)
        )),
    }
}

fn sum(render: &mut Render, arguments: &Arguments<'_>) -> Outcome<Value> {
    let mut total = arguments
        .get(1, "start")
        .cloned()
        .unwrap_or_else(|| Value::from(0));
    for item in elements(arguments.required(0, "iterable")?)? {
        total = binary(render, &total, Operator::Add, &item)?;
    }
    Ok(total)
}

fn order(render: &mut Render, arguments: &Arguments<'_>) -> Outcome<Value> {
    let items = elements(arguments.required(0, "iterable")?)?;
    let mut items = match arguments.keyword("key").map(view) {
        None | Some(View::None) => sorted(render, items)?,
        Some(_) => {
            return Err(TemplateError::new(
                ErrorKind::NotAFunction,
                "sorted() takes no `key` here",
            ));
        }
    };
    if arguments.keyword("reverse").is_some_and(Value::is_true) {
        items.reverse();
    }
    Ok(list(items))
}

fn zip(arguments: &Arguments<'_>) -> Outcome<Value> {
    let columns = arguments
        .positional
        .iter()
        .map(elements)
        .collect::<Outcome<Vec<_>>>()?;
    let count = columns.iter().map(Vec::len).min().unwrap_or(0);
    let rows =
        (0..count).map(|at| tuple(columns.iter().map(|column| column[at].clone()).collect()));
    Ok(list(rows.collect()))
}

/// `map(f, xs)` and `filter(f, xs)` with a function of the language.
fn apply(helper: Helper, render: &mut Render, arguments: &Arguments<'_>) -> Outcome<Value> {
    let function = match view(arguments.required(0, "function")?) {
        View::Thing(Thing::Function(function)) => Some(*function),
        View::None if helper == Helper::Filter => None,
        _ => {
            return Err(TemplateError::new(
                ErrorKind::NotAFunction,
                format!("{}() takes the name of a function", arguments.function),
            ));
        }
    };
    let mut results = Vec::new();
    for item in elements(arguments.required(1, "iterable")?)? {
        render.charge(16)?;
        let result = match function {
            Some(Function::Helper(Helper::Map2 | Helper::Filter)) | None => item.clone(),
            Some(function) => function.call(
                render,
                &Arguments {
                    function: function.name(),
                    positional: std::slice::from_ref(&item),
                    keywords: &[],
                    subject: None,
                },
            )?,
        };
        match helper {
            Helper::Filter if !result.is_true() => {}
            Helper::Filter => results.push(item),
            _ => results.push(result),
        }
    }
    Ok(list(results))
}

fn round(arguments: &Arguments<'_>) -> Outcome<Value> {
    let value = arguments.required(0, "number")?;
    let digits = arguments
        .get(1, "ndigits")
        .map(whole)
        .transpose()?
        .flatten();
    match (as_number(value)?, digits) {
        (Some(Number::Int(number)), _) => Ok(int(number)),
        (Some(Number::Float(number)), Some(digits)) => {
            let digits = usize::try_from(digits.clamp(0, 300)).unwrap_or(0);
            Ok(Value::from(
                format!("{number:.digits$}")
                    .parse::<f64>()
                    .unwrap_or(number),
            ))
        }
        (Some(Number::Float(number)), None) => {
            Ok(int(integer_of(Number::Float(number.round_ties_even()))?))
        }
        (None, _) => value_error(format!(
            "type {} doesn't define __round__",
            type_name(value)
        )),
    }
}

fn dictionary(render: &mut Render, arguments: &Arguments<'_>) -> Outcome<Value> {
    let mut items = indexmap::IndexMap::new();
    if let Some(value) = arguments.positional.first() {
        if let View::Thing(Thing::Dict(others)) = view(value) {
            items = snapshot(others);
        } else {
            for pair in elements(value)? {
                let mut parts = elements(&pair)?.into_iter();
                let (Some(key), Some(value), None) = (parts.next(), parts.next(), parts.next())
                else {
                    return value_error("dict() takes pairs");
                };
                items.insert(render.key(&key)?, value);
            }
        }
    }
    for (name, value) in arguments.keywords {
        items.insert(Key::Str((*name).to_owned()), value.clone());
    }
    Ok(dict(items))
}

fn is_instance(value: &Value, class: &Value) -> bool {
    let name = type_name(&plain(value));
    any_class(class, |function| match function {
        Function::Helper(Helper::Str) => as_text(value).is_some(),
        Function::Helper(Helper::ToInt) => matches!(name, "int" | "bool"),
        Function::Helper(Helper::ToFloat) => name == "float",
        Function::Helper(Helper::Bool) | Function::Scalar(Scalar::Boolean) => name == "bool",
        Function::Helper(Helper::List) => name == "list",
        Function::Helper(Helper::Dict) => name == "dict",
        Function::Helper(Helper::TupleOf) => name == "tuple",
        Function::Helper(Helper::Set) => name == "set",
        _ => false,
    })
}

/// Whether a class, or one of a tuple of classes, is such; a tuple in a tuple is none.
pub(in crate::template) fn any_class(class: &Value, is_such: impl Fn(&Function) -> bool) -> bool {
    let is_one = |class: &Value| match view(class) {
        View::Thing(Thing::Function(function)) => is_such(function),
        _ => false,
    };
    match view(class) {
        View::Thing(Thing::Tuple(classes)) => classes.iter().any(is_one),
        _ => is_one(class),
    }
}
