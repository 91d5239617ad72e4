//! Columns that an `AggregatingMergeTree` loses values of.

use pipewright_grammar::diagnostic::{Diagnostic, Severity};
use pipewright_grammar::syntax::DefaultKind;

use super::{Check, Rule};
use crate::diagnostics::codes;
use crate::plan::Plan;
use crate::sql::outline::names;
use crate::types;

pub(super) const RULE: Rule = Rule {
    code: codes::PLAIN_COLUMN,
    severity: Severity::Warning,
    by_default: true,
    summary: "a column of an AggregatingMergeTree that is neither key nor state",
    page: PAGE,
    check: Check::OfProject(check),
};

const PAGE: &str = "\
# plain-column

## What it does
Finds columns of an `AggregatingMergeTree` that are not in its keys and hold no aggregate state.

## Why is this bad
When parts are merged, rows of one key become one: states are combined, and of any other column the value of one row is kept, whichever comes first. Recent
engines refuse to make such a table unless `allow_dimensions_outside_sorting_key` is set: that is done here, as older engines make it. The rule is silent where
`ENGINE_SETTINGS` names the setting.

## Example
    ENGINE AggregatingMergeTree, ENGINE_SORTING_KEY day
    SCHEMA: day Date, hits AggregateFunction(count), browser String

## Use instead
Put the column into the sorting key, or make it a state: `SimpleAggregateFunction(any, String)`.
";

fn check(plan: &Plan) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for table in plan.tables.values() {
        let Some(declared) = plan.project.datasources.get(&table.name) else {
            continue;
        };
        let settings = declared.syntax.directive("ENGINE_SETTINGS");
        let is_meant = settings.is_some_and(|settings| {
            let written = &settings.value.value;
            written.contains("allow_dimensions_outside_sorting_key")
        });
        if table.engine.name != "AggregatingMergeTree" || is_meant {
            continue;
        }
        let keys = [&table.engine.sorting_key, &table.engine.partition_key];
        let keys: Vec<String> = keys
            .into_iter()
            .flatten()
            .flat_map(|key| names(key))
            .collect();
        for column in &declared.syntax.columns {
            // These are computed from the others.
            let computed = column
                .default
                .as_ref()
                .is_some_and(|(kind, _)| *kind != DefaultKind::Default);
            let name = &column.name.value;
            let is_plain = column
                .data_type
                .as_ref()
                .and_then(|data_type| types::parse(&data_type.value).ok())
                .is_some_and(|data_type| {
                    !data_type.is_aggregate_state() && !data_type.is_simple_aggregate()
                });
            if !is_plain || computed || keys.contains(name) {
                continue;
            }
            let message = format!(
                "column `{name}` of `{}` is neither key nor state",
                table.name
            );
            found.push(
                Diagnostic::new(RULE.severity, RULE.code, message)
                    .label(column.span, "")
                    .note("of the rows that are merged into one, any row's value is kept")
                    .help("put it into the sorting key, or make it a `SimpleAggregateFunction(any, …)`"),
            );
        }
    }
    found
}
