//! `merge-chains`.

use std::collections::BTreeSet;

use super::change::{Change, Part, add};
use super::columns;
use super::rules::Rule;
use super::site::{Site, find};
use super::{Subject, merge_projection, merge_tail};
use crate::project::PASSING;
use crate::sql::blocks::{
    ClauseKind, Item, ItemKind, Nested, Place, Relation, Run, Select, Source,
};

pub(super) const RULE: Rule = Rule {
    name: "merge-chains",
    page: "\
# merge-chains

Makes one query of a node and its reader, where the node only passes rows on, picks, renames or computes columns, or filters; and where the reader only
picks columns of the node, filters its groups, sorts or limits them.

## Why

Each step of a chain costs the engine a pass of analysis and planning over all columns, about 0.2 ms, however little it reads. For an endpoint that answers
within a few milliseconds, five steps are half of the time.

## Example

    SELECT url, sum(doubled) AS total FROM (SELECT url, amount * 2 AS doubled FROM hits WHERE org = 7) WHERE doubled > 5 GROUP BY url

becomes

    WITH amount * 2 AS doubled SELECT url, sum(doubled) AS total FROM hits WHERE (org = 7) AND (doubled > 5) GROUP BY url

## When it does not apply

Wherever a name could mean something else after it: the node gives a column the name of another column of what it reads; the reader gives a name to something
that the node's text uses; a column is used under its qualified name where that is ambiguous. The node has `DISTINCT`, aggregates, windows, `arrayJoin`,
`LIMIT`, `ORDER BY` (but see `useless-order`), `WITH`, `FINAL`, `SAMPLE`, a join, or calls a function that is not known to be of its arguments alone; or what it
defines with `WITH` would be seen by a query that its reader is united with. The
columns of what it reads are not known. A `SETTINGS` clause is anywhere in the statement.
",
    apply,
};

fn apply(subject: &Subject<'_>) -> Option<Change> {
    find(&subject.statement.query, &mut |site| {
        if !site.select.understood || tells_apart(site.select) || is_named_by_alias(subject, site) {
            return None;
        }
        reader_passes_on(subject, site)
            .or_else(|| node_passes_on(subject, site))
            .or_else(|| merge_projection::apply(subject, site))
            .or_else(|| merge_tail::apply(subject, site))
    })
}

/// Whether a `SELECT` is there so that the engine takes the query in it for no other one (see `plan/capture.rs`).
fn tells_apart(select: &Select) -> bool {
    let alias = select
        .source
        .as_ref()
        .and_then(|source| source.alias.as_deref());
    alias.is_some_and(|alias| alias.starts_with(PASSING))
}

/// Whether a column that a `*` brings has the name of an expression of the `SELECT`: the engine writes the alias of the table before such a name.
fn is_named_by_alias(subject: &Subject<'_>, site: Site<'_>) -> bool {
    let (statement, select) = (subject.statement, site.select);
    let has_star = select.items.iter().any(|item| item.kind == ItemKind::Star);
    if !has_star || (select.with.is_none() && select.items.len() == 1) {
        return false;
    }
    let given = statement.gives(&(select.run.start..select.list.end));
    !given.is_empty()
        && columns::of_source(statement, subject.context, site, select)
            .is_some_and(|source| source.shown.iter().any(|name| given.contains(name)))
}

/// Whether a `SELECT` is `SELECT * FROM …` and nothing else.
fn passes_on(select: &Select) -> bool {
    select.understood
        && select.with.is_none()
        && select.distinct.is_none()
        && select.clauses.is_empty()
        && matches!(
            select.items.as_slice(),
            [Item {
                kind: ItemKind::Star,
                ..
            }]
        )
}

/// What a node is called in a message.
pub(super) fn label(source: Option<&Source>) -> String {
    let alias = source.and_then(|source| source.alias.as_deref());
    alias.map_or_else(|| "a subquery".to_owned(), |alias| format!("`{alias}`"))
}

