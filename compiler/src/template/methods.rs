//! The methods of strings, lists and dictionaries.

use minijinja::Value;

use super::error::{ErrorKind, Outcome, TemplateError, value_error};
use super::functions::Arguments;
use super::operators::ordered;
use super::render::Render;
use super::value::{
    Key, Thing, View, as_text, elements, equal, int, list, locked, none, position, snapshot, thing,
    to_text, tuple, type_name, view,
};

/// `value.name(arguments)`.
pub(super) fn call(
    render: &mut Render,
    value: &Value,
    name: &str,
    arguments: &Arguments<'_>,
) -> Outcome<Value> {
    charge(render, value, name, arguments)?;
    let found = match view(value) {
        View::Thing(Thing::List(_)) => of_list(render, value, name, arguments)?,
        View::Thing(Thing::Dict(_)) => of_dict(render, value, name, arguments)?,
        View::Thing(Thing::Tuple(items)) => of_sequence(items, name, arguments)?,
        View::Thing(Thing::Placeholder) => of_placeholder(value, name),
        _ => match as_text(value) {
            Some(text) => of_text(render, &text, name, arguments)?,
            None => None,
        },
    };
    found.ok_or_else(|| {
        TemplateError::new(
            ErrorKind::Attribute,
            format!("'{}' object has no attribute '{name}'", type_name(value)),
        )
    })
}

/// Uses steps for what the method walks through.
fn charge(
    render: &mut Render,
    value: &Value,
    name: &str,
    arguments: &Arguments<'_>,
) -> Outcome<()> {
    let is_dict = matches!(view(value), View::Thing(Thing::Dict(_)));
    let at_one_place = match name {
        "append" | "clear" => true,
        "pop" => !is_dict && arguments.positional.is_empty(),
        "get" | "setdefault" => is_dict,
        _ => false,
    };
    if !at_one_place {
        render.walk(value)?;
    }
    // What is put into a collection is not looked at; a key is.
    let looked_at = match name {
        "append" => 0,
        "insert" | "get" | "setdefault" => 1,
        _ => arguments.positional.len(),
    };
    for argument in arguments.positional.iter().take(looked_at) {
        render.walk(argument)?;
    }
    for (_, argument) in arguments.keywords {
        render.walk(argument)?;
    }
    Ok(())
}

fn of_placeholder(value: &Value, name: &str) -> Option<Value> {
    match name {
        "split" => Some(list(vec![value.clone(); 2])),
        "startswith" | "endswith" => Some(Value::from(false)),
        _ => None,
    }
}

fn text_argument(arguments: &Arguments<'_>, at: usize, name: &str) -> Outcome<Option<String>> {
    match arguments.get(at, name) {
        None => Ok(None),
        Some(value) => match (as_text(value), view(value)) {
            (Some(text), _) => Ok(Some(text.into_owned())),
            (None, View::None) => Ok(None),
            _ => value_error(format!("expected a string, not {}", type_name(value))),
        },
    }
}

fn needed(value: Option<String>, method: &str) -> Outcome<String> {
    value.ok_or_else(|| absent(method))
}

