//! The clock in materialized views.

use pipewright_grammar::diagnostic::{Diagnostic, Severity};

use super::views::views;
use super::{Check, Rule};
use crate::diagnostics::codes;
use crate::optimize::asks_the_clock;
use crate::plan::{PipePlan, Plan};

pub(super) const RULE: Rule = Rule {
    code: codes::CLOCK_IN_VIEW,
    severity: Severity::Note,
    by_default: false,
    summary: "a materialized view asks for the time",
    page: PAGE,
    check: Check::OfPipe(check),
};

const PAGE: &str = "\
# clock-in-view

## What it does
Finds materialized nodes that call `now()`, `today()` and their kin, or read a node that does.

## Why is this bad
The time is that of the insert, once and for all. A condition such as `WHERE at > now() - INTERVAL 1 DAY` does not keep the last day in the target: it drops rows that
come late, and when the view is populated again, everything that is older. (The rule is off because the time of the insert is often what is meant.)

## Example
    SELECT day, countState() AS hits FROM web WHERE day >= today() - 7 GROUP BY day

## Use instead
`ENGINE_TTL \"day + INTERVAL 7 DAY\"` in the target, or the condition where the target is read.
";

fn check(plan: &Plan, pipe: &PipePlan) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for view in views(plan, pipe) {
        for call in view.calls(plan, asks_the_clock) {
            let message = format!(
                "`{}` in {} is the time of the insert",
                call.called.name,
                view.through(call.node)
            );
            found.push(
                Diagnostic::new(RULE.severity, RULE.code, message)
                    .label(call.place, "")
                    .help("filter where the target is read, or let the target forget with a TTL"),
            );
        }
    }
    found
}
