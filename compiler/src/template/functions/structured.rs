//! `JSON`, and the types beyond the reference that hold several values: `Tuple` and `Map`.

use minijinja::Value;

use super::scalar::Scalar;
use super::{Arguments, Function};
use crate::template::error::{ErrorKind, Outcome, TemplateError};
use crate::template::print::print;
use crate::template::render::Render;
use crate::template::value::{
    Key, Thing, View, as_text, elements, none, snapshot, sql, to_text, type_name, view,
};
use crate::template::wide;

/// `JSON(x, default)` → the value that the text describes.
pub(super) fn json(arguments: &Arguments<'_>) -> Outcome<Value> {
    arguments.only(&["x", "default"])?;
    let value = arguments.required(0, "x")?;
    let missing = Value::from("{}");
    let default = || {
        arguments
            .get(1, "default")
            .filter(|value| value.as_str().is_some())
    };
    let value = match view(value) {
        View::None => default().unwrap_or(&missing),
        View::Thing(Thing::Placeholder) => default().unwrap_or(value),
        _ => value,
    };
    if matches!(view(value), View::Thing(Thing::List(_) | Thing::Dict(_))) {
        return Ok(value.clone());
    }
    let text = to_text(value);
    wide::parsed(&text).ok_or_else(|| {
        TemplateError::new(
            ErrorKind::BadJson,
            format!(
                "'{}' is not JSON",
                text.chars().take(16).collect::<String>().escape_debug()
            ),
        )
    })
}

/// The value, its default, or `None` where neither is needed.
fn chosen<'a>(arguments: &Arguments<'a>, default_at: usize) -> Outcome<Option<&'a Value>> {
    let value = arguments.required(0, "x")?;
    let default = arguments
        .get(default_at, "default")
        .filter(|value| !matches!(view(value), View::None));
    match (view(value), default) {
        (View::None | View::Thing(Thing::Placeholder), Some(default)) => Ok(Some(default)),
        (View::Thing(Thing::Placeholder), None) => Ok(None),
        (View::None, None) => Err(TemplateError::new(
            ErrorKind::MissingRequired,
            format!("a value of type {} is required", arguments.function),
        )),
        _ => Ok(Some(value)),
    }
}

fn scalar(name: &str) -> Outcome<Scalar> {
    match Function::by_name(name.trim()) {
        Some(Function::Scalar(scalar))
            if !matches!(scalar, Scalar::Decimal(_) | Scalar::Enum(_)) =>
        {
            Ok(scalar)
        }
        _ => Err(TemplateError::new(
            ErrorKind::ValueError,
            format!("'{}' is not a type of single values", name.escape_debug()),
        )),
    }
}

fn checked(out: &mut String, scalar: Scalar, value: &Value) -> Outcome<()> {
    let read = scalar.read(value).ok_or_else(|| scalar.wrong(value))?;
    print(out, &read, false)
}

const NAMES: &[&str] = &[
    "x",
    "types",
    "default",
    "required",
    "description",
    "example",
    "format",
];

/// `Tuple(x, 'Int32,String', default)` → `(toInt32('1'),'a')`.
pub(super) fn tuple_of(render: &mut Render, arguments: &Arguments<'_>) -> Outcome<Value> {
    arguments.only(NAMES)?;
    let types = to_text(arguments.required(1, "types")?);
    let types = types.split(',').map(scalar).collect::<Outcome<Vec<_>>>()?;
    let Some(value) = chosen(arguments, 2)? else {
        let samples: Vec<&str> = types.iter().map(|_| "NULL").collect();
        return Ok(sql(format!("tuple({})", samples.join(","))));
    };
    let items: Vec<Value> = match as_text(value) {
        Some(text) => text.split(',').map(Value::from).collect(),
        None => elements(value)?,
    };
    if items.len() != types.len() {
        return Err(TemplateError::new(
            ErrorKind::WrongType,
            format!("{} values are expected, not {}", types.len(), items.len()),
        ));
    }
    let mut out = String::from("tuple(");
    for (at, (scalar, item)) in types.into_iter().zip(&items).enumerate() {
        if at > 0 {
            out.push(',');
        }
        checked(&mut out, scalar, item)?;
    }
    out.push(')');
    render.charge(out.len())?;
    Ok(sql(out))
}

/// `Map(x, 'String', 'Int32', default)` → `map('k',toInt32('1'))`; the value is a JSON object.
pub(super) fn map_of(render: &mut Render, arguments: &Arguments<'_>) -> Outcome<Value> {
    arguments.only(&[
        "x",
        "key",
        "value",
        "default",
        "required",
        "description",
        "example",
        "format",
    ])?;
    let kind = |at, name| -> Outcome<Scalar> {
        match arguments.get(at, name) {
            Some(value) => scalar(&to_text(value)),
            None => Ok(Scalar::String),
        }
    };
    let (key_type, value_type) = (kind(1, "key")?, kind(2, "value")?);
    let Some(value) = chosen(arguments, 3)? else {
        return Ok(sql("map()".into()));
    };
    let value = match as_text(value) {
        Some(text) => wide::parsed(&text).unwrap_or_else(none),
        None => value.clone(),
    };
    let View::Thing(Thing::Dict(items)) = view(&value) else {
        return Err(TemplateError::new(
            ErrorKind::WrongType,
            format!("a JSON object is expected, not {}", type_name(&value)),
        ));
    };
    let mut out = String::from("map(");
    for (at, (key, value)) in snapshot(items).iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        checked(&mut out, key_type, &Key::value(key))?;
        out.push(',');
        checked(&mut out, value_type, value)?;
        render.charge(16)?;
    }
    out.push(')');
    Ok(sql(out))
}
