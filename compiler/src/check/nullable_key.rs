//! NULL in the sorting key.

use pipewright_grammar::diagnostic::{Diagnostic, Severity};

use super::{Check, Rule};
use crate::diagnostics::codes;
use crate::plan::Plan;
use crate::sql::outline::key_elements;
use crate::sql::unquote;
use crate::types;

pub(super) const RULE: Rule = Rule {
    code: codes::NULLABLE_KEY,
    severity: Severity::Warning,
    by_default: true,
    summary: "a column of the sorting key that may be NULL",
    page: PAGE,
    check: Check::OfProject(check),
};

const PAGE: &str = "\
# nullable-key

## What it does
Finds columns of type `Nullable(…)` that stand alone in the sorting key.

## Why is this bad
The engine refuses such a table unless `allow_nullable_key` is set, and with it the index is less useful: NULLs sort last and filters skip less.

## Example
    SCHEMA >
        `user` Nullable(String)
    ENGINE_SORTING_KEY user

## Use instead
`String` with a default for what is missing: `` `user` String DEFAULT '' ``.
";

fn check(plan: &Plan) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for table in plan.tables.values() {
        let allowed = table.engine.settings.as_deref().unwrap_or_default();
        if allowed.contains("allow_nullable_key") {
            continue;
        }
        let key = table.engine.sorting_key.as_deref().unwrap_or_default();
        for part in key_elements(key).into_iter().map(unquote) {
            let column = table.columns.iter().find(|column| column.name == part);
            let is_nullable = column
                .and_then(|column| types::parse(column.data_type.as_deref()?).ok())
                .is_some_and(|data_type| {
                    let holds_null =
                        matches!(data_type.family.as_str(), "Nullable" | "LowCardinality");
                    holds_null && data_type.is_nullable()
                });
            if is_nullable {
                let message = format!(
                    "column `{part}` of the sorting key of `{}` may be NULL",
                    table.name
                );
                let declared = plan.project.datasources.get(&table.name);
                let span = declared
                    .and_then(|declared| {
                        let mut columns = declared.syntax.columns.iter();
                        columns.find(|column| column.name.value == part)
                    })
                    .map_or(table.span, |column| column.span);
                found.push(
                    Diagnostic::new(RULE.severity, RULE.code, message)
                        .label(span, "")
                        .note("the engine refuses it without the setting `allow_nullable_key`")
                        .help("make the column not nullable, with a default"),
                );
            }
        }
    }
    found
}
