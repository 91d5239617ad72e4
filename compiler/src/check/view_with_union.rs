//! `UNION` in a materialized view, of which only the first query runs.

use pipewright_grammar::diagnostic::{Diagnostic, Severity};

use super::trigger::beside;
use super::views::{View, place, views};
use super::{Check, Rule};
use crate::diagnostics::codes;
use crate::plan::{PipePlan, Plan};
use crate::sql::outline::outline;

pub(super) const RULE: Rule = Rule {
    code: codes::VIEW_WITH_UNION,
    severity: Severity::Warning,
    by_default: true,
    summary: "a materialized view with UNION, EXCEPT or INTERSECT",
    page: PAGE,
    check: Check::OfPipe(check),
};

const PAGE: &str = "\
# view-with-union

## What it does
Finds materialized nodes whose statement is several queries joined by `UNION`, `EXCEPT` or `INTERSECT`; also those that read such queries, in a subquery or a node, of which one
reads another data source than the first.

## Why is this bad
A materialized view runs for the rows of an insert into one table: the leftmost of its first query. With `UNION ALL`, the other queries never run, not
even where they read the same table; a view with `EXCEPT` or `INTERSECT` is refused by the engine. With `UNION ALL` in a subquery or a node, the others run each time, over all
rows of their tables: these are counted again with every insert into the first, and inserts into them do nothing.

## Example
    NODE both
    SQL >
        SELECT day, hits FROM web UNION ALL SELECT day, hits FROM app
    TYPE materialized
    DATASOURCE hits_by_day

## Use instead
One materialized node for each table, with the same target.
";

fn check(plan: &Plan, pipe: &PipePlan) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for view in views(plan, pipe) {
        found.extend(inside(plan, &view));
        let Some(operator) = outline(view.branch.rendered.sql.text()).set_operator else {
            continue;
        };
        let text = view.branch.rendered.sql.text()[operator.clone()].to_ascii_uppercase();
        let message = format!(
            "materialized node `{}` joins several queries with `{text}`",
            view.node.id.node
        );
        found.push(
            Diagnostic::new(RULE.severity, RULE.code, message)
                .label(view.place(plan, operator), "")
                .note("the engine runs the first query only, for inserts into its leftmost table")
                .help("make one materialized node for each query, with the same target"),
        );
    }
    found
}

/// The findings for queries that are joined below the outermost one, of which one reads another data source than the first.
fn inside(plan: &Plan, view: &View<'_>) -> Vec<Diagnostic> {
    let beside = beside(plan, view);
    let Some(trigger) = beside.trigger else {
        return Vec::new();
    };
    let united = beside.united.into_iter().map(|other| {
        let message = format!(
            "materialized node `{}` reads all of `{}` with every insert into `{trigger}`",
            view.node.id.node, other.name
        );
        Diagnostic::new(RULE.severity, RULE.code, message)
            .label(place(plan, other.node, other.branch, other.place), "")
            .note(format!(
                "the view runs for inserts into `{trigger}` alone, its leftmost table, and sees what is new of that alone"
            ))
            .help("make one materialized node for each data source, with the same target")
    });
    united.collect()
}
