//! The differences between the parameters of two versions of an endpoint.

use serde_json::Value;

use super::{Change, ChangeKind, Contract};
use crate::template::{Demand, Parameter};

pub(super) fn compare(
    endpoint: &str,
    before: &Contract,
    after: &Contract,
    changes: &mut Vec<Change>,
) {
    let (old, new) = (&before.parameters, &after.parameters);
    let added: Vec<&str> = new
        .iter()
        .map(|parameter| parameter.name.as_str())
        .filter(|name| old.iter().all(|parameter| parameter.name != *name))
        .collect();
    let more = demanded_only(after, before);
    let less = demanded_only(before, after);
    for parameter in old {
        let name = &parameter.name;
        match new.iter().find(|other| other.name == *name) {
            Some(now) => {
                let must = demanded(name, &more, &added);
                let must_not = demanded(name, &less, &[]);
                required(endpoint, name, must, must_not, changes);
                changed(endpoint, parameter, now, must || must_not, changes);
            }
            None => changes.push(Change::new(
                endpoint,
                ChangeKind::ParameterRemoved,
                true,
                format!("parameter `{name}` of `{endpoint}` has no effect any more"),
            )),
        }
    }
    for name in &added {
        let breaking = demanded(name, &more, &added);
        let how = if breaking { "must" } else { "may" };
        changes.push(Change::new(
            endpoint,
            ChangeKind::ParameterAdded,
            breaking,
            format!("`{endpoint}` has a new parameter `{name}`, which {how} be given"),
        ));
    }
}

/// The demands of one version that requests to the other one need not meet.
fn demanded_only<'a>(one: &'a Contract, other: &Contract) -> Vec<&'a Demand> {
    let is_new = |demand: &&Demand| !other.demands.iter().any(|known| known.covers(demand));
    one.demands.iter().filter(is_new).collect()
}

/// Whether a parameter is among those that are demanded of requests that give none of these.
fn demanded(name: &str, demands: &[&Demand], missing: &[&str]) -> bool {
    demands.iter().any(|demand| {
        let mut conditions = demand.unless_missing.iter();
        demand.any_of.contains(name)
            && !conditions.any(|condition| missing.contains(&condition.as_str()))
    })
}

fn required(endpoint: &str, name: &str, must: bool, must_not: bool, changes: &mut Vec<Change>) {
    let how = match (must, must_not) {
        (true, _) => "must be given now",
        (false, true) => "need not be given any more",
        (false, false) => return,
    };
    changes.push(Change::new(
        endpoint,
        ChangeKind::ParameterRequired,
        must,
        format!("parameter `{name}` of `{endpoint}` {how}"),
    ));
}

/// What differs in the parameter itself; whether it must be given has been told.
fn changed(endpoint: &str, was: &Parameter, is: &Parameter, told: bool, changes: &mut Vec<Change>) {
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
    match (&was.default, &is.default) {
        (Some(before), None) if !told => push(
            ChangeKind::ParameterDefault,
            true,
            format!("parameter `{name}` of `{endpoint}` has no default any more; it was {before}"),
        ),
        (None, Some(now)) if !told => push(
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
