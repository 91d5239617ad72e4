//! The operations of lowered templates: callable minijinja objects, one per place in the template, so that each knows its span.
//!
//! Control flow, loops and output order are minijinja's; what an operation does to values is Python's and lives in the modules that this one calls.

use std::sync::Arc;

use indexmap::IndexMap;
use minijinja::value::{Object, ObjectRepr};
use minijinja::{State, Value};
use pipewright_grammar::source::Span;
use pipewright_grammar::template::{Collector, Comparison, Operator, Unary};

use super::error::{ErrorKind, Outcome, Subject, TemplateError, value_error};
use super::functions::{Arguments, Function, any_class};
use super::print::{kind, print};
use super::render::{HANDOFF, Handoff, Render};
use super::value::{
    Thing, View, dict, elements, list, locked, none, repr, snapshot, thing, to_text, tuple,
    type_name, view,
};
use super::{methods, operators};
use crate::mapped_text::PieceKind;

/// One operation at one place.
#[derive(Debug)]
pub(super) struct Operation {
    pub(super) span: Span,
    pub(super) action: Action,
}

/// What an operation does. The comments say what is on the stack after it.
#[derive(Debug)]
pub(super) enum Action {
    /// Takes the state of the render out of its handoff.
    Begin,
    /// Prints a value at the place of a tag; the flag says that it stands in a `LIKE` pattern.
    Print(bool),
    /// The value behind a variable.
    Resolve,
    /// The truth of a condition when branches are explored.
    Forced(usize),
    /// A condition's value, whose truth is noted when requests are looked for.
    Recorded(usize),
    /// Binds a value.
    Store(Destination),
    /// `target[key] = value` from value, target, key.
    StoreItem,
    /// A list that minijinja can walk over.
    Iterate,
    Unary(Unary),
    Binary(Operator),
    Compare(Comparison),
    Index,
    Slice,
    Attribute(Box<str>),
    Call(Function, Shape),
    Method(Box<str>, Shape),
    /// Calls something that is not a function.
    CallValue(Box<str>),
    /// A display; the flags mark starred elements.
    Display(Collector, Box<[bool]>),
    Tuple(Box<[bool]>),
    /// Keys and values in turn; the flags mark `**` entries (whose key is `None`).
    Dict(Box<[bool]>),
    Format(Box<[Part]>),
    /// Adds an element to the collection in a slot.
    Append(usize, Collector),
    /// Opens a `try` block.
    Guard,
    /// Whether an error is on its way.
    Raised,
    /// Closes a `try` block.
    Release,
    /// Whether the error is of the class (an optional operand); binds and forgets it if so.
    Catch(Option<usize>),
    /// Passes on an error that no handler took.
    Rethrow,
}

/// Where a value goes.
#[derive(Debug)]
pub(super) enum Destination {
    Slot(usize),
    Tuple(Vec<Destination>),
}

/// How the operands of a call are passed: by position first, then by these names.
#[derive(Debug, Default)]
pub(super) struct Shape {
    pub(super) keywords: Box<[Box<str>]>,
    /// Marks `*value` among the positional operands.
    pub(super) stars: Box<[bool]>,
}

/// The keyword that marks `**value`.
pub(super) const DOUBLE_STAR: &str = "**";

/// A part of an f-string.
#[derive(Debug)]
pub(super) enum Part {
    Text(Box<str>),
    Value(Option<char>, Box<str>),
}

/// Text of the template between tags.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) text: Box<str>,
    pub(super) span: Span,
    /// Whether the text is the bytes of the span.
    pub(super) verbatim: bool,
}

impl Object for Chunk {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }
}

impl Chunk {
    pub(super) fn emit(&self, render: &mut Render) -> Outcome<()> {
        if render.raised.is_some() {
            return Ok(());
        }
        render.charge(self.text.len())?;
        let kind = if self.verbatim {
            PieceKind::Verbatim
        } else {
            PieceKind::Structural
        };
        render.push(&self.text, kind, self.span)
    }
}

