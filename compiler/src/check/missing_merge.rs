//! States read as values.

use std::collections::BTreeSet;

use pipewright_grammar::diagnostic::{Diagnostic, Severity};

use super::origin::{Made, elements, origin};
use super::views::place;
use super::{Check, Rule};
use crate::diagnostics::codes;
use crate::graph::Vertex;
use crate::plan::{Column, NodePlan, PipePlan, Plan, TablePlan};
use crate::sql::outline::{calls_of_columns, may_define};
use crate::template::is_aggregate;
use crate::types;

pub(super) const RULE: Rule = Rule {
    code: codes::MISSING_MERGE,
    severity: Severity::Warning,
    by_default: true,
    summary: "a state column read without -Merge",
    page: PAGE,
    check: Check::OfPipe(check),
};

const PAGE: &str = "\
# missing-merge

## What it does
Finds calls such as `sum(total)` where `total` is an `AggregateFunction(sum, …)` of the table that a node reads, by itself or through nodes that pass it on, and
endpoints that give such a column to their callers. Of several tables that a node reads, only one may have a column of that name.

## Why is this bad
A state is no value: the engine refuses most such queries, and counts states where values were meant in the others (`count`, `any`). Callers of an endpoint get bytes.

## Example
    SELECT day, uniq(users) FROM users_by_day GROUP BY day   -- users AggregateFunction(uniq, String)

## Use instead
    SELECT day, uniqMerge(users) FROM users_by_day GROUP BY day
";

fn check(plan: &Plan, pipe: &PipePlan) -> Vec<Diagnostic> {
    if !reads_states(plan, pipe) {
        return Vec::new();
    }
    let mut found: Vec<Diagnostic> = pipe
        .nodes
        .iter()
        .flat_map(|node| of_node(plan, node))
        .collect();
    found.extend(pipe.endpoint_node().and_then(|node| given(plan, node)));
    found
}

/// Whether a table that a pipe reads, itself or through others, has states.
fn reads_states(plan: &Plan, pipe: &PipePlan) -> bool {
    let nodes = pipe.nodes.iter().map(|node| Vertex::Node(node.id.clone()));
    let sources = plan.graph.sources_of_all(&nodes.collect::<Vec<_>>());
    sources.into_iter().any(|source| {
        let Vertex::Datasource(name) = source else {
            return false;
        };
        let columns = plan.tables.get(name).into_iter();
        let mut columns = columns.flat_map(|table| &table.columns);
        columns.any(|column| {
            let data_type = column.data_type.as_deref().unwrap_or_default();
            data_type.trim_start().starts_with("AggregateFunction")
        })
    })
}

/// The column of a data source that a name means in a node which reads these, where only one of them can have it: what another node gives is not known for certain.
fn stored_in_one<'a>(
    plan: &'a Plan,
    sources: &BTreeSet<&Vertex>,
    name: &str,
) -> Option<(&'a TablePlan, &'a Column)> {
    let nodes = sources
        .iter()
        .filter(|source| matches!(source, Vertex::Node(_)));
    if sources.len() > 1 && nodes.count() > 0
        || sources
            .iter()
            .any(|source| matches!(source, Vertex::Service(_)))
    {
        return None;
    }
    let mut found = sources
        .iter()
        .filter_map(|source| stored(plan, source, name));
    let first = found.next()?;
    found.next().is_none().then_some(first)
}

/// The column of a data source that a name means in what a node reads.
fn stored<'a>(plan: &'a Plan, source: &Vertex, name: &str) -> Option<(&'a TablePlan, &'a Column)> {
    match source {
        Vertex::Datasource(datasource) => {
            let table = plan.tables.get(datasource)?;
            let mut columns = table.columns.iter();
            Some((table, columns.find(|column| column.name == name)?))
        }
        Vertex::Node(id) => match origin(plan, id, name)?.made {
            Made::Stored(table, column) => Some((table, column)),
            Made::Computed(_) => None,
        },
        Vertex::Service(_) => None,
    }
}

/// The function of the states that a column holds.
fn function(column: &Column) -> Option<String> {
    let data_type = types::parse(column.data_type.as_deref()?).ok()?;
    let data_type = Some(data_type).filter(types::DataType::is_aggregate_state)?;
    Some(data_type.aggregate_function()?.0.to_owned())
}

/// Calls that take states for values.
fn of_node(plan: &Plan, node: &NodePlan) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let branch = plan.graph.branches(&node.id).first();
    let Some(branch) = branch else {
        return found;
    };
    let sources = plan.graph.sources(&Vertex::Node(node.id.clone()));
    let reads_nodes = sources
        .iter()
        .any(|source| matches!(source, Vertex::Node(_)));
    let sql = branch.rendered.sql.text();
    for call in calls_of_columns(sql) {
        // A column is followed through nodes only where that can matter.
        if reads_nodes && !is_aggregate(&call.function) {
            continue;
        }
        let Some((table, column)) = stored_in_one(plan, &sources, &call.column) else {
            continue;
        };
        let is_same =
            function(column).is_some_and(|function| function.eq_ignore_ascii_case(&call.function));
        // A name made in the statement hides the column.
        if !is_same || may_define(sql, &call.column) {
            continue;
        }
        found.push(
            finding(table, column)
                .label(place(plan, node, branch, call.span), "")
                .help(format!("write `{}Merge({})`", call.function, call.column)),
        );
    }
    found
}

/// The first state that an endpoint gives its callers as it is. Where other nodes read it, it may be for them.
fn given(plan: &Plan, node: &NodePlan) -> Option<Diagnostic> {
    let vertex = Vertex::Node(node.id.clone());
    if !plan.graph.readers(&vertex).is_empty() {
        return None;
    }
    elements(plan, &node.id).into_iter().find_map(|element| {
        let name = element.item.name?;
        let origin = origin(plan, &element.node.id, &name)?;
        let Made::Stored(table, column) = origin.made else {
            return None;
        };
        let function = function(column)?;
        Some(
            finding(table, column)
                .label(
                    place(plan, element.node, element.branch, element.item.span),
                    "is given to callers as it is",
                )
                .help(format!("write `{function}Merge({name})`")),
        )
    })
}

fn finding(table: &TablePlan, column: &Column) -> Diagnostic {
    let message = format!(
        "`{}` of `{}` holds states, not values",
        column.name, table.name
    );
    Diagnostic::new(RULE.severity, RULE.code, message)
}
