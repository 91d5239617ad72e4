//! Names right of an `IN` that are a node, and maybe a column.

use pipewright_grammar::diagnostic::{Diagnostic, Severity};

use super::views::place;
use super::{Check, Rule};
use crate::diagnostics::codes;
use crate::graph::Target;
use crate::plan::{Columns, PipePlan, Plan, column_or_node};

pub(super) const RULE: Rule = Rule {
    code: codes::SET_NAME,
    severity: Severity::Error,
    by_default: true,
    summary: "IN with the name of a node that is a column, too",
    page: PAGE,
    check: Check::OfPipe(check),
};

const PAGE: &str = "\
# set-name

## What it does
Finds `x IN name` where `name` is a node and what is read has, or may have, a column of that name. In a branch of a template that requests without parameters do not
take, that is a warning.

## Why is this bad
Right of an `IN` the engine looks for a column first and for a table then, so that such a name means another thing than the author of the node thinks, or another
thing as soon as a column is added. Requests for the statement are refused.

## Example
    SELECT * FROM hits WHERE user IN team   -- `team` is a node, and a column of hits

## Use instead
    SELECT * FROM hits WHERE user IN (SELECT user FROM team)
";

fn check(plan: &Plan, pipe: &PipePlan) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for node in &pipe.nodes {
        let Some((of, _)) = plan.node(&node.id) else {
            continue;
        };
        let scope = Plan::scope(of, &node.id.node);
        for (at, branch) in plan.graph.branches(&node.id).iter().enumerate() {
            let columns = Columns::new(plan, scope, branch.rendered.sql.text(), &branch.scan);
            for table in &branch.scan.tables {
                let is_node = matches!(plan.target(&node.id, table), Some(Target::Node(..)));
                if !is_node || !columns.has_set(table) {
                    continue;
                }
                let place = place(plan, node, branch, table.span.clone());
                let mut finding = column_or_node(&table.name, Some(place));
                if at > 0 {
                    finding.severity = Severity::Warning;
                }
                found.push(finding);
            }
        }
    }
    found
}