fn of_text(
    render: &mut Render,
    text: &str,
    name: &str,
    arguments: &Arguments<'_>,
) -> Outcome<Option<Value>> {
    let first = || text_argument(arguments, 0, "");
    render.charge(text.len())?;
    Ok(Some(match name {
        "split" | "rsplit" => split(text, name == "rsplit", arguments)?,
        "splitlines" => list(text.lines().map(Value::from).collect()),
        "join" => join(render, text, arguments)?,
        "replace" => replace(render, text, arguments)?,
        "startswith" | "endswith" => affix(text, name == "startswith", arguments)?,
        "strip" | "lstrip" | "rstrip" => {
            let characters = first()?;
            let each = characters.as_ref().map_or(1, String::len);
            render.charge(text.len().saturating_mul(each) / 8)?;
            let drop = |character: char| match &characters {
                Some(characters) => characters.contains(character),
                None => character.is_whitespace(),
            };
            Value::from(match name {
                "strip" => text.trim_matches(drop),
                "lstrip" => text.trim_start_matches(drop),
                _ => text.trim_end_matches(drop),
            })
        }
        "lower" | "casefold" => Value::from(text.to_lowercase()),
        "upper" => Value::from(text.to_uppercase()),
        "capitalize" => Value::from(capitalized(text)),
        "title" => Value::from(titled(text)),
        "removeprefix" => {
            let prefix = needed(first()?, name)?;
            Value::from(text.strip_prefix(prefix.as_str()).unwrap_or(text))
        }
        "removesuffix" => {
            let suffix = needed(first()?, name)?;
            Value::from(text.strip_suffix(suffix.as_str()).unwrap_or(text))
        }
        "find" | "rfind" | "index" | "count" => search(text, name, &needed(first()?, name)?)?,
        "isdigit" | "isdecimal" | "isnumeric" => {
            Value::from(!text.is_empty() && text.chars().all(char::is_numeric))
        }
        "isalpha" => Value::from(!text.is_empty() && text.chars().all(char::is_alphabetic)),
        "isalnum" => Value::from(!text.is_empty() && text.chars().all(char::is_alphanumeric)),
        "isspace" => Value::from(!text.is_empty() && text.chars().all(char::is_whitespace)),
        "islower" => Value::from(
            text.chars().any(char::is_lowercase) && !text.chars().any(char::is_uppercase),
        ),
        "isupper" => Value::from(
            text.chars().any(char::is_uppercase) && !text.chars().any(char::is_lowercase),
        ),
        "zfill" | "ljust" | "rjust" | "center" => pad(render, text, name, arguments)?,
        "partition" | "rpartition" => {
            let separator = needed(first()?, name)?;
            let parts = if name == "partition" {
                text.split_once(&separator)
            } else {
                text.rsplit_once(&separator)
            };
            let (before, middle, after) = match parts {
                Some((before, after)) => (before, separator.as_str(), after),
                None if name == "partition" => (text, "", ""),
                None => ("", "", text),
            };
            tuple(vec![before.into(), middle.into(), after.into()])
        }
        _ => return Ok(None),
    }))
}

fn split(text: &str, from_right: bool, arguments: &Arguments<'_>) -> Outcome<Value> {
    let separator = text_argument(arguments, 0, "sep")?;
    let limit = match arguments.get(1, "maxsplit").map(view) {
        Some(View::Int(limit)) => usize::try_from(limit).ok(),
        _ => None,
    };
    let mut parts: Vec<&str> = match (&separator, limit) {
        (Some(separator), _) if separator.is_empty() => return value_error("empty separator"),
        (Some(separator), None) => text.split(separator.as_str()).collect(),
        (Some(separator), Some(limit)) if from_right => {
            text.rsplitn(limit + 1, separator.as_str()).collect()
        }
        (Some(separator), Some(limit)) => text.splitn(limit + 1, separator.as_str()).collect(),
        (None, None) => text.split_whitespace().collect(),
        (None, Some(limit)) => {
            let mut parts = Vec::new();
            let mut rest = text.trim_start();
            while parts.len() < limit && !rest.is_empty() {
                let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
                parts.push(&rest[..end]);
                rest = rest[end..].trim_start();
            }
            if !rest.is_empty() {
                parts.push(rest);
            }
            return Ok(list(parts.into_iter().map(Value::from).collect()));
        }
    };
    if from_right && limit.is_some() {
        parts.reverse();
    }
    Ok(list(parts.into_iter().map(Value::from).collect()))
}

fn join(render: &mut Render, separator: &str, arguments: &Arguments<'_>) -> Outcome<Value> {
    let Some(items) = arguments.get(0, "") else {
        return Err(absent("join"));
    };
    let mut out = String::new();
    for (at, item) in elements(items)?.iter().enumerate() {
        let Some(text) = as_text(item) else {
            return value_error(format!(
                "sequence item {at}: expected str instance, {} found",
                type_name(item)
            ));
        };
        if at > 0 {
            out.push_str(separator);
        }
        render.charge(separator.len() + text.len())?;
        out.push_str(&text);
    }
    Ok(Value::from(out))
}

fn replace(render: &mut Render, text: &str, arguments: &Arguments<'_>) -> Outcome<Value> {
    let from = needed(text_argument(arguments, 0, "old")?, "replace")?;
    let to = needed(text_argument(arguments, 1, "new")?, "replace")?;
    let count = match arguments.get(2, "count").map(view) {
        Some(View::Int(count)) if count >= 0 => usize::try_from(count).unwrap_or(usize::MAX),
        _ => usize::MAX,
    };
    render.charge(
        text.matches(from.as_str())
            .take(count)
            .count()
            .saturating_mul(to.len()),
    )?;
    Ok(Value::from(if count == usize::MAX {
        text.replace(&from, &to)
    } else {
        text.replacen(&from, &to, count)
    }))
}

