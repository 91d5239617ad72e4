//! Groups of a materialized node that are not the rows of its target.

use std::collections::BTreeSet;

use pipewright_grammar::diagnostic::{Diagnostic, Severity};

use super::views::{View, views};
use super::{Check, Rule};
use crate::diagnostics::codes;
use crate::plan::{PipePlan, Plan, TablePlan};
use crate::sql::clauses::clauses;
use crate::sql::outline::{OutputItem, key_elements, outline};
use crate::sql::unquote;
use crate::types;

pub(super) const RULE: Rule = Rule {
    code: codes::VIEW_GROUP_KEY,
    severity: Severity::Warning,
    by_default: true,
    summary: "GROUP BY of a materialized node that is not the sorting key of its target",
    page: PAGE,
    check: Check::OfPipe(check),
};

const PAGE: &str = "\
# view-group-key

## What it does
Compares the `GROUP BY` of a materialized node with the sorting key of its target, where the target merges rows of one key (`AggregatingMergeTree`,
`SummingMergeTree`). Only names of columns are compared: where either has expressions without a name, the rule is silent.

## Why is this bad
The target merges rows that are equal in its sorting key. A column of `GROUP BY` that is not in the key keeps an arbitrary value; a column of the key that is
not in `GROUP BY` splits every group by a value that says nothing of it.

## Example
    NODE per_day
    SQL >
        SELECT day, site, sumState(hits) AS hits FROM web GROUP BY day, site   -- the target is sorted by day
    TYPE materialized
    DATASOURCE days

## Use instead
`ENGINE_SORTING_KEY \"day, site\"` in the target, or `GROUP BY day`.
";

fn check(plan: &Plan, pipe: &PipePlan) -> Vec<Diagnostic> {
    views(plan, pipe)
        .filter_map(|view| of_view(plan, &view))
        .collect()
}

fn of_view(plan: &Plan, view: &View<'_>) -> Option<Diagnostic> {
    let target = view.target?;
    if !["AggregatingMergeTree", "SummingMergeTree"].contains(&target.engine.name) {
        return None;
    }
    let sql = view.branch.rendered.sql.text();
    let clauses = clauses(sql);
    if clauses.keys.is_empty() || clauses.united {
        return None;
    }
    let items = outline(sql).items;
    let keys = clauses.keys.iter();
    let grouped: BTreeSet<String> = keys
        .map(|key| output(sql, &sql[key.clone()], &items))
        .collect::<Option<_>>()?;
    let sorted = sorting_key(target)?;
    // A group that the target does not keep cannot be told apart there, but that may be meant; and what a state or an aggregate becomes is said by its type.
    let has = |name: &String| {
        let mut columns = target.columns.iter();
        let column = columns.find(|column| column.name == *name);
        let data_type = column.and_then(|column| types::parse(column.data_type.as_deref()?).ok());
        data_type.is_some_and(|data_type| {
            !data_type.is_aggregate_state() && !data_type.is_simple_aggregate()
        })
    };
    let lost: Vec<&String> = grouped
        .difference(&sorted)
        .filter(|name| has(name))
        .collect();
    let given = |name: &String| items.iter().any(|item| item.name.as_ref() == Some(name));
    let split: Vec<&String> = sorted
        .difference(&grouped)
        .filter(|name| given(name))
        .collect();
    let place = clauses.keys.first()?.start..clauses.keys.last()?.end;
    let (message, names, why) = if lost.is_empty() {
        (
            format!(
                "the rows of `{}` have more keys than their groups",
                target.name
            ),
            split,
            "in its sorting key and not in `GROUP BY`",
        )
    } else {
        (
            format!("`{}` merges rows of different groups", target.name),
            lost,
            "not in its sorting key",
        )
    };
    if names.is_empty() {
        return None;
    }
    let verb = if names.len() == 1 { "is" } else { "are" };
    let names: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    let note = format!("{} {verb} {why}", names.join(", "));
    Some(
        Diagnostic::new(RULE.severity, RULE.code, message)
            .label(view.place(plan, place), "")
            .note(note),
    )
}

/// The output column that an element of `GROUP BY` is.
fn output(sql: &str, key: &str, items: &[OutputItem]) -> Option<String> {
    if let Ok(place) = key.parse::<usize>() {
        return items.get(place.checked_sub(1)?)?.name.clone();
    }
    let name = unquote(key.rsplit('.').next().unwrap_or(key));
    if items.iter().any(|item| item.name.as_deref() == Some(&name)) {
        return Some(name);
    }
    // The expression of an element: `toDate(at) AS day … GROUP BY toDate(at)`.
    let text = |text: &str| text.split_whitespace().collect::<String>().to_lowercase();
    let item = items.iter().find(|item| {
        let written = text(&sql[item.span.clone()]);
        let rest = written.strip_prefix(&text(key));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with("as"))
    });
    item?.name.clone()
}

/// The columns of a sorting key; nothing if it has expressions.
fn sorting_key(target: &TablePlan) -> Option<BTreeSet<String>> {
    let elements = key_elements(target.engine.sorting_key.as_deref()?);
    let names = elements.into_iter().map(|element| {
        let name = unquote(element);
        let is_column = target.columns.iter().any(|column| column.name == name);
        is_column.then_some(name)
    });
    names.collect()
}
