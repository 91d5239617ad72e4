//! The values of the language as minijinja values: numbers, strings and `None` are minijinja's own, everything else is a [`Thing`].

use std::borrow::Cow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use indexmap::IndexMap;
use minijinja::Value;
use minijinja::value::{Object, ObjectRepr, ValueKind};
use pipewright_grammar::source::Span;

use super::error::{ErrorKind, Outcome, TemplateError, type_error, value_error};
use super::functions::Function;

/// The text that stands for a value in check mode.
pub(super) const NO_VALUE: &str = "__no_value__";

/// Objects of the language.
#[derive(Debug)]
pub(super) enum Thing {
    /// A variable that has not been read yet: knows its name for messages.
    Variable(Variable),
    /// A parameter without value in check mode.
    Placeholder,
    /// A list; can grow by `append`.
    List(Mutex<Vec<Value>>),
    /// A dictionary.
    Dict(Mutex<IndexMap<Key, Value>>),
    /// A tuple.
    Tuple(Vec<Value>),
    /// A set; keeps the order of insertion.
    Set(Vec<Value>),
    /// SQL text that is printed as it is and is a string otherwise: `columns`, `sql_and`, lists made by `Array`, comments of settings.
    Sql {
        /// The text.
        text: String,
    },
    /// A string whose `LIKE` escapes are partly taken back: `sql_unescape(value, what)`.
    Unescaped {
        /// The string.
        value: String,
        /// What keeps its special meaning.
        what: String,
    },
    /// An identifier in quotes, or a table's name.
    Symbol {
        /// The SQL.
        sql: String,
    },
    /// A number with the type that it is cast to.
    Typed {
        /// The cast, such as `toInt32`.
        cast: &'static str,
        /// The text inside the cast.
        text: String,
        /// The plain number.
        number: Value,
    },
    /// An integer beyond 128 bits, in decimal digits.
    Big(String),
    /// A function used as a value.
    Function(Function),
    /// A lambda: an object that is true and cannot be called.
    Lambda,
}

/// A variable of a template.
#[derive(Debug, Clone)]
pub(super) struct Variable {
    pub(super) slot: usize,
    pub(super) name: Arc<str>,
    pub(super) span: Span,
}

/// A key of a dictionary.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Key {
    None,
    Int(i128),
    Float(u64),
    Str(String),
    Tuple(Vec<Key>),
}

impl Object for Thing {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn is_true(self: &Arc<Self>) -> bool {
        match &**self {
            Self::List(items) => !locked(items).is_empty(),
            Self::Dict(items) => !locked(items).is_empty(),
            Self::Tuple(items) | Self::Set(items) => !items.is_empty(),
            Self::Sql { text, .. } => !text.is_empty(),
            Self::Typed { number, .. } => number.is_true(),
            Self::Variable(_)
            | Self::Placeholder
            | Self::Unescaped { .. }
            | Self::Symbol { .. }
            | Self::Big(_)
            | Self::Function(_)
            | Self::Lambda => true,
        }
    }
}

impl Thing {
    /// Takes the elements out of a collection.
    fn take_elements(&mut self, into: &mut Vec<Value>) {
        match self {
            Self::List(items) => {
                into.append(items.get_mut().unwrap_or_else(PoisonError::into_inner));
            }
            Self::Dict(items) => into.extend(
                items
                    .get_mut()
                    .unwrap_or_else(PoisonError::into_inner)
                    .drain(..)
                    .map(|(_, value)| value),
            ),
            Self::Tuple(items) | Self::Set(items) => into.append(items),
            _ => {}
        }
    }
}

/// Frees collections without recursing: a template can nest them as deeply as its steps allow.
impl Drop for Thing {
    fn drop(&mut self) {
        let mut waiting = Vec::new();
        self.take_elements(&mut waiting);
        while let Some(value) = waiting.pop() {
            let inner = value.downcast_object::<Self>();
            drop(value);
            if let Some(mut last) = inner.and_then(Arc::into_inner) {
                last.take_elements(&mut waiting);
            }
        }
    }
}

/// Locks a list or dictionary; a panic elsewhere cannot leave it half written.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A copy of a list or dictionary. What is done with the elements must not happen under the lock: they can hold the list itself.
pub(super) fn snapshot<T: Clone>(mutex: &Mutex<T>) -> T {
    locked(mutex).clone()
}

/// A value seen by its type.
pub(super) enum View<'a> {
    None,
    Bool(bool),
    Int(i128),
    Float(f64),
    Str(&'a str),
    Thing(&'a Thing),
}

/// Looks at a value.
pub(super) fn view(value: &Value) -> View<'_> {
    if let Some(text) = value.as_str() {
        return View::Str(text);
    }
    if let Some(thing) = value.downcast_object_ref::<Thing>() {
        return View::Thing(thing);
    }
    match value.kind() {
        ValueKind::Bool => View::Bool(value.is_true()),
        ValueKind::Number => match i128::try_from(value.clone()) {
            Ok(number) if value.is_integer() => View::Int(number),
            _ => View::Float(f64::try_from(value.clone()).unwrap_or(f64::NAN)),
        },
        _ => View::None,
    }
}

