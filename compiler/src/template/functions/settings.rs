//! Functions that act beside the SQL: errors, query settings, secrets, and `defined`.

use minijinja::Value;

use super::Arguments;
use crate::template::error::{ErrorKind, Outcome, TemplateError};
use crate::template::operators::integer_of;
use crate::template::render::{Mode, Render};
use crate::template::value::{Thing, View, as_number, as_text, sql, to_json, to_text, view};

/// A comment in the SQL. Its text cannot end it: control characters are dropped and it is cut after 100 characters.
fn comment(text: &str) -> Value {
    let text: String = text
        .chars()
        .map(|character| {
            if character.is_control() {
                ' '
            } else {
                character
            }
        })
        .take(100)
        .collect();
    sql(format!("-- {text}\n"))
}

/// `defined(x)`: whether a value was given.
pub(super) fn defined(arguments: &Arguments<'_>) -> Value {
    Value::from(
        arguments.get(0, "x").is_some_and(|value| {
            !matches!(view(value), View::None | View::Thing(Thing::Placeholder))
        }),
    )
}

/// `error(message)`: in check mode a comment, because the branch that would stop a request is only looked at.
pub(super) fn error(render: &Render, arguments: &Arguments<'_>) -> Outcome<Value> {
    let message = to_text(arguments.required(0, "x")?);
    if render.mode == Mode::Check {
        return Ok(comment(&format!("error: {message}")));
    }
    let error = TemplateError::new(ErrorKind::ValueError, message);
    Err(TemplateError {
        is_authors: true,
        ..error
    })
}

/// `custom_error(message_or_object, status)`.
pub(super) fn custom_error(render: &Render, arguments: &Arguments<'_>) -> Outcome<Value> {
    let value = arguments.required(0, "message")?;
    if render.mode == Mode::Check {
        return Ok(comment(&format!("error: {}", to_text(value))));
    }
    let status = match arguments.get(1, "code").map(as_number) {
        Some(Ok(Some(code))) => u16::try_from(integer_of(code)?).unwrap_or(400),
        _ => 400,
    };
    let mut error = TemplateError::new(ErrorKind::CustomError, to_text(value));
    error.status = Some(if (400..600).contains(&status) {
        status
    } else {
        400
    });
    error.body = Some(Box::new(to_json(value)));
    Err(error)
}

/// `max_threads(n)`.
pub(super) fn max_threads(render: &mut Render, arguments: &Arguments<'_>) -> Outcome<Value> {
    let value = arguments.required(0, "threads")?;
    let number = match as_text(value) {
        Some(text) => text.trim().parse::<i64>().ok(),
        None => as_number(value)?
            .and_then(|number| integer_of(number).ok())
            .and_then(|number| i64::try_from(number).ok()),
    };
    Ok(match number {
        Some(number) => {
            render.settings.max_threads = Some(number);
            comment(&format!("max_threads {number}"))
        }
        None => comment("max_threads: wrong argument"),
    })
}

/// `cache_ttl('5s')`.
pub(super) fn cache_ttl(render: &mut Render, arguments: &Arguments<'_>) -> Outcome<Value> {
    let value = to_text(arguments.required(0, "ttl_expression")?);
    if !matches!(value.as_str(), "5s" | "1m" | "5m" | "30m" | "1h") {
        return Err(TemplateError::new(
            ErrorKind::BadCacheTtl,
            "cache_ttl() takes '5s', '1m', '5m', '30m' or '1h'",
        ));
    }
    let text = comment(&format!("cache_ttl {value}"));
    render.settings.cache_ttl = Some(value);
    Ok(text)
}

/// `backend_hint(hint)`; `None` takes it back.
pub(super) fn backend_hint(render: &mut Render, arguments: &Arguments<'_>) -> Outcome<Value> {
    let value = arguments.required(0, "hint")?;
    render.settings.backend_hint_given = true;
    render.settings.backend_hint = match view(value) {
        View::None | View::Bool(false) => None,
        _ => Some(to_text(value)),
    };
    Ok(comment(&format!("backend_hint {}", to_text(value))))
}

const ACTIVATED: &[&str] = &[
    "analyzer",
    "parallel_replicas",
    "optimize_aggregation_in_order",
];

/// `activate('parallel_replicas')`; adds up.
pub(super) fn activate(render: &mut Render, arguments: &Arguments<'_>) -> Outcome<Value> {
    let value = to_text(arguments.required(0, "feature")?);
    if !ACTIVATED.contains(&value.as_str()) {
        return Err(TemplateError::new(
            ErrorKind::BadActivate,
            format!("activate() takes {}", ACTIVATED.join(", ")),
        ));
    }
    let text = comment(&format!("activate {value}"));
    render.settings.activate.push(value);
    Ok(text)
}

/// `disable('analyzer')`; any part of the word is accepted, as the reference does.
pub(super) fn disable(render: &mut Render, arguments: &Arguments<'_>) -> Outcome<Value> {
    let value = to_text(arguments.required(0, "feature")?);
    if !"analyzer".contains(&value) {
        return Err(TemplateError::new(
            ErrorKind::BadDisable,
            "disable() takes 'analyzer'",
        ));
    }
    let text = comment(&format!("disable {value}"));
    render.settings.disable = Some(value);
    Ok(text)
}

/// `tb_secret(name, default)`: a bound parameter; the value never comes near the SQL.
pub(super) fn secret(render: &mut Render, arguments: &Arguments<'_>) -> Outcome<Value> {
    arguments.only(&["secret_name", "default"])?;
    let name = to_text(arguments.required(0, "secret_name")?);
    let is_name = !name.is_empty()
        && !name.starts_with(|character: char| character.is_ascii_digit())
        && name
            .chars()
            .all(|character| character == '_' || character.is_ascii_alphanumeric());
    let default = arguments
        .get(1, "default")
        .filter(|value| !matches!(view(value), View::None));
    let known = render.knows_secret(&name) || render.mode == Mode::Check && default.is_none();
    if is_name && known {
        let text = format!("{{{name}: String}}");
        if !render.secrets.contains(&name) {
            render.secrets.push(name);
        }
        return Ok(sql(text));
    }
    match default {
        Some(default) => Ok(default.clone()),
        None => Err(TemplateError::new(
            ErrorKind::SecretNotFound,
            format!("there is no secret '{}'", name.escape_debug()),
        )),
    }
}
