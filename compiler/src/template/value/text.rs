//! Values as text: `str`, `repr` and the numbers in them, as templates see them.

use minijinja::Value;

use super::{MAX_DEPTH, NO_VALUE, Thing, View, snapshot, view};
use crate::template::quote;

/// What `str(value)` gives.
pub(in crate::template) fn to_text(value: &Value) -> String {
    match view(value) {
        View::Str(text) => text.to_owned(),
        View::Thing(Thing::Sql { text } | Thing::Symbol { sql: text }) => text.clone(),
        View::Thing(Thing::Unescaped { value, what }) => quote::unescaped(value, what, true),
        View::Thing(Thing::Typed { cast, text, .. }) if !cast.is_empty() => {
            format!("{cast}('{text}')")
        }
        View::Thing(Thing::Placeholder) => NO_VALUE.to_owned(),
        _ => repr(value),
    }
}

/// What `repr(value)` gives.
pub(in crate::template) fn repr(value: &Value) -> String {
    let mut out = String::new();
    write_repr(&mut out, value, 0);
    out
}

fn write_repr(out: &mut String, value: &Value, depth: usize) {
    if depth > MAX_DEPTH {
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
                write_items(out, &items.values().cloned().collect::<Vec<_>>());
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
                out.push_str(&python_quoted(&quote::unescaped(value, what, true)));
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
pub(in crate::template) fn float_text(number: f64) -> String {
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
