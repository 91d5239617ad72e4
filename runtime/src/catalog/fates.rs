//! What a change means for the resources that tokens have rights to: those that get other names, and those that are gone.

use pipewright_compiler::plan::Plan;

use super::Rename;
use crate::state::{Fates, ScopeChanges};

/// What scopes have to follow from one version of the project to the next.
pub(super) fn scope_changes(before: &Plan, after: &Plan, renames: &[Rename]) -> ScopeChanges {
    let gone = |name: &str| (name.to_owned(), None);
    // By the project and not by the plan: a pipe with errors is still there.
    let (old, new) = (&before.project, &after.project);
    let pipes = old
        .pipes
        .keys()
        .filter(|name| !new.pipes.contains_key(*name));
    let datasources = old
        .datasources
        .keys()
        .filter(|name| !new.datasources.contains_key(*name));
    let mut changes = ScopeChanges {
        pipes: pipes.map(|name| gone(&name.to_string())).collect(),
        datasources: datasources.map(|name| gone(&name.to_string())).collect(),
    };
    let rename = |fates: &mut Fates, from: &str, to: &str| {
        fates.insert(from.to_owned(), Some(to.to_owned()));
    };
    for renamed in renames {
        match renamed {
            Rename::Pipe { from, to } => rename(&mut changes.pipes, from, to),
            Rename::Datasource { from, to } => rename(&mut changes.datasources, from, to),
            // No scope is about a node.
            Rename::Node { .. } => {}
        }
    }
    changes
}
