//! Random functions in materialized views.

use pipewright_grammar::diagnostic::{Diagnostic, Severity};

use super::views::views;
use super::{Check, Rule};
use crate::diagnostics::codes;
use crate::optimize::is_random;
use crate::plan::{PipePlan, Plan};

pub(super) const RULE: Rule = Rule {
    code: codes::NONDETERMINISTIC_VIEW,
    severity: Severity::Warning,
    by_default: true,
    summary: "a materialized view calls a random function",
    page: PAGE,
    check: Check::OfPipe(check),
};

const PAGE: &str = "\
# nondeterministic-view

## What it does
Finds materialized nodes that call a function which gives another value each time, or read a node that does: `rand`, `generateUUIDv4` and their kin.

## Why is this bad
The value is made when rows are inserted and stays. Populating the view again, or inserting a block again after a failure, gives other rows, so that
duplicates are not recognized. Clock functions such as `now()` have a rule of their own, `clock-in-view`.

## Example
    SELECT generateUUIDv4() AS id, day FROM hits

## Use instead
A value made from the row itself: `cityHash64(day, url) AS id`, or a column with a default in the data source that is inserted into.
";

fn check(plan: &Plan, pipe: &PipePlan) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for view in views(plan, pipe) {
        for call in view.calls(plan, is_random) {
            let (name, node) = (&call.called.name, view.through(call.node));
            let message = if call.node.id == view.node.id {
                format!("{node} calls `{name}`, which gives another value each time")
            } else {
                format!("`{name}` in {node} gives another value each time")
            };
            found.push(
                Diagnostic::new(RULE.severity, RULE.code, message)
                    .label(call.place, "")
                    .note("populating the view again gives other rows")
                    .help("make the value from the row: `cityHash64(…)`"),
            );
        }
    }
    found
}
