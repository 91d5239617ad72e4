//! Filters that have to read the whole table.

use std::collections::BTreeSet;
use std::ops::Range;

use pipewright_grammar::diagnostic::{Diagnostic, Severity};

use super::views::place;
use super::{Check, Rule};
use crate::diagnostics::codes;
use crate::graph::{Branch, NodeId, Target};
use crate::plan::{NodePlan, PipePlan, Plan, Role, TablePlan};
use crate::sql::Position;
use crate::sql::blocks::{Clause, ClauseKind, ItemKind, Statement};
use crate::sql::clauses::{clauses, has_word};
use crate::sql::outline::{key_elements, names};

/// No rows are followed through more nodes.
const DEPTH: usize = 64;

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
Finds nodes that read one data source, by itself or through nodes that pass its rows on, with conditions of which none names the first column of its sorting key, a column of its partition key or an
indexed one, in any branch of the template.

## Why is this bad
The engine finds rows by the beginning of the sorting key, by partitions and by skip indexes. Other conditions are checked row by row, over the whole table.

## Example
    SELECT count() FROM hits WHERE user = 'x'   -- ENGINE_SORTING_KEY \"site, day\"

## Use instead
A sorting key that begins with what is asked for, a condition on it, or a data source that a materialized node fills in that order.
";

fn check(plan: &Plan, pipe: &PipePlan) -> Vec<Diagnostic> {
    let nodes = pipe.nodes.iter();
    let nodes = nodes.filter(|node| !matches!(node.role, Role::Materialized { .. }));
    nodes.filter_map(|node| of_node(plan, node)).collect()
}

fn of_node(plan: &Plan, node: &NodePlan) -> Option<Diagnostic> {
    let mut place_of = None;
    let branches = plan.graph.branches(&node.id);
    let mut conditions: Vec<(Range<usize>, &Branch)> = Vec::new();
    for branch in branches {
        let clauses = clauses(branch.rendered.sql.text());
        let here = clauses.conditions.into_iter();
        conditions.extend(here.map(|range| (range, branch)));
        if let (None, Some((condition, branch))) = (&place_of, conditions.first()) {
            place_of = Some(place(plan, node, branch, condition.clone()));
        }
    }
    let (first, _) = branches.split_first()?;
    // Only where the node has conditions of its own: others are found where they stand.
    conditions.first()?;
    let (table, mut passed) = read(plan, &node.id, first, DEPTH)?;
    let one_table = |branch: &Branch| {
        // Whose column a name is, only the engine can tell of several tables.
        branch.scan.tables.len() == 1 && branch.scan.common_tables.is_empty()
    };
    if !branches.iter().all(one_table) {
        return None;
    }
    let helps = helpful(table)?;
    for (range, branch) in conditions {
        passed.extend(names(&branch.rendered.sql.text()[range]));
    }
    if passed.iter().any(|name| helps.contains(name)) {
        return None;
    }
    let message = format!("the conditions read all of `{}`", table.name);
    let key = table.engine.sorting_key.as_deref().unwrap_or_default();
    Some(
        Diagnostic::new(RULE.severity, RULE.code, message)
            .label(place_of?, "")
            .note(format!("its sorting key is `{key}`")),
    )
}

/// The data source that a node reads, and the names that decide about its rows on the way there: in conditions of nodes that pass its rows on, and in expressions that
/// give columns other names.
fn read<'a>(
    plan: &'a Plan,
    id: &NodeId,
    branch: &'a Branch,
    depth: usize,
) -> Option<(&'a TablePlan, Vec<String>)> {
    let depth = depth.checked_sub(1)?;
    let mut tables = branch.scan.tables.iter();
    let reference = tables
        .next()
        .filter(|table| table.position == Position::From)?;
    match plan.target(id, reference)? {
        Target::Datasource(datasource) => Some((plan.tables.get(&datasource.name)?, Vec::new())),
        Target::Node(pipe, node) => {
            let id = NodeId::of(pipe, node);
            let mut found: Option<(&TablePlan, Vec<String>)> = None;
            for branch in plan.graph.branches(&id) {
                let sql = branch.rendered.sql.text();
                let (table, mut passed) = read(plan, &id, branch, depth)?;
                passed.extend(passed_on(sql)?);
                match &mut found {
                    Some((_, all)) => all.extend(passed),
                    None => found = Some((table, passed)),
                }
            }
            found
        }
        Target::Service => None,
    }
}

/// The names in the conditions of a query that passes rows on, and in what is not a column under its own name; `None` for a query that does anything else with them.
fn passed_on(sql: &str) -> Option<Vec<String>> {
    let statement = Statement::read(sql)?;
    let select = statement.query.single()?;
    let filters = |clause: &Clause| matches!(clause.kind, ClauseKind::Where | ClauseKind::Prewhere);
    let passes = select.distinct.is_none()
        && select.with.is_none()
        && select.source.is_some()
        && select.nested.is_empty()
        && select.clauses.iter().all(filters);
    if !passes || has_word(sql, &["OVER"]) {
        return None;
    }
    let conditions = select.clauses.iter().map(|clause| &clause.body);
    let named = select.items.iter().filter_map(|item| match &item.kind {
        ItemKind::Named { expression, .. } => Some(expression),
        ItemKind::Other => Some(&item.run),
        ItemKind::Star | ItemKind::Column { .. } => None,
    });
    let runs = conditions.chain(named);
    Some(runs.flat_map(|run| names(statement.slice(run))).collect())
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
