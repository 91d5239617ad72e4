//! Answers that grow with the data.

use std::ops::Range;

use pipewright_grammar::diagnostic::{Diagnostic, Severity};

use super::{Check, Rule};
use crate::diagnostics::codes;
use crate::graph::{NodeId, Target};
use crate::plan::{NodePlan, PipePlan, Plan, Role, TablePlan};
use crate::sql::Position;
use crate::sql::clauses::has_word;
use crate::sql::outline::outline;

/// No rows are followed through more nodes.
const DEPTH: usize = 64;

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
Finds endpoints whose own node reads a data source, by itself or through nodes that do the same, neither groups nor aggregates, and has no `LIMIT`.

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
    pipe.endpoint_node()
        .filter(|node| node.role == Role::Endpoint)
        .and_then(|node| of_node(plan, node))
        .into_iter()
        .collect()
}

fn of_node(plan: &Plan, node: &NodePlan) -> Option<Diagnostic> {
    let branch = plan.graph.branches(&node.id).first()?;
    let (place, table) = table(plan, &node.id, DEPTH)?;
    let message = format!(
        "endpoint `{}` gives as many rows as `{}` has",
        node.id.pipe, table.name
    );
    Some(
        Diagnostic::new(RULE.severity, RULE.code, message)
            .label(super::views::place(plan, node, branch, place), "")
            .help("add `LIMIT`"),
    )
}

/// The data source whose rows a node gives, all of them or those that a filter leaves, and the place of what the node reads.
fn table<'a>(plan: &'a Plan, id: &NodeId, depth: usize) -> Option<(Range<usize>, &'a TablePlan)> {
    let depth = depth.checked_sub(1)?;
    let branch = plan.graph.branches(id).first()?;
    let sql = branch.rendered.sql.text();
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
        return None;
    }
    let tables = branch.scan.tables.iter();
    let mut tables = tables.filter(|table| table.position == Position::From);
    tables.find_map(|reference| {
        let table = match plan.target(id, reference)? {
            Target::Datasource(datasource) => plan.tables.get(&datasource.name)?,
            Target::Node(pipe, node) => table(plan, &NodeId::of(pipe, node), depth)?.1,
            Target::Service => return None,
        };
        Some((reference.span.clone(), table))
    })
}