fn affix(text: &str, start: bool, arguments: &Arguments<'_>) -> Outcome<Value> {
    let Some(wanted) = arguments.get(0, "") else {
        return Err(TemplateError::new(
            ErrorKind::MissingArgument,
            "an argument is missing",
        ));
    };
    let candidates = match view(wanted) {
        View::Thing(Thing::Tuple(items)) => items.clone(),
        _ => vec![wanted.clone()],
    };
    for candidate in &candidates {
        let Some(candidate) = as_text(candidate) else {
            return value_error(format!(
                "a string is expected, not {}",
                type_name(candidate)
            ));
        };
        if (start && text.starts_with(&*candidate)) || (!start && text.ends_with(&*candidate)) {
            return Ok(Value::from(true));
        }
    }
    Ok(Value::from(false))
}

fn capitalized(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| {
        first
            .to_uppercase()
            .chain(characters.flat_map(char::to_lowercase))
            .collect()
    })
}

fn titled(text: &str) -> String {
    let mut inside = false;
    let mut out = String::new();
    for character in text.chars() {
        if inside {
            out.extend(character.to_lowercase());
        } else {
            out.extend(character.to_uppercase());
        }
        inside = character.is_alphabetic();
    }
    out
}

fn search(text: &str, method: &str, wanted: &str) -> Outcome<Value> {
    if method == "count" {
        return Ok(Value::from(text.matches(wanted).count()));
    }
    let at = if method == "rfind" {
        text.rfind(wanted)
    } else {
        text.find(wanted)
    };
    match at {
        Some(at) => Ok(Value::from(text[..at].chars().count())),
        None if method == "index" => value_error("substring not found"),
        None => Ok(Value::from(-1)),
    }
}

fn pad(render: &mut Render, text: &str, method: &str, arguments: &Arguments<'_>) -> Outcome<Value> {
    let width = match arguments.get(0, "width").map(view) {
        Some(View::Int(width)) => usize::try_from(width.max(0)).unwrap_or(usize::MAX),
        _ => return value_error(format!("{method}() takes a width")),
    };
    let missing = width.saturating_sub(text.chars().count());
    render.charge(missing)?;
    let fill = text_argument(arguments, 1, "fillchar")?.unwrap_or_else(|| " ".into());
    Ok(Value::from(match method {
        "zfill" => {
            let (sign, digits) = text
                .strip_prefix(['-', '+'])
                .map_or(("", text), |digits| (&text[..1], digits));
            format!("{sign}{}{digits}", "0".repeat(missing))
        }
        "ljust" => format!("{text}{}", fill.repeat(missing)),
        "rjust" => format!("{}{text}", fill.repeat(missing)),
        _ => format!(
            "{}{text}{}",
            fill.repeat(missing / 2),
            fill.repeat(missing - missing / 2)
        ),
    }))
}

fn of_sequence(items: &[Value], name: &str, arguments: &Arguments<'_>) -> Outcome<Option<Value>> {
    let wanted = arguments.get(0, "").cloned().unwrap_or_else(none);
    Ok(match name {
        "index" => match items.iter().position(|item| equal(item, &wanted)) {
            Some(at) => Some(Value::from(at)),
            None => return value_error("the value is not in the list"),
        },
        "count" => Some(Value::from(
            items.iter().filter(|item| equal(item, &wanted)).count(),
        )),
        _ => None,
    })
}

/// A method that lacks an argument.
fn absent(method: &str) -> TemplateError {
    TemplateError::new(
        ErrorKind::MissingArgument,
        format!("{method}() is missing an argument"),
    )
}

fn of_list(
    render: &mut Render,
    value: &Value,
    name: &str,
    arguments: &Arguments<'_>,
) -> Outcome<Option<Value>> {
    let View::Thing(Thing::List(items)) = view(value) else {
        return Ok(None);
    };
    let first = arguments.get(0, "").cloned();
    let absent = || absent(name);
    match name {
        "append" => {
            render.charge(16)?;
            locked(items).push(first.ok_or_else(absent)?);
        }
        "extend" => {
            let more = elements(&first.ok_or_else(absent)?)?;
            render.charge(more.len() * 16)?;
            locked(items).extend(more);
        }
        "insert" => {
            render.charge(16)?;
            let item = arguments.get(1, "").cloned().ok_or_else(absent)?;
            let mut items = locked(items);
            let at = position(&first.ok_or_else(absent)?, items.len())?.unwrap_or(items.len());
            items.insert(at, item);
        }
        "pop" => {
            let mut items = locked(items);
            let at = match first {
                Some(index) => position(&index, items.len())?,
                None => items.len().checked_sub(1),
            };
            return match at {
                Some(at) => Ok(Some(items.remove(at))),
                None => Err(TemplateError::new(
                    ErrorKind::IndexOutOfRange,
                    "pop index out of range",
                )),
            };
        }
        "remove" => {
            let wanted = first.ok_or_else(absent)?;
            let at = snapshot(items).iter().position(|item| equal(item, &wanted));
            match at {
                Some(at) => drop(locked(items).remove(at)),
                None => return value_error("the value is not in the list"),
            }
        }
        "clear" => locked(items).clear(),
        "reverse" => locked(items).reverse(),
        "sort" => {
            let sorted = sorted(render, snapshot(items))?;
            *locked(items) = sorted;
        }
        "copy" => return Ok(Some(list(snapshot(items)))),
        _ => {
            let items = snapshot(items);
            return of_sequence(&items, name, arguments);
        }
    }
    Ok(Some(none()))
}

