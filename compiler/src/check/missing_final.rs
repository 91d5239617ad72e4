//! Rows that were replaced, read as if they were still there.

use pipewright_grammar::diagnostic::{Diagnostic, Severity};

use super::tables::datasources;
use super::views::place;
use super::{Check, Rule};
use crate::diagnostics::codes;
use crate::plan::{PipePlan, Plan, Role};
use crate::sql::clauses::has_word;
use crate::sql::outline::names;
use crate::sql::unquote;

pub(super) const RULE: Rule = Rule {
    code: codes::MISSING_FINAL,
    severity: Severity::Note,
    by_default: false,
    summary: "a replacing or collapsing data source read without FINAL",
    page: PAGE,
    check: Check::OfPipe(check),
};

const PAGE: &str = "\
# missing-final

## What it does
Finds nodes that read a data source of a `Replacing` or `Collapsing` engine without `FINAL`, and that do nothing by which one row of each key is taken:
no `GROUP BY`, `LIMIT … BY`, `DISTINCT`, and no `argMax` or its kin; with a `Collapsing` engine, nothing that names its sign.

## Why is this bad
The engine merges such rows when it comes to it. Until then the old versions are read beside the new ones.

## Example
    SELECT order_id, status FROM orders   -- ENGINE \"ReplacingMergeTree\"

## Use instead
    SELECT order_id, status FROM orders FINAL
";

fn check(plan: &Plan, pipe: &PipePlan) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for read in datasources(plan, pipe) {
        let engine = read.table.engine.name;
        let merges = engine.starts_with("Replacing") || engine.contains("Collapsing");
        let is_view = matches!(read.node.role, Role::Materialized { .. });
        if !merges || is_view || read.reference.is_final.is_some() {
            continue;
        }
        let takes_one = |name: &str| {
            let name = name.to_ascii_lowercase();
            name.starts_with("arg") || name.starts_with("any") || name.starts_with("last_value")
        };
        // `sum(sign)`, `sum(amount * sign)`: rows that were taken back cancel those that they take back.
        let mut signs = read.table.engine.arguments.iter();
        let weighs = engine.contains("Collapsing")
            && signs.any(|sign| names(read.branch.rendered.sql.text()).contains(&unquote(sign)));
        if weighs {
            continue;
        }
        let scan = &read.branch.scan;
        let sql = read.branch.rendered.sql.text();
        if scan.functions.iter().any(|called| takes_one(&called.name))
            || has_word(sql, &["GROUP", "DISTINCT", "BY", "FINAL"])
        {
            continue;
        }
        let message = format!("`{}` may give old versions of its rows", read.table.name);
        found.push(
            Diagnostic::new(RULE.severity, RULE.code, message)
                .label(
                    place(plan, read.node, read.branch, read.reference.span.clone()),
                    format!("its engine is `{engine}`"),
                )
                .help("write `FINAL` behind it, or take one row of each key"),
        );
    }
    found
}
