//! Divisions by what may be zero.

use pipewright_grammar::diagnostic::{Diagnostic, Severity};

use super::views::place;
use super::{Check, Rule};
use crate::diagnostics::codes;
use crate::plan::{PipePlan, Plan};
use crate::sql::clauses::divisions;

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
Finds `/` with a divisor that is a name, a call or an expression, and neither `nullIf(…)` nor another function that takes care of zero.

## Why is this bad
A division by zero gives `inf` or `nan`, which JSON does not have: callers get `null`, or a row that breaks every sum over it.

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
            found.push(
                Diagnostic::new(RULE.severity, RULE.code, "the divisor may be zero")
                    .label(place(plan, node, branch, division), "")
                    .help("write `nullIf(…, 0)` around it"),
            );
        }
    }
    found
}
