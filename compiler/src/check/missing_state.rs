//! Values where the target holds states.

use pipewright_grammar::diagnostic::{Diagnostic, Severity};

use super::origin::elements;
use super::views::{place, views};
use super::{Check, Rule};
use crate::diagnostics::codes;
use crate::plan::{PipePlan, Plan};
use crate::types;

pub(super) const RULE: Rule = Rule {
    code: codes::MISSING_STATE,
    severity: Severity::Warning,
    by_default: true,
    summary: "a plain value for a state column of the target",
    page: PAGE,
    check: Check::OfPipe(check),
};

const PAGE: &str = "\
# missing-state

## What it does
Finds elements of a materialized node such as `sum(x) AS total` whose column in the target is an `AggregateFunction(…)`.

## Why is this bad
The target holds intermediate states, as `-State` makes them. A value cannot be turned into one: the engine refuses to make the view.

## Example
    SELECT day, count() AS hits FROM web GROUP BY day   -- hits AggregateFunction(count)

## Use instead
    SELECT day, countState() AS hits FROM web GROUP BY day
";

fn check(plan: &Plan, pipe: &PipePlan) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for view in views(plan, pipe) {
        let Some(target) = view.target else { continue };
        for element in elements(plan, &view.node.id) {
            let item = &element.item;
            let (Some(name), Some(call)) = (&item.name, &item.call) else {
                continue;
            };
            let column = target.columns.iter().find(|column| column.name == *name);
            let Some(data_type) = column
                .and_then(|column| types::parse(column.data_type.as_deref()?).ok())
                .filter(types::DataType::is_aggregate_state)
            else {
                continue;
            };
            // Only the function itself: any other may give a state.
            let Some((function, _)) = data_type.aggregate_function() else {
                continue;
            };
            if !call.eq_ignore_ascii_case(function) || function.ends_with("State") {
                continue;
            }
            let message = format!(
                "`{name}` of `{}` holds states, and `{call}` gives values",
                target.name
            );
            found.push(
                Diagnostic::new(RULE.severity, RULE.code, message)
                    .label(
                        place(plan, element.node, element.branch, item.span.clone()),
                        "",
                    )
                    .help(format!("write `{call}State`")),
            );
        }
    }
    found
}
