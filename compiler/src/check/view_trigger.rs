//! Tables of a materialized view whose inserts do not reach it.

use pipewright_grammar::diagnostic::{Diagnostic, Severity};

use super::views::{View, views};
use super::{Check, Rule};
use crate::diagnostics::codes;
use crate::graph::Target;
use crate::plan::{PipePlan, Plan};
use crate::sql::clauses::clauses;
use crate::sql::{Position, TableReference};

pub(super) const RULE: Rule = Rule {
    code: codes::VIEW_TRIGGER,
    severity: Severity::Note,
    by_default: true,
    summary: "a data source right of a JOIN in a materialized view, whose inserts do not reach the view",
    page: PAGE,
    check: Check::OfPipe(check),
};

const PAGE: &str = "\
# view-trigger

## What it does
Finds data sources of the project that a materialized node reads right of a `JOIN`.

## Why is this bad
A materialized view runs for inserts into one table: the leftmost of its `FROM`. Rows that arrive in the others later are not seen, neither by themselves
nor for rows that were joined before.

## Example
    NODE paid_orders
    SQL >
        SELECT o.id, p.amount FROM orders AS o JOIN payments AS p ON p.order_id = o.id
    TYPE materialized
    DATASOURCE paid

## Use instead
Put the table whose inserts are to fill the target first, and join only what is there before; or join when the target is read.
";

fn check(plan: &Plan, pipe: &PipePlan) -> Vec<Diagnostic> {
    views(plan, pipe)
        .flat_map(|view| of_view(plan, &view))
        .collect()
}

fn of_view(plan: &Plan, view: &View<'_>) -> Vec<Diagnostic> {
    let branch = view.branch;
    let clauses = clauses(branch.rendered.sql.text());
    let (Some(from), Some(join)) = (&clauses.from, clauses.joins.first()) else {
        return Vec::new();
    };
    // What a common table reads may be the leftmost table of all.
    if clauses.united || branch.scan.common_tables.iter().any(|table| table.is_table) {
        return Vec::new();
    }
    let mut tables = branch
        .scan
        .tables
        .iter()
        .filter(|table| table.position == Position::From && table.span.start > from.end);
    let Some(first) = tables.next().filter(|first| first.span.start < join.start) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for table in tables.filter(|table| table.span.start > join.end) {
        if !is_own_datasource(plan, view, table) || table.name == first.name {
            continue;
        }
        let message = format!(
            "inserts into `{}` do not reach the view of `{}`",
            table.name, view.node.id.node
        );
        found.push(
            Diagnostic::new(RULE.severity, RULE.code, message)
                .label(view.place(plan, table.span.clone()), "right of a `JOIN`")
                .note(format!(
                    "the view runs for inserts into what `{}` reads, the leftmost of its tables",
                    first.name
                )),
        );
    }
    found
}

fn is_own_datasource(plan: &Plan, view: &View<'_>, table: &TableReference) -> bool {
    let target = plan.target(&view.node.id, table);
    matches!(target, Some(Target::Datasource(_)))
}
