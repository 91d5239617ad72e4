//! Joins that keep the larger side in memory.

use pipewright_grammar::diagnostic::{Diagnostic, Severity};

use super::views::place;
use super::{Check, Rule};
use crate::diagnostics::codes;
use crate::graph::{NodeId, Target};
use crate::plan::{NodePlan, PipePlan, Plan};
use crate::sql::clauses::clauses;
use crate::sql::outline::outline;
use crate::sql::{Position, TableReference};

pub(super) const RULE: Rule = Rule {
    code: codes::JOIN_ORDER,
    severity: Severity::Note,
    by_default: false,
    summary: "a JOIN with a data source on its right and a small result on its left",
    page: PAGE,
    check: Check::OfPipe(check),
};

const PAGE: &str = "\
# join-order

## What it does
Finds joins whose left side is a node that groups or limits its rows, and whose right side is a data source as it is.

## Why is this bad
The engine reads the right side into memory first. A whole data source there takes memory that the groups would not. (The engine may swap the
sides by itself where it can estimate them; it cannot for every kind of join.)

## Example
    NODE top_users
    SQL >
        SELECT user, count() AS hits FROM hits GROUP BY user LIMIT 10
    NODE result
    SQL >
        SELECT user, page FROM top_users JOIN hits USING user
    TYPE endpoint

## Use instead
    SELECT user, page FROM hits JOIN top_users USING user
";

fn check(plan: &Plan, pipe: &PipePlan) -> Vec<Diagnostic> {
    let nodes = pipe.nodes.iter();
    nodes.filter_map(|node| of_node(plan, node)).collect()
}

fn of_node(plan: &Plan, node: &NodePlan) -> Option<Diagnostic> {
    let branch = plan.graph.branches(&node.id).first()?;
    let sql = branch.rendered.sql.text();
    let clauses = clauses(sql);
    let (from, [join]) = (clauses.from?, clauses.joins.as_slice()) else {
        return None;
    };
    let behind = |end: usize| {
        let mut tables = branch.scan.tables.iter();
        tables.find(|table| {
            table.position == Position::From
                && sql
                    .get(end..table.span.start)
                    .is_some_and(|between| between.trim().is_empty())
        })
    };
    let (left, right) = (behind(from.end)?, behind(join.end)?);
    let target = |table: &TableReference| plan.target(&node.id, table);
    let (Some(Target::Node(pipe, small)), Some(Target::Datasource(large))) =
        (target(left), target(right))
    else {
        return None;
    };
    let small = NodeId::of(pipe, small);
    let read = plan.graph.branches(&small).first()?;
    let outline = outline(read.rendered.sql.text());
    if !outline.grouped && !outline.limited {
        return None;
    }
    let message = format!("all of `{}` is read into memory for the join", large.name);
    Some(
        Diagnostic::new(RULE.severity, RULE.code, message)
            .label(place(plan, node, branch, right.span.clone()), "")
            .help(format!(
                "put `{}` on the right, if the join allows it",
                left.name
            )),
    )
}
