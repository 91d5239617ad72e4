//! `share-node`.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::Subject;
use super::change::{Change, Part, add};
use super::columns;
use super::functions::any_changing;
use super::rules::Rule;
use super::site::{Site, find};
use crate::mapped_text::PieceKind;
use crate::sql;
use crate::sql::blocks::{ClauseKind, Nested, Place, Query, Run, Select, Statement};
use crate::sql::lexer::Kind;

pub(super) const RULE: Rule = Rule {
    name: "share-node",
    page: "\
# share-node

Computes a node once that groups rows and that several readers take rows from, as a common table expression that is `MATERIALIZED`.

## Why

A node is put in at each place where it is read, and the engine computes each of them. Four branches of a `UNION ALL` over one aggregation take four
times as long as one.

## Example

    SELECT sum(c) FROM (SELECT url, count() AS c FROM hits GROUP BY url) AS n UNION ALL SELECT max(c) FROM (SELECT url, count() AS c FROM hits GROUP BY url) AS n

becomes

    WITH shared_n AS MATERIALIZED (SELECT url, count() AS c FROM hits GROUP BY url)
    SELECT sum(c) FROM shared_n AS n UNION ALL SELECT max(c) FROM shared_n AS n SETTINGS enable_materialized_cte = 1

## When it does not apply

A reader, or what reads it, has a `WHERE`, `PREWHERE` or `HAVING`: the engine pushes it into the node, which may then read next to nothing, and cannot push
it into a shared one. The node does not group at its outermost level: reading columns twice is cheaper than keeping them. A reader is a scalar subquery or
the right side of an `IN`, or joins the node to something, which gain nothing for sure. The node calls a function that gives another value each time. The engine is a server, which may not know how
(see `[optimize]` in `pipewright.toml`).
",
    apply,
};

/// What makes the engine compute a common table expression once.
pub(super) const SETTING: &str = "enable_materialized_cte = 1";

fn root_has_setting(root: &Query) -> bool {
    let last = root.branches.last();
    last.is_some_and(|select| select.clause(ClauseKind::Settings).is_some())
}

/// A place where a node was put in.
struct Copied {
    /// The bracket before it.
    open: usize,
    close: usize,
    alias: Option<String>,
}

fn apply(subject: &Subject<'_>) -> Option<Change> {
    let statement = subject.statement;
    let root = &statement.query;
    let first = root.branches.first()?;
    if !root.only_union_all || root.branches.iter().any(|select| !select.understood) {
        return None;
    }
    if first.with.as_ref().is_some_and(|with| with.recursive) {
        return None;
    }
    let copies = copies(subject);
    // The longest first: what is in it may be shared in a later step.
    let mut groups: Vec<&Vec<Copied>> = copies.values().filter(|group| group.len() > 1).collect();
    groups.sort_by_key(|group| {
        (
            std::cmp::Reverse(group[0].close - group[0].open),
            group[0].open,
        )
    });
    let group = groups.into_iter().find(|group| worth_it(subject, group))?;
    Some(change(statement, first, group))
}

/// The nodes that were put in as a source, by what makes two of them the same for every request: their pieces.
fn copies(subject: &Subject<'_>) -> BTreeMap<Vec<u8>, Vec<Copied>> {
    let statement = subject.statement;
    let mut copies: BTreeMap<Vec<u8>, Vec<Copied>> = BTreeMap::new();
    find::<()>(&statement.query, &mut |site| {
        for nested in &site.select.nested {
            let run = nested.open + 1..nested.close;
            if nested.place != Place::Source || !groups_rows(statement, &nested.query) {
                continue;
            }
            let key = identity(subject, &statement.bytes(&run));
            let after = nested.close + 1;
            let alias = statement.name(after + usize::from(statement.is(after, "AS")));
            copies.entry(key).or_default().push(Copied {
                open: nested.open,
                close: nested.close,
                alias,
            });
        }
        None
    });
    copies
}

/// What two pieces of text have in common that are the same for every request: a value is the same only as itself.
fn identity(subject: &Subject<'_>, range: &Range<usize>) -> Vec<u8> {
    let part = subject.text.part(range.clone());
    let mut key = Vec::new();
    for (range, piece) in part.pieces() {
        let written = (piece.kind == PieceKind::Literal)
            .then_some(piece.origin)
            .flatten();
        match written {
            Some(here) => {
                let first = subject.first.piece_at(here.start as usize);
                key.push(0);
                match first.map_or(0, |piece| piece.value) {
                    0 => key.extend_from_slice(&[&[1], &here.start.to_le_bytes()[..]].concat()),
                    value => key.extend_from_slice(&[&[2], &value.to_le_bytes()[..]].concat()),
                }
            }
            None => key.extend_from_slice(&part.text().as_bytes()[range]),
        }
    }
    key
}

/// Whether the outermost level of a query is an aggregation by keys, so that what it gives is smaller than what it reads. Totals would be lost on the way.
fn groups_rows(statement: &Statement<'_>, query: &Query) -> bool {
    query.single().is_some_and(|select| {
        let grouped = select.clause(ClauseKind::GroupBy).is_some();
        let limited = select.clause(ClauseKind::Limit).is_some();
        grouped && !limited && !statement.has_word(&select.run, "TOTALS")
    })
}

