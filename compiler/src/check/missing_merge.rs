//! States read as values.

use pipewright_grammar::diagnostic::{Diagnostic, Severity};

use super::views::place;
use super::{Check, Rule};
use crate::diagnostics::codes;
use crate::graph::{NodeId, Vertex};
use crate::plan::{NodePlan, PipePlan, Plan, TablePlan};
use crate::sql::outline::{calls_of_columns, may_define};
use crate::types;

pub(super) const RULE: Rule = Rule {
    code: codes::MISSING_MERGE,
    severity: Severity::Warning,
    by_default: true,
    summary: "a state column aggregated without -Merge",
    page: PAGE,
    check: Check::OfPipe(check),
};

const PAGE: &str = "\
# missing-merge

## What it does
Finds calls such as `sum(total)` where `total` is an `AggregateFunction(sum, …)` of the only table that a node reads.

## Why is this bad
A state is no value: the engine refuses most such queries, and counts states where values were meant in the others (`count`, `any`).

## Example
    SELECT day, uniq(users) FROM users_by_day GROUP BY day   -- users AggregateFunction(uniq, String)

## Use instead
    SELECT day, uniqMerge(users) FROM users_by_day GROUP BY day
";

fn check(plan: &Plan, pipe: &PipePlan) -> Vec<Diagnostic> {
    let nodes = pipe.nodes.iter();
    let read = nodes.filter_map(|node| Some((node, only_table(plan, &node.id)?)));
    read.flat_map(|(node, table)| of_node(plan, node, table))
        .collect()
}

/// The table of a node that reads nothing else.
fn only_table<'a>(plan: &'a Plan, id: &NodeId) -> Option<&'a TablePlan> {
    let sources = plan.graph.sources(&Vertex::Node(id.clone()));
    let mut sources = sources.into_iter();
    match (sources.next(), sources.next()) {
        (Some(Vertex::Datasource(name)), None) => plan.tables.get(name),
        _ => None,
    }
}

fn of_node(plan: &Plan, node: &NodePlan, table: &TablePlan) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let Some(branch) = plan.graph.branches(&node.id).first() else {
        return found;
    };
    let sql = branch.rendered.sql.text();
    for call in calls_of_columns(sql) {
        let column = table
            .columns
            .iter()
            .find(|column| column.name == call.column);
        let function = column
            .and_then(|column| types::parse(column.data_type.as_deref()?).ok())
            .filter(types::DataType::is_aggregate_state)
            .and_then(|data_type| Some(data_type.aggregate_function()?.0.to_owned()));
        let is_same =
            function.is_some_and(|function| function.eq_ignore_ascii_case(&call.function));
        // A name made in the statement hides the column.
        if !is_same || may_define(sql, &call.column) {
            continue;
        }
        let message = format!(
            "`{}` of `{}` holds states, not values",
            call.column, table.name
        );
        found.push(
            Diagnostic::new(RULE.severity, RULE.code, message)
                .label(place(plan, node, branch, call.span), "")
                .help(format!("write `{}Merge({})`", call.function, call.column)),
        );
    }
    found
}