impl Object for Operation {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn call(
        self: &Arc<Self>,
        state: &mut State<'_, '_>,
        operands: &[Value],
    ) -> Result<Value, minijinja::Error> {
        if let Action::Begin = self.action {
            let handoff = state.lookup(HANDOFF);
            let render = handoff
                .as_ref()
                .and_then(|value| value.downcast_object_ref::<Handoff>())
                .and_then(Handoff::take);
            if let Some(render) = render {
                state.get_or_insert_extension(render);
            }
            return Ok(none());
        }
        let Some(render) = state.get_extension_mut::<Render>() else {
            return Err(
                TemplateError::new(ErrorKind::ValueError, "the render has no state").into(),
            );
        };
        if render.raised.is_some() && !self.runs_while_raised() {
            return Ok(self.skipped());
        }
        match self.run(render, operands) {
            Ok(value) => Ok(value),
            Err(error) if render.guards > 0 && error.kind != ErrorKind::LimitExceeded => {
                render.raised = Some(error.at(self.span));
                Ok(self.skipped())
            }
            Err(error) => Err(error.at(self.span).into()),
        }
    }
}

impl Operation {
    fn runs_while_raised(&self) -> bool {
        matches!(
            self.action,
            Action::Guard | Action::Raised | Action::Release | Action::Catch(_) | Action::Rethrow
        )
    }

    fn skipped(&self) -> Value {
        match self.action {
            Action::Iterate => Value::from(Vec::<Value>::new()),
            _ => none(),
        }
    }

    fn run(&self, render: &mut Render, operands: &[Value]) -> Outcome<Value> {
        render.charge(0)?;
        match &self.action {
            Action::Call(function, shape) => {
                return Self::call_function(render, *function, shape, operands);
            }
            Action::Method(name, shape) => return Self::call_method(render, name, shape, operands),
            Action::Print(in_pattern) => return self.print(render, &operands[0], *in_pattern),
            _ => {}
        }
        let mut values = Vec::with_capacity(operands.len());
        for operand in operands {
            values.push(resolve(render, operand)?);
        }
        self.apply(render, &values, operands)
    }

    fn apply(&self, render: &mut Render, values: &[Value], operands: &[Value]) -> Outcome<Value> {
        Ok(match &self.action {
            Action::Begin | Action::Print(_) | Action::Call(..) | Action::Method(..) => none(),
            Action::Resolve => values[0].clone(),
            Action::Forced(at) => {
                Value::from(render.conditions.forced.get(*at).copied().unwrap_or(false))
            }
            Action::Recorded(at) => {
                if let Some(record) = &render.conditions.record {
                    record.note(*at, values[0].is_true());
                }
                values[0].clone()
            }
            Action::Store(destination) => {
                destination.store(render, values[0].clone())?;
                none()
            }
            Action::StoreItem => {
                operators::store_item(render, &values[1], &values[2], values[0].clone())?;
                none()
            }
            Action::Iterate => {
                let items =
                    elements(&values[0]).map_err(|error| error.about(subject(&operands[0])))?;
                render.charge(items.len() * 16)?;
                Value::from(items)
            }
            Action::Unary(operator) => operators::unary(*operator, &values[0])?,
            Action::Binary(operator) => {
                operators::binary(render, &values[0], *operator, &values[1])?
            }
            Action::Compare(comparison) => Value::from(
                operators::compare(render, &values[0], *comparison, &values[1])
                    .map_err(|error| error.about(subject(&operands[0])))?,
            ),
            Action::Index => operators::index(render, &values[0], &values[1])
                .map_err(|error| error.about(subject(&operands[0])))?,
            Action::Slice => {
                render.charge(16 * super::value::length(&values[0]).unwrap_or(0))?;
                operators::slice(&values[0], [&values[1], &values[2], &values[3]])?
            }
            Action::Attribute(name) => attribute(&values[0], name)?,
            Action::CallValue(name) => {
                let message = if name.is_empty() {
                    format!("'{}' object is not a function", type_name(&values[0]))
                } else {
                    format!("`{name}` is not a function")
                };
                return Err(TemplateError::new(ErrorKind::NotAFunction, message));
            }
            Action::Display(collector, stars) => {
                let items = spread(render, values, stars)?;
                match collector {
                    Collector::Set => methods::set_of(render, items)?,
                    _ => list(items),
                }
            }
            Action::Tuple(stars) => tuple(spread(render, values, stars)?),
            Action::Dict(stars) => dictionary(render, values, stars)?,
            Action::Format(parts) => format_parts(render, parts, values)?,
            Action::Append(slot, collector) => {
                append(render, *slot, *collector, values)?;
                none()
            }
            Action::Guard => {
                render.guards += 1;
                none()
            }
            Action::Raised => Value::from(render.raised.is_some()),
            Action::Release => {
                render.guards = render.guards.saturating_sub(1);
                none()
            }
            Action::Catch(slot) => Value::from(catch(render, values.first(), *slot)),
            Action::Rethrow => match render.raised.take() {
                Some(error) => return Err(error),
                None => none(),
            },
        })
    }

