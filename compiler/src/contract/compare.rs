//! The differences between the endpoints of two versions.

use std::collections::{BTreeMap, BTreeSet};

use super::{Change, ChangeKind, Contract, ContractColumn, parameters};
use crate::types::{self, Argument, DataType};

/// The differences, breaking ones first, then by endpoint.
pub fn compare(old: &BTreeMap<String, Contract>, new: &BTreeMap<String, Contract>) -> Vec<Change> {
    let mut changes = Vec::new();
    let mut added: BTreeSet<&str> = new
        .keys()
        .filter(|name| !old.contains_key(*name))
        .map(String::as_str)
        .collect();
    for (name, before) in old {
        let Some(after) = new.get(name) else {
            let renamed = added
                .iter()
                .copied()
                .find(|other| new.get(*other).is_some_and(|after| is_same(before, after)));
            let (kind, message) = if let Some(other) = renamed {
                added.remove(other);
                let message = format!("endpoint `{name}` is now called `{other}`");
                (ChangeKind::EndpointRenamed, message)
            } else {
                let message = format!("endpoint `{name}` is gone");
                (ChangeKind::EndpointRemoved, message)
            };
            changes.push(Change::new(name, kind, true, message));
            continue;
        };
        columns(name, before, after, &mut changes);
        parameters::compare(name, before, after, &mut changes);
    }
    for name in added {
        let message = format!("endpoint `{name}` is new");
        changes.push(Change::new(name, ChangeKind::EndpointAdded, false, message));
    }
    changes.sort_by(|a, b| {
        (!a.breaking, &a.endpoint, a.kind).cmp(&(!b.breaking, &b.endpoint, b.kind))
    });
    changes
}

/// Whether an endpoint can be another one under a new name: the same columns and parameters, and some of either.
fn is_same(before: &Contract, after: &Contract) -> bool {
    let mut changes = Vec::new();
    parameters::compare("", before, after, &mut changes);
    changes.is_empty()
        && !before.open
        && !after.open
        && !before.columns.is_empty()
        && before.columns == after.columns
}

fn columns(endpoint: &str, before: &Contract, after: &Contract, changes: &mut Vec<Change>) {
    let mut push = |kind, breaking, message| {
        changes.push(Change::new(endpoint, kind, breaking, message));
    };
    if (before.open || after.open) && before.definition != after.definition {
        let which = match (before.open, after.open) {
            (true, true) => "in both versions",
            (true, false) => "in the old version",
            _ => "in the new version",
        };
        push(
            ChangeKind::ColumnsUnknown,
            false,
            format!("not every column of `{endpoint}` is known {which}"),
        );
    }
    for column in &before.columns {
        let name = &column.name;
        let Some(now) = named(&after.columns, name) else {
            if !after.open {
                push(
                    ChangeKind::ColumnRemoved,
                    true,
                    format!("`{endpoint}` no longer gives column `{name}`"),
                );
            }
            continue;
        };
        if let (Some(was), Some(is)) = (&column.data_type, &now.data_type)
            && was != is
        {
            push(
                ChangeKind::ColumnRetyped,
                !is_compatible(was, is),
                format!("column `{name}` of `{endpoint}` is `{is}` and was `{was}`"),
            );
        }
    }
    for column in &after.columns {
        if !before.open && named(&before.columns, &column.name).is_none() {
            let name = &column.name;
            push(
                ChangeKind::ColumnAdded,
                false,
                format!("`{endpoint}` gives a new column `{name}`"),
            );
        }
    }
    let (was, is) = (
        shared(&before.columns, &after.columns),
        shared(&after.columns, &before.columns),
    );
    if was != is {
        push(
            ChangeKind::ColumnsReordered,
            false,
            format!(
                "the columns of `{endpoint}` come in another order: {}; formats without names, such as CSV, show it",
                is.join(", ")
            ),
        );
    }
}

fn named<'a>(columns: &'a [ContractColumn], name: &str) -> Option<&'a ContractColumn> {
    columns.iter().find(|column| column.name == name)
}

/// The names of columns that others have too, in order.
fn shared<'a>(columns: &'a [ContractColumn], others: &[ContractColumn]) -> Vec<&'a str> {
    let names = columns.iter().map(|column| column.name.as_str());
    names.filter(|name| named(others, name).is_some()).collect()
}

/// Whether every value of the new type can be read as one of the old type: the same, stored in another way, or no longer NULL.
fn is_compatible(was: &str, is: &str) -> bool {
    let (Ok(was), Ok(is)) = (types::parse(was), types::parse(is)) else {
        return false;
    };
    let (was, is) = (plain(&was), plain(&is));
    was == is || (was.family == "Nullable" && inner(&was) == Some(&is))
}

fn inner(data_type: &DataType) -> Option<&DataType> {
    match data_type.arguments.first() {
        Some(Argument::Type(inner)) => Some(inner),
        _ => None,
    }
}

/// A type without what only says how its values are stored.
fn plain(data_type: &DataType) -> DataType {
    if data_type.family == "LowCardinality"
        && let Some(inner) = inner(data_type)
    {
        return plain(inner);
    }
    let arguments = data_type.arguments.iter().map(|argument| match argument {
        Argument::Type(inner) => Argument::Type(plain(inner)),
        Argument::Named(name, inner) => Argument::Named(name.clone(), plain(inner)),
        other => other.clone(),
    });
    DataType {
        family: data_type.family.clone(),
        arguments: arguments.collect(),
    }
}
