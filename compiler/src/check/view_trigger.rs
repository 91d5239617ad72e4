//! Tables of a materialized view whose inserts do not reach it.

use pipewright_grammar::diagnostic::{Diagnostic, Severity};

use super::trigger::beside;
use super::views::{View, place, views};
use super::{Check, Rule};
use crate::diagnostics::codes;
use crate::plan::{PipePlan, Plan};

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
Finds data sources of the project that a materialized node reads right of a `JOIN`, by themselves or through subqueries, common tables and nodes, in its own text and in
that of the nodes that it reads first.

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
    let beside = beside(plan, view);
    let joined = beside.joined.into_iter().map(|other| {
        let message = format!(
            "inserts into `{}` do not reach the view of `{}`",
            other.name, view.node.id.node
        );
        let place = place(plan, other.node, other.branch, other.place);
        let found =
            Diagnostic::new(RULE.severity, RULE.code, message).label(place, "right of a `JOIN`");
        match beside.trigger {
            Some(trigger) => found.note(format!(
                "the view runs for inserts into `{trigger}`, the leftmost of its tables"
            )),
            None => found.note("the view runs for inserts into the leftmost of its tables"),
        }
    });
    joined.collect()
}