pub(super) fn thing(thing: Thing) -> Value {
    Value::from_object(thing)
}

pub(super) fn list(items: Vec<Value>) -> Value {
    thing(Thing::List(Mutex::new(items)))
}

pub(super) fn tuple(items: Vec<Value>) -> Value {
    thing(Thing::Tuple(items))
}

pub(super) fn dict(items: IndexMap<Key, Value>) -> Value {
    thing(Thing::Dict(Mutex::new(items)))
}

pub(super) fn sql(text: String) -> Value {
    thing(Thing::Sql { text })
}

pub(super) fn none() -> Value {
    Value::from(())
}

/// An integer; small ones stay small.
pub(super) fn int(number: i128) -> Value {
    i64::try_from(number).map_or_else(|_| Value::from(number), Value::from)
}

/// A value of a JSON document.
pub(super) fn from_json(json: &serde_json::Value) -> Value {
    match json {
        serde_json::Value::Null => none(),
        serde_json::Value::Bool(value) => Value::from(*value),
        serde_json::Value::Number(number) => number
            .as_i64()
            .map(Value::from)
            .or_else(|| number.as_u64().map(Value::from))
            .unwrap_or_else(|| Value::from(number.as_f64().unwrap_or(f64::NAN))),
        serde_json::Value::String(text) => Value::from(text.as_str()),
        serde_json::Value::Array(items) => list(items.iter().map(from_json).collect()),
        serde_json::Value::Object(items) => dict(
            items
                .iter()
                .map(|(key, value)| (Key::Str(key.clone()), from_json(value)))
                .collect(),
        ),
    }
}

/// The JSON of a value, for the body of `custom_error`.
pub(super) fn to_json(value: &Value) -> serde_json::Value {
    json_at(value, 0)
}

fn json_at(value: &Value, depth: usize) -> serde_json::Value {
    if depth > REPR_DEPTH {
        return serde_json::Value::Null;
    }
    let array = |items: &[Value]| items.iter().map(|item| json_at(item, depth + 1)).collect();
    match view(value) {
        View::None => serde_json::Value::Null,
        View::Bool(value) => value.into(),
        View::Int(number) => {
            i64::try_from(number).map_or_else(|_| number.to_string().into(), Into::into)
        }
        View::Float(number) => number.into(),
        View::Thing(Thing::List(items)) => array(&snapshot(items)),
        View::Thing(Thing::Tuple(items) | Thing::Set(items)) => array(items),
        View::Thing(Thing::Dict(items)) => serde_json::Value::Object(
            snapshot(items)
                .iter()
                .map(|(key, value)| (to_text(&key.value()), json_at(value, depth + 1)))
                .collect(),
        ),
        View::Str(_) | View::Thing(_) => to_text(value).into(),
    }
}

impl Key {
    pub(super) fn of(value: &Value) -> Outcome<Self> {
        Self::at(value, 0)
    }

    fn at(value: &Value, depth: usize) -> Outcome<Self> {
        if depth > REPR_DEPTH {
            return value_error("the key is nested too deeply");
        }
        Ok(match view(value) {
            View::None => Self::None,
            View::Bool(value) => Self::Int(i128::from(value)),
            View::Int(number) => Self::Int(number),
            #[expect(
                clippy::cast_possible_truncation,
                reason = "only whole numbers in range are converted"
            )]
            View::Float(number) if number.fract() == 0.0 && number.abs() < 1e18 => {
                Self::Int(number as i128)
            }
            View::Float(number) => Self::Float(number.to_bits()),
            View::Str(text) => Self::Str(text.to_owned()),
            View::Thing(Thing::Tuple(items)) => Self::Tuple(
                items
                    .iter()
                    .map(|item| Self::at(item, depth + 1))
                    .collect::<Outcome<_>>()?,
            ),
            View::Thing(Thing::Sql { text }) => Self::Str(text.clone()),
            View::Thing(Thing::Typed { number, .. }) => Self::at(number, depth + 1)?,
            View::Thing(other) => {
                return Err(TemplateError::new(
                    ErrorKind::NotAFunction,
                    format!(
                        "a {} cannot be an element of a set or a key",
                        other.type_name()
                    ),
                ));
            }
        })
    }

    pub(super) fn value(&self) -> Value {
        match self {
            Self::None => none(),
            Self::Int(number) => int(*number),
            Self::Float(bits) => Value::from(f64::from_bits(*bits)),
            Self::Str(text) => Value::from(text.as_str()),
            Self::Tuple(items) => tuple(items.iter().map(Self::value).collect()),
        }
    }
}

