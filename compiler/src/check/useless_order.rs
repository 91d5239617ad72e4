//! `ORDER BY` that has no effect.

use pipewright_grammar::diagnostic::{Diagnostic, Severity};

use super::Rule;
use super::views::place;
use crate::diagnostics::codes;
use crate::plan::{Plan, Role};
use crate::sql::outline::outline;

pub(super) const RULE: Rule = Rule {
    code: codes::USELESS_ORDER,
    severity: Severity::Note,
    summary: "ORDER BY without LIMIT in a node that others read",
    page: PAGE,
    check,
};

const PAGE: &str = "\
# useless-order

## What it does
Finds nodes that end in `ORDER BY` without `LIMIT`, and that are not what the pipe gives.

## Why is this bad
Rows of a subquery have no order for its reader: sorting costs time and memory for nothing. Functions that depend on the order of rows, such as
`groupArray`, get it in most cases, which is why this is a note.

## Example
    NODE sorted
    SQL >
        SELECT * FROM hits ORDER BY day
    NODE result
    SQL >
        SELECT day, count() FROM sorted GROUP BY day

## Use instead
Put `ORDER BY` into the last node.
";

fn check(plan: &Plan) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for pipe in plan.pipes.values() {
        for (at, node) in pipe.nodes.iter().enumerate() {
            if pipe.output == Some(at) || node.role != Role::Standard {
                continue;
            }
            let branches = plan.graph.reads.get(&node.id).map(|reads| &reads.branches);
            let Some(branch) = branches.and_then(|branches| branches.first()) else {
                continue;
            };
            let outline = outline(branch.rendered.sql.text());
            let Some(order) = outline.order_by.filter(|_| !outline.limited) else {
                continue;
            };
            let message = format!(
                "node `{}` sorts rows that its readers get unsorted",
                node.id.node
            );
            found.push(
                Diagnostic::new(RULE.severity, RULE.code, message)
                    .label(place(plan, node, branch, order), "no `LIMIT` follows")
                    .help("sort in the last node"),
            );
        }
    }
    found
}