    fn print(&self, render: &mut Render, operand: &Value, in_pattern: bool) -> Outcome<Value> {
        let value = resolve(render, operand)?;
        render.walk(&value)?;
        let mut text = std::mem::take(&mut render.scratch);
        text.clear();
        let printed =
            print(&mut text, &value, in_pattern).map_err(|error| error.about(subject(operand)));
        let pushed = printed.and_then(|()| {
            render.charge(text.len())?;
            render.push(&text, kind(&value), self.span)
        });
        // A large value is not worth keeping the buffer for.
        if text.capacity() <= 4096 {
            render.scratch = text;
        }
        pushed.map(|()| none())
    }

    fn call_function(
        render: &mut Render,
        function: Function,
        shape: &Shape,
        operands: &[Value],
    ) -> Outcome<Value> {
        let subject = operands.first().and_then(subject);
        let name = function.name();
        with_arguments(render, shape, operands, |render, positional, keywords| {
            function.call(
                render,
                &Arguments {
                    function: name,
                    positional,
                    keywords,
                    subject,
                },
            )
        })
    }

    fn call_method(
        render: &mut Render,
        name: &str,
        shape: &Shape,
        operands: &[Value],
    ) -> Outcome<Value> {
        let (receiver, rest) = operands.split_first().ok_or_else(|| {
            TemplateError::new(ErrorKind::MissingArgument, "a method needs an object")
        })?;
        let about = subject(receiver);
        let receiver = resolve(render, receiver)?;
        with_arguments(render, shape, rest, |render, positional, keywords| {
            let arguments = Arguments {
                function: name,
                positional,
                keywords,
                subject: None,
            };
            methods::call(render, &receiver, name, &arguments)
        })
        .map_err(|error| error.about(about))
    }
}

/// The value behind an operand that may be a variable.
fn resolve(render: &Render, operand: &Value) -> Outcome<Value> {
    match operand.downcast_object_ref::<Thing>() {
        Some(Thing::Variable(variable)) => render.read(variable),
        _ => Ok(operand.clone()),
    }
}

/// What an operand is that is a variable.
fn subject(operand: &Value) -> Option<Subject<'_>> {
    match operand.downcast_object_ref::<Thing>() {
        Some(Thing::Variable(variable)) => Some(Subject {
            name: &variable.name,
            is_parameter: variable.is_parameter,
        }),
        _ => None,
    }
}

fn with_arguments(
    render: &mut Render,
    shape: &Shape,
    operands: &[Value],
    call: impl FnOnce(&mut Render, &[Value], &[(&str, Value)]) -> Outcome<Value>,
) -> Outcome<Value> {
    let count = operands.len() - shape.keywords.len();
    let mut positional = Vec::with_capacity(count);
    for (at, operand) in operands[..count].iter().enumerate() {
        let value = resolve(render, operand)?;
        if shape.stars.get(at) == Some(&true) {
            render.walk(&value)?;
            positional.extend(elements(&value)?);
        } else {
            positional.push(value);
        }
    }
    if shape.keywords.is_empty() {
        return call(render, &positional, &[]);
    }
    let mut keywords: Vec<(&str, Value)> = Vec::with_capacity(shape.keywords.len());
    let mut spread = Vec::new();
    for (name, operand) in shape.keywords.iter().zip(&operands[count..]) {
        let value = resolve(render, operand)?;
        if &**name == DOUBLE_STAR {
            let View::Thing(Thing::Dict(items)) = view(&value) else {
                return value_error("the value after ** is not a dictionary");
            };
            render.walk(&value)?;
            spread.extend(
                locked(items)
                    .iter()
                    .map(|(key, value)| (to_text(&key.value()), value.clone())),
            );
        } else {
            keywords.push((name, value));
        }
    }
    keywords.extend(
        spread
            .iter()
            .map(|(name, value)| (name.as_str(), value.clone())),
    );
    call(render, &positional, &keywords)
}

impl Destination {
    fn store(&self, render: &mut Render, value: Value) -> Outcome<()> {
        match self {
            Self::Slot(slot) => {
                if let Some(place) = render.slots.get_mut(*slot) {
                    *place = Some(value);
                }
                Ok(())
            }
            Self::Tuple(parts) => {
                render.walk(&value)?;
                let values = operators::unpack(&value, parts.len())?;
                for (part, value) in parts.iter().zip(values) {
                    part.store(render, value)?;
                }
                Ok(())
            }
        }
    }
}