/// The values in order; an error if two of them have none.
pub(super) fn sorted(render: &mut Render, mut items: Vec<Value>) -> Outcome<Vec<Value>> {
    let rounds = items.len().checked_ilog2().unwrap_or(0) as usize;
    render.charge(items.len().saturating_mul(16 * rounds))?;
    let mut fault = None;
    items.sort_by(|left, right| match ordered(left, right, "<") {
        Ok(order) => order.unwrap_or(std::cmp::Ordering::Equal),
        Err(error) => {
            fault.get_or_insert(error);
            std::cmp::Ordering::Equal
        }
    });
    fault.map_or(Ok(items), Err)
}

fn of_dict(
    render: &mut Render,
    value: &Value,
    name: &str,
    arguments: &Arguments<'_>,
) -> Outcome<Option<Value>> {
    let View::Thing(Thing::Dict(items)) = view(value) else {
        return Ok(None);
    };
    let key = || match arguments.get(0, "key") {
        Some(key) => Key::of(key),
        None => Err(absent(name)),
    };
    let default = || arguments.get(1, "default").cloned().unwrap_or_else(none);
    Ok(Some(match name {
        "get" => locked(items).get(&key()?).cloned().unwrap_or_else(default),
        "keys" => list(locked(items).keys().map(Key::value).collect()),
        "values" => list(locked(items).values().cloned().collect()),
        "items" => list(
            locked(items)
                .iter()
                .map(|(key, value)| tuple(vec![key.value(), value.clone()]))
                .collect(),
        ),
        "copy" => super::value::dict(snapshot(items)),
        "pop" => {
            let key = key()?;
            match (
                locked(items).shift_remove(&key),
                arguments.get(1, "default"),
            ) {
                (Some(value), _) => value,
                (None, Some(default)) => default.clone(),
                (None, None) => {
                    return Err(TemplateError::new(
                        ErrorKind::MissingKey,
                        format!("there is no key '{}'", to_text(&key.value())),
                    ));
                }
            }
        }
        "setdefault" => {
            render.charge(16)?;
            let key = key()?;
            locked(items).entry(key).or_insert_with(default).clone()
        }
        "update" => {
            if let Some(View::Thing(Thing::Dict(more))) = arguments.get(0, "").map(view) {
                let more = snapshot(more);
                render.charge(more.len() * 16)?;
                locked(items).extend(more);
            }
            none()
        }
        "clear" => {
            locked(items).clear();
            none()
        }
        _ => return Ok(None),
    }))
}

/// `round` and its kin need a plain integer.
pub(super) fn whole(value: &Value) -> Outcome<Option<i128>> {
    match view(&super::value::plain(value)) {
        View::Int(number) => Ok(Some(number)),
        View::Bool(value) => Ok(Some(i128::from(value))),
        View::None => Ok(None),
        _ => value_error(format!(
            "'{}' object cannot be interpreted as an integer",
            type_name(value)
        )),
    }
}

/// A set without repeated values.
pub(super) fn set_of(render: &mut Render, items: Vec<Value>) -> Outcome<Value> {
    let mut seen = indexmap::IndexMap::new();
    for item in items {
        seen.entry(render.key(&item)?).or_insert(item);
    }
    Ok(thing(Thing::Set(seen)))
}

/// The integers of `range(start, stop, step)`, counted before they are made.
pub(super) fn range(render: &mut Render, start: i128, stop: i128, step: i128) -> Outcome<Value> {
    // Callers keep the three within 64 bits, so that nothing below overflows.
    if step == 0 {
        return value_error("range() arg 3 must not be zero");
    }
    let span = if step > 0 {
        stop.saturating_sub(start)
    } else {
        start.saturating_sub(stop)
    };
    let count = span.max(0).saturating_add(step.abs() - 1) / step.abs();
    render.charge(
        usize::try_from(count)
            .unwrap_or(usize::MAX)
            .saturating_mul(16),
    )?;
    Ok(list((0..count).map(|at| int(start + at * step)).collect()))
}
