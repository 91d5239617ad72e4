//! Renames to a name that a reader has for something else: a node of its pipe, a common table expression, an alias. Where the reader is to follow, the new name would
//! mean that.

use pipewright_compiler::graph::{Branch, NodeId};
use pipewright_compiler::plan::Plan;
use pipewright_compiler::sql::Position;

use super::references::{Renamed, name_in};
use super::{ChangeError, Rename};

/// Refuses renames after which a reader of what is renamed would read something else. `after` is the project with the readers' texts changed.
pub(super) fn refuse_captured(
    before: &Plan,
    after: &Plan,
    renames: &[Rename],
) -> Result<(), ChangeError> {
    for rename in renames {
        let (renamed, to) = match rename {
            Rename::Pipe { from, to } | Rename::Datasource { from, to } => {
                (Renamed::Resource(from), to)
            }
            Rename::Node { pipe, from, to } => (Renamed::Node(pipe, from), to),
        };
        for (id, reads) in &before.graph.reads {
            let Some(from) = name_in(before, id, renamed) else {
                continue;
            };
            let Some(now) = after.graph.reads.get(&followed(id, rename)) else {
                continue;
            };
            let branches = || reads.branches.iter().zip(&now.branches);
            if !branches().any(|(old, _)| count(old, from) > 0) {
                continue;
            }
            let is_hidden =
                matches!(renamed, Renamed::Resource(_)) && is_other_node(after, id, rename, to);
            if is_hidden || branches().any(|(old, new)| is_captured(old, new, from, to)) {
                return Err(ChangeError::Captured(format!(
                    "`{id}` reads `{from}` and has the name `{to}` for something else, which it would read then: change that first, or choose another name"
                )));
            }
        }
    }
    Ok(())
}

/// A node under the names that it has after the rename.
fn followed(id: &NodeId, rename: &Rename) -> NodeId {
    let mut id = id.clone();
    let is_local = id.pipe.workspace.is_none();
    match rename {
        Rename::Pipe { from, to } if is_local && id.pipe.name == *from => {
            id.pipe.name.clone_from(to);
        }
        Rename::Node { pipe, from, to }
            if is_local && id.pipe.name == *pipe && id.node == *from =>
        {
            id.node.clone_from(to);
        }
        _ => {}
    }
    id
}

/// Whether another node of the reader's pipe has the new name. A node that reads its own name reads the resource.
fn is_other_node(after: &Plan, reader: &NodeId, rename: &Rename, to: &str) -> bool {
    let pipe = after.project.pipes.get(&followed(reader, rename).pipe);
    reader.node != to && pipe.is_some_and(|pipe| pipe.node(to).is_some())
}

/// Whether the new name does not stand for a resource in every place where the old one did, or for one table among several.
fn is_captured(old: &Branch, new: &Branch, from: &str, to: &str) -> bool {
    if count(old, from) == 0 {
        return false;
    }
    let tables = &new.scan.tables;
    let is_named_so = tables.iter().any(|table| {
        table.database.is_none()
            && table.name == to
            && table.position == Position::From
            && table.alias.is_none()
    });
    let is_alias = tables
        .iter()
        .any(|table| table.alias.as_deref() == Some(to) && table.name != to);
    count(new, to) != count(old, from) + count(old, to) || (is_named_so && is_alias)
}

/// How often a text reads a name.
fn count(branch: &Branch, name: &str) -> usize {
    let tables = branch.scan.tables.iter();
    tables
        .filter(|table| table.database.is_none() && table.name == name)
        .count()
}
