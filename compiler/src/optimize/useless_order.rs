//! `useless-order`.

use super::Subject;
use super::change::Change;
use super::functions::{all_unordered, any_unordered_aggregate};
use super::rules::Rule;
use super::site::find_unlimited_node;
use crate::sql::blocks::{ClauseKind, Place, Select, Statement};

pub(super) const RULE: Rule = Rule {
    name: "useless-order",
    page: "\
# useless-order

Takes `ORDER BY` out of a node whose reader does not see the order: it sorts by itself, or only counts, sums and the like, or is the right side of an `IN`.

## Why

The engine often finds out by itself that it need not sort, but plans it first; and a node that is sorted cannot become one with its reader
(`merge-chains`).

## Example

    SELECT url, count() FROM (SELECT url FROM hits WHERE org = 7 ORDER BY ts) GROUP BY url

becomes

    SELECT url, count() FROM (SELECT url FROM hits WHERE org = 7) GROUP BY url

## When it does not apply

The node has a `LIMIT`, `LIMIT BY` or `WITH FILL`, or sorts by `arrayJoin` or by something that it gives a name to there. The reader passes rows on without sorting them: the answer is sorted then, if nobody promised it. The
reader has a `LIMIT`, a window, an aggregate that keeps or picks rows (`groupArray`, `any`, `argMax`), or a join that picks one of several rows.
",
    apply,
};

fn apply(subject: &Subject<'_>) -> Option<Change> {
    let statement = subject.statement;
    find_unlimited_node(&statement.query, &mut |reader, nested, node| {
        let order = node.clause(ClauseKind::OrderBy)?;
        let unseen = nested.place == Place::Set || order_is_lost(statement, reader);
        // What it is sorted by may make rows of one, or give a name that is used elsewhere.
        let only_sorts =
            all_unordered(&statement.calls(&order.body)) && statement.gives(&order.body).is_empty();
        if !unseen
            || !only_sorts
            || statement.has_word(&order.body, "FILL")
            || statement.has_word(&order.body, "INTERPOLATE")
        {
            return None;
        }
        let at = statement.bytes(&order.run);
        Some(Change {
            what: format!(
                "`{}` is not seen by the reader",
                one_line(statement.slice(&order.run))
            ),
            at: at.clone(),
            edits: vec![(at, Vec::new())],
        })
    })
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Whether a reader gives the same in whatever order the rows come.
fn order_is_lost(statement: &Statement<'_>, reader: &Select) -> bool {
    let Some(from) = &reader.from else {
        return false;
    };
    let picks = ["ANY", "SEMI", "ANTI", "ASOF", "PASTE", "ARRAY"]
        .iter()
        .any(|word| statement.outermost(from).any(|at| statement.is(at, word)));
    let bounded = [
        ClauseKind::Limit,
        ClauseKind::Offset,
        ClauseKind::Window,
        ClauseKind::Qualify,
    ]
    .iter()
    .any(|kind| reader.clause(*kind).is_some());
    // What the reader calls itself, without the queries in it: the rows of each of those are its own affair.
    let mut calls = std::collections::BTreeSet::new();
    let mut windows = false;
    let mut start = reader.run.start;
    let ends = reader
        .nested
        .iter()
        .map(|nested| (nested.open, nested.close + 1));
    for (end, next) in ends.chain([(reader.run.end, reader.run.end)]) {
        calls.extend(statement.calls(&(start..end)));
        windows |= statement.has_word(&(start..end), "OVER");
        start = next;
    }
    if picks || bounded || windows || !all_unordered(&calls) {
        return false;
    }
    reader.clause(ClauseKind::OrderBy).is_some()
        || reader.clause(ClauseKind::GroupBy).is_some()
        || any_unordered_aggregate(&calls)
}
