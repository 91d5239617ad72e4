//! The values of the language as minijinja values: numbers, strings and `None` are minijinja's own, everything else is a [`Thing`].

mod compare;
mod text;
mod weight;

use std::borrow::Cow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use indexmap::IndexMap;
use minijinja::Value;
use minijinja::value::{Object, ObjectRepr, ValueKind};
use pipewright_grammar::source::Span;

use super::error::{ErrorKind, Outcome, TemplateError, value_error};
use super::functions::Function;

pub(super) use compare::{Number, as_number, compare_digits, contains, equal, ordering, position};
pub(super) use text::{float_text, repr, to_text};
pub(super) use weight::weight;

/// The text that stands for a value in check mode.
pub(super) const NO_VALUE: &str = "__no_value__";

/// Lists can hold each other and, by `append`, themselves: printing and comparing stop at this depth.
const MAX_DEPTH: usize = 20;

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
    Set(IndexMap<Key, Value>),
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
    /// Whether a request brings its value.
    pub(super) is_parameter: bool,
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
            Self::Tuple(items) => !items.is_empty(),
            Self::Set(items) => !items.is_empty(),
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
            Self::Tuple(items) => into.append(items),
            Self::Set(items) => into.extend(items.drain(..).map(|(_, value)| value)),
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
    if depth > MAX_DEPTH {
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
        View::Thing(Thing::Tuple(items)) => array(items),
        View::Thing(Thing::Set(items)) => items
            .values()
            .map(|item| json_at(item, depth + 1))
            .collect(),
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
        if depth > MAX_DEPTH {
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
        View::Thing(Thing::Tuple(items)) => items.clone(),
        View::Thing(Thing::Set(items)) => items.values().cloned().collect(),
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
        View::Thing(Thing::Tuple(items)) => items.len(),
        View::Thing(Thing::Set(items)) => items.len(),
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
