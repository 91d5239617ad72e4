//! The other half of `merge-chains`: a reader that picks columns, filters groups, sorts or limits, over a node that is anything else.

use super::change::{Change, Part, add};
use super::functions::all_scalar;
use super::merge_chains::label;
use super::site::Site;
use super::{Subject, columns};
use crate::sql::blocks::{ClauseKind, Item, ItemKind, Run, Select, Statement};
use crate::sql::lexer::Kind;

/// `SELECT a, b FROM (node) WHERE … ORDER BY … LIMIT …` becomes the node with another list and a tail.
pub(super) fn apply(subject: &Subject<'_>, site: Site<'_>) -> Option<Change> {
    let statement = subject.statement;
    let reader = site.select;
    let nested = reader.source_query()?;
    let node = nested.query.single()?;
    if site.query.branches.len() != 1
        || node.with.is_some() && site.has_others_beside(statement)
        || !can_follow(statement, reader)
        || !can_lead(statement, node)
    {
        return None;
    }
    let outputs = columns::of_query(statement, subject.context, site, &nested.query)?;
    let picked = picked(reader, node, &outputs)?;
    for clause in &reader.clauses {
        if !names_are_outputs(statement, &clause.body, &outputs) {
            return None;
        }
    }
    if let Some(items) = &picked {
        droppable(statement, reader, node, items)?;
    }
    let mut parts = Vec::new();
    let copy = |run: &Run| Part::Copy(statement.bytes(run));
    parts.push(copy(&(node.run.start..node.list.start)));
    parts.push(add(" "));
    match &picked {
        None => parts.push(copy(&node.list)),
        Some(items) => {
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    parts.push(add(", "));
                }
                parts.push(copy(&item.run));
            }
        }
    }
    parts.extend([add("\n"), copy(&(node.list.end..node.run.end))]);
    if let Some(filter) = reader.clause(ClauseKind::Where) {
        node.clause(ClauseKind::GroupBy)
            .filter(|_| node.clause(ClauseKind::Having).is_none())?;
        parts.extend([add("\nHAVING "), copy(&filter.body)]);
    }
    for clause in &reader.clauses {
        if clause.kind != ClauseKind::Where {
            parts.extend([add("\n"), copy(&clause.run)]);
        }
    }
    Some(Change {
        what: format!("{} ends as its reader does", label(reader.source.as_ref())),
        at: statement.bytes(&(reader.keyword..reader.keyword + 1)),
        edits: vec![(statement.bytes(&reader.run), parts)],
    })
}

/// Whether a reader consists of what a node can take over.
fn can_follow(statement: &Statement<'_>, reader: &Select) -> bool {
    let allowed = [
        ClauseKind::Where,
        ClauseKind::OrderBy,
        ClauseKind::Limit,
        ClauseKind::Offset,
    ];
    reader.with.is_none()
        && reader.distinct.is_none()
        && reader.nested.len() == 1
        && reader.clauses.iter().all(|clause| {
            let odd = ["WITH", "BY", "ALL", "INTERPOLATE"]
                .iter()
                .any(|word| statement.has_word(&clause.body, word));
            allowed.contains(&clause.kind)
                && !odd
                && all_scalar(&statement.calls(&clause.body))
                && !statement.has_star(&clause.body)
                && (clause.kind != ClauseKind::OrderBy || !by_number(statement, &clause.body))
        })
}

/// Whether a list refers to columns by their number.
fn by_number(statement: &Statement<'_>, list: &Run) -> bool {
    let parts = statement.split(list);
    parts
        .iter()
        .any(|part| statement.kind(part.start) == Some(Kind::Number))
}

/// Whether a node can end in another way than it does.
fn can_lead(statement: &Statement<'_>, node: &Select) -> bool {
    let ended = [
        ClauseKind::OrderBy,
        ClauseKind::Limit,
        ClauseKind::Offset,
        ClauseKind::Window,
        ClauseKind::Qualify,
    ];
    let group = node.clause(ClauseKind::GroupBy);
    group.is_some()
        && node.distinct.is_none()
        && ended.iter().all(|kind| node.clause(*kind).is_none())
        && group.is_none_or(|group| {
            let odd = ["WITH", "ALL", "GROUPING"]
                .iter()
                .any(|word| statement.has_word(&group.body, word));
            let by_call = statement.calls(&group.body);
            let sets = ["grouping", "sets", "cube", "rollup"]
                .iter()
                .any(|name| by_call.contains(*name));
            !odd && !sets && !by_number(statement, &group.body)
        })
        && !statement.has_word(&node.list, "OVER")
        && !statement
            .calls(&node.list)
            .iter()
            .any(|name| name == "arrayjoin" || name == "unnest")
}

/// The elements of the node's list that the reader picks, in its order; `None` inside if it takes all as they are.
#[expect(clippy::option_option, reason = "no answer, or all of them")]
fn picked<'a>(
    reader: &Select,
    node: &'a Select,
    outputs: &[String],
) -> Option<Option<Vec<&'a Item>>> {
    if matches!(
        reader.items.as_slice(),
        [Item {
            kind: ItemKind::Star,
            ..
        }]
    ) {
        return Some(None);
    }
    let alias = reader
        .source
        .as_ref()
        .and_then(|source| source.alias.as_ref());
    let mut picked: Vec<&Item> = Vec::new();
    for item in &reader.items {
        let ItemKind::Column { qualifier, name } = &item.kind else {
            return None;
        };
        if qualifier.is_some() && qualifier.as_ref() != alias {
            return None;
        }
        let found = node
            .items
            .iter()
            .find(|candidate| candidate.name() == Some(name))?;
        if picked.iter().any(|known| known.run == found.run) || !outputs.contains(name) {
            return None;
        }
        picked.push(found);
    }
    Some(Some(picked))
}

/// Keywords of conditions and orders.
const WORDS: &[&str] = &[
    "ASC", "DESC", "NULLS", "FIRST", "LAST", "AND", "OR", "NOT", "IN", "LIKE", "ILIKE", "BETWEEN",
    "IS", "NULL", "TRUE", "FALSE",
];

/// Whether every name in a clause of the reader is a column of the node, and no other name of the node is one.
fn names_are_outputs(statement: &Statement<'_>, run: &Run, outputs: &[String]) -> bool {
    let compound = |at: usize| statement.kind(at) == Some(Kind::Dot);
    let known = |name: &String| {
        outputs.contains(name) || WORDS.iter().any(|word| name.eq_ignore_ascii_case(word))
    };

    !run.clone().any(compound)
        && statement.names(run).iter().all(known)
        && statement.defines(run).is_empty()
}

/// Whether the elements that the reader does not pick can go: nothing else uses them.
fn droppable(
    statement: &Statement<'_>,
    reader: &Select,
    node: &Select,
    picked: &[&Item],
) -> Option<()> {
    for item in &node.items {
        if picked.iter().any(|kept| kept.run == item.run) {
            continue;
        }
        let name = item.name()?;
        let in_reader = reader
            .clauses
            .iter()
            .any(|clause| statement.uses(&clause.body, name));
        // A column that is passed on stays what it is; a name goes with its element.
        let is_name = matches!(item.kind, ItemKind::Named { .. });
        let outside = [node.run.start..item.run.start, item.run.end..node.run.end];
        let in_node = is_name && outside.iter().any(|run| statement.uses(run, name));
        let defines = !statement
            .defines(&item.run)
            .is_subset(&std::iter::once(name.to_owned()).collect());
        if in_node || defines || (in_reader && is_name) {
            return None;
        }
    }
    Some(())
}
