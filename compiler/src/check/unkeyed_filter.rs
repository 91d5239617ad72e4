//! Filters that have to read the whole table.

use std::collections::BTreeSet;

use pipewright_grammar::diagnostic::{Diagnostic, Severity};

use super::tables::{Read, datasources};
use super::views::place;
use super::{Check, Rule};
use crate::diagnostics::codes;
use crate::graph::NodeId;
use crate::plan::{PipePlan, Plan, Role, TablePlan};
use crate::sql::clauses::clauses;
use crate::sql::outline::{key_elements, names};

pub(super) const RULE: Rule = Rule {
    code: codes::UNKEYED_FILTER,
    severity: Severity::Note,
    by_default: false,
    summary: "a filter on a data source that can use neither its sorting key nor its partitions",
    page: PAGE,
    check: Check::OfPipe(check),
};

const PAGE: &str = "\
# unkeyed-filter

## What it does
Finds nodes that read one data source with conditions of which none names the first column of its sorting key, a column of its partition key or an
indexed one, in any branch of the template.

## Why is this bad
The engine finds rows by the beginning of the sorting key, by partitions and by skip indexes. Other conditions are checked row by row, over the whole table.

## Example
    SELECT count() FROM hits WHERE user = 'x'   -- ENGINE_SORTING_KEY \"site, day\"

## Use instead
A sorting key that begins with what is asked for, a condition on it, or a data source that a materialized node fills in that order.
";

fn check(plan: &Plan, pipe: &PipePlan) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let mut seen: BTreeSet<&NodeId> = BTreeSet::new();
    for read in datasources(plan, pipe) {
        let is_first = seen.insert(&read.node.id);
        if is_first && !matches!(read.node.role, Role::Materialized { .. }) {
            found.extend(of_node(plan, &read));
        }
    }
    found
}

fn of_node(plan: &Plan, read: &Read<'_>) -> Option<Diagnostic> {
    let helps = helpful(read.table)?;
    let branches = plan.graph.branches(&read.node.id);
    let mut place_of = None;
    for branch in branches {
        // Whose column a name is, only the engine can tell of several tables.
        if branch.scan.tables.len() != 1 || !branch.scan.common_tables.is_empty() {
            return None;
        }
        let sql = branch.rendered.sql.text();
        let clauses = clauses(sql);
        let conditions = clauses.conditions;
        let named = conditions
            .iter()
            .flat_map(|range| names(&sql[range.clone()]));
        if named.into_iter().any(|name| helps.contains(&name)) {
            return None;
        }
        if let Some(condition) = conditions.first() {
            let at = place(plan, read.node, branch, condition.clone());
            place_of = place_of.or(Some(at));
        }
    }
    let message = format!("the conditions read all of `{}`", read.table.name);
    let key = read.table.engine.sorting_key.as_deref().unwrap_or_default();
    Some(
        Diagnostic::new(RULE.severity, RULE.code, message)
            .label(place_of?, "")
            .note(format!("its sorting key is `{key}`")),
    )
}

/// The columns a condition on which spares reading; nothing for tables without order.
fn helpful(table: &TablePlan) -> Option<BTreeSet<String>> {
    let key = table
        .engine
        .primary_key
        .as_deref()
        .or(table.engine.sorting_key.as_deref())?;
    let first = *key_elements(key).first()?;
    let mut helpful: BTreeSet<String> = names(first).into_iter().collect();
    let partition = table.engine.partition_key.as_deref().unwrap_or_default();
    helpful.extend(names(partition));
    for index in &table.indexes {
        helpful.extend(names(&index.expression));
    }
    Some(helpful)
}
