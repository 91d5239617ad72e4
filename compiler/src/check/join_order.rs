//! Joins that keep the larger side in memory.

use pipewright_grammar::diagnostic::{Diagnostic, Severity};

use super::views::place;
use super::{Check, Rule};
use crate::diagnostics::codes;
use crate::graph::{NodeId, Target};
use crate::plan::{NodePlan, PipePlan, Plan};
use crate::sql::clauses::clauses;
use crate::sql::lexer::{Kind, tokenize};
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
Finds joins whose left side is a node or a subquery that groups or limits its rows, and whose right side is a data source as it is.

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
    let right = behind(join.end)?;
    let target = |table: &TableReference| plan.target(&node.id, table);
    let Some(Target::Datasource(large)) = target(right) else {
        return None;
    };
    let small = match behind(from.end) {
        Some(left) => {
            let Some(Target::Node(pipe, small)) = target(left) else {
                return None;
            };
            let small = NodeId::of(pipe, small);
            let read = plan.graph.branches(&small).first()?;
            is_small(read.rendered.sql.text()).then(|| format!("`{}`", left.name))?
        }
        None => is_small(subquery(&sql[from.end..])?).then(|| "the subquery".to_owned())?,
    };
    let message = format!("all of `{}` is read into memory for the join", large.name);
    Some(
        Diagnostic::new(RULE.severity, RULE.code, message)
            .label(place(plan, node, branch, right.span.clone()), "")
            .help(format!("put {small} on the right, if the join allows it")),
    )
}

/// Whether a statement groups or limits its rows.
fn is_small(sql: &str) -> bool {
    let outline = outline(sql);
    outline.grouped || outline.limited
}

/// What stands in the brackets that a text begins with.
fn subquery(text: &str) -> Option<&str> {
    let tokens = tokenize(text).ok()?;
    let mut depth = 0_usize;
    for token in &tokens.list {
        match token.kind {
            Kind::OpenRound => depth += 1,
            Kind::CloseRound => depth = depth.checked_sub(1)?,
            _ => {}
        }
        if depth == 0 {
            let (open, close) = (tokens.list.first()?, token);
            let inner = open.range().end..close.range().start;
            return text.get(inner).filter(|_| open.kind == Kind::OpenRound);
        }
    }
    None
}
