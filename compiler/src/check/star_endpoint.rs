//! Answers whose columns are those of a table.

use pipewright_grammar::diagnostic::{Diagnostic, Severity};

use super::tables::datasources;
use super::views::place;
use super::{Check, Rule};
use crate::diagnostics::codes;
use crate::plan::{PipePlan, Plan, Role};
use crate::sql::clauses::clauses;
use crate::sql::outline::outline;

pub(super) const RULE: Rule = Rule {
    code: codes::STAR_ENDPOINT,
    severity: Severity::Note,
    by_default: false,
    summary: "SELECT * from a data source in an endpoint",
    page: PAGE,
    check: Check::OfPipe(check),
};

const PAGE: &str = "\
# star-endpoint

## What it does
Finds endpoints whose own node gives `*` of a data source.

## Why is this bad
The answer changes with the table: a column that is added there is served to every caller, and read from disk for each request.

## Example
    NODE latest
    SQL >
        SELECT * FROM hits ORDER BY day DESC LIMIT 10
    TYPE endpoint

## Use instead
    SELECT day, user FROM hits ORDER BY day DESC LIMIT 10
";

fn check(plan: &Plan, pipe: &PipePlan) -> Vec<Diagnostic> {
    let mut found: Vec<Diagnostic> = Vec::new();
    for read in datasources(plan, pipe) {
        if read.node.role != Role::Endpoint || read.at > 0 {
            continue;
        }
        let sql = read.branch.rendered.sql.text();
        let star = outline(sql)
            .items
            .into_iter()
            .find(|item| &sql[item.span.clone()] == "*");
        let from = clauses(sql).from;
        // The table that stands right behind `FROM`, not one inside of a subquery.
        let is_direct = from.is_some_and(|from| {
            let between = sql.get(from.end..read.reference.span.start);
            between.is_some_and(|between| between.trim().is_empty())
        });
        let (Some(star), true) = (star, is_direct) else {
            continue;
        };
        let message = format!("the endpoint gives every column of `{}`", read.table.name);
        found.push(
            Diagnostic::new(RULE.severity, RULE.code, message)
                .label(place(plan, read.node, read.branch, star.span), "")
                .help("name the columns that callers need"),
        );
    }
    found
}
