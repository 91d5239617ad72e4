//! `Array(x, 'Int32')`, `split_to_array`, `enumerate_with_last`.

use minijinja::Value;

use super::scalar::{Scalar, truth};
use super::{Arguments, Function};
use crate::template::error::{ErrorKind, Outcome, TemplateError, value_error};
use crate::template::quote;
use crate::template::render::Render;
use crate::template::value::{
    Thing, View, as_text, elements, length, list, none, plain, repr, sql, thing, to_text, tuple,
    type_name, view,
};

/// The type of an array's elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::template) enum Element {
    /// A known type.
    Scalar(Scalar),
    /// Quoted identifiers.
    Symbol,
    /// Any other name: strings.
    Text,
}

impl Element {
    /// The element type of a name.
    pub(in crate::template) fn by_name(name: &str) -> Self {
        match Function::by_name(name) {
            Some(Function::Scalar(Scalar::Decimal(_) | Scalar::Enum(_))) => Self::Text,
            Some(Function::Scalar(scalar)) => Self::Scalar(scalar),
            _ if matches!(name, "Symbol" | "Column") => Self::Symbol,
            _ => Self::Text,
        }
    }

    /// Checks one element and gives its plain value.
    fn read(self, value: &Value) -> Option<Value> {
        match self {
            Self::Scalar(Scalar::Boolean) => Some(Value::from(i64::from(truth(value)))),
            Self::Scalar(Scalar::String) | Self::Text | Self::Symbol => {
                Some(match value.as_str() {
                    Some(_) => value.clone(),
                    None => Value::from(to_text(value)),
                })
            }
            // An array is read again at each of its uses, and may have wide numbers by then.
            Self::Scalar(_) if is_read(value) => Some(value.clone()),
            Self::Scalar(scalar) => scalar.read(value).map(|value| match view(&value) {
                View::Thing(Thing::Typed { cast, text, .. }) if !numeric(cast) || is_wide(text) => {
                    value
                }
                _ => plain(&value),
            }),
        }
    }

    fn print(self, out: &mut String, value: &Value) {
        match self {
            Self::Symbol => quote::identifier(out, &to_text(value), '`'),
            _ => match view(value) {
                View::Str(text) => quote::string(out, text, false),
                View::Thing(Thing::Typed { cast, text, .. }) => {
                    for part in [cast, "('", text, "')"] {
                        out.push_str(part);
                    }
                }
                _ => out.push_str(&repr(value)),
            },
        }
    }

    /// Two elements that stand in for those that are not known yet.
    fn samples(self) -> &'static str {
        match self {
            Self::Scalar(Scalar::Float(_)) => "[0.0,0.0]",
            Self::Scalar(Scalar::Boolean | Scalar::Int { .. } | Scalar::Plain(_)) => "[0,0]",
            Self::Scalar(Scalar::Date) => "['2019-01-01','2019-01-01']",
            Self::Scalar(Scalar::DateTime) => "['2019-01-01 00:00:00','2019-01-01 00:00:00']",
            Self::Scalar(Scalar::DateTime64) => {
                "['2019-01-01 00:00:00.000','2019-01-01 00:00:00.000']"
            }
            Self::Scalar(Scalar::Uuid) => "[toUUID('00000000-0000-0000-0000-000000000000')]",
            Self::Scalar(Scalar::Ipv4) => "[toIPv4('0.0.0.0')]",
            Self::Scalar(Scalar::Ipv6) => "[toIPv6('::')]",
            _ => "['']",
        }
    }
}

/// Whether an element is a wide number that was read before.
fn is_read(value: &Value) -> bool {
    matches!(view(value), View::Thing(Thing::Typed { cast, text, .. }) if numeric(cast) && is_wide(text))
}

/// Whether a whole number needs its cast: past 64 bits the engine reads a bare number as a float and loses its last digits.
fn is_wide(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    digits.bytes().all(|byte| byte.is_ascii_digit())
        && text.parse::<i64>().is_err()
        && text.parse::<u64>().is_err()
}

fn numeric(cast: &str) -> bool {
    cast.starts_with("toInt") || cast.starts_with("toUInt") || cast.starts_with("toFloat")
}

const ARGUMENTS: &[&str] = &[
    "x",
    "_type",
    "default",
    "defined",
    "required",
    "description",
    "enum",
    "example",
    "format",
];

