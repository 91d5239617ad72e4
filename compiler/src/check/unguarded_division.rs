//! Divisions by what may be zero.

use pipewright_grammar::diagnostic::{Diagnostic, Severity};

use super::views::place;
use super::{Check, Rule};
use crate::diagnostics::codes;
use crate::plan::{PipePlan, Plan};
use crate::sql::divisions::divisions;

pub(super) const RULE: Rule = Rule {
    code: codes::UNGUARDED_DIVISION,
    severity: Severity::Note,
    by_default: false,
    summary: "a division by something that may be zero",
    page: PAGE,
    check: Check::OfPipe(check),
};

const PAGE: &str = "\
# unguarded-division

## What it does
Finds `/`, `%`, `DIV`, `MOD`, `divide`, `intDiv` and `modulo` with a divisor that is a name, a call, an expression or the number 0, and neither `nullIf(…)` nor another
function that takes care of zero. It is silent where a condition looks at the divisor: an `if`, `multiIf`, `CASE` or `? :` around the division, a `WHERE` or a `HAVING`.

## Why is this bad
A division by zero gives `inf` or `nan`, which JSON does not have: callers get `null`, or a row that breaks every sum over it. `intDiv` and `%` end the query.

## Example
    SELECT errors / requests AS rate FROM days

## Use instead
    SELECT errors / nullIf(requests, 0) AS rate FROM days
";

fn check(plan: &Plan, pipe: &PipePlan) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for node in &pipe.nodes {
        let Some(branch) = plan.graph.branches(&node.id).first() else {
            continue;
        };
        for division in divisions(branch.rendered.sql.text()) {
            let message = if division.by_zero {
                "the divisor is zero"
            } else {
                "the divisor may be zero"
            };
            let mut diagnostic = Diagnostic::new(RULE.severity, RULE.code, message)
                .label(place(plan, node, branch, division.span), "");
            if !division.by_zero {
                diagnostic = diagnostic.help("write `nullIf(…, 0)` around it");
            }
            found.push(diagnostic);
        }
    }
    found
}