/// `SELECT * FROM (query)` is the query.
fn reader_passes_on(subject: &Subject<'_>, site: Site<'_>) -> Option<Change> {
    let statement = subject.statement;
    let reader = site.select;
    let node = reader.source_query().filter(|_| passes_on(reader))?;
    let defines = node
        .query
        .branches
        .iter()
        .any(|branch| !branch.understood || branch.with.is_some());
    let alone =
        site.query.branches.len() == 1 && !(defines && site.has_others_beside(subject.statement));
    let simple = node.query.single().is_some_and(|inner| {
        let ends = [ClauseKind::OrderBy, ClauseKind::Limit, ClauseKind::Offset];
        inner.with.is_none() && ends.iter().all(|kind| inner.clause(*kind).is_none())
    });
    let first = node
        .query
        .branches
        .first()
        .filter(|first| first.understood)?;
    if !(alone || simple) || !are_different(subject, site, first) {
        return None;
    }
    Some(Change {
        what: format!(
            "`SELECT *` over {} and nothing else is left out",
            label(reader.source.as_ref())
        ),
        at: statement.bytes(&(reader.keyword..reader.keyword + 1)),
        edits: vec![(
            statement.bytes(&reader.run),
            vec![Part::Copy(statement.bytes(&node.query.run))],
        )],
    })
}

/// Whether no two columns of a list surely or possibly have one name.
fn are_different(subject: &Subject<'_>, site: Site<'_>, select: &Select) -> bool {
    let mut seen = BTreeSet::new();
    let stars = select
        .items
        .iter()
        .filter(|item| item.kind == ItemKind::Star)
        .count();
    if stars > 0 && select.items.len() > 1 {
        let source = columns::of_source(subject.statement, subject.context, site, select);
        let Some(source) = source.filter(|_| stars == 1) else {
            return false;
        };
        seen.extend(source.shown);
    }
    select
        .items
        .iter()
        .all(|item| match (&item.kind, item.name()) {
            (ItemKind::Star, _) => true,
            (_, Some(name)) => seen.insert(name.to_owned()),
            (_, None) => {
                !subject.statement.has_star(&item.run)
                    && seen.insert(subject.statement.slice(&item.run).to_owned())
            }
        })
}

/// `(SELECT * FROM table) AS n` is the table.
fn node_passes_on(subject: &Subject<'_>, site: Site<'_>) -> Option<Change> {
    let statement = subject.statement;
    let reader = site.select;
    let from = reader.from.as_ref()?;
    let odd = ["ARRAY", "PASTE"]
        .iter()
        .any(|word| statement.has_word(from, word));
    reader.nested.iter().find_map(|nested| {
        let node = nested.query.single().filter(|node| passes_on(node))?;
        let source = node.source.as_ref()?;
        let Relation::Table { name, .. } = &source.relation else {
            return None;
        };
        let columns = columns::of_source(statement, subject.context, site, node)?;
        let outside = [
            reader.run.start..nested.open,
            nested.close + 1..reader.run.end,
        ];
        if nested.place != Place::Source
            || odd
            || !columns.hidden.is_empty()
            || columns.has(name)
            || names_it(subject, reader, &outside, name, nested)
        {
            return None;
        }
        let (_, end) = statement.read_relation(&source.run)?;
        let mut replaced = statement.bytes(&(nested.open..nested.close + 1));
        let mut parts = vec![Part::Copy(statement.bytes(&(source.run.start..end)))];
        // Behind a query any name is an alias; behind a table named like a keyword (`from`) only one with `AS` is.
        let after = nested.close + 1;
        if after < from.end && statement.plain_name(after) {
            replaced.end = statement.bytes(&(after..after + 1)).start;
            parts.push(add(" AS "));
        }
        Some(Change {
            what: format!("`{name}` is read without a `SELECT *` between"),
            at: statement.bytes(&(node.keyword..node.keyword + 1)),
            edits: vec![(replaced, parts)],
        })
    })
}

/// Whether a table's name is used outside of a node, other than as the alias of the node itself.
fn names_it(
    subject: &Subject<'_>,
    reader: &Select,
    outside: &[Run],
    name: &str,
    nested: &Nested,
) -> bool {
    let statement = subject.statement;
    let after = nested.close + 1;
    let own_alias = after + usize::from(statement.is(after, "AS"));
    let is_alias = statement.name(own_alias).as_deref() == Some(name);
    // What another source reads is its own affair.
    let elsewhere = |at: usize| {
        let inside = |other: &&Nested| other.open < at && at < other.close;
        let source = |other: &Nested| other.place == Place::Source;
        reader.nested.iter().find(inside).is_some_and(source)
    };
    let uses = |at: usize| {
        statement.name(at).as_deref() == Some(name) && at != own_alias && !elsewhere(at)
    };
    !is_alias && outside.iter().any(|run| run.clone().any(uses))
}
