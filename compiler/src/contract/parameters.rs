//! The differences between the parameters of two versions of an endpoint.

use serde_json::Value;

use super::{Change, ChangeKind};
use crate::template::Parameter;

pub(super) fn compare(
    endpoint: &str,
    before: &[Parameter],
    after: &[Parameter],
    changes: &mut Vec<Change>,
) {
    for parameter in before {
        let name = &parameter.name;
        match after.iter().find(|other| other.name == *name) {
            Some(now) => changed(endpoint, parameter, now, changes),
            None => changes.push(Change::new(
                endpoint,
                ChangeKind::ParameterRemoved,
                true,
                format!("parameter `{name}` of `{endpoint}` has no effect any more"),
            )),
        }
    }
    for parameter in after {
        let name = &parameter.name;
        if before.iter().any(|other| other.name == *name) {
            continue;
        }
        let (breaking, how) = if is_required(parameter) {
            (true, "must be given")
        } else {
            (false, "may be given")
        };
        changes.push(Change::new(
            endpoint,
            ChangeKind::ParameterAdded,
            breaking,
            format!("`{endpoint}` has a new parameter `{name}`, which {how}"),
        ));
    }
}

fn is_required(parameter: &Parameter) -> bool {
    parameter.required == Some(true) && parameter.default.is_none()
}

fn changed(endpoint: &str, was: &Parameter, is: &Parameter, changes: &mut Vec<Change>) {
    let name = &was.name;
    let mut push = |kind, breaking, message| {
        changes.push(Change::new(endpoint, kind, breaking, message));
    };
    if was.data_type != is.data_type {
        push(
            ChangeKind::ParameterRetyped,
            !takes_more(&was.data_type, &is.data_type),
            format!(
                "parameter `{name}` of `{endpoint}` is `{}` and was `{}`",
                is.data_type, was.data_type
            ),
        );
    }
    match (is_required(was), is_required(is)) {
        (false, true) => push(
            ChangeKind::ParameterRequired,
            true,
            format!("parameter `{name}` of `{endpoint}` must be given now"),
        ),
        (true, false) => push(
            ChangeKind::ParameterRequired,
            false,
            format!("parameter `{name}` of `{endpoint}` need not be given any more"),
        ),
        _ => {}
    }
    match (&was.default, &is.default) {
        (Some(before), None) if !is_required(is) => push(
            ChangeKind::ParameterDefault,
            true,
            format!("parameter `{name}` of `{endpoint}` has no default any more; it was {before}"),
        ),
        (None, Some(now)) if !is_required(was) => push(
            ChangeKind::ParameterDefault,
            false,
            format!("parameter `{name}` of `{endpoint}` has a default now: {now}"),
        ),
        (Some(before), Some(now)) if before != now => push(
            ChangeKind::ParameterDefault,
            false,
            format!("the default of parameter `{name}` of `{endpoint}` is {now} and was {before}"),
        ),
        _ => {}
    }
    if was.enumeration != is.enumeration {
        let fewer = !is.enumeration.is_empty()
            && (was.enumeration.is_empty()
                || was
                    .enumeration
                    .iter()
                    .any(|value| !is.enumeration.contains(value)));
        let shown = |values: &[Value]| match values {
            [] => "any value".to_owned(),
            values => {
                let texts: Vec<String> = values.iter().map(ToString::to_string).collect();
                texts.join(", ")
            }
        };
        push(
            ChangeKind::ParameterValues,
            fewer,
            format!(
                "parameter `{name}` of `{endpoint}` takes {}; it took {}",
                shown(&is.enumeration),
                shown(&was.enumeration)
            ),
        );
    }
}

/// Whether one type of parameter takes every value that another took.
fn takes_more(was: &str, is: &str) -> bool {
    let width = |name: &str, family: &str| -> Option<u16> {
        name.strip_prefix(family)?.parse::<u16>().ok()
    };
    let wider = |family: &str| match (width(was, family), width(is, family)) {
        (Some(was), Some(is)) => was <= is,
        _ => false,
    };
    let signed = match (width(was, "UInt"), width(is, "Int")) {
        (Some(was), Some(is)) => was < is,
        _ => false,
    };
    // A text takes anything that is no list.
    let is_list = was.starts_with("Array");
    (is == "String" && !is_list) || wider("Int") || wider("UInt") || wider("Float") || signed
}
