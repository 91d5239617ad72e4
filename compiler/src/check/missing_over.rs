//! Window functions that are called as if they were aggregates.

use std::ops::Range;

use pipewright_grammar::diagnostic::{Diagnostic, Severity};

use super::views::place;
use super::{Check, Rule};
use crate::diagnostics::codes;
use crate::graph::Branch;
use crate::plan::{PipePlan, Plan};
use crate::sql::{is_of_windows, without_over};

pub(super) const RULE: Rule = Rule {
    code: codes::MISSING_OVER,
    severity: Severity::Error,
    by_default: true,
    summary: "a window function without OVER",
    page: PAGE,
    check: Check::OfPipe(check),
};

const PAGE: &str = "\
# missing-over

## What it does
Finds calls of functions that exist for windows alone, such as `row_number`, `rank`, `lagInFrame`, `leadInFrame` or `ntile`, without `OVER`.

## Why is this bad
The engine takes them for aggregates, plans the query, and fails at the first row that comes. As long as there are no rows, nothing shows it.

## Example
    SELECT user, row_number() AS place FROM hits ORDER BY n

## Use instead
    SELECT user, row_number() OVER (ORDER BY n) AS place FROM hits
";

/// Where every branch has the mistake, every call fails; where one of several has it, those that lead there.
fn check(plan: &Plan, pipe: &PipePlan) -> Vec<Diagnostic> {
    let mut found: Vec<Diagnostic> = Vec::new();
    for node in &pipe.nodes {
        for (at, branch) in plan.graph.branches(&node.id).iter().enumerate() {
            let severity = if at == 0 {
                RULE.severity
            } else {
                Severity::Warning
            };
            let sql = branch.rendered.sql.text();
            for span in calls(branch) {
                let name = &sql[span.clone()];
                let message = format!("the window function `{name}` is called without `OVER`");
                let finding = Diagnostic::new(severity, RULE.code, message)
                    .label(place(plan, node, branch, span), "fails at the first row");
                if !found.iter().any(|other| other.labels == finding.labels) {
                    found.push(finding);
                }
            }
        }
    }
    found
}

/// Where a branch calls a function for windows alone without `OVER`. A lambda may have the name of one.
fn calls(branch: &Branch) -> Vec<Range<usize>> {
    let functions = &branch.scan.functions;
    // Few texts have one, and only those are read again.
    if !functions.iter().any(|called| is_of_windows(&called.name)) {
        return Vec::new();
    }
    let sql = branch.rendered.sql.text();
    let lambdas = &branch.scan.lambdas;
    let mut found = without_over(sql);
    found.retain(|span| {
        functions.iter().any(|called| called.span == *span)
            && !lambdas
                .iter()
                .any(|(lambda, _)| *lambda == sql[span.clone()])
    });
    found
}