impl Thing {
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Self::Variable(_) => "variable",
            Self::Placeholder => "Placeholder",
            Self::List(_) => "list",
            Self::Dict(_) => "dict",
            Self::Tuple(_) => "tuple",
            Self::Set(_) => "set",
            Self::Sql { .. } | Self::Unescaped { .. } => "Expression",
            Self::Symbol { .. } => "Symbol",
            Self::Typed { number, .. } if number.is_integer() => "Integer",
            Self::Typed { .. } => "Float",
            Self::Big(_) => "int",
            Self::Function(_) | Self::Lambda => "function",
        }
    }
}

/// The name of a value's type in messages.
pub(super) fn type_name(value: &Value) -> &'static str {
    match view(value) {
        View::None => "NoneType",
        View::Bool(_) => "bool",
        View::Int(_) => "int",
        View::Float(_) => "float",
        View::Str(_) => "str",
        View::Thing(thing) => thing.type_name(),
    }
}

/// The text of a string or of SQL that acts like one.
pub(super) fn as_text(value: &Value) -> Option<Cow<'_, str>> {
    match view(value) {
        View::Str(text) => Some(Cow::Borrowed(text)),
        View::Thing(Thing::Sql { text }) => Some(Cow::Borrowed(text)),
        View::Thing(Thing::Unescaped { value, what }) => {
            Some(Cow::Owned(super::quote::unescaped(value, what, true)))
        }
        _ => None,
    }
}

/// The plain number behind a typed one.
pub(super) fn plain(value: &Value) -> Value {
    match view(value) {
        View::Thing(Thing::Typed { number, .. }) => number.clone(),
        _ => value.clone(),
    }
}

/// What `str(value)` gives.
pub(super) fn to_text(value: &Value) -> String {
    match view(value) {
        View::Str(text) => text.to_owned(),
        View::Thing(Thing::Sql { text } | Thing::Symbol { sql: text }) => text.clone(),
        View::Thing(Thing::Unescaped { value, what }) => super::quote::unescaped(value, what, true),
        View::Thing(Thing::Typed { cast, text, .. }) if !cast.is_empty() => {
            format!("{cast}('{text}')")
        }
        View::Thing(Thing::Placeholder) => NO_VALUE.to_owned(),
        _ => repr(value),
    }
}

/// What `repr(value)` gives.
pub(super) fn repr(value: &Value) -> String {
    let mut out = String::new();
    write_repr(&mut out, value, 0);
    out
}

/// Lists can hold each other and, by `append`, themselves: printing stops at this depth.
const REPR_DEPTH: usize = 20;

fn write_repr(out: &mut String, value: &Value, depth: usize) {
    if depth > REPR_DEPTH {
        out.push_str("...");
        return;
    }
    let write_items = |out: &mut String, items: &[Value]| {
        for (at, item) in items.iter().enumerate() {
            if at > 0 {
                out.push_str(", ");
            }
            write_repr(out, item, depth + 1);
        }
    };
    match view(value) {
        View::None => out.push_str("None"),
        View::Bool(true) => out.push_str("True"),
        View::Bool(false) => out.push_str("False"),
        View::Int(number) => out.push_str(&number.to_string()),
        View::Float(number) => out.push_str(&float_text(number)),
        View::Str(text) => out.push_str(&python_quoted(text)),
        View::Thing(thing) => match thing {
            Thing::List(items) => {
                out.push('[');
                write_items(out, &snapshot(items));
                out.push(']');
            }
            Thing::Tuple(items) => {
                out.push('(');
                write_items(out, items);
                out.push_str(if items.len() == 1 { ",)" } else { ")" });
            }
            Thing::Set(items) if items.is_empty() => out.push_str("set()"),
            Thing::Set(items) => {
                out.push('{');
                write_items(out, items);
                out.push('}');
            }
            Thing::Dict(items) => {
                out.push('{');
                for (at, (key, value)) in snapshot(items).iter().enumerate() {
                    if at > 0 {
                        out.push_str(", ");
                    }
                    write_repr(out, &key.value(), depth + 1);
                    out.push_str(": ");
                    write_repr(out, value, depth + 1);
                }
                out.push('}');
            }
            Thing::Typed { number, .. } => write_repr(out, number, depth),
            Thing::Big(digits) => out.push_str(digits),
            Thing::Placeholder => out.push_str(NO_VALUE),
            Thing::Sql { text } => out.push_str(&python_quoted(text)),
            Thing::Unescaped { value, what } => {
                out.push_str(&python_quoted(&super::quote::unescaped(value, what, true)));
            }
            Thing::Symbol { sql } => out.push_str(sql),
            Thing::Variable(variable) => out.push_str(&variable.name),
            Thing::Function(function) => {
                out.push_str("<function ");
                out.push_str(function.name());
                out.push('>');
            }
            Thing::Lambda => out.push_str("<function <lambda>>"),
        },
    }
}

