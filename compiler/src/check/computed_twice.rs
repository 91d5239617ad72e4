//! Nodes that give other rows each time, and that one statement reads twice.

use std::collections::BTreeMap;

use pipewright_grammar::diagnostic::{Diagnostic, Severity};

use super::views::place;
use super::{Check, Rule};
use crate::diagnostics::codes;
use crate::graph::{Branch, NodeId, Target, Vertex};
use crate::optimize::is_random;
use crate::plan::{NodePlan, PipePlan, Plan};
use crate::sql::outline::outline;
use crate::sql::{Position, TableReference};
use crate::template::is_aggregate;

pub(super) const RULE: Rule = Rule {
    code: codes::COMPUTED_TWICE,
    severity: Severity::Warning,
    by_default: true,
    summary: "a node with other rows each time that one statement reads twice",
    page: PAGE,
    check: Check::OfPipe(check),
};

const PAGE: &str = "\
# computed-twice

## What it does
Finds statements that read a node twice, themselves or through other nodes, where the node calls a random function such as `rand()`, or has a `LIMIT` without an
`ORDER BY`.

## Why is this bad
Nodes are put into what reads them, each time anew, so that the engine computes such a node twice, and the two need not have the same rows.

## Example
    NODE sample
    SQL >
        SELECT * FROM hits LIMIT 1000

    NODE shares
    SQL >
        SELECT page, count() / (SELECT count() FROM sample WHERE page != '') AS share FROM sample GROUP BY page

## Use instead
An order that decides which rows there are (`ORDER BY day, id LIMIT 1000`), a choice by the rows themselves (`WHERE cityHash64(id) % 100 = 0`), or a copy pipe that keeps
the rows.
";

fn check(plan: &Plan, pipe: &PipePlan) -> Vec<Diagnostic> {
    pipe.nodes
        .iter()
        .flat_map(|node| of_node(plan, node))
        .collect()
}

fn of_node(plan: &Plan, node: &NodePlan) -> Vec<Diagnostic> {
    let Some(branch) = plan.graph.branches(&node.id).first() else {
        return Vec::new();
    };
    let read = nodes_read(plan, &node.id, branch);
    if read.len() < 2 {
        return Vec::new();
    }
    // What one of them reads twice is found there.
    let mut readers: BTreeMap<&NodeId, Vec<&TableReference>> = BTreeMap::new();
    for (reference, id) in &read {
        let vertex = Vertex::Node(id.clone());
        let sources = plan.graph.closure(&vertex).into_iter();
        let nodes = sources.filter_map(|source| match source {
            Vertex::Node(source) if source != id => Some(source),
            _ => None,
        });
        for source in nodes.chain([id]) {
            readers.entry(source).or_default().push(reference);
        }
    }
    let mut found = Vec::new();
    for (source, references) in readers {
        let (Some(second), Some(why)) = (references.get(1), differs(plan, source)) else {
            continue;
        };
        let message = format!(
            "node `{}` is read twice in one statement, and {why}",
            source.node
        );
        found.push(
            Diagnostic::new(RULE.severity, RULE.code, message)
                .label(
                    place(plan, node, branch, second.span.clone()),
                    "the second time",
                )
                .help("give its rows an order, or read it once"),
        );
    }
    found
}

/// The nodes that a node's text names, each time that it does.
fn nodes_read<'a>(
    plan: &Plan,
    id: &NodeId,
    branch: &'a Branch,
) -> Vec<(&'a TableReference, NodeId)> {
    let tables = branch.scan.tables.iter();
    tables
        .filter(|table| matches!(table.position, Position::From | Position::In))
        .filter_map(|table| match plan.target(id, table)? {
            Target::Node(pipe, node) => Some((table, NodeId::of(pipe, node))),
            _ => None,
        })
        .collect()
}

/// Why a node may give other rows the second time.
fn differs(plan: &Plan, id: &NodeId) -> Option<String> {
    let branch = plan.graph.branches(id).first()?;
    let mut calls = branch.scan.functions.iter();
    if let Some(called) = calls.find(|called| is_random(&called.name.to_ascii_lowercase())) {
        return Some(format!("`{}` gives other values each time", called.name));
    }
    let outline = outline(branch.rendered.sql.text());
    // An aggregate over all rows is one row.
    let mut calls = outline.items.iter().filter_map(|item| item.call.as_deref());
    let is_one_row = !outline.grouped && calls.any(is_aggregate);
    let cut = outline.limited && outline.order_by.is_none() && !is_one_row;
    cut.then(|| "its `LIMIT` takes any rows".to_owned())
}
