//! `FINAL` on tables that have nothing to merge.

use pipewright_grammar::diagnostic::{Diagnostic, Severity};

use super::tables::datasources;
use super::views::place;
use super::{Check, Rule};
use crate::diagnostics::codes;
use crate::plan::{PipePlan, Plan};

pub(super) const RULE: Rule = Rule {
    code: codes::USELESS_FINAL,
    severity: Severity::Error,
    by_default: true,
    summary: "FINAL on a data source whose engine does not merge rows",
    page: PAGE,
    check: Check::OfPipe(check),
};

const PAGE: &str = "\
# useless-final

## What it does
Finds `FINAL` behind data sources whose engine is none of the `Replacing`, `Summing`, `Aggregating` and `Collapsing` families. In a branch of a template that
requests without parameters do not take, that is a warning.

## Why is this bad
There is nothing that `FINAL` could merge, and the engine refuses the statement at every call, whatever is in the table.

## Example
    SELECT * FROM hits FINAL   -- ENGINE \"MergeTree\"

## Use instead
    SELECT * FROM hits
";

/// The beginnings of the names of engines that merge rows.
const MERGING: &[&str] = &[
    "Replacing",
    "Summing",
    "Aggregating",
    "Collapsing",
    "VersionedCollapsing",
];

fn check(plan: &Plan, pipe: &PipePlan) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for read in datasources(plan, pipe) {
        let Some(is_final) = &read.reference.is_final else {
            continue;
        };
        let engine = read.table.engine.name;
        // A data source without a file has the engine of the node that makes it.
        if engine.is_empty() || MERGING.iter().any(|name| engine.starts_with(name)) {
            continue;
        }
        let severity = if read.at == 0 {
            RULE.severity
        } else {
            Severity::Warning
        };
        let message = format!("`{}` cannot be read with `FINAL`", read.table.name);
        found.push(
            Diagnostic::new(severity, RULE.code, message)
                .label(
                    place(plan, read.node, read.branch, is_final.clone()),
                    format!("its engine is `{engine}`, which merges no rows"),
                )
                .help("take it away"),
        );
    }
    found
}
