//! Answers that grow with the data.

use pipewright_grammar::diagnostic::{Diagnostic, Severity};

use super::tables::datasources;
use super::views::place;
use super::{Check, Rule};
use crate::diagnostics::codes;
use crate::plan::{PipePlan, Plan, Role};
use crate::sql::clauses::has_word;
use crate::sql::outline::outline;

pub(super) const RULE: Rule = Rule {
    code: codes::UNLIMITED_ENDPOINT,
    severity: Severity::Note,
    by_default: false,
    summary: "an endpoint that gives rows of a data source without LIMIT",
    page: PAGE,
    check: Check::OfPipe(check),
};

const PAGE: &str = "\
# unlimited-endpoint

## What it does
Finds endpoints whose own node reads a data source, neither groups nor aggregates, and has no `LIMIT`.

## Why is this bad
The answer has as many rows as the table: it grows with the data until it fails.

## Example
    NODE hits_of_user
    SQL >
        %
        SELECT day, page FROM hits WHERE user = {{ String(user) }}
    TYPE endpoint

## Use instead
    SELECT day, page FROM hits WHERE user = {{ String(user) }} ORDER BY day DESC LIMIT {{ Int32(count, 100) }}
";

fn check(plan: &Plan, pipe: &PipePlan) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let mut last = None;
    for read in datasources(plan, pipe) {
        if read.node.role != Role::Endpoint || read.at > 0 || last == Some(&read.node.id) {
            continue;
        }
        last = Some(&read.node.id);
        let sql = read.branch.rendered.sql.text();
        let outline = outline(sql);
        // Only rows as they are: names of columns and `*`.
        let plain = outline.items.iter().all(|item| {
            let text = &sql[item.span.clone()];
            item.call.is_none() && !text.contains('(')
        });
        if outline.items.is_empty()
            || !plain
            || outline.limited
            || outline.grouped
            || has_word(sql, &["LIMIT", "FETCH"])
        {
            continue;
        }
        let message = format!(
            "endpoint `{}` gives as many rows as `{}` has",
            read.node.id.pipe, read.table.name
        );
        found.push(
            Diagnostic::new(RULE.severity, RULE.code, message)
                .label(
                    place(plan, read.node, read.branch, read.reference.span.clone()),
                    "",
                )
                .help("add `LIMIT`"),
        );
    }
    found
}
