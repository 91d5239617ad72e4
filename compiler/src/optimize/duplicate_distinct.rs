//! `duplicate-distinct`.

use super::Subject;
use super::change::Change;
use super::functions::all_idempotent;
use super::rules::Rule;
use super::site::find_unlimited_node;
use crate::sql::blocks::{ClauseKind, ItemKind, Nested, Place, Select, Statement};

pub(super) const RULE: Rule = Rule {
    name: "duplicate-distinct",
    page: "\
# duplicate-distinct

Takes `DISTINCT` out of a node whose reader does not see how often a row comes: it is distinct itself, groups by columns with `min`, `max` or `uniqExact`
alone, or is the right side of an `IN`.

## Why

The engine makes every row of the node unique and then does it again, for fewer columns. The first time is the dearer one.

## Example

    SELECT DISTINCT user FROM (SELECT DISTINCT user, url FROM hits)

becomes

    SELECT DISTINCT user FROM (SELECT user, url FROM hits)

## When it does not apply

The reader computes something from the columns: on fewer rows that may be cheaper. The node has a `LIMIT`, which counts the rows that are there. The reader
joins the node to others.
",
    apply,
};

fn apply(subject: &Subject<'_>) -> Option<Change> {
    let statement = subject.statement;
    find_unlimited_node(&statement.query, &mut |reader, nested, node| {
        let distinct = node.distinct?;
        if nested.place == Place::Source && !is_blind(statement, reader, nested) {
            return None;
        }
        let removed = statement.bytes(&(distinct..distinct + 1));
        let until = statement.bytes(&node.list).start;
        Some(Change {
            what: "rows may come twice here: the reader does not see it".to_owned(),
            at: removed.clone(),
            edits: vec![(removed.start..until, Vec::new())],
        })
    })
}

/// Whether a reader gives the same however often each row of its only source comes.
fn is_blind(statement: &Statement<'_>, reader: &Select, nested: &Nested) -> bool {
    let only = reader
        .source_query()
        .is_some_and(|only| only.open == nested.open);
    let allowed = [
        ClauseKind::Where,
        ClauseKind::GroupBy,
        ClauseKind::OrderBy,
        ClauseKind::Limit,
    ];
    if !only
        || reader.with.is_some()
        || reader
            .clauses
            .iter()
            .any(|clause| !allowed.contains(&clause.kind))
    {
        return false;
    }
    let outside = |clause: &crate::sql::blocks::Clause| statement.calls(&clause.body).is_empty();
    if !reader.clauses.iter().all(outside) {
        return false;
    }
    let is_column = |kind: &ItemKind| matches!(kind, ItemKind::Column { .. });
    match reader.clause(ClauseKind::GroupBy) {
        None => reader.distinct.is_some() && reader.items.iter().all(|item| is_column(&item.kind)),
        Some(group) => {
            let list = statement.calls(&reader.list);
            all_idempotent(&list)
                && !statement.has_word(&group.body, "WITH")
                && !statement.has_word(&reader.list, "OVER")
                && !statement.has_star(&reader.list)
        }
    }
}