/// `Array(x, type, default, …)` → `[1,2]`.
pub(super) fn array(render: &mut Render, arguments: &Arguments<'_>) -> Outcome<Value> {
    arguments.only(ARGUMENTS)?;
    let value = arguments.required(0, "x")?;
    let element = match arguments.get(1, "_type").map(view) {
        Some(View::Str(name)) => Element::by_name(name),
        Some(View::Thing(Thing::Function(function))) => Element::by_name(function.name()),
        _ => Element::Text,
    };
    let default = arguments
        .get(2, "default")
        .filter(|value| !matches!(view(value), View::None));
    let chosen = match view(value) {
        View::None => match default {
            Some(default) => default,
            None => {
                return match arguments.get(3, "defined") {
                    Some(defined) if !defined.is_true() => Ok(none()),
                    _ => Err(TemplateError::new(
                        ErrorKind::MissingRequired,
                        "a list of values is required",
                    )),
                };
            }
        },
        View::Thing(Thing::Placeholder) => match default {
            Some(default) if default.is_true() => default,
            _ => return Ok(sql(element.samples().to_owned())),
        },
        _ => value,
    };
    if matches!(view(chosen), View::Thing(Thing::Placeholder)) {
        return Ok(sql(element.samples().to_owned()));
    }
    let items = convert_elements(render, chosen, element)?;
    if let Some(allowed) = arguments
        .get(6, "enum")
        .map(elements)
        .transpose()?
        .filter(|allowed| !allowed.is_empty())
    {
        for item in &items {
            if !allowed.iter().any(|one| to_text(one) == to_text(item)) {
                let names: Vec<String> = allowed.iter().map(repr).collect();
                return Err(TemplateError::new(
                    ErrorKind::NotInEnum,
                    format!("{} is not one of {}", repr(item), names.join(", ")),
                ));
            }
        }
    }
    let mut out = String::from("[");
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        element.print(&mut out, item);
    }
    out.push(']');
    Ok(sql(out))
}

/// The elements of a list, or of a text split at commas, each checked.
pub(in crate::template) fn convert_elements(
    render: &mut Render,
    value: &Value,
    element: Element,
) -> Outcome<Vec<Value>> {
    let items: Vec<Value> = match (view(value), as_text(value)) {
        (_, Some(text)) => text.split(',').map(Value::from).collect(),
        (View::Thing(Thing::List(_)), _) => elements(value)?,
        _ => {
            return Err(TemplateError::new(
                ErrorKind::BadArray,
                format!("a list is expected, not {}", type_name(value)),
            ));
        }
    };
    render.charge(items.len() * 16)?;
    let mut read = Vec::with_capacity(items.len());
    for (at, item) in items.iter().enumerate() {
        if matches!(view(item), View::None) {
            return Err(TemplateError::new(
                ErrorKind::NullExpression,
                format!("element {at} has no value"),
            ));
        }
        let Some(one) = element.read(item) else {
            let text = to_text(item);
            let name = match element {
                Element::Scalar(scalar) => scalar.name(),
                Element::Symbol | Element::Text => "String",
            };
            let shown: String = if text.is_empty() {
                "(empty string)".into()
            } else {
                format!(
                    "'{}'",
                    text.chars().take(40).collect::<String>().escape_debug()
                )
            };
            return Err(TemplateError::new(
                ErrorKind::WrongType,
                format!("element {at}, {shown}, is not of type {name}"),
            ));
        };
        read.push(one);
    }
    Ok(read)
}

/// `split_to_array(x, default, separator)` → a list of trimmed strings.
pub(super) fn split_to_array(render: &mut Render, arguments: &Arguments<'_>) -> Outcome<Value> {
    arguments.only(&["x", "default", "separator"])?;
    let value = arguments.required(0, "x")?;
    let empty = Value::from("");
    let value = match view(value) {
        View::None | View::Thing(Thing::Placeholder) => {
            arguments.get(1, "default").unwrap_or(&empty)
        }
        _ => value,
    };
    let separator = arguments
        .get(2, "separator")
        .map_or_else(|| ",".to_owned(), to_text);
    let Some(text) = as_text(value) else {
        return Err(TemplateError::new(
            ErrorKind::BadSplit,
            format!("split_to_array() takes a string, not {}", type_name(value)),
        ));
    };
    if separator.is_empty() {
        return value_error("the separator is empty");
    }
    render.charge(text.len())?;
    Ok(list(
        text.split(separator.as_str())
            .map(|part| Value::from(part.trim()))
            .collect(),
    ))
}

/// `enumerate_with_last(list)` → pairs of "is the last one" and the element.
pub(super) fn enumerate_with_last(
    render: &mut Render,
    arguments: &Arguments<'_>,
) -> Outcome<Value> {
    arguments.only(&["arr"])?;
    let value = arguments.required(0, "arr")?;
    let count = length(value)?;
    render.charge(count * 16)?;
    let pairs = elements(value)?
        .into_iter()
        .enumerate()
        .map(|(at, item)| tuple(vec![Value::from(at + 1 == count), item]))
        .collect();
    Ok(thing(Thing::List(std::sync::Mutex::new(pairs))))
}