fn attribute(value: &Value, name: &str) -> Outcome<Value> {
    // The only objects that are not of this language are the `loop` variables of minijinja.
    if value.as_object().is_some()
        && value.downcast_object_ref::<Thing>().is_none()
        && matches!(
            name,
            "first" | "last" | "index" | "index0" | "revindex" | "revindex0" | "length"
        )
        && let Ok(found) = value.get_attr(name)
        && !found.is_undefined()
    {
        return Ok(found);
    }
    Err(TemplateError::new(
        ErrorKind::Attribute,
        format!("'{}' object has no attribute '{name}'", type_name(value)),
    ))
}

fn spread(render: &mut Render, values: &[Value], stars: &[bool]) -> Outcome<Vec<Value>> {
    render.charge(values.len() * 16)?;
    if stars.is_empty() {
        return Ok(values.to_vec());
    }
    let mut items = Vec::new();
    for (value, star) in values.iter().zip(stars) {
        if *star {
            render.walk(value)?;
            items.extend(elements(value)?);
        } else {
            items.push(value.clone());
        }
    }
    render.charge(items.len() * 16)?;
    Ok(items)
}

fn dictionary(render: &mut Render, values: &[Value], stars: &[bool]) -> Outcome<Value> {
    let mut items = IndexMap::new();
    for (pair, star) in values.chunks_exact(2).zip(stars) {
        if *star {
            let View::Thing(Thing::Dict(others)) = view(&pair[1]) else {
                return value_error("the value after ** is not a dictionary");
            };
            render.walk(&pair[1])?;
            items.extend(snapshot(others));
        } else {
            items.insert(render.key(&pair[0])?, pair[1].clone());
        }
    }
    Ok(dict(items))
}

fn format_parts(render: &mut Render, parts: &[Part], values: &[Value]) -> Outcome<Value> {
    let mut out = String::new();
    let mut values = values.iter();
    for part in parts {
        match part {
            Part::Text(text) => out.push_str(text),
            Part::Value(conversion, specification) => {
                let value = values.next().cloned().unwrap_or_else(none);
                render.walk(&value)?;
                let converted = match conversion {
                    Some('r' | 'a') => Value::from(repr(&value)),
                    Some(_) => Value::from(to_text(&value)),
                    None => value,
                };
                out.push_str(&super::format::format(render, &converted, specification)?);
            }
        }
        render.charge(out.len())?;
    }
    Ok(Value::from(out))
}

fn append(render: &mut Render, slot: usize, collector: Collector, values: &[Value]) -> Outcome<()> {
    render.charge(16)?;
    let Some(Some(collection)) = render.slots.get(slot).cloned() else {
        return Ok(());
    };
    match (view(&collection), collector) {
        (View::Thing(Thing::Dict(items)), _) => {
            let key = render.key(&values[0])?;
            locked(items).insert(key, values[1].clone());
        }
        (View::Thing(Thing::List(items)), _) => locked(items).push(values[0].clone()),
        _ => {}
    }
    Ok(())
}

fn catch(render: &mut Render, class: Option<&Value>, slot: Option<usize>) -> bool {
    let Some(error) = &render.raised else {
        return false;
    };
    if let Some(class) = class
        && !is_of_class(error, class)
    {
        return false;
    }
    let message = error.message.clone();
    render.raised = None;
    if let Some(place) = slot.and_then(|slot| render.slots.get_mut(slot)) {
        *place = Some(Value::from(message));
    }
    true
}

fn is_of_class(error: &TemplateError, class: &Value) -> bool {
    any_class(class, |function| match function.name() {
        "KeyError" => error.kind == ErrorKind::MissingKey,
        "IndexError" => error.kind == ErrorKind::IndexOutOfRange,
        "TypeError" => error.kind == ErrorKind::TypeError,
        "AttributeError" => error.kind == ErrorKind::Attribute,
        "ZeroDivisionError" => error.message.contains("by zero"),
        "ValueError" => !matches!(
            error.kind,
            ErrorKind::MissingKey
                | ErrorKind::IndexOutOfRange
                | ErrorKind::TypeError
                | ErrorKind::Attribute
        ),
        "Exception" => true,
        _ => false,
    })
}

/// A function as a value.
pub(super) fn function_value(function: Function) -> Value {
    thing(Thing::Function(function))
}
