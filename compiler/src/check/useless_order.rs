//! `ORDER BY` that has no effect.

use pipewright_grammar::diagnostic::{Diagnostic, Severity};

use super::views::place;
use super::{Check, Rule};
use crate::diagnostics::codes;
use crate::graph::{Branch, NodeId, Vertex};
use crate::plan::{NodePlan, PipePlan, Plan, Role};
use crate::sql::outline::outline;

/// Beginnings of the names of functions whose value depends on the order in which rows come, in lower case.
const ORDERED: &[&str] = &[
    "any",
    "arg",
    "array_agg",
    "arrayagg",
    "deltasum",
    "first_value",
    "group_concat",
    "grouparray",
    "groupconcat",
    "last_value",
    "neighbor",
    "nth_value",
    "rownumber",
    "running",
    "simplestate",
];

pub(super) const RULE: Rule = Rule {
    code: codes::USELESS_ORDER,
    severity: Severity::Warning,
    by_default: true,
    summary: "ORDER BY in a node whose readers all sort or group its rows anew",
    page: PAGE,
    check: Check::OfPipe(check),
};

const PAGE: &str = "\
# useless-order

## What it does
Finds nodes that end in `ORDER BY` without `LIMIT`, where every node that reads them sorts or groups the rows itself. A reader that calls a function which
depends on the order of rows, such as `groupArray` or `any`, or that takes some of the rows in a subquery, a window or an `ANY` join, keeps the rule silent.

## Why is this bad
The order is lost in the reader: sorting costs time and memory for nothing.

## Example
    NODE sorted
    SQL >
        SELECT * FROM hits ORDER BY day
    NODE result
    SQL >
        SELECT day, count() FROM sorted GROUP BY day

## Use instead
Leave `ORDER BY` to the last node.
";

fn check(plan: &Plan, pipe: &PipePlan) -> Vec<Diagnostic> {
    let nodes = pipe.nodes.iter().enumerate();
    let steps = nodes.filter(|(at, node)| pipe.output != Some(*at) && node.role == Role::Standard);
    steps.filter_map(|(_, node)| of_node(plan, node)).collect()
}

fn of_node(plan: &Plan, node: &NodePlan) -> Option<Diagnostic> {
    let branch = plan.graph.branches(&node.id).first()?;
    let outline = outline(branch.rendered.sql.text());
    let decides = outline.limited || outline.set_operator.is_some();
    let order = outline.order_by.filter(|_| !decides)?;
    if !every_reader_orders_anew(plan, &node.id) {
        return None;
    }
    let message = format!(
        "node `{}` sorts rows whose order its readers do not keep",
        node.id.node
    );
    Some(
        Diagnostic::new(RULE.severity, RULE.code, message)
            .label(place(plan, node, branch, order), "no `LIMIT` follows")
            .help("leave `ORDER BY` to the last node"),
    )
}

/// Whether a node has readers, and none in whose rows the order of its rows can be seen.
fn every_reader_orders_anew(plan: &Plan, id: &NodeId) -> bool {
    let readers = plan.graph.readers(&Vertex::Node(id.clone()));
    !readers.is_empty()
        && readers.into_iter().all(|reader| {
            let Vertex::Node(reader) = reader else {
                return false;
            };
            let branches = plan.graph.branches(reader);
            !branches.is_empty() && branches.iter().all(orders_anew)
        })
}

fn orders_anew(branch: &Branch) -> bool {
    let outline = outline(branch.rendered.sql.text());
    let depends = branch.scan.functions.iter().any(|called| {
        let name = called.name.to_ascii_lowercase();
        ORDERED.iter().any(|start| name.starts_with(start))
    });
    (outline.order_by.is_some() || outline.grouped)
        && outline.set_operator.is_none()
        && !outline.sees_order
        && !depends
}