fn python_quoted(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') {
        '"'
    } else {
        '\''
    };
    let mut out = String::with_capacity(text.len() + 2);
    out.push(quote);
    for character in text.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            character if character == quote => {
                out.push('\\');
                out.push(character);
            }
            character if (character as u32) < 0x20 || character as u32 == 0x7f => {
                let code = character as u32;
                out.push_str("\\x");
                out.extend(
                    [code >> 4, code & 15].map(|digit| char::from_digit(digit, 16).unwrap_or('0')),
                );
            }
            character => out.push(character),
        }
    }
    out.push(quote);
    out
}

/// The shortest text that reads back as the same float: `1.0`, `1e-07`, `1e+22`, `inf`.
pub(super) fn float_text(number: f64) -> String {
    if number.is_nan() {
        return "nan".into();
    }
    if number.is_infinite() {
        return if number > 0.0 { "inf" } else { "-inf" }.into();
    }
    let text = format!("{number:e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..16).contains(&exponent) {
        let plain = format!("{number}");
        return if plain.contains('.') {
            plain
        } else {
            plain + ".0"
        };
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}

/// The elements of an iterable.
pub(super) fn elements(value: &Value) -> Outcome<Vec<Value>> {
    let characters = |text: &str| {
        text.chars()
            .map(|character| Value::from(character.to_string()))
            .collect()
    };
    Ok(match view(value) {
        View::Str(text) => characters(text),
        View::Thing(Thing::List(items)) => snapshot(items),
        View::Thing(Thing::Tuple(items) | Thing::Set(items)) => items.clone(),
        View::Thing(Thing::Dict(items)) => locked(items).keys().map(Key::value).collect(),
        View::Thing(Thing::Sql { .. } | Thing::Unescaped { .. }) => {
            characters(&as_text(value).unwrap_or_default())
        }
        View::Thing(Thing::Placeholder) => vec![value.clone(); 3],
        _ => {
            return value_error(format!("'{}' object is not iterable", type_name(value)));
        }
    })
}

/// The number of elements.
pub(super) fn length(value: &Value) -> Outcome<usize> {
    Ok(match view(value) {
        View::Str(text) => text.chars().count(),
        View::Thing(Thing::List(items)) => locked(items).len(),
        View::Thing(Thing::Dict(items)) => locked(items).len(),
        View::Thing(Thing::Tuple(items) | Thing::Set(items)) => items.len(),
        View::Thing(Thing::Sql { .. } | Thing::Unescaped { .. }) => {
            as_text(value).unwrap_or_default().chars().count()
        }
        _ => {
            return value_error(format!(
                "object of type '{}' has no len()",
                type_name(value)
            ));
        }
    })
}

/// Whether two values are equal; values of different types are not.
pub(super) fn equal(left: &Value, right: &Value) -> bool {
    equal_at(left, right, 0)
}

fn equal_at(left: &Value, right: &Value, depth: usize) -> bool {
    if depth > REPR_DEPTH {
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
            left.len() == right.len()
                && left
                    .iter()
                    .all(|one| right.iter().any(|other| equal_at(one, other, depth + 1)))
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
pub(super) fn ordering(left: &Value, right: &Value) -> Option<std::cmp::Ordering> {
    ordering_at(left, right, 0)
}

fn ordering_at(left: &Value, right: &Value, depth: usize) -> Option<std::cmp::Ordering> {
    if depth > REPR_DEPTH {
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
pub(super) enum Number {
    Int(i128),
    Float(f64),
}

impl Number {
    #[expect(
        clippy::cast_precision_loss,
        reason = "the language converts integers to floats where they mix"
    )]
    pub(super) fn float(self) -> f64 {
        match self {
            Self::Int(value) => value as f64,
            Self::Float(value) => value,
        }
    }
}

/// A number, with booleans as 0 and 1.
pub(super) fn as_number(value: &Value) -> Outcome<Option<Number>> {
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
pub(super) fn compare_digits(left: &str, right: &str) -> std::cmp::Ordering {
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
pub(super) fn contains(haystack: &Value, needle: &Value) -> Outcome<bool> {
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
    if !matches!(
        view(haystack),
        View::Thing(Thing::List(_) | Thing::Tuple(_) | Thing::Set(_) | Thing::Placeholder)
    ) {
        return value_error(format!(
            "argument of type '{}' is not iterable",
            type_name(haystack)
        ));
    }
    Ok(elements(haystack)?.iter().any(|item| equal(item, needle)))
}

/// An index into a sequence of `length` elements; negative ones count from the end.
pub(super) fn position(index: &Value, length: usize) -> Outcome<Option<usize>> {
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
