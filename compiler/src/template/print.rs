//! What `{{ expression }}` prints: always a ClickHouse literal, a quoted name, or SQL that a function of the language made.

use minijinja::Value;

use super::error::{ErrorKind, Outcome, TemplateError, type_error};
use super::quote;
use super::value::{NO_VALUE, Thing, View, float_text, snapshot, type_name, view};
use crate::mapped_text::PieceKind;

/// Appends the SQL of a value. In a `LIKE` pattern, percent signs of strings are ordinary characters.
pub(super) fn print(out: &mut String, value: &Value, in_pattern: bool) -> Outcome<()> {
    match view(value) {
        View::None => Err(TemplateError::new(
            ErrorKind::NullExpression,
            "the expression has no value",
        )),
        View::Str(text) => {
            quote::string(out, text, in_pattern);
            Ok(())
        }
        View::Thing(Thing::Unescaped { value, what }) => {
            out.push_str(&quote::unescaped(value, what, in_pattern));
            Ok(())
        }
        _ => literal(out, value, 0),
    }
}

/// Lists inside lists beyond this depth are refused.
const DEPTH: usize = 20;

fn literal(out: &mut String, value: &Value, depth: usize) -> Outcome<()> {
    if depth > DEPTH {
        return type_error("the value is nested too deeply to be printed");
    }
    let items = |out: &mut String, items: &[Value]| -> Outcome<()> {
        for (at, item) in items.iter().enumerate() {
            if at > 0 {
                out.push_str(", ");
            }
            literal(out, item, depth + 1)?;
        }
        Ok(())
    };
    match view(value) {
        View::None => out.push_str("NULL"),
        View::Bool(value) => out.push_str(if value { "true" } else { "false" }),
        View::Int(number) => out.push_str(&number.to_string()),
        View::Float(number) => out.push_str(&float_text(number)),
        View::Str(text) => quote::string(out, text, false),
        View::Thing(thing) => match thing {
            Thing::Placeholder => quote::string(out, NO_VALUE, false),
            Thing::Sql { text } | Thing::Symbol { sql: text } => out.push_str(text),
            Thing::Unescaped { value, what } => out.push_str(&quote::unescaped(value, what, false)),
            // Inside of a list the plain number is printed: the elements of an array share one type.
            Thing::Typed { number, .. } if depth > 0 => literal(out, number, depth + 1)?,
            Thing::Typed { cast, text, .. } => {
                out.push_str(cast);
                out.push_str("('");
                out.push_str(text);
                out.push_str("')");
            }
            Thing::Big(digits) => out.push_str(digits),
            Thing::List(list) => {
                out.push('[');
                items(out, &snapshot(list))?;
                out.push(']');
            }
            Thing::Tuple(list) => {
                out.push('(');
                items(out, list)?;
                out.push_str(if list.len() == 1 { ",)" } else { ")" });
            }
            Thing::Set(list) => {
                out.push('{');
                items(out, &list.values().cloned().collect::<Vec<_>>())?;
                out.push('}');
            }
            Thing::Dict(entries) => {
                out.push('{');
                for (at, (key, value)) in snapshot(entries).iter().enumerate() {
                    if at > 0 {
                        out.push_str(", ");
                    }
                    literal(out, &key.value(), depth + 1)?;
                    out.push_str(": ");
                    literal(out, value, depth + 1)?;
                }
                out.push('}');
            }
            Thing::Variable(_) | Thing::Function(_) | Thing::Lambda => {
                return type_error(format!("a {} cannot be printed", type_name(value)));
            }
        },
    }
    Ok(())
}

/// What may be assumed of the printed text: a literal keeps its shape for every other value of its type.
pub(super) fn kind(value: &Value) -> PieceKind {
    match view(value) {
        View::Str(_)
        | View::Thing(Thing::Placeholder | Thing::Unescaped { .. } | Thing::Typed { .. }) => {
            PieceKind::Literal
        }
        // A minus sign is a token of its own.
        View::Int(number) if number >= 0 => PieceKind::Literal,
        View::Float(number) if number.is_finite() && number.is_sign_positive() => {
            PieceKind::Literal
        }
        _ => PieceKind::Structural,
    }
}
