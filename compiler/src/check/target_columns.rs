//! Output columns that the target does not have.

use pipewright_grammar::diagnostic::{Diagnostic, Severity};

use super::origin::elements;
use super::views::{place, views};
use super::{Check, Rule};
use crate::diagnostics::codes;
use crate::graph::similar_names;
use crate::plan::{PipePlan, Plan};

pub(super) const RULE: Rule = Rule {
    code: codes::TARGET_COLUMNS,
    severity: Severity::Warning,
    by_default: true,
    summary: "columns of a materialized node that its target does not have",
    page: PAGE,
    check: Check::OfPipe(check),
};

const PAGE: &str = "\
# target-columns

## What it does
Finds output columns of a materialized node that are no column of its data source, where every output name is known from the text, its own or, with `SELECT *`, that
of the node that it reads.

## Why is this bad
Rows go into the target by name. The engine refuses to make a view that gives a column which the target does not have.

## Example
    SELECT day, count() AS hit FROM web GROUP BY day   -- the target has day and hits

## Use instead
The names of the target: `count() AS hits`.
";

fn check(plan: &Plan, pipe: &PipePlan) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for view in views(plan, pipe) {
        let Some(target) = view.target.filter(|target| !target.columns.is_empty()) else {
            continue;
        };
        let elements = elements(plan, &view.node.id);
        if elements.iter().any(|element| element.item.name.is_none()) {
            continue;
        }
        for element in &elements {
            let item = &element.item;
            let name = item.name.as_deref().unwrap_or_default();
            // A nested column is written whole, and named with a dot.
            let known = target.columns.iter().any(|column| {
                column.name == name || column.name.split('.').any(|part| part == name)
            });
            if known {
                continue;
            }
            let message = format!("data source `{}` has no column `{name}`", target.name);
            let mut diagnostic = Diagnostic::new(RULE.severity, RULE.code, message).label(
                place(plan, element.node, element.branch, item.span.clone()),
                "has no place to go",
            );
            let names = target.columns.iter().map(|column| column.name.clone());
            if let Some(similar) = similar_names(name, names).first() {
                diagnostic = diagnostic.help(format!("did you mean `{similar}`?"));
            }
            found.push(diagnostic);
        }
    }
    found
}
