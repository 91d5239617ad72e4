//! Functions that print names and conditions: `column`, `columns`, `symbol`, `table`, `sql_and`, `sql_unescape`.

use minijinja::Value;

use super::{Arguments, aggregates};
use crate::template::error::{ErrorKind, Outcome, TemplateError};
use crate::template::quote;
use crate::template::render::Render;
use crate::template::value::{Thing, View, as_text, sql, thing, to_text, type_name, view};

fn symbol_of(sql: String) -> Value {
    thing(Thing::Symbol { sql })
}

fn not_text(value: &Value) -> TemplateError {
    TemplateError::new(
        ErrorKind::Attribute,
        format!("a name is expected, not {}", type_name(value)),
    )
}

/// The text of an argument that must be a name; symbols are not names again.
fn name_text(value: &Value) -> Outcome<String> {
    as_text(value)
        .map(std::borrow::Cow::into_owned)
        .ok_or_else(|| not_text(value))
}

/// The value, or the default where the value is missing or not known yet.
fn or_default<'a>(arguments: &Arguments<'a>) -> Outcome<&'a Value> {
    let value = arguments.required(0, "x")?;
    match view(value) {
        View::None | View::Thing(Thing::Placeholder) => arguments
            .get(1, "default")
            .filter(|value| !matches!(view(value), View::None | View::Thing(Thing::Placeholder)))
            .ok_or_else(|| {
                TemplateError::new(
                    ErrorKind::MissingColumnDefault,
                    format!(
                        "{}() needs a default for when no value is given",
                        arguments.function
                    ),
                )
            }),
        _ => Ok(value),
    }
}

/// `column(x, default)` → `` `a`.`b` ``.
pub(super) fn column(arguments: &Arguments<'_>) -> Outcome<Value> {
    arguments.only(&["x", "default"])?;
    Ok(symbol_of(quote::column(&name_text(or_default(
        arguments,
    )?)?)))
}

/// `columns(x, default, fn)` → `` `a`,`b` `` or ``fn(`a`) as a``.
pub(super) fn columns(render: &mut Render, arguments: &Arguments<'_>) -> Outcome<Value> {
    arguments.only(&["x", "default", "fn"])?;
    let value = or_default(arguments)?;
    let Some(names) = as_text(value) else {
        return Err(TemplateError::new(
            ErrorKind::ColumnsNotString,
            format!(
                "columns() takes names separated by commas, not {}",
                type_name(value)
            ),
        ));
    };
    render.charge(names.len())?;
    let function = match arguments.get(2, "fn") {
        Some(function) if function.is_true() => {
            let function = to_text(function);
            if !aggregates::is_known(&function) {
                return Err(TemplateError::new(
                    ErrorKind::UnknownAggregate,
                    format!(
                        "'{}' is not a function that columns() knows",
                        function.escape_debug()
                    ),
                ));
            }
            Some(function)
        }
        _ => None,
    };
    let parts: Vec<String> = names
        .split(',')
        .map(|name| {
            let name = name.trim();
            let quoted = quote::column(name);
            match &function {
                Some(function) if is_dotted_name(name) => format!("{function}({quoted}) as {name}"),
                Some(function) => {
                    let mut alias = String::new();
                    quote::identifier(&mut alias, name, '`');
                    format!("{function}({quoted}) as {alias}")
                }
                None => quoted,
            }
        })
        .collect();
    Ok(sql(parts.join(",")))
}

/// `symbol(x, quote)` → the whole text as one quoted identifier.
pub(super) fn symbol(arguments: &Arguments<'_>) -> Outcome<Value> {
    arguments.only(&["x", "quote"])?;
    let value = arguments.required(0, "x")?;
    let mark = match arguments.get(1, "quote").map(to_text).as_deref() {
        None | Some("`") => '`',
        Some("\"") => '"',
        Some(other) if matches!(view(value), View::Str(_)) => {
            return Err(TemplateError::new(
                ErrorKind::ValueError,
                format!("'{}' is not a quote of identifiers", other.escape_debug()),
            ));
        }
        Some(_) => '`',
    };
    if matches!(view(value), View::Thing(Thing::Placeholder)) {
        return Ok(symbol_of("`placeholder`".into()));
    }
    let mut out = String::new();
    quote::identifier(&mut out, &name_text(value)?, mark);
    Ok(symbol_of(out))
}

/// Whether the text is `name` or `name.name`, which needs no quotes and can be nothing else.
fn is_dotted_name(text: &str) -> bool {
    text.split('.').all(|part| {
        !part.is_empty()
            && !part.starts_with(|character: char| character.is_ascii_digit())
            && part
                .chars()
                .all(|character| character == '_' || character.is_ascii_alphanumeric())
    })
}

/// `table(x)` → the name, which the project must have.
pub(super) fn table(render: &mut Render, arguments: &Arguments<'_>) -> Outcome<Value> {
    // The reference takes a second argument and ignores it.
    arguments.only(&["x", "quote"])?;
    let value = arguments.required(0, "x")?;
    if matches!(view(value), View::Thing(Thing::Placeholder)) {
        return Ok(symbol_of("placeholder".into()));
    }
    // Double quotes are dropped, as in every identifier.
    let name = name_text(value)?.replace('"', "");
    if !name.is_empty() && !is_dotted_name(&name) {
        return Err(TemplateError::new(
            ErrorKind::UnknownTable,
            format!(
                "'{}' is not the name of a data source or pipe",
                name.escape_debug()
            ),
        ));
    }
    render.tables.push(name.clone());
    Ok(symbol_of(name))
}

/// `sql_and(a=1, b__gt=2)` → `a = 1 and b > 2`; terms without value are left out.
pub(super) fn sql_and(render: &mut Render, arguments: &Arguments<'_>) -> Outcome<Value> {
    let mut out = String::new();
    for (keyword, value) in arguments.keywords {
        let (name, operator) = match keyword.rsplit_once("__") {
            None => (*keyword, "="),
            Some((name, operator)) => (
                name,
                match operator {
                    "in" => "in",
                    "not_in" => "not in",
                    "gt" => ">",
                    "lt" => "<",
                    "gte" => ">=",
                    "lte" => "<=",
                    _ => {
                        return Err(TemplateError::new(
                            ErrorKind::BadOperator,
                            format!(
                                "'{operator}' is not an operator of sql_and(): in, not_in, gt, lt, gte, lte"
                            ),
                        ));
                    }
                },
            ),
        };
        // `**values` brings names that a request chose.
        if !name.is_empty() && !is_dotted_name(name) {
            return Err(TemplateError::new(
                ErrorKind::BadOperator,
                format!("'{}' is not the name of a column", name.escape_debug()),
            ));
        }
        if matches!(view(value), View::None) {
            continue;
        }
        if !out.is_empty() {
            out.push_str(" and ");
        }
        out.push_str(name);
        out.push(' ');
        out.push_str(operator);
        out.push(' ');
        crate::template::print::print(&mut out, value, false)?;
        render.charge(out.len())?;
    }
    Ok(sql(out))
}

/// `sql_unescape(x, what)`.
pub(super) fn sql_unescape(arguments: &Arguments<'_>) -> Outcome<Value> {
    arguments.only(&["x", "what"])?;
    let value = arguments.required(0, "x")?;
    let what = arguments.get(1, "what").map(to_text).unwrap_or_default();
    Ok(thing(Thing::Unescaped {
        value: name_text(value)?,
        what,
    }))
}