fn worth_it(subject: &Subject<'_>, group: &[Copied]) -> bool {
    let statement = subject.statement;
    let run = group[0].open + 1..group[0].close;
    if any_changing(&statement.calls(&run)) || has_outer_names(subject, group) {
        return false;
    }
    if !group
        .iter()
        .all(|copied| sees_leading_with(statement, copied))
    {
        return false;
    }
    group.iter().all(|copied| reads_all(subject, copied))
}

/// Whether what the leading `WITH` defines is there in the branch of the outermost query that has the copy: not in a later one with a `WITH` of its own.
fn sees_leading_with(statement: &Statement<'_>, copied: &Copied) -> bool {
    let branches = statement.query.branches.iter();
    let mut later = branches.skip(1);
    later.all(|select| select.with.is_none() || !select.run.contains(&copied.open))
}

/// Whether a copy may use a name of a `WITH` around it, which is not there where it would go to.
fn has_outer_names(subject: &Subject<'_>, group: &[Copied]) -> bool {
    let statement = subject.statement;
    let meets = |select: &Select, inside: &Run| {
        let names = select.with.iter().flat_map(|with| &with.names);
        names
            .into_iter()
            .any(|(name, _)| statement.mentions(inside, name))
    };
    group.iter().any(|copied| {
        let inside = copied.open + 1..copied.close;
        at(statement, copied, |site, _| {
            let first = statement.query.branches.first();
            meets(site.select, &inside)
                || site
                    .around
                    .iter()
                    .any(|around| meets(around.select, &inside))
                || site
                    .query
                    .branches
                    .iter()
                    .chain(first)
                    .any(|select| meets(select, &inside))
        })
        .unwrap_or(true)
    })
}

/// Calls `answer` with the place of a copy.
fn at<T>(
    statement: &Statement<'_>,
    copied: &Copied,
    answer: impl Fn(Site<'_>, &Nested) -> T,
) -> Option<T> {
    find(&statement.query, &mut |site| {
        let nested = site
            .select
            .nested
            .iter()
            .find(|nested| nested.open == copied.open)?;
        Some(answer(site, nested))
    })
}

/// Whether nothing between a copy and the outermost query keeps rows of it away, or reads it in another place than `FROM`.
fn reads_all(subject: &Subject<'_>, copied: &Copied) -> bool {
    let statement = subject.statement;
    at(statement, copied, |site, nested| {
        let passes = |select: &Select, inner: &Nested| {
            let filters = [
                ClauseKind::Prewhere,
                ClauseKind::Where,
                ClauseKind::Having,
                ClauseKind::Qualify,
            ];
            // With a join, keeping all columns of the node costs as much as computing those in use again.
            select.understood
                && select.source.is_some()
                && inner.place == Place::Source
                && filters.iter().all(|kind| select.clause(*kind).is_none())
                && select
                    .from
                    .as_ref()
                    .is_some_and(|from| joins_by_columns(statement, select, from))
        };
        passes(site.select, nested)
            && site
                .around
                .iter()
                .all(|around| passes(around.select, around.nested))
            && columns::of_query(statement, subject.context, site, &nested.query).is_some()
    })
    .unwrap_or(false)
}

/// Whether no join has a condition with a constant, which would be pushed into what is joined.
fn joins_by_columns(statement: &Statement<'_>, select: &Select, from: &Run) -> bool {
    let inside = |at: usize| {
        select
            .nested
            .iter()
            .any(|nested| nested.open <= at && at <= nested.close)
    };
    from.clone().filter(|at| !inside(*at)).all(|at| {
        !matches!(statement.kind(at), Some(Kind::Number | Kind::Text)) && !statement.is(at, "ARRAY")
    })
}

fn change(statement: &Statement<'_>, first: &Select, group: &[Copied]) -> Change {
    let all = 0..statement.query.run.end;
    let taken: BTreeSet<String> = (all.clone()).filter_map(|at| statement.name(at)).collect();
    let node = group[0].alias.clone().unwrap_or_else(|| "node".to_owned());
    let mut name = format!("shared_{node}");
    let mut number = 2;
    while taken.contains(&name) {
        name = format!("shared_{node}_{number}");
        number += 1;
    }
    let quoted = sql::quote_identifier(&name);
    let body = Part::Copy(statement.bytes(&(group[0].open..group[0].close + 1)));
    let (at, mut definition) = match &first.with {
        Some(with) => (with.keyword + 1, Vec::new()),
        None => (first.keyword, vec![add("WITH ")]),
    };
    definition.extend([add(format!("{quoted} AS MATERIALIZED ")), body]);
    definition.push(add(if first.with.is_some() { ", " } else { "\n" }));
    let start = statement.bytes(&(at..at + 1)).start;
    let mut edits = vec![(start..start, definition)];
    for copied in group {
        let place = statement.bytes(&(copied.open..copied.close + 1));
        edits.push((place, vec![add(quoted.clone())]));
    }
    // Where a node was shared before, the setting is there.
    if !root_has_setting(&statement.query) {
        let end = statement.bytes(&all).end;
        edits.push((end..end, vec![add(format!("\nSETTINGS {SETTING}"))]));
    }
    Change {
        what: format!("`{node}` is computed once for {} readers", group.len()),
        at: statement.bytes(&(group[0].open + 1..group[0].open + 2)),
        edits,
    }
}
